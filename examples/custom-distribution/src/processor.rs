//! The processor `atleast`: leaves out numbers below a bound, and counts them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, CreateContext, Data, Factory, Processor, Spec, Stability, Work, async_trait};

/// The factory, for the list in `main`.
pub(crate) const FACTORY: Factory = Factory::processor::<AtLeastFactory>();

/// What the processor can be told. These comments become its page.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AtLeastConfig {
    /// Points with a lower number are left out.
    pub min: f64,
}

/// Makes `atleast` processors.
#[derive(Debug)]
pub(crate) struct AtLeastFactory;

impl Component for AtLeastFactory {
    type Config = AtLeastConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "atleast",
        aliases: &[],
        stability: Stability::Alpha,
        signals: &[Signal::Metrics],
        summary: "Leaves out numbers below a bound.",
        unsupported: &[],
    };

    // Looks at nothing but the config, so that `validate` can run it.
    fn create(config: AtLeastConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        if config.min.is_nan() {
            context.error("min", "expected a number");
            return None;
        }
        Some(Box::new(AtLeast(config)))
    }
}

struct AtLeast(AtLeastConfig);

#[async_trait]
impl Processor for AtLeast {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            let before = metrics.points();
            // What has no number (histograms, "no value now", confirmations) passes.
            let min = self.0.min;
            metrics.edit().retain_points(|_, point| point.as_f64().is_none_or(|number| number >= min));
            // Everything that does not come out is counted under a reason; the test kit holds us to it.
            work.tally.dropped("below_min", (before - metrics.points()) as u64);
        }
        work.emit(batch);
    }
}

#[cfg(test)]
mod tests {
    use steadyline_component::testkit::{ProcessorHarness, create};

    use super::*;

    #[test]
    fn lower_numbers_are_left_out() {
        let mut harness = ProcessorHarness::new::<AtLeastFactory>("min: 2");
        let out = harness.push("load{host=\"a\"} 1 @60\nload{host=\"b\"} 2 @60\nload{host=\"c\"} stale @60");
        assert_eq!(out, ["load{host=\"b\"} 2 @60", "load{host=\"c\"} stale @60"]);
        assert_eq!(harness.tally.balance().dropped["below_min"], 1);
    }

    #[test]
    fn bad_config_is_refused_in_words() {
        for (yaml, word) in [("min: .nan", "expected a number"), ("max: 5", "min")] {
            let words = create::<AtLeastFactory>(yaml).err().expect("it is refused");
            assert!(words.contains(word), "{words}");
        }
    }

    #[test]
    fn the_page_is_fresh() {
        let page = steadyline::reference::page_of(&FACTORY);
        let how = "run: cargo run -- reference --only atleast docs";
        assert_eq!(page, include_str!("../docs/processor-atleast.md"), "{how}");
    }
}
