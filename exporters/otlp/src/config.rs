//! The config of the `otlp` exporter: the Collector's gRPC client keys, and `no_recorded_value`.

use std::collections::BTreeMap;

use http::{HeaderMap, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};
use steadyline_component::factory::AuthConfig;
use steadyline_component::telemetry::Signal;
use steadyline_config::{Duration, Secret};
use steadyline_http::{Compression, CompressionParams, ConfigProblem, TlsConfig, headers};
use steadyline_otlp::{Encoding, Framing, NoRecordedValue, RequestFormat};

/// Sends OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// The backend: `host:port`, also with `http://` (plaintext), `https://` (TLS) or `dns:///` in front.
    #[schemars(example = "otlp.example.com:4317")]
    pub endpoint: String,
    /// How requests are compressed.
    pub compression: Compression,
    /// How the connection is secured. `insecure: true` means plaintext for an endpoint that does not name its scheme.
    pub tls: TlsConfig,
    /// Metadata added to every request. The values of names that end in `-bin` are given in base64.
    pub headers: BTreeMap<String, Secret>,
    /// Who authenticates requests.
    pub auth: Option<AuthConfig>,
    /// The `:authority` of requests, if it is not that of the endpoint.
    pub authority: String,
    /// What requests call themselves, if not `steadyline/<version>`.
    pub user_agent: String,
    /// How the connection is probed.
    pub keepalive: Keepalive,
    /// What happens to points that say "no value now".
    pub no_recorded_value: NoRecordedValue,
    /// The bound of one attempt, connecting included.
    pub timeout: Duration,
    /// How failed attempts are repeated.
    pub retry_on_failure: RetryConfig,
    /// The queue in front of the exporter.
    pub sending_queue: QueueConfig,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        OtlpConfig {
            endpoint: String::new(),
            compression: Compression::Gzip,
            tls: TlsConfig::default(),
            headers: BTreeMap::new(),
            auth: None,
            authority: String::new(),
            user_agent: String::new(),
            keepalive: Keepalive::default(),
            no_recorded_value: NoRecordedValue::Send,
            timeout: Duration::from_secs(5),
            retry_on_failure: RetryConfig::default(),
            sending_queue: QueueConfig::default(),
        }
    }
}

/// Pings on the connection, so that a peer that is gone without a word is noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// Silence before a ping; 0 = no pings.
    pub time: Duration,
    /// A connection that does not answer the ping within this time is closed.
    pub timeout: Duration,
    /// Pings also while no request is in flight. Many backends close connections that do so often.
    pub permit_without_stream: bool,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { time: Duration::from_secs(10), timeout: Duration::from_secs(20), permit_without_stream: false }
    }
}

impl OtlpConfig {
    /// The backend as a URL, whose scheme says whether TLS is spoken.
    ///
    /// # Errors
    /// The endpoint is not set, or nothing that gRPC can reach.
    pub(crate) fn target(&self) -> Result<Uri, ConfigProblem> {
        let wrong = |message: &str| ConfigProblem::new("endpoint", message);
        let text = self.endpoint.as_str();
        if text.is_empty() {
            return Err(wrong("must be set: the backend's `host:port`"));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            // `dns://resolver/host:port`; the resolver is the system's in any case.
            Some(("dns", rest)) => (self.scheme(), rest.rsplit('/').next().unwrap_or(rest)),
            Some(_) => {
                return Err(wrong("expected `host:port`, or a URL that begins with http://, https:// or dns://"));
            }
            None if text.starts_with("unix:") => return Err(wrong("unix sockets are not supported; use `host:port`")),
            None => (self.scheme(), text.strip_prefix("dns:").unwrap_or(text)),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('/') {
            return Err(wrong("gRPC has no path; for OTLP over HTTP use the exporter `otlphttp`"));
        }
        let url: Option<Uri> = format!("{scheme}://{rest}").parse().ok();
        let url = url.filter(|url| url.host().is_some_and(|host| !host.is_empty()));
        let url = url.ok_or_else(|| wrong("expected `host:port`, such as otlp.example.com:4317"))?;
        match url.port_u16() {
            Some(_) => Ok(url),
            None => Err(wrong("a port is missing; OTLP over gRPC is usually at 4317")),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.tls.insecure { "http" } else { "https" }
    }

    /// The configured headers, and the user agent.
    pub(crate) fn metadata(&self) -> Result<HeaderMap, Vec<ConfigProblem>> {
        let mut headers = headers::from_config(&self.headers)?;
        let reserved = |name: &str| name.starts_with("grpc-") || matches!(name, "content-type" | "te");
        let taken: Vec<_> = headers.keys().filter(|name| reserved(name.as_str())).collect();
        if !taken.is_empty() {
            let problem = |name: &http::HeaderName| {
                let path = steadyline_config::path_join("headers", name.as_str());
                ConfigProblem::new(path, format!("`{name}` belongs to gRPC itself; remove it"))
            };
            return Err(taken.into_iter().map(problem).collect());
        }
        let agent = if self.user_agent.is_empty() { steadyline_http::USER_AGENT } else { &self.user_agent };
        let agent = agent.parse().map_err(|_| {
            vec![ConfigProblem::new("user_agent", "it holds characters that a header cannot (line ends, controls)")]
        })?;
        headers.entry(http::header::USER_AGENT).or_insert(agent);
        Ok(headers)
    }

    pub(crate) fn format(&self, signal: Signal) -> RequestFormat {
        RequestFormat {
            signal,
            encoding: Encoding::Proto,
            framing: Framing::Grpc,
            compression: self.compression,
            params: CompressionParams::default(),
        }
    }

    pub(crate) fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: self.timeout.get(),
            retry: self.retry_on_failure.clone(),
            queue: self.sending_queue.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_spelt_as_in_the_collector() {
        for (endpoint, insecure, expected) in [
            ("localhost:4317", true, Ok("http://localhost:4317/")),
            ("localhost:4317", false, Ok("https://localhost:4317/")),
            ("http://h:1", false, Ok("http://h:1/")),
            ("https://h:1/", true, Ok("https://h:1/")),
            ("dns:///h:1", false, Ok("https://h:1/")),
            ("dns://8.8.8.8/h:1", true, Ok("http://h:1/")),
            ("dns:h:1", true, Ok("http://h:1/")),
            ("[::1]:4317", true, Ok("http://[::1]:4317/")),
            ("", false, Err("must be set")),
            ("h", false, Err("port")),
            ("https://h", false, Err("port")),
            ("http://h:4318/v1/metrics", false, Err("otlphttp")),
            ("unix:/run/x", false, Err("unix sockets")),
            ("ftp://h:1", false, Err("http://")),
            (":4317", true, Err("host:port")),
            ("h:99999", true, Err("port")),
        ] {
            let tls = TlsConfig { insecure, ..TlsConfig::default() };
            let config = OtlpConfig { endpoint: endpoint.into(), tls, ..OtlpConfig::default() };
            match (config.target(), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.to_string(), expected, "{endpoint}"),
                (Err(problem), Err(words)) => assert!(problem.message.contains(words), "{endpoint}: {problem}"),
                (other, _) => panic!("{endpoint}: {other:?}"),
            }
        }
    }
}
