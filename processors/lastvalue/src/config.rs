//! The config of `lastvalue`, and what it means once checked.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::factory::CreateContext;
use steadyline_config::{ComponentId, Duration as ConfigDuration};

/// Prometheus shows a sample for five minutes; half of that leaves room for one lost publish.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(150);
/// The shortest time after which a silent series is re-published by default.
pub(crate) const USUAL_SILENCE: Duration = Duration::from_secs(60);
/// The shortest time for which an unconfirmed value is held by default.
pub(crate) const USUAL_HOLD: Duration = Duration::from_secs(300);
const LONGEST_COALESCE: Duration = Duration::from_secs(1);
const SHORTEST_SILENCE: Duration = Duration::from_secs(1);

/// Keeps one value per series: the newest wins, a silent series is re-published, an absent one ends with one marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How two values of one series that meet become one. `auto`: gauges and cumulative values by `last`, deltas by `sum`.
    pub merge: Merge,
    /// The same by metric name, as the name is here in the pipeline: `last` or `sum`.
    pub overrides: BTreeMap<String, MergeOverride>,
    /// When a confirmed value is sent: at `every` arrival, or `on_change` and at a heartbeat.
    pub emit: Emit,
    /// How long a series may be silent before its value is sent again with a fresh timestamp: 1s to 150s.
    /// Default: the source's interval plus its poll timeout, at least 60s and at most 150s; 60s for sources that push.
    pub publish_interval: Option<ConfigDuration>,
    /// With `emit: on_change`: how long an unchanged value may stay unsent, 1s to 150s. Default: 150s.
    pub heartbeat: Option<ConfigDuration>,
    /// A series that this many complete passes of its source did not show gets one stale marker and is forgotten.
    #[schemars(range(min = 1, max = 1000))]
    pub missing_polls: u32,
    /// How long a value is re-published that its source does not confirm, while passes fail or a sender is silent;
    /// then it is marked stale, once. Default: three intervals of the source, at least 5m. For sources that are polled
    /// never less than interval plus poll timeout.
    pub hold: Option<ConfigDuration>,
    /// How many series are kept, at most. Those admitted keep their places; newcomers are refused, counted and named.
    /// A few more are kept about polled sources themselves, such as whether one is up.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_series: u32,
    /// What happens when another set of labels appears for an entity that the source's `identity` says is the same.
    /// Two sets in one and the same pass are two series on purpose. Info metrics always end and restart.
    pub on_fork: OnFork,
    /// How long new values wait for others of their series, at most 1s; 0 sends every batch at once.
    pub coalesce: ConfigDuration,
    /// The id of a storage extension that keeps the state across restarts: lines go on at once after one, held until
    /// their source confirms them, and timestamps rise across it. Left out: a restart begins anew.
    pub storage: Option<ComponentId>,
}

/// How two values of one series that meet become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// By kind: deltas are added, everything else is replaced.
    #[default]
    Auto,
    /// The newest wins.
    Last,
    /// Values that meet in one flush are added and never re-published.
    Sum,
}

/// How two values of one metric that meet become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeOverride {
    /// The newest wins.
    Last,
    /// Values that meet in one flush are added and never re-published.
    Sum,
}

/// When a confirmed value is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Emit {
    /// At every arrival.
    #[default]
    Every,
    /// When it differs from what was sent, and at the heartbeat.
    OnChange,
}

/// What happens when the labels of an entity change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFork {
    /// The old series stays; points with other labels are dropped until it has ended.
    Refuse,
    /// Neither is shown: the old series ends, and points with other labels are dropped for a minute after that.
    Drop,
    /// The old series ends with a stale marker, the new one starts.
    #[default]
    EndAndRestart,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            merge: Merge::Auto,
            overrides: BTreeMap::new(),
            emit: Emit::Every,
            publish_interval: None,
            heartbeat: None,
            missing_polls: 2,
            hold: None,
            max_series: 1_000_000,
            on_fork: OnFork::EndAndRestart,
            coalesce: LONGEST_COALESCE.into(),
            storage: None,
        }
    }
}

impl Config {
    /// Reports every value that makes no sense; false if there was one.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> bool {
        let mut good = true;
        let mut error = |path: &str, message: String| {
            context.error(path, message);
            good = false;
        };
        for (path, value) in [("publish_interval", self.publish_interval), ("heartbeat", self.heartbeat)] {
            if value.is_some_and(|value| !(SHORTEST_SILENCE..=LONGEST_SILENCE).contains(&value.get())) {
                error(
                    path,
                    format!("`{path}` must be between 1s and 150s: Prometheus forgets a series after 5 minutes"),
                );
            }
        }
        if self.coalesce.get() > LONGEST_COALESCE {
            error("coalesce", "`coalesce` must be at most 1s: who waits for delivery is not held longer".into());
        }
        if self.hold.is_some_and(|hold| hold.get() < SHORTEST_SILENCE) {
            error("hold", "`hold` must be at least 1s".into());
        }
        if !(1..=1000).contains(&self.missing_polls) {
            error("missing_polls", "`missing_polls` must be between 1 and 1000".into());
        }
        if !(1..=100_000_000).contains(&self.max_series) {
            error("max_series", "`max_series` must be between 1 and 100000000".into());
        }
        if self.emit == Emit::Every && self.heartbeat.is_some() {
            context.warning("heartbeat", "`heartbeat` has no effect without `emit: on_change`");
        }
        if self.emit == Emit::OnChange && self.publish_interval.is_some() {
            context.warning(
                "publish_interval",
                "`publish_interval` has no effect with `emit: on_change`; see `heartbeat`",
            );
        }
        good
    }

    /// How long a series of a source may be silent; `pass` is the interval and timeout of a source that has passes.
    pub(crate) fn silence(&self, pass: Option<(Duration, Duration)>) -> Duration {
        let (chosen, default) = match self.emit {
            Emit::OnChange => (self.heartbeat, LONGEST_SILENCE),
            Emit::Every => (
                self.publish_interval,
                pass.map_or(USUAL_SILENCE, |(interval, timeout)| interval.saturating_add(timeout)),
            ),
        };
        chosen.map_or(default.clamp(USUAL_SILENCE, LONGEST_SILENCE), ConfigDuration::get)
    }

    /// How long a value of a source is held that is not confirmed: never shorter than one pass may take to confirm it.
    pub(crate) fn hold(&self, pass: Option<(Duration, Duration)>) -> Duration {
        let default = pass.map_or(USUAL_HOLD, |(interval, _)| interval.saturating_mul(3).max(USUAL_HOLD));
        let least = pass.map_or(Duration::ZERO, |(interval, timeout)| interval.saturating_add(timeout));
        self.hold.map_or(default, ConfigDuration::get).max(least)
    }

    /// Whether values of a metric that meet are added.
    pub(crate) fn adds(&self, name: &str, delta: bool) -> bool {
        match (self.overrides.get(name), self.merge) {
            (Some(chosen), _) => *chosen == MergeOverride::Sum,
            (None, Merge::Auto) => delta,
            (None, merge) => merge == Merge::Sum,
        }
    }
}
