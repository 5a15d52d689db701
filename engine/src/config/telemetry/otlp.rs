//! A backend that own metrics and traces are sent to by OTLP.

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_http::{ConfigProblem, TlsConfig, headers};

use super::super::values::{HeaderList, Millis};

/// To whom the process's own metrics and traces are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushExporter {
    /// A backend that speaks OTLP.
    pub otlp: OtlpPush,
}

/// A backend that speaks OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpPush {
    /// Over gRPC or HTTP.
    pub protocol: OtlpProtocol,
    /// The backend: `host:port` or a URL. Over HTTP, a URL without a path gets `/v1/metrics` or `/v1/traces`.
    pub endpoint: String,
    /// Sent with every request: `name: value`, or a list of `{name, value}`.
    pub headers: HeaderList,
    /// How requests are compressed.
    pub compression: OtlpCompression,
    /// How long one request may take; milliseconds, or a duration.
    pub timeout: Millis,
    /// How the connection is secured. `insecure: true` means plaintext for an endpoint that does not name its scheme.
    pub tls: TlsConfig,
}

impl Default for OtlpPush {
    fn default() -> Self {
        OtlpPush {
            protocol: OtlpProtocol::default(),
            endpoint: String::new(),
            headers: HeaderList::default(),
            compression: OtlpCompression::default(),
            timeout: Millis::from_secs(10),
            tls: TlsConfig::default(),
        }
    }
}

/// The transports of OTLP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OtlpProtocol {
    /// Over gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// Over HTTP, in protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Compressions of own telemetry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
}

impl OtlpPush {
    /// The backend as a URL whose scheme says whether TLS is spoken; `path` is what a URL for HTTP gets if it has none.
    ///
    /// # Errors
    /// The endpoint is not set, or nothing that can be reached in this protocol.
    pub fn target(&self, path: &str) -> Result<Uri, ConfigProblem> {
        let wrong = |message: &str| ConfigProblem::new("endpoint", message);
        if self.endpoint.is_empty() {
            return Err(wrong("must be set: the backend's `host:port` or URL"));
        }
        let text = match self.endpoint.split_once("://") {
            Some(("http" | "https", _)) => self.endpoint.clone(),
            Some(_) => return Err(wrong("expected `host:port`, or a URL that begins with http:// or https://")),
            None => format!("{}://{}", if self.tls.insecure { "http" } else { "https" }, self.endpoint),
        };
        let url: Option<Uri> = text.parse().ok();
        let url = url.filter(|url| url.host().is_some_and(|host| !host.is_empty()));
        let url = url.ok_or_else(|| wrong("expected `host:port`, or a URL that begins with http:// or https://"))?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        match (self.protocol, bare) {
            (OtlpProtocol::Grpc, false) => Err(wrong("gRPC has no path; use `protocol: http/protobuf`, or remove it")),
            (OtlpProtocol::Grpc, true) if url.port_u16().is_none() => {
                Err(wrong("a port is missing; OTLP over gRPC is usually at 4317"))
            }
            (OtlpProtocol::HttpProtobuf, true) => {
                let with_path = format!("{}{path}", text.trim_end_matches('/')).parse();
                with_path.map_err(|_| wrong("expected a URL that begins with http:// or https://"))
            }
            _ => Ok(url),
        }
    }

    pub(super) fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = self.tls.problems();
        problems.extend(self.target("/v1/metrics").err());
        problems.extend(headers::from_config(&self.headers.0).err().unwrap_or_default());
        if self.timeout.get().is_zero() {
            problems.push(ConfigProblem::new("timeout", "expected more than 0"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_become_urls() {
        use OtlpProtocol::{Grpc, HttpProtobuf};
        for (protocol, endpoint, insecure, expected) in [
            (Grpc, "localhost:4317", true, Ok("http://localhost:4317/")),
            (Grpc, "h:4317", false, Ok("https://h:4317/")),
            (Grpc, "http://h:4317", false, Ok("http://h:4317/")),
            (Grpc, "h", false, Err("port")),
            (Grpc, "http://h:4317/v1/metrics", false, Err("no path")),
            (Grpc, "", false, Err("must be set")),
            (HttpProtobuf, "http://h:4318", false, Ok("http://h:4318/v1/metrics")),
            (HttpProtobuf, "http://h:4318/", false, Ok("http://h:4318/v1/metrics")),
            (HttpProtobuf, "https://h/otlp/x?y=1", false, Ok("https://h/otlp/x?y=1")),
            (HttpProtobuf, "h:4318", true, Ok("http://h:4318/v1/metrics")),
            (HttpProtobuf, "ftp://h", true, Err("http://")),
        ] {
            let tls = TlsConfig { insecure, ..TlsConfig::default() };
            let push = OtlpPush { protocol, endpoint: endpoint.into(), tls, ..OtlpPush::default() };
            match (push.target("/v1/metrics"), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.to_string(), expected),
                (Err(problem), Err(words)) => assert!(problem.message.contains(words), "{endpoint}: {problem}"),
                (other, _) => panic!("{endpoint}: {other:?}"),
            }
        }
    }
}
