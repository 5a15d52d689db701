//! The exporter `otlphttp` (also `otlp_http`): OTLP over HTTP, as protobuf or JSON.
//! Keys as in the Collector; the body of each request is encoded and compressed once, whatever the number of attempts.
//!
//! ```yaml
//! exporters:
//!   otlphttp:
//!     endpoint: https://otlp.example.com
//!     headers: {authorization: "Bearer ${env:TOKEN}"}
//! ```
//!
//! * `/v1/metrics`, `/v1/traces` or `/v1/logs` is added to `endpoint`; `metrics_endpoint` and the like are taken as they
//!   are. CloudWatch, for one, wants `metrics_endpoint: https://monitoring.<region>.amazonaws.com/v1/metrics` and
//!   `auth: {authenticator: sigv4auth}`.
//! * Tried again: no answer, 429, 502, 503, 504; `Retry-After` is obeyed. 413 halves the request. Every other status
//!   is final, as the OTLP specification wants it. After 401 or 403 the authenticator is asked once more at once.
//! * What a backend rejects by `partial_success` is counted as dropped, with its words.
//! * Redirects are never followed.

mod config;
mod sender;

use std::sync::Arc;

use http::Uri;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability};
use steadyline_http::{Client, ConfigProblem, with_unsupported};
use steadyline_otlp::{Framing, OtlpEncoder, RequestFormat};

pub use config::OtlpHttpConfig;

/// The factory.
pub const FACTORY: Factory = Factory::exporter::<OtlpHttpFactory>();

/// Makes `otlphttp` exporters.
#[derive(Debug)]
pub struct OtlpHttpFactory;

const UNSUPPORTED: [(&str, &str); 14] =
    with_unsupported([("profiles_endpoint", "profiles are not carried; remove it")]);

impl Component for OtlpHttpFactory {
    type Config = OtlpHttpConfig;
    type Made = Exporter;
    const SPEC: Spec = Spec {
        name: "otlphttp",
        aliases: &["otlp_http"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Sends OTLP over HTTP, as protobuf or JSON.",
        unsupported: &UNSUPPORTED,
    };

    fn create(config: OtlpHttpConfig, context: &mut CreateContext<'_>) -> Option<Exporter> {
        let format = RequestFormat {
            signal: context.signal,
            encoding: config.encoding,
            framing: Framing::Http,
            compression: config.compression,
            params: config.compression_params,
        };
        let mut problems = Vec::new();
        let url = config.url(context.signal).map_err(|problem| problems.push(problem)).ok();
        let encoder = OtlpEncoder::new(format, config.no_recorded_value).map_err(|problem| problems.push(problem)).ok();
        let client =
            Client::build(&config.client_options(), context.clock).map_err(|wrong| problems.extend(wrong)).ok();
        ConfigProblem::report(problems, context);
        let auth = match (&config.auth, &url) {
            (Some(auth), Some(url)) => {
                let auth = context.authenticator("auth.authenticator", &auth.authenticator)?;
                check(&*auth, url, context)?;
                Some(auth)
            }
            _ => None,
        };
        let sender = sender::HttpSender::new(client?, url?, format, auth);
        Some(Exporter::Queued { encoder: Box::new(encoder?), sender: Arc::new(sender), delivery: config.delivery() })
    }
}

fn check(auth: &dyn steadyline_component::Authenticator, url: &Uri, context: &mut CreateContext<'_>) -> Option<()> {
    auth.validate(url).map_err(|message| context.error("auth.authenticator", message)).ok()
}
