//! The config of `failover`, by the Collector's keys, checked against the pipelines that there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{ComponentId, Diagnostic, Duration};

use crate::RETRY_INTERVAL;

/// Gives everything to the first of several levels of pipelines that works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverConfig {
    /// The levels, best first; each is a list of ids of pipelines that have this connector as a receiver. Every one of a
    /// level gets everything.
    pub priority_levels: Vec<Vec<ComponentId>>,
    /// How long data stays away from a level that was found down, as long as another one works.
    pub retry_interval: Duration,
    /// No effect: a level is not tried with data, so there is no pause between tries.
    pub retry_gap: Option<Duration>,
    /// No effect: a level is never given up.
    pub max_retries: Option<u64>,
}

impl Default for FailoverConfig {
    fn default() -> Self {
        FailoverConfig {
            priority_levels: Vec::new(),
            retry_interval: RETRY_INTERVAL.into(),
            retry_gap: None,
            max_retries: None,
        }
    }
}

impl FailoverConfig {
    /// The levels of the signal at hand; `None` after having said what is wrong with any.
    pub(crate) fn levels(&self, context: &mut CreateContext<'_>) -> Option<Vec<Vec<ComponentId>>> {
        if self.retry_gap.is_some() {
            context.warning("retry_gap", "it has no effect: levels are not tried with data; remove it");
        }
        if self.max_retries.is_some() {
            context.warning("max_retries", "it has no effect: a level is never given up; remove it");
        }
        let mut good = true;
        if self.retry_interval.is_zero() {
            context.error("retry_interval", "it must be more than 0");
            good = false;
        }
        if self.priority_levels.is_empty() {
            let expected = "a list of lists of pipelines, best first: `[[traces/first], [traces/second]]`";
            let none = Diagnostic::error("missing-field", "there are no levels").with_expected(expected);
            context.report("priority_levels", none);
            return None;
        }
        good &= self.are_fed(context);
        good &= self.are_all(context);
        let of_signal = |id: &&ComponentId| id.type_name() == context.signal.name();
        let levels = self.priority_levels.iter().map(|level| level.iter().filter(of_signal).cloned().collect());
        let levels: Vec<Vec<ComponentId>> = levels.filter(|level: &Vec<ComponentId>| !level.is_empty()).collect();
        (good && !levels.is_empty()).then_some(levels)
    }

    /// Every pipeline of a level must be one that the connector feeds, and stand there once.
    fn are_fed(&self, context: &mut CreateContext<'_>) -> bool {
        let fed = context.extensions.fed_by(context.id);
        let mut good = true;
        let mut seen: Vec<&ComponentId> = Vec::new();
        for (level, pipelines) in self.priority_levels.iter().enumerate() {
            if pipelines.is_empty() {
                context.error(&format!("priority_levels[{level}]"), "the level has no pipeline");
                good = false;
            }
            for (place, id) in pipelines.iter().enumerate() {
                let at = format!("priority_levels[{level}][{place}]");
                if seen.contains(&id) {
                    context.error(&at, format!("`{id}` stands at two places, and data would go there twice"));
                    good = false;
                } else if !fed.contains(id) {
                    let message = format!("`{id}` is no pipeline that has `{}` as a receiver", context.id);
                    let names: Vec<&str> = fed.iter().map(ComponentId::as_str).collect();
                    let unknown = Diagnostic::error("unknown-reference", message)
                        .with_expected(format!("one of {}", names.join(", ")))
                        .with_suggestion(id.as_str(), names.iter().copied());
                    context.report(&at, unknown);
                    good = false;
                }
                seen.push(id);
            }
        }
        good
    }

    /// Every pipeline that the connector feeds must be at some level: it would get nothing.
    fn are_all(&self, context: &mut CreateContext<'_>) -> bool {
        let fed = context.extensions.fed_by(context.id);
        let left_out = fed.iter().filter(|id| !self.priority_levels.iter().any(|level| level.contains(id)));
        let words: Vec<String> = left_out
            .map(|id| format!("pipeline `{id}` has `{}` as a receiver and is at no level", context.id))
            .collect();
        for word in &words {
            context.error("priority_levels", word);
        }
        words.is_empty()
    }
}
