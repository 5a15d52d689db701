//! The config of `memory_limiter`, by the Collector's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{Diagnostic, Duration};

/// Bounds the bytes of data in flight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Accepted for the Collector's sake: the bound holds at every moment, not at every check.
    pub check_interval: Duration,
    /// The limit in MiB. It goes before `limit_percentage`; one of the two must be given.
    pub limit_mib: u32,
    /// How far below the limit data in flight is bounded, in MiB; below `limit_mib`. Default: a fifth of it.
    pub spike_limit_mib: u32,
    /// The limit in per cent of the container's memory limit, or of the machine's memory if there is none.
    #[schemars(range(max = 100))]
    pub limit_percentage: u32,
    /// How far below the limit data in flight is bounded, in per cent of the same; below `limit_percentage`. Default: a
    /// fifth of it.
    #[schemars(range(max = 100))]
    pub spike_limit_percentage: u32,
    /// No effect: there is no garbage collector.
    pub min_gc_interval_when_soft_limited: Option<Duration>,
    /// No effect: there is no garbage collector.
    pub min_gc_interval_when_hard_limited: Option<Duration>,
    /// No effect: there is no garbage collector.
    pub max_gc_interval_when_soft_limited: Option<Duration>,
    /// No effect: there is no garbage collector.
    pub max_gc_interval_when_hard_limited: Option<Duration>,
}

/// The soft limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Bytes(u64),
    Percent(u32),
}

impl Config {
    /// The soft limit; `None` after having said what is wrong.
    pub(crate) fn limit(&self, context: &mut CreateContext<'_>) -> Option<Limit> {
        self.tell_of_what_has_no_effect(context);
        if self.limit_mib == 0 && self.limit_percentage == 0 {
            let expected = "`limit_mib`, or `limit_percentage` from 1 to 100";
            let missing = Diagnostic::error("missing-field", "there is no limit").with_expected(expected);
            context.report("", missing);
            return None;
        }
        if self.limit_mib > 0 {
            let spike = below(("limit_mib", self.limit_mib), ("spike_limit_mib", self.spike_limit_mib), context)?;
            return Some(Limit::Bytes(u64::from(self.limit_mib - spike) << 20));
        }
        for (key, value) in
            [("limit_percentage", self.limit_percentage), ("spike_limit_percentage", self.spike_limit_percentage)]
        {
            if value > 100 {
                context.error(key, format!("{value} is not between 1 and 100"));
                return None;
            }
        }
        let limit = ("limit_percentage", self.limit_percentage);
        let spike = below(limit, ("spike_limit_percentage", self.spike_limit_percentage), context)?;
        Some(Limit::Percent(self.limit_percentage - spike))
    }

    fn tell_of_what_has_no_effect(&self, context: &mut CreateContext<'_>) {
        for (key, value) in [
            ("min_gc_interval_when_soft_limited", self.min_gc_interval_when_soft_limited),
            ("min_gc_interval_when_hard_limited", self.min_gc_interval_when_hard_limited),
            ("max_gc_interval_when_soft_limited", self.max_gc_interval_when_soft_limited),
            ("max_gc_interval_when_hard_limited", self.max_gc_interval_when_hard_limited),
        ] {
            if value.is_some() {
                context.warning(key, "it has no effect: there is no garbage collector; remove it");
            }
        }
    }
}

/// The spike limit: as given, or a fifth of the limit.
fn below(limit: (&str, u32), spike: (&str, u32), context: &mut CreateContext<'_>) -> Option<u32> {
    if spike.1 >= limit.1 {
        let message = format!("{} is not below the `{}` of {}: nothing would be left", spike.1, limit.0, limit.1);
        context.error(spike.0, message);
        return None;
    }
    Some(if spike.1 == 0 { limit.1 / 5 } else { spike.1 })
}
