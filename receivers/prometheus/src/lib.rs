//! The `prometheus` receiver: scrapes Prometheus targets as Prometheus does, with Prometheus' own configuration.
//!
//! ```yaml
//! receivers:
//!   prometheus:
//!     config:
//!       scrape_configs:
//!         - job_name: app
//!           scrape_interval: 15s
//!           static_configs:
//!             - targets: ["127.0.0.1:8080"]
//! exporters:
//!   prometheusremotewrite: {endpoint: "http://localhost:9090/api/v1/write", add_metric_suffixes: false}
//! service:
//!   pipelines:
//!     metrics: {receivers: [prometheus], exporters: [prometheusremotewrite]}
//! ```
//!
//! **Targets** come from `static_configs`, `file_sd_configs`, `http_sd_configs` and `dns_sd_configs`, are rewritten by
//! `relabel_configs`, and are scraped at times of their own, spread over the interval. A list that changes leaves alone
//! the targets that it still has. A scrape that is late is skipped, not made up for; one target's scrapes follow one another.
//!
//! **A scrape counts as a whole or not at all.** One that fails (no connection, a status other than 200, a line that does
//! not parse, a limit) is an empty one: `up` is 0, and every series of the scrape before gets a stale marker. So does a
//! series that a good scrape does not have any more. When a target goes away its series are marked after two intervals
//! and a tenth, at the time of the first scrape that it missed. Nothing is marked when the process ends.
//!
//! **In OTLP** job and instance are `service.name` and `service.instance.id`, names are unaltered, the other labels are
//! attributes, what Prometheus calls the metric is in its metadata `prometheus.type`. Histograms and summaries are put
//! together from their series; where these do not make up a whole (no `_count`, fractions), each goes on as a gauge
//! of its own name. Native histograms become exponential ones. `target_info` becomes attributes of the resource,
//! `otel_scope_*` the scope. Behind `prometheusremotewrite` with `add_metric_suffixes: false` series come out as they
//! were exposed. Differences from the Collector's receiver: histograms with fractional counts, and the end of one bucket of
//! a histogram that goes on, are kept; types without a form in OTLP (float and gauge native histograms) are counted.
//!
//! **Counted**, by job: `prometheus_targets`, `prometheus_scrapes`, `prometheus_scrapes_failed` by reason,
//! `prometheus_scrapes_skipped`, `prometheus_samples_duplicate`, `prometheus_samples_untimely`,
//! `prometheus_histograms_unsupported`, `prometheus_discovery_failures`.
//!
//! **Memory**: a body is read only as there are bytes of the memory budget for it, at most a quarter of the budget; a
//! scrape waits for them, within its timeout once it has begun.
//!
//! | file | what it holds |
//! |---|---|
//! | `config`, `create` | the keys; the checks |
//! | `discovery`, `target` | where targets come from; what is scraped for one |
//! | `receiver`, `scraper` | which targets are scraped; when |
//! | `http` | the client: credentials, redirects, bounds |
//! | `ingest`, `series` | a body read; what is remembered of a target |
//! | `emit`, `points`, `report`, `units` | batches made of it |
//! | `offline` | the same without a target, for measuring |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod create;
mod discovery;
mod emit;
mod http;
mod ingest;
mod job;
pub mod offline;
mod points;
mod receiver;
mod report;
mod scraper;
mod series;
mod target;
mod units;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Receiver, Spec, Stability};

pub use config::Config;

/// The factory.
pub const FACTORY: Factory = Factory::receiver::<PrometheusFactory>();

/// Makes `prometheus` receivers.
#[derive(Debug)]
pub struct PrometheusFactory;

const OTHER_DISCOVERY: &str =
    "this kind of discovery is not supported; use `file_sd_configs`, `http_sd_configs` or `dns_sd_configs`";
const OTHER_PARTS: &str = "only scraping is done here; remove it";

impl Component for PrometheusFactory {
    type Config = Config;
    type Made = Box<dyn Receiver>;

    const SPEC: Spec = Spec {
        name: "prometheus",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Scrapes Prometheus targets as Prometheus does.",
        unsupported: &[
            ("target_allocator", "give the targets by `http_sd_configs`: the allocator serves `/jobs/<job>/targets`"),
            ("api_server", "there is no Prometheus API; remove it"),
            ("scrape_on_shutdown", "nothing is scraped at the end; remove it"),
            ("discovery_reload_on_startup", "lists of targets are applied at once; remove it"),
            ("initial_scrape_offset", "each target has a time of its own within the interval; remove it"),
            ("ignore_metadata", "metadata is always read; remove it"),
            ("report_extra_scrape_metrics", "use `config.global.extra_scrape_metrics`"),
            ("use_start_time_metric", "start times are those that targets expose (`_created`, protobuf); remove it"),
            ("start_time_metric_regex", "start times are those that targets expose (`_created`, protobuf); remove it"),
            ("config.remote_write", "use the exporter `prometheusremotewrite`"),
            ("config.remote_read", OTHER_PARTS),
            ("config.rule_files", "rules are evaluated by the backend; remove it"),
            ("config.alerting", "alerts are sent by the backend; remove it"),
            ("config.storage", OTHER_PARTS),
            ("config.tracing", OTHER_PARTS),
            ("config.otlp", OTHER_PARTS),
            ("config.runtime", OTHER_PARTS),
            ("config.scrape_config_files", "put the jobs into `scrape_configs`; several `--config` files are merged"),
            ("config.global.evaluation_interval", "rules are evaluated by the backend; remove it"),
            ("config.global.rule_query_offset", "rules are evaluated by the backend; remove it"),
            ("config.global.query_log_file", OTHER_PARTS),
            ("**.scrape_failure_log_file", "failed scrapes are in the log and counted by reason; remove it"),
            ("**.keep_dropped_targets", "dropped targets are not kept; remove it"),
            ("**.convert_classic_histograms_to_nhcb", "histograms stay what they are in OTLP; remove it"),
            ("**.native_histogram_bucket_limit", "exporters limit the resolution where it is needed; remove it"),
            ("**.native_histogram_min_bucket_factor", "exporters limit the resolution where it is needed; remove it"),
            ("**.proxy_connect_header", "proxies get no headers of their own; put credentials into `proxy_url`"),
            ("**.azuread", "use `oauth2`"),
            ("**.sigv4", "requests to targets are not signed; remove it"),
            ("**.azure_sd_configs", OTHER_DISCOVERY),
            ("**.consul_sd_configs", OTHER_DISCOVERY),
            ("**.digitalocean_sd_configs", OTHER_DISCOVERY),
            ("**.docker_sd_configs", OTHER_DISCOVERY),
            ("**.dockerswarm_sd_configs", OTHER_DISCOVERY),
            ("**.ec2_sd_configs", OTHER_DISCOVERY),
            ("**.eureka_sd_configs", OTHER_DISCOVERY),
            ("**.gce_sd_configs", OTHER_DISCOVERY),
            ("**.hetzner_sd_configs", OTHER_DISCOVERY),
            ("**.ionos_sd_configs", OTHER_DISCOVERY),
            ("**.kubernetes_sd_configs", OTHER_DISCOVERY),
            ("**.kuma_sd_configs", OTHER_DISCOVERY),
            ("**.lightsail_sd_configs", OTHER_DISCOVERY),
            ("**.linode_sd_configs", OTHER_DISCOVERY),
            ("**.marathon_sd_configs", OTHER_DISCOVERY),
            ("**.nerve_sd_configs", OTHER_DISCOVERY),
            ("**.nomad_sd_configs", OTHER_DISCOVERY),
            ("**.openstack_sd_configs", OTHER_DISCOVERY),
            ("**.ovhcloud_sd_configs", OTHER_DISCOVERY),
            ("**.puppetdb_sd_configs", OTHER_DISCOVERY),
            ("**.scaleway_sd_configs", OTHER_DISCOVERY),
            ("**.serverset_sd_configs", OTHER_DISCOVERY),
            ("**.stackit_sd_configs", OTHER_DISCOVERY),
            ("**.triton_sd_configs", OTHER_DISCOVERY),
            ("**.uyuni_sd_configs", OTHER_DISCOVERY),
            ("**.vultr_sd_configs", OTHER_DISCOVERY),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Receiver>> {
        let plans = create::plans(&config, context)?;
        Some(Box::new(receiver::PrometheusReceiver::new(context.id.as_str(), plans, context.clock)))
    }
}
