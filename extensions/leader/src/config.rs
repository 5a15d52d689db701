//! What the extension can be told.

use std::time::Duration as Span;

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_aws::TableConfig;
use steadyline_component::CreateContext;
use steadyline_config::{Duration, Flat};

/// Where the lease is kept that decides which of several equal processes polls.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// In a DynamoDB table whose key is the string `lease`, alone.
    pub dynamodb: Option<Flat<LeaseConfig, TableConfig>>,
}

/// A lease in a DynamoDB table.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseConfig {
    /// The table's name or ARN. One table serves any number of leases.
    pub table: String,
    /// The lease's name: the same in every process that competes for it, and in no other.
    pub lease: String,
    /// What to call this process in the table and in logs, such as its host's name. An id that is random per start is
    /// added to it.
    pub instance: String,
    /// How long a leader that is not heard of keeps its place: 1s to 2m. Another one takes over at most this and a
    /// `renew_interval` after its last sign of life.
    pub lease_duration: Duration,
    /// How often a leader writes and the others read: at least 50ms, at most a third of `lease_duration`.
    pub renew_interval: Duration,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            table: String::new(),
            lease: String::new(),
            instance: String::new(),
            lease_duration: Duration::from_secs(20),
            renew_interval: Duration::from_secs(5),
        }
    }
}

/// The bounds of `lease_duration`: a shorter one is lost to a slow answer, a longer one leaves lines blank.
const SHORTEST: Span = Span::from_secs(1);
const LONGEST: Span = Span::from_secs(120);
/// The shortest `renew_interval`.
const BUSIEST: Span = Span::from_millis(50);

/// The times of the protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// After how long without a sign of life others take over.
    pub(crate) lease: Span,
    /// For how long a leader leads after a renewal: well before others may take over.
    pub(crate) hold: Span,
    /// From renewal to renewal, and from look to look.
    pub(crate) renew: Span,
    /// How long one question to the table may take.
    pub(crate) attempt: Span,
}

impl LeaseConfig {
    /// Reports what is wrong; whether nothing is.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> bool {
        let mut problems: Vec<(String, String)> = self.times();
        for (key, value, what) in [("table", &self.table, "table"), ("lease", &self.lease, "lease")] {
            if value.is_empty() {
                problems.push((key.into(), format!("no {what} is named")));
            }
        }
        if self.lease.len() > 2048 {
            problems.push(("lease".into(), "a key of DynamoDB has at most 2048 bytes".into()));
        }
        if self.instance.len() > 200 {
            problems.push(("instance".into(), "a name of at most 200 bytes is expected".into()));
        }
        problems.iter().for_each(|(key, text)| context.error(&format!("dynamodb.{key}"), text.clone()));
        problems.is_empty()
    }

    fn times(&self) -> Vec<(String, String)> {
        let (lease, renew) = (self.lease_duration.get(), self.renew_interval.get());
        let mut problems = Vec::new();
        if !(SHORTEST..=LONGEST).contains(&lease) {
            problems.push(("lease_duration".into(), format!("{lease:?}, expected {SHORTEST:?} to {LONGEST:?}")));
        }
        if renew < BUSIEST || renew > lease / 3 {
            let text = format!(
                "{renew:?}, expected {BUSIEST:?} to a third of `lease_duration` ({:?}), so that two renewals in a row may fail",
                lease / 3
            );
            problems.push(("renew_interval".into(), text));
        }
        problems
    }

    /// The times of the protocol.
    pub(crate) fn timing(&self) -> Timing {
        let (lease, renew) = (self.lease_duration.get(), self.renew_interval.get());
        Timing { lease, hold: lease * 4 / 5, renew, attempt: renew.clamp(Span::from_millis(500), Span::from_secs(3)) }
    }
}
