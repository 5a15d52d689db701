//! What config may say, and what it is told otherwise.

use steadyline_component::testkit::create;

use super::Plain;
use crate::OtlpReceiverFactory;

#[test]
fn protocols_without_a_body_have_their_defaults() {
    for (yaml, grpc, http) in [
        ("protocols: {grpc: , http: }", Some("localhost:4317"), Some("localhost:4318")),
        ("protocols:\n  grpc:\n", Some("localhost:4317"), None),
        ("protocols: {http: {endpoint: ':0'}}", None, Some(":0")),
    ] {
        let protocols = create::<Plain>(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}")).config().protocols;
        assert_eq!(protocols.grpc.as_ref().map(|grpc| grpc.endpoint.as_str()), grpc, "{yaml}");
        assert_eq!(protocols.http.as_ref().map(|http| http.endpoint.as_str()), http, "{yaml}");
    }
}

#[test]
fn zero_means_the_default_where_the_collector_says_so() {
    let yaml = "protocols: {grpc: {max_recv_msg_size_mib: 0, keepalive: {server_parameters: {time: 0, timeout: 0}}}, \
                http: {max_request_body_size: 0}}";
    let protocols = create::<Plain>(yaml).unwrap().config().protocols;
    let (grpc, http) = (protocols.grpc.unwrap(), protocols.http.unwrap());
    assert_eq!((grpc.limit(), http.limit()), (4 << 20, 20 << 20));
    assert_eq!((grpc.door().ping_interval.as_secs(), grpc.door().ping_timeout.as_secs()), (7200, 20));
}

#[test]
fn config_errors_name_key_and_remedy() {
    for (yaml, expected) in [
        ("{}", "otlp.protocols: must name at least one of `grpc` and `http`"),
        ("protocols: {}", "otlp.protocols: must name at least one"),
        ("protocols: {gprc: {}}", "did you mean `grpc`?"),
        ("protocols: {grpc: {endpoint: localhost}}", "otlp.protocols.grpc.endpoint: expected `host:port`"),
        ("protocols: {grpc: {endpoint: 'localhost:99999'}}", "a port from 0 to 65535"),
        ("protocols: {http: {endpoint: /run/x.sock}}", "needs `transport: unix`"),
        ("protocols: {http: {endpoint: '', transport: unix}}", "must not be empty"),
        ("protocols: {grpc: {transport: udp}}", "otlp.protocols.grpc.transport"),
        ("protocols: {grpc: {max_connections: 0}}", "must be at least 1"),
        ("protocols: {grpc: {endpoint: ':1'}, http: {endpoint: ':1'}}", "gRPC listens there already"),
        ("protocols: {grpc: {tls: {}}}", "otlp.protocols.grpc.tls.cert_file: a server needs a certificate"),
        ("protocols: {grpc: {tls: {cert_file: a}}}", "otlp.protocols.grpc.tls.key_file: the certificate needs"),
        ("protocols: {grpc: {tls: {insecure: true}}}", "plaintext if it has no `tls` block"),
        ("protocols: {http: {tls: {ca_file: x}}}", "`client_ca_file`"),
        ("protocols: {http: {tls: {cert_pem: x, key_pem: y}}}", "there is no PEM certificate in it"),
        ("protocols: {grpc: {keepalive: {enforcement_policy: {min_time: 1s}}}}", "ping as often as they like"),
        ("protocols: {grpc: {include_metadata: true}}", "does not travel with the data"),
        ("protocols: {grpc: {read_buffer_size: 1}}", "buffers size themselves"),
        ("protocols: {http: {auth: {request_params: [a], authenticator: x}}}", "headers alone"),
        ("protocols: {http: {auth: {authenticator: nobody}}}", "there is no extension `nobody`"),
        ("protocols: {http: {metrics_url_path: v1}}", "`v1` is not a path such as `/v1/traces`"),
        ("protocols: {http: {logs_url_path: /v1/traces}}", "`/v1/traces` takes another signal already"),
        (
            "protocols: {http: {compression_algorithms: [gzip, lz4]}}",
            "compression_algorithms[1]: `lz4` is not supported",
        ),
        ("protocols: {http: {cors: {allowed_origins: ['*.*']}}}", "otlp.protocols.http.cors.allowed_origins[0]"),
        ("protocols: {http: {response_headers: {'a b': c}}}", "otlp.protocols.http.response_headers"),
    ] {
        let text = create::<OtlpReceiverFactory>(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}
