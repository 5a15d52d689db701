//! Tests of the whole exporter: batches in, pages out.

mod http;
mod kinds;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::testkit::{self, TestExtensions};
use steadyline_component::{Batch, Clock, CreateContext, Meter, Sink, Spec, Tally};
use steadyline_prometheus::exposition::Format;
use steadyline_telemetry::Metrics;

use crate::{Config, PrometheusFactory, PullEndpoint};

/// The factory, but for the type of what it makes.
struct Probe;

impl Component for Probe {
    type Config = Config;
    type Made = Arc<PullEndpoint>;
    const SPEC: Spec = PrometheusFactory::SPEC;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let rules = config.check(context)?;
        Some(Arc::new(PullEndpoint::new(config, rules, context.clock.clone(), context.meter)))
    }
}

/// An endpoint, a clock that stands still, and its books.
struct Harness {
    endpoint: Arc<PullEndpoint>,
    clock: Clock,
    meter: Meter,
    tally: Tally,
}

impl Harness {
    fn new(yaml: &str) -> Harness {
        let (clock, meter) = (Clock::manual(1_700_000_000_000_000_000), Meter::default());
        let yaml = format!("{{endpoint: \"127.0.0.1:0\", {yaml}}}");
        let endpoint = testkit::create_with::<Probe>(&yaml, &mut TestExtensions::default(), &clock, &meter);
        Harness { endpoint: endpoint.unwrap(), clock, meter, tally: Tally::default() }
    }

    /// Takes points in the test kit's notation, as final or to be translated.
    async fn take(&self, points: &str, labels_final: bool) -> &Harness {
        self.take_metrics(testkit::metrics(points), labels_final).await
    }

    async fn take_metrics(&self, metrics: Metrics, labels_final: bool) -> &Harness {
        let mut batch = Batch::metrics(metrics);
        batch.header.labels_final = labels_final;
        self.endpoint.consume(batch, &self.tally).await;
        self
    }

    fn page(&self) -> String {
        String::from_utf8(self.endpoint.page(Format::default())).unwrap()
    }

    /// The page without comments.
    fn lines(&self) -> Vec<String> {
        self.page().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    fn dropped(&self) -> Vec<(String, u64)> {
        self.tally.balance().dropped.into_iter().map(|(reason, count)| (reason.into_owned(), count)).collect()
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn instrument(&self, name: &str) -> f64 {
        self.meter.read().iter().find(|instrument| instrument.name == name).unwrap().value()
    }
}
