//! The exporter `otlp` (also `otlp_grpc`): OTLP over gRPC.
//! Keys as in the Collector; each request is encoded, compressed and framed once, whatever the number of attempts.
//!
//! ```yaml
//! exporters:
//!   otlp:
//!     endpoint: otlp.example.com:4317       # TLS; for plaintext say http:// or `tls: {insecure: true}`
//!     headers: {authorization: "Bearer ${env:TOKEN}"}
//! ```
//!
//! * Tried again: no answer, and the codes canceled, deadline_exceeded, aborted, out_of_range, unavailable, data_loss;
//!   resource_exhausted only if the backend says when (`RetryInfo`, obeyed). Every other code is final.
//! * A message that is too large for the backend is halved until it fits.
//! * What a backend rejects by `partial_success` is counted as dropped, with its words.
//! * One HTTP/2 connection; it is probed while a request waits (`keepalive`), and made anew when it is gone.

mod channel;
mod config;
mod sender;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability};
use steadyline_http::{Compression, ConfigProblem, with_unsupported};
use steadyline_otlp::OtlpEncoder;

pub use config::{Keepalive, OtlpConfig};

/// The factory.
pub const FACTORY: Factory = Factory::exporter::<OtlpFactory>();

/// Makes `otlp` exporters.
#[derive(Debug)]
pub struct OtlpFactory;

const UNSUPPORTED: [(&str, &str); 15] = with_unsupported([
    ("balancer_name", "there is one connection to one address; put a load balancer in between, or remove it"),
    ("wait_for_ready", "requests are tried again until the backend is ready; see `retry_on_failure`"),
]);

impl Component for OtlpFactory {
    type Config = OtlpConfig;
    type Made = Exporter;
    const SPEC: Spec = Spec {
        name: "otlp",
        aliases: &["otlp_grpc"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Sends OTLP over gRPC.",
        unsupported: &UNSUPPORTED,
    };

    fn create(config: OtlpConfig, context: &mut CreateContext<'_>) -> Option<Exporter> {
        let format = config.format(context.signal);
        let mut problems = Vec::new();
        if config.compression == Compression::Zlib {
            problems.push(ConfigProblem::new("compression", "gRPC knows it as `deflate`"));
        }
        let target = config.target().map_err(|problem| problems.push(problem)).ok();
        let encoder = OtlpEncoder::new(format, config.no_recorded_value).map_err(|problem| problems.push(problem)).ok();
        let headers = config.metadata().map_err(|wrong| problems.extend(wrong)).ok();
        let channel = target
            .as_ref()
            .and_then(|target| channel::LazyChannel::new(&config, target).map_err(|wrong| problems.extend(wrong)).ok());
        let is_sound = problems.is_empty();
        ConfigProblem::report(problems, context);
        let target = target?;
        let auth = match &config.auth {
            None => None,
            Some(auth) => {
                let auth = context.authenticator("auth.authenticator", &auth.authenticator)?;
                auth.validate(&target).map_err(|message| context.error("auth.authenticator", message)).ok()?;
                Some(auth)
            }
        };
        if !is_sound {
            return None;
        }
        let sender = sender::GrpcSender::new(channel?, target, format, headers?, config.timeout.get(), auth);
        Some(Exporter::Queued { encoder: Box::new(encoder?), sender: Arc::new(sender), delivery: config.delivery() })
    }
}
