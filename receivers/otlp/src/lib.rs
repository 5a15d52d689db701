//! The `otlp` receiver: metrics, traces and logs by OTLP over gRPC and HTTP, with the Collector's keys.
//!
//! ```yaml
//! receivers:
//!   otlp:
//!     protocols:
//!       grpc: {endpoint: "0.0.0.0:4317"}
//!       http: {endpoint: "0.0.0.0:4318"}
//! exporters:
//!   debug: {}
//! service:
//!   pipelines:
//!     metrics: {receivers: [otlp], exporters: [debug]}
//!     traces: {receivers: [otlp], exporters: [debug]}
//!     logs: {receivers: [otlp], exporters: [debug]}
//! ```
//!
//! With TLS, client certificates and passwords:
//!
//! ```yaml
//! extensions:
//!   basicauth: {htpasswd: {file: /etc/steadyline/htpasswd}}
//! receivers:
//!   otlp:
//!     protocols:
//!       grpc:
//!         endpoint: ":4317"
//!         tls: {cert_file: server.pem, key_file: server.key, client_ca_file: clients.pem, reload_interval: 1h}
//!       http:
//!         endpoint: /run/steadyline/otlp.sock
//!         transport: unix
//!         auth: {authenticator: basicauth}
//! exporters:
//!   debug: {}
//! service:
//!   extensions: [basicauth]
//!   pipelines:
//!     metrics: {receivers: [otlp], exporters: [debug]}
//! ```
//!
//! # What senders are told
//! A request is answered when it is in every exporter's queue; with `wait_for_result: true` when it is delivered.
//! An empty request is fine. A request is taken whole or not at all, so there is never a partial success.
//!
//! | what | gRPC | HTTP |
//! |---|---|---|
//! | queues full, memory spent, shutting down | `UNAVAILABLE` with `RetryInfo` | 503 with `Retry-After` |
//! | larger than the limit, or than a quarter of the memory budget | `RESOURCE_EXHAUSTED` | 413 |
//! | not OTLP, cut off, not what its compression says | `INVALID_ARGUMENT` | 400 |
//! | no or wrong credentials | `UNAUTHENTICATED` | 401 with `WWW-Authenticate` |
//! | no pipeline takes the signal; no such path or method | `UNIMPLEMENTED` | 404 |
//! | a compression or content type that is not known | `UNIMPLEMENTED` | 415 |
//! | a body that took too long | `DEADLINE_EXCEEDED` | 408 |
//! | refused by a backend for good (`wait_for_result`) | `INTERNAL` | 500 |
//!
//! Failures over HTTP carry a `google.rpc.Status` in the encoding of the request. What is refused is counted, by reason,
//! in `otelcol_receiver_refused_*`.
//!
//! # Bounds
//! Memory for a request is taken from the process's budget as its body comes in, and again before it is opened; a body
//! that is larger inside than it may be is given up while it opens. Heads, bodies, handshakes and idle connections have
//! their times. A listener that is full closes the connection that has idled longest for the sake of a new one.
//!
//! What lies within a span or log record is passed on as it came, odd as it may be; metrics are decoded, and refused
//! whole if a text in them is not UTF-8. Timestamps and values are not judged.
//!
//! # Why not tonic's server
//! gRPC is served by hyper and framed here in a few lines. tonic's server gives a codec the message after it has
//! collected and decompressed it, so nothing could be asked of the memory budget before; it reads its certificates once;
//! and its connections cannot be counted, nor shown out. Statuses are tonic's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod body;
mod config;
mod denial;
mod desk;
mod grpc;
mod hold;
mod http;
mod receiver;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use steadyline_component::factory::{AuthConfig, Component};
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Receiver, ServerAuthenticator, Spec, Stability};
use steadyline_http::{ConfigProblem, Transport};

pub use config::{GrpcConfig, HttpConfig, KeepaliveConfig, OtlpReceiverConfig, Protocols, ServerParameters};
use receiver::OtlpReceiver;

/// The factory.
pub const FACTORY: Factory = Factory::receiver::<OtlpReceiverFactory>();

/// Makes `otlp` receivers.
#[derive(Debug)]
pub struct OtlpReceiverFactory;

/// Keys of the Collector that have no counterpart here.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("**.read_buffer_size", "buffers size themselves; remove it"),
    ("**.write_buffer_size", "buffers size themselves; remove it"),
    ("**.include_metadata", "metadata of requests does not travel with the data; remove it"),
    ("**.middlewares", "there are no middlewares; use `auth`, `cors` and `response_headers`"),
    ("**.auth.request_params", "credentials are looked for in headers alone; remove it"),
    ("**.keepalive.enforcement_policy", "clients may ping as often as they like; remove it"),
    ("**.tls.insecure", "a server is plaintext if it has no `tls` block; remove the key, or the block"),
    ("**.tls.insecure_skip_verify", "it is for clients; who may connect is decided by `client_ca_file`"),
    ("**.tls.ca_file", "it is for clients; authorities of client certificates are in `client_ca_file`"),
    ("**.tls.ca_pem", "it is for clients; authorities of client certificates are in `client_ca_file`"),
    ("**.tls.include_system_ca_certs_pool", "it is for clients; authorities of clients are in `client_ca_file`"),
    ("**.tls.server_name_override", "it is for clients; remove it"),
    ("**.tls.cipher_suites", "only safe suites are offered, in the library's order; remove it"),
    ("**.tls.include_insecure_cipher_suites", "insecure suites are never offered; remove it"),
    ("**.tls.curve_preferences", "only safe curves are offered, in the library's order; remove it"),
    ("**.tls.tpm", "keys in a TPM are not supported; use `key_file`"),
];

impl Component for OtlpReceiverFactory {
    type Config = OtlpReceiverConfig;
    type Made = Box<dyn Receiver>;
    const SPEC: Spec = Spec {
        name: "otlp",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Takes OTLP over gRPC and HTTP.",
        unsupported: UNSUPPORTED,
    };

    fn create(config: OtlpReceiverConfig, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(make(config, context)?))
    }
}

fn make(config: OtlpReceiverConfig, context: &mut CreateContext<'_>) -> Option<OtlpReceiver> {
    let problems = problems(&config);
    let is_sound = problems.is_empty();
    ConfigProblem::report(problems, context);
    let Protocols { grpc, http } = &config.protocols;
    let grpc_auth = auth("protocols.grpc", grpc.as_ref().and_then(|grpc| grpc.auth.as_ref()), context);
    let http_auth = auth("protocols.http", http.as_ref().and_then(|http| http.auth.as_ref()), context);
    let (grpc_auth, http_auth) = (grpc_auth.ok()?, http_auth.ok()?);
    is_sound.then(|| OtlpReceiver::new(context.id.as_str(), config, grpc_auth, http_auth))
}

fn problems(config: &OtlpReceiverConfig) -> Vec<ConfigProblem> {
    let Protocols { grpc, http } = &config.protocols;
    let mut problems = Vec::new();
    if grpc.is_none() && http.is_none() {
        problems.push(ConfigProblem::new("protocols", "must name at least one of `grpc` and `http`"));
    }
    if let Some(grpc) = grpc {
        problems.extend(config::below("protocols.grpc", grpc.problems()));
    }
    if let Some(http) = http {
        problems.extend(config::below("protocols.http", http.problems()));
    }
    if let (Some(grpc), Some(http)) = (grpc, http)
        && grpc.endpoint == http.endpoint
        && (grpc.transport == Transport::Unix || !grpc.endpoint.ends_with(":0"))
    {
        problems.push(ConfigProblem::new("protocols.http.endpoint", "gRPC listens there already"));
    }
    problems
}

/// The doorkeeper that a protocol names; an error if it names one that there is not.
fn auth(
    protocol: &str,
    auth: Option<&AuthConfig>,
    context: &mut CreateContext<'_>,
) -> Result<Option<Arc<dyn ServerAuthenticator>>, ()> {
    let Some(auth) = auth else { return Ok(None) };
    let path = format!("{protocol}.auth.authenticator");
    context.server_authenticator(&path, &auth.authenticator).map(Some).ok_or(())
}
