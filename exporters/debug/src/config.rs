//! What the exporter can be told, by the Collector's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::Diagnostic;

/// Prints what passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much is printed.
    pub verbosity: Verbosity,
    /// How many batches are printed within each second; `changes` prints them all.
    pub sampling_initial: u64,
    /// After those, one batch in so many is printed; 0 = none, 1 = all.
    pub sampling_thereafter: u64,
    /// Accepted for the Collector's sake; what is printed goes to `output_paths`, never into the log.
    pub use_internal_logger: bool,
    /// Where to print: `stdout`, `stderr`, or files, which are appended to.
    pub output_paths: Vec<String>,
    /// With `changes`, how many series are followed. Those that are there keep their places.
    #[schemars(range(min = 1))]
    pub max_series: usize,
}

/// How much is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verbosity {
    /// One line a batch.
    #[default]
    Basic,
    /// One line a data point, span or log record.
    Normal,
    /// Everything about metrics.
    Detailed,
    /// Only what is not as it was.
    Changes,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: vec!["stdout".to_owned()],
            max_series: 100_000,
        }
    }
}

impl Config {
    /// Reports what is wrong; `None` then.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<()> {
        let mut wrong = Vec::new();
        if self.output_paths.is_empty() {
            let empty = Diagnostic::error("invalid-value", "there is nowhere to print to");
            wrong.push(("output_paths".to_owned(), empty.with_expected("a list of `stdout`, `stderr` or files")));
        }
        for (at, path) in self.output_paths.iter().enumerate() {
            if path.is_empty() || path.contains("://") {
                let message = format!("`{path}` is not the path of a file");
                let invalid = Diagnostic::error("invalid-value", message);
                let invalid = invalid.with_expected("`stdout`, `stderr` or a file");
                wrong.push((format!("output_paths[{at}]"), invalid));
            }
        }
        if self.max_series == 0 {
            let none = Diagnostic::error("invalid-value", "no series could be followed");
            wrong.push(("max_series".to_owned(), none.with_expected("a number above 0")));
        }
        let sound = wrong.is_empty();
        wrong.into_iter().for_each(|(path, diagnostic)| context.report(&path, diagnostic));
        sound.then_some(())
    }
}
