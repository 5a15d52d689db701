//! The config of `progress`, and the rules that it becomes.

use std::collections::BTreeSet;
use std::time::Duration as Span;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{ComponentId, Diagnostic, Duration};

/// Which gauges are followed, and what is made of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The gauges, each with what is made of it. One gauge may stand here twice, once for each direction.
    pub gauges: Vec<Gauge>,
    /// The id of a storage extension that keeps counters across restarts. Left out: a restart begins new ones.
    pub storage: Option<ComponentId>,
    /// How many series are followed, at most. Those that are there keep their places; of newcomers nothing is made.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_series: u32,
    /// A series of which nothing came for so long is forgotten; at least 1m. If it comes back, it begins anew.
    pub max_stale: Duration,
}

/// A gauge, and what is made of it. Names are as they are at this place of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gauge {
    /// The gauge's name. Either this or `match`.
    pub name: String,
    /// A regular expression for the whole names of several gauges; what its groups found may be used in the names below,
    /// as `$$1` or `$${group}`.
    pub r#match: String,
    /// Which way it moves as work gets done.
    pub direction: Direction,
    /// The name of the counter: how far the gauge has moved in its direction.
    pub counter: String,
    /// The name of a gauge that says for how many seconds the value has not changed. Left out: there is none.
    pub stalled_seconds: Option<String>,
    /// The name of a gauge that says in how many seconds the target is reached at the present pace. Left out: there is none.
    pub eta_seconds: Option<String>,
    /// The value at which nothing is left to do. Default: 0 for `down`; none for `up`, whose `eta_seconds` needs one.
    pub target: Option<f64>,
    /// The pace is that of the last half to whole of so long: 10s to 7d.
    pub eta_window: Duration,
    /// What the counter's description says besides that it is cumulative.
    pub description: String,
}

/// Which way a gauge moves as work gets done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It counts what is left.
    #[default]
    Down,
    /// It counts what was done.
    Up,
}

impl Default for Config {
    fn default() -> Self {
        Config { gauges: Vec::new(), storage: None, max_series: 100_000, max_stale: Duration::from_secs(86_400) }
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Gauge {
            name: String::new(),
            r#match: String::new(),
            direction: Direction::Down,
            counter: String::new(),
            stalled_seconds: None,
            eta_seconds: None,
            target: None,
            eta_window: Duration::from_secs(900),
            description: String::new(),
        }
    }
}

/// A gauge's rule, checked.
#[derive(Debug)]
pub(crate) struct Rule {
    gauge: Gauge,
    pattern: Option<Regex>,
    /// The target, if there is one.
    pub target: Option<f64>,
    pub direction: Direction,
    /// In nanoseconds.
    pub eta_window: u64,
}

/// What a rule makes of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub counter: String,
    pub stalled: Option<String>,
    pub eta: Option<String>,
}

impl Rule {
    /// What is made of a metric of this name, if the rule is about it.
    pub(crate) fn names(&self, metric: &str) -> Option<Names> {
        let Some(pattern) = &self.pattern else {
            let gauge = &self.gauge;
            let (stalled, eta) = (gauge.stalled_seconds.clone(), gauge.eta_seconds.clone());
            return (*metric == gauge.name).then(|| Names { counter: gauge.counter.clone(), stalled, eta });
        };
        let found = pattern.captures(metric)?;
        let fill = |template: &String| {
            let mut name = String::new();
            found.expand(template, &mut name);
            name
        };
        let gauge = &self.gauge;
        let (stalled, eta) = (gauge.stalled_seconds.as_ref().map(fill), gauge.eta_seconds.as_ref().map(fill));
        Some(Names { counter: fill(&gauge.counter), stalled, eta })
    }

    /// What the counter's description says about a gauge.
    pub(crate) fn description(&self, metric: &str) -> String {
        let way = match self.direction {
            Direction::Down => "down",
            Direction::Up => "up",
        };
        let what = format!("Cumulative: how far {metric} has gone {way} since the first sample.");
        if self.gauge.description.is_empty() { what } else { format!("{} {what}", self.gauge.description) }
    }
}

/// The shortest and the longest window for the pace.
const WINDOWS: std::ops::RangeInclusive<Span> = Span::from_secs(10)..=Span::from_secs(7 * 86_400);

impl Config {
    /// Reports what is wrong; `None` then.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Vec<Rule>> {
        let mut wrong: Vec<(String, Diagnostic)> = Vec::new();
        let invalid = |message: String| Diagnostic::error("invalid-value", message);
        if self.gauges.is_empty() {
            let help = "name at least one: `gauges: [{name: jobs.remaining, counter: jobs.done}]`";
            wrong.push(("gauges".into(), invalid("no gauge is named".into()).with_help(help)));
        }
        if !(1..=10_000_000).contains(&self.max_series) {
            wrong.push(("max_series".into(), invalid("it is not between 1 and 10000000".into())));
        }
        if self.max_stale < Duration::from_secs(60) {
            wrong
                .push(("max_stale".into(), invalid("no series would be followed".into()).with_expected("at least 1m")));
        }
        let mut counters = BTreeSet::new();
        let mut rules = Vec::new();
        for (at, gauge) in self.gauges.iter().enumerate() {
            let mut error = |key: &str, message: String| wrong.push((format!("gauges[{at}].{key}"), invalid(message)));
            if !gauge.counter.is_empty() && !counters.insert((&gauge.counter, &gauge.name, &gauge.r#match)) {
                error("counter", format!("`{}` is made twice of the same gauge", gauge.counter));
            }
            rules.extend(gauge.check(&mut error));
        }
        let sound = wrong.is_empty();
        wrong.into_iter().for_each(|(path, diagnostic)| context.report(&path, diagnostic));
        sound.then_some(rules)
    }
}

impl Gauge {
    fn check(&self, error: &mut impl FnMut(&str, String)) -> Option<Rule> {
        let pattern = match (self.name.is_empty(), self.r#match.is_empty()) {
            (true, true) => {
                error("name", "no gauge is named; set `name`, or `match` for several".into());
                None
            }
            (false, false) => {
                error("match", "both `name` and `match` are set; one of them says which gauges are meant".into());
                None
            }
            (false, true) => None,
            (true, false) => {
                let compiled = Regex::new(&format!("^(?:{})$", self.r#match));
                compiled.map_err(|why| error("match", format!("it is no regular expression: {why}"))).ok()
            }
        };
        self.check_names(error);
        let target = match self.direction {
            Direction::Down => Some(self.target.unwrap_or_default()),
            Direction::Up => self.target,
        };
        if target.is_some_and(|target| !target.is_finite()) {
            error("target", "it is no number that a gauge could reach".into());
        }
        if target.is_none() && self.eta_seconds.is_some() {
            error("eta_seconds", "where it ends is not known: set `target` to the value at which all is done".into());
        }
        if !WINDOWS.contains(&self.eta_window.get()) {
            error("eta_window", "it is not between 10s and 7d".into());
        }
        let eta_window = self.eta_window.get().as_nanos() as u64;
        Some(Rule { gauge: self.clone(), pattern, target, direction: self.direction, eta_window })
    }

    fn check_names(&self, error: &mut impl FnMut(&str, String)) {
        if self.counter.is_empty() {
            error("counter", "the counter has no name".into());
        }
        let made = [
            ("counter", Some(&self.counter)),
            ("stalled_seconds", self.stalled_seconds.as_ref()),
            ("eta_seconds", self.eta_seconds.as_ref()),
        ];
        let mut seen = BTreeSet::new();
        for (key, name) in made.into_iter().filter_map(|(key, name)| Some((key, name?))) {
            if name.is_empty() && key != "counter" {
                error(key, "the name is empty; leave the key out to have none".into());
            }
            if !name.is_empty() && (*name == self.name || !seen.insert(name)) {
                error(key, format!("`{name}` is the name of something else already"));
            }
            if !self.r#match.is_empty() && !name.contains('$') && !name.is_empty() {
                error(key, format!("every gauge that matches would make one `{name}`; use a group, as `$$1` does"));
            }
        }
    }
}
