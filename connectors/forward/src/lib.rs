//! The `forward` connector: joins pipelines of one signal. What comes in goes out as it is.
//!
//! With it, two pipelines that process their data differently end in one exporter pipeline, or one pipeline is cut in two so that
//! a branch can be processed further:
//!
//! ```yaml fragment
//! connectors:
//!   forward:
//! service:
//!   pipelines:
//!     metrics/apps:  {receivers: [otlp], processors: [attributes/apps], exporters: [forward]}
//!     metrics/hosts: {receivers: [prometheus], processors: [attributes/hosts], exporters: [forward]}
//!     metrics:       {receivers: [forward], processors: [labels, lastvalue], exporters: [prometheusremotewrite]}
//! ```
//!
//! There are no keys. Who waits for delivery waits through the connector: it has no queue of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, Connector, CreateContext, Factory, Spec, Stability, Work};

/// The factory of the `forward` connector.
pub const FACTORY: Factory = Factory::connector::<ForwardFactory>(&[
    (Signal::Metrics, Signal::Metrics),
    (Signal::Traces, Signal::Traces),
    (Signal::Logs, Signal::Logs),
]);

/// Makes `forward` connectors.
#[derive(Debug)]
pub struct ForwardFactory;

/// Joins pipelines of one signal. There are no keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardConfig {}

impl Component for ForwardFactory {
    type Config = ForwardConfig;
    type Made = Box<dyn Connector>;
    const SPEC: Spec = Spec {
        name: "forward",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "joins pipelines of one signal",
        unsupported: &[],
    };

    fn create(_: ForwardConfig, _: &mut CreateContext<'_>) -> Option<Box<dyn Connector>> {
        Some(Box::new(Forward))
    }
}

struct Forward;

impl Connector for Forward {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        work.emit(batch);
    }
}

#[cfg(test)]
mod tests {
    use steadyline_component::telemetry::{Limits, Opaque};
    use steadyline_component::{Clock, Data, Header, Tally, testkit};

    use super::*;

    #[test]
    fn what_comes_in_goes_out_whatever_its_signal() {
        let mut forward = testkit::create::<ForwardFactory>("{}").expect("there is nothing to get wrong");
        let tally = Tally::default();
        let opaque =
            Opaque::count(Signal::Logs, vec![10, 4, 18, 2, 18, 0].into(), &Limits::default()).expect("one record");
        let metrics = testkit::metrics("m{a=\"x\"} 1");
        let bytes = metrics.encode();
        let header = Header { source: "test".into(), labels_final: true, ..Header::default() };
        let inputs = [Data::Metrics(metrics), Data::Opaque(opaque.clone())];
        let mut out = Vec::new();
        for data in inputs {
            let batch = Batch { header: header.clone(), data };
            tally.incoming(batch.items());
            forward.process(batch, &mut Work { now: Clock::manual(0).now(), tally: &tally, out: &mut out });
        }
        tally.outgoing(out.iter().map(Batch::items).sum());
        assert_eq!((tally.balance().outgoing, tally.balance().missing()), (2, 0));
        assert_eq!(out[0].as_metrics().map(|metrics| metrics.encode()), Some(bytes));
        assert!(matches!(&out[1].data, Data::Opaque(same) if *same == opaque));
        assert!(out.iter().all(|batch| &*batch.header.source == "test" && batch.header.labels_final));
    }

    #[test]
    fn there_are_no_keys() {
        let error = testkit::create::<ForwardFactory>("to: metrics").err().expect("an error");
        assert!(error.contains("unknown key `to`") && error.contains("no keys at all"), "{error}");
    }
}
