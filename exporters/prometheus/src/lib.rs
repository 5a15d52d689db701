//! The `prometheus` exporter: a pull endpoint that shows the last value of every series, for scrapers and for people.
//! It keeps no more than that: no queue, no history, and nothing of a batch once its values are copied.
//!
//! ```yaml
//! exporters:
//!   prometheus: {endpoint: 127.0.0.1:9464}
//! ```
//!
//! `GET /metrics` answers in text 0.0.4, OpenMetrics 1.0 or protobuf, whichever the scraper prefers, gzipped if it says that
//! it takes that. Names and labels are in byte order, so that two pages can be compared. Native histograms show their
//! buckets in protobuf, and their count and sum in text.
//!
//! What is shown:
//! - Points whose labels are final (they passed the `labels` processor) are shown as they are, without their resource.
//!   All others are translated as the Collector does: names and units by `translation_strategy`, `job` and `instance` from
//!   the resource, the scope as `otel_scope_*`, the rest of the resource as `target_info`.
//! - A series is its final name and labels. Of two values the one with the newer event time is shown; at equal times, the
//!   one that came later. A "no value" point takes its series off the page at once.
//! - A series that is not heard of for `metric_expiration` is gone, whether somebody scrapes or not.
//! - Not shown, and counted with a reason: sums and histograms since the last report (`delta`), metrics whose name is taken by
//!   one of another type (`type_conflict`), series beyond `max_series` (`series_limit`), and what cannot be expressed.
//!   Of two descriptions of one metric the first is kept.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod intake;
mod labels;
mod losses;
mod page;
mod plan;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability, TemporalityEffect};

pub use config::{Config, ResourceConversion};
pub use server::PullEndpoint;

/// The factory of the `prometheus` exporter.
pub const FACTORY: Factory = Factory::exporter::<PrometheusFactory>();

/// Makes pull endpoints.
#[derive(Debug)]
pub struct PrometheusFactory;

impl Component for PrometheusFactory {
    type Config = Config;
    type Made = Exporter;

    const SPEC: Spec = Spec {
        name: "prometheus",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "A pull endpoint that shows the last value of every series.",
        unsupported: &[
            ("tls", "the endpoint speaks plain HTTP; listen on loopback, or put a proxy in front of it"),
            ("auth", "the endpoint does not authenticate; listen on loopback, or put a proxy in front of it"),
            ("cors", "the page is for scrapers, not for scripts of other sites; remove it"),
            ("transport", "it is always TCP; remove it"),
            ("middlewares", "there are no HTTP middlewares; remove it"),
            ("response_headers", "the headers are those of the format; remove it"),
            ("include_metadata", "nothing reads a scraper's headers; remove it"),
            ("compression_algorithms", "gzip is used if the scraper takes it; remove it"),
            ("max_request_body_size", "requests have no body; remove it"),
            ("read_timeout", "timeouts of the endpoint are fixed; remove it"),
            ("read_header_timeout", "timeouts of the endpoint are fixed; remove it"),
            ("write_timeout", "timeouts of the endpoint are fixed; remove it"),
            ("idle_timeout", "timeouts of the endpoint are fixed; remove it"),
            ("keep_alives_enabled", "connections are kept open as scrapers ask; remove it"),
            ("sending_queue", "a pull endpoint has no queue: it shows the last values; remove it"),
            ("retry_on_failure", "a pull endpoint sends nothing: it is asked; remove it"),
            ("timeout", "a pull endpoint sends nothing: it is asked; remove it"),
        ],
    };
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::NeedsCumulative;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Exporter> {
        let rules = config.check(context)?;
        Some(Exporter::Direct(Arc::new(PullEndpoint::new(config, rules, context.clock.clone(), context.meter))))
    }
}
