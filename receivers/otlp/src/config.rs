//! The config of the `otlp` receiver: the Collector's gRPC and HTTP server keys, `wait_for_result` and the limits on
//! connections.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use steadyline_component::factory::AuthConfig;
use steadyline_component::telemetry::Signal;
use steadyline_config::{ByteSize, Duration, Secret};
use steadyline_http::{ConfigProblem, Cors, CorsConfig, DoorOptions, Packing, ServerTlsConfig, Transport, headers};

/// Takes OTLP over gRPC and HTTP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpReceiverConfig {
    /// What is spoken, at least one; `grpc:` and `http:` alone mean their defaults.
    pub protocols: Protocols,
    /// Answers a request only when it is delivered, instead of when it is in every exporter's queue.
    pub wait_for_result: bool,
}

/// The protocols that are spoken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Protocols {
    /// OTLP over gRPC.
    #[serde(deserialize_with = "given")]
    pub grpc: Option<GrpcConfig>,
    /// OTLP over HTTP, in protobuf and JSON.
    #[serde(deserialize_with = "given")]
    pub http: Option<HttpConfig>,
}

/// A key without a body is there, and has its defaults.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Where to listen: `host:port`, `:port` for every interface, port 0 for any free one; or the path of a socket.
    pub endpoint: String,
    /// Over what.
    pub transport: Transport,
    /// TLS; plaintext without it.
    pub tls: Option<ServerTlsConfig>,
    /// The largest message in MiB, compressed or not; 0 = 4. A quarter of the memory budget is the most in any case.
    #[schemars(range(max = 2047))]
    pub max_recv_msg_size_mib: u32,
    /// Requests at once on one connection; 0 = 200.
    pub max_concurrent_streams: u32,
    /// How long connections live.
    pub keepalive: KeepaliveConfig,
    /// Who checks the credentials of senders; nobody without it.
    pub auth: Option<AuthConfig>,
    /// How many connections there may be. A newcomer beyond takes the place of the one that has idled longest.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
    /// How long the message of a request may take to arrive; 0 = as long as it likes.
    pub read_timeout: Duration,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        GrpcConfig {
            endpoint: "localhost:4317".into(),
            transport: Transport::Tcp,
            tls: None,
            max_recv_msg_size_mib: 4,
            max_concurrent_streams: 0,
            keepalive: KeepaliveConfig::default(),
            auth: None,
            max_connections: 1024,
            read_timeout: Duration::from_secs(60),
        }
    }
}

/// How long gRPC connections live.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveConfig {
    /// What the server does with connections.
    pub server_parameters: ServerParameters,
}

/// When the server ends connections, and how it finds those that are dead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerParameters {
    /// A connection without requests is closed after so long; 0 = never.
    pub max_connection_idle: Duration,
    /// A connection is closed after so long, however busy; 0 = never.
    pub max_connection_age: Duration,
    /// How long requests in hand may take then; 0 = as long as they like.
    pub max_connection_age_grace: Duration,
    /// A silent peer is pinged after so long; 0 = 2h.
    pub time: Duration,
    /// A peer that does not answer the ping in time is gone; 0 = 20s.
    pub timeout: Duration,
}

impl Default for ServerParameters {
    fn default() -> Self {
        ServerParameters {
            max_connection_idle: Duration::ZERO,
            max_connection_age: Duration::ZERO,
            max_connection_age_grace: Duration::ZERO,
            time: Duration::from_secs(7200),
            timeout: Duration::from_secs(20),
        }
    }
}

/// OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to listen: `host:port`, `:port` for every interface, port 0 for any free one; or the path of a socket.
    pub endpoint: String,
    /// Over what.
    pub transport: Transport,
    /// TLS; plaintext without it.
    pub tls: Option<ServerTlsConfig>,
    /// Which web pages may send; none without it.
    pub cors: Option<CorsConfig>,
    /// Who checks the credentials of senders; nobody without it.
    pub auth: Option<AuthConfig>,
    /// The largest body, compressed or not; 0 = 20MiB. A quarter of the memory budget is the most in any case.
    pub max_request_body_size: ByteSize,
    /// The path that takes traces.
    pub traces_url_path: String,
    /// The path that takes metrics.
    pub metrics_url_path: String,
    /// The path that takes logs.
    pub logs_url_path: String,
    /// The compressions that are taken: `gzip`, `zstd`, `deflate`, `zlib`; an empty text stands for none.
    pub compression_algorithms: Vec<String>,
    /// Headers that every answer gets.
    pub response_headers: BTreeMap<String, Secret>,
    /// How long the body of a request may take; 0 = as long as it likes.
    pub read_timeout: Duration,
    /// How long the head of a request may take; 0 = as long as it likes.
    pub read_header_timeout: Duration,
    /// How long answering may take once the body is there; 0 = as long as it needs.
    pub write_timeout: Duration,
    /// A connection without a request is closed after so long; 0 = never.
    pub idle_timeout: Duration,
    /// Whether a connection may carry more than one request.
    pub keep_alives_enabled: bool,
    /// How many connections there may be. A newcomer beyond takes the place of the one that has idled longest.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            endpoint: "localhost:4318".into(),
            transport: Transport::Tcp,
            tls: None,
            cors: None,
            auth: None,
            max_request_body_size: ByteSize::mib(20),
            traces_url_path: "/v1/traces".into(),
            metrics_url_path: "/v1/metrics".into(),
            logs_url_path: "/v1/logs".into(),
            compression_algorithms: ["", "gzip", "zstd", "deflate", "zlib"].map(String::from).into(),
            response_headers: BTreeMap::new(),
            read_timeout: Duration::from_secs(60),
            read_header_timeout: Duration::from_secs(60),
            write_timeout: Duration::ZERO,
            idle_timeout: Duration::from_secs(180),
            keep_alives_enabled: true,
            max_connections: 1024,
        }
    }
}

fn or(value: std::time::Duration, default: u64) -> std::time::Duration {
    if value.is_zero() { std::time::Duration::from_secs(default) } else { value }
}

impl GrpcConfig {
    pub(crate) fn limit(&self) -> usize {
        let mib = if self.max_recv_msg_size_mib == 0 { 4 } else { self.max_recv_msg_size_mib };
        (mib as usize) << 20
    }

    pub(crate) fn door(&self) -> DoorOptions {
        let keys = &self.keepalive.server_parameters;
        DoorOptions {
            http2_only: true,
            max_connections: self.max_connections,
            idle_timeout: keys.max_connection_idle.get(),
            max_age: keys.max_connection_age.get(),
            max_age_grace: keys.max_connection_age_grace.get(),
            ping_interval: or(keys.time.get(), 7200),
            ping_timeout: or(keys.timeout.get(), 20),
            max_concurrent_streams: self.max_concurrent_streams,
            ..DoorOptions::default()
        }
    }

    /// What is wrong, by paths below the block.
    pub(crate) fn problems(&self) -> Vec<ConfigProblem> {
        common_problems(&self.endpoint, self.transport, self.tls.as_ref(), self.max_connections)
    }
}

impl HttpConfig {
    pub(crate) fn limit(&self) -> usize {
        match self.max_request_body_size.as_usize() {
            0 => 20 << 20,
            bytes => bytes,
        }
    }

    pub(crate) fn door(&self) -> DoorOptions {
        DoorOptions {
            max_connections: self.max_connections,
            header_timeout: self.read_header_timeout.get(),
            idle_timeout: self.idle_timeout.get(),
            keep_alive: self.keep_alives_enabled,
            ..DoorOptions::default()
        }
    }

    pub(crate) fn paths(&self) -> [(Signal, String); 3] {
        [
            (Signal::Traces, self.traces_url_path.clone()),
            (Signal::Metrics, self.metrics_url_path.clone()),
            (Signal::Logs, self.logs_url_path.clone()),
        ]
    }

    pub(crate) fn packings(&self) -> Vec<Packing> {
        self.compression_algorithms.iter().filter_map(|name| Packing::from_name(name)).collect()
    }

    /// What is wrong, by paths below the block.
    pub(crate) fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = common_problems(&self.endpoint, self.transport, self.tls.as_ref(), self.max_connections);
        let keys = ["traces_url_path", "metrics_url_path", "logs_url_path"];
        let paths = self.paths();
        for (at, ((_, path), key)) in paths.iter().zip(keys).enumerate() {
            if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
                problems.push(ConfigProblem::new(key, format!("`{path}` is not a path such as `/v1/traces`")));
            } else if paths[..at].iter().any(|(_, other)| other == path) {
                problems.push(ConfigProblem::new(key, format!("`{path}` takes another signal already")));
            }
        }
        for (at, name) in self.compression_algorithms.iter().enumerate() {
            if Packing::from_name(name).is_none() {
                let path = steadyline_config::path_index("compression_algorithms", at);
                let message = format!("`{name}` is not supported; supported are {}", Packing::NAMES);
                problems.push(ConfigProblem::new(path, message));
            }
        }
        if let Some(Err(wrong)) = self.cors.as_ref().map(Cors::new) {
            problems.extend(below("cors", wrong));
        }
        if let Err(wrong) = headers::from_config(&self.response_headers) {
            problems.extend(wrong.into_iter().map(|problem| {
                let path = problem.path.replacen("headers", "response_headers", 1);
                ConfigProblem::new(path, problem.message)
            }));
        }
        problems
    }
}

fn common_problems(
    endpoint: &str,
    transport: Transport,
    tls: Option<&ServerTlsConfig>,
    max_connections: usize,
) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, message: &str| problems.push(ConfigProblem::new(key, message));
    let port = endpoint.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match transport {
        _ if endpoint.is_empty() => wrong("endpoint", "must not be empty"),
        Transport::Tcp if endpoint.contains('/') => {
            wrong("endpoint", "expected `host:port`; a socket's path needs `transport: unix`");
        }
        Transport::Tcp if port.is_none() => wrong("endpoint", "expected `host:port` with a port from 0 to 65535"),
        Transport::Tcp | Transport::Unix => {}
    }
    if max_connections == 0 {
        wrong("max_connections", "must be at least 1");
    }
    problems.extend(below("tls", tls.map(ServerTlsConfig::problems).unwrap_or_default()));
    problems
}

/// Problems of a block, by paths from above it.
pub(crate) fn below(block: &str, problems: Vec<ConfigProblem>) -> impl Iterator<Item = ConfigProblem> {
    problems.into_iter().map(move |problem| ConfigProblem::new(format!("{block}.{}", problem.path), problem.message))
}
