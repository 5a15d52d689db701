//! The config of `deltatocumulative`, by the Collector's keys.
//! `max_streams` has a default here: nothing that a sender controls grows for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{Diagnostic, Duration};

/// Adds up deltas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A series of which nothing came for so long is forgotten; at least 1s.
    pub max_stale: Duration,
    /// How many series are followed, at most. Those that are there keep their places; newcomers are dropped and counted.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_streams: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { max_stale: Duration::from_secs(300), max_streams: 1_000_000 }
    }
}

impl Config {
    /// Reports what is wrong; `None` then.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<()> {
        let mut wrong = Vec::new();
        if self.max_stale < Duration::from_secs(1) {
            let diagnostic = Diagnostic::error("invalid-value", "no series would live to see its second point");
            wrong.push(("max_stale", diagnostic.with_expected("at least 1s, such as `5m`")));
        }
        if !(1..=100_000_000).contains(&self.max_streams) {
            let diagnostic = Diagnostic::error("invalid-value", "it is not between 1 and 100000000");
            wrong.push(("max_streams", diagnostic.with_expected("how many series there may be, such as 1000000")));
        }
        let sound = wrong.is_empty();
        wrong.into_iter().for_each(|(path, diagnostic)| context.report(path, diagnostic));
        sound.then_some(())
    }
}
