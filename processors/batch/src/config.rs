//! The config of `batch`, by the Collector's keys.
//! Defaults are the Collector's, too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{Diagnostic, Duration};

/// Joins small batches and cuts large ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a batch waits for more at most; 0 sends at once. A batch for whose delivery somebody waits is sent
    /// within a second all the same.
    pub timeout: Duration,
    /// A batch with so many data points, spans or log records goes on at once; 0: every batch does.
    pub send_batch_size: u64,
    /// No batch is larger; 0 = no such bound. At least `send_batch_size`.
    pub send_batch_max_size: u64,
    /// Must be empty: batches carry no request metadata to be told apart by.
    pub metadata_keys: Vec<String>,
    /// Accepted for the Collector's sake: it bounds what `metadata_keys` tells apart.
    pub metadata_cardinality_limit: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            timeout: Duration::from_millis(200),
            send_batch_size: 8192,
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl Config {
    /// Reports what is wrong; `None` then.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<()> {
        let (size, most) = (self.send_batch_size, self.send_batch_max_size);
        let too_small = most > 0 && most < size;
        if too_small {
            let message = format!("{most} is less than the `send_batch_size` of {size}: no batch could get that full");
            let expected = format!("0, or at least {size}; or a smaller `send_batch_size`");
            let diagnostic = Diagnostic::error("invalid-value", message).with_expected(expected);
            context.report("send_batch_max_size", diagnostic);
        }
        if !self.metadata_keys.is_empty() {
            let message = "batches carry no request metadata here, so they cannot be kept apart by it; \
                           give each tenant a receiver of its own: batches of different receivers are never joined";
            let diagnostic = Diagnostic::error("unsupported-key", message).with_expected("an empty list");
            context.report("metadata_keys", diagnostic);
        }
        (!too_small && self.metadata_keys.is_empty()).then_some(())
    }

    /// The most items of one batch, if there is such a bound.
    pub(crate) fn most(&self) -> Option<u64> {
        Some(self.send_batch_max_size).filter(|most| *most > 0)
    }

    /// Whether nothing ever waits.
    pub(crate) fn sends_at_once(&self) -> bool {
        self.timeout.is_zero() || self.send_batch_size == 0
    }
}
