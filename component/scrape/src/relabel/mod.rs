//! Relabelling: rules that change the labels of a target or a series, or refuse it.
//! Keys, defaults and results are those of Prometheus.
//!
//! [`Rules::new`] checks a list of [`RelabelConfig`] and compiles it; [`Rules::apply`] runs it over a set of labels.

mod config;
mod re2;
mod rule;
mod template;

pub use config::{Action, RelabelConfig};

use crate::labels::Labels;
use rule::Rule;

/// A list of rules, compiled.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Compiles rules.
    ///
    /// # Errors
    /// Everything that is wrong, as the path of the key below the list (`[2].regex`) and a message.
    pub fn new(configs: &[RelabelConfig]) -> Result<Self, Vec<(String, String)>> {
        let mut rules = Vec::with_capacity(configs.len());
        let mut errors = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            match config.compile() {
                Ok(rule) => rules.push(rule),
                Err(found) => errors.extend(found.into_iter().map(|(key, message)| (format!("[{at}].{key}"), message))),
            }
        }
        if errors.is_empty() { Ok(Self(rules)) } else { Err(errors) }
    }

    /// Applies the rules in their order. Returns whether the target or series is kept; if not, the labels are as the rule
    /// found them that refused it.
    ///
    /// Empty labels count as absent: to be called after [`Labels::drop_empty`].
    pub fn apply(&self, labels: &mut Labels) -> bool {
        self.0.iter().all(|rule| rule.apply(labels))
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
