//! What the attributes of one list of keys become: which labels, in which order, each from which values.
//! Depends on keys only, so it is made once and used for every point that has them.

use std::collections::BTreeMap;

use steadyline_prometheus::labels::{
    SCOPE_NAME, SCOPE_SCHEMA_URL, SCOPE_VERSION, SERVICE_INSTANCE_ID, SERVICE_NAME, is_taken_by_format,
};

use crate::rules::{Origin, Rules};

/// Where a label's value is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The point's value of this number.
    Point(usize),
    /// The value of this number in the context: see [`Place`].
    Context(usize),
}

/// Where the context of a scope has what; the constants of the config come before all of these, the values of the
/// resource's attributes behind them, then those of the scope's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Job = 0,
    Instance = 1,
    ScopeName = 2,
    ScopeVersion = 3,
    ScopeUrl = 4,
    Attributes = 5,
}

/// Which labels a metric's format keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Plain,
    Histogram,
    Summary,
}

/// The lists of keys that a draft is made of.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    pub(crate) format: Format,
    /// Empty where only points are looked at.
    pub(crate) resource: Vec<&'a str>,
    pub(crate) scope: Vec<&'a str>,
    /// Which of the scope's name, version and schema URL are there.
    pub(crate) scope_parts: [bool; 3],
    pub(crate) point: Vec<&'a str>,
}

/// Labels, sorted by name in byte order.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) labels: Vec<Label>,
    /// One source for each label, where no label has more.
    pub(crate) ordinary: Option<Vec<Source>>,
    /// Whether the labels are the point's keys, as they are.
    pub(crate) unchanged: bool,
    /// An attribute that has no legal label name.
    pub(crate) refused: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    /// The first group with a value gives the label's; inside a group, more than one value is a collision.
    pub(crate) groups: Vec<Vec<Source>>,
}

/// The origins in the order in which they are asked.
const RANKS: usize = 5;
const OVERWRITE: usize = 0;
const ABOVE_POINT: usize = 1;
const POINT: usize = 2;
const RESOURCE: usize = 3;
const FILL: usize = 4;

impl Draft {
    pub(crate) fn new(keys: &Keys<'_>, rules: &Rules) -> Draft {
        let mut plan = Planner { rules, format: keys.format, labels: BTreeMap::new(), refused: None };
        let base = rules.constants.len();
        let rank = if rules.overwrite { OVERWRITE } else { FILL };
        for (at, (name, _)) in rules.constants.iter().enumerate() {
            plan.put(name.clone(), rank, Source::Context(at));
        }
        plan.service(keys, base);
        plan.scope(keys, base);
        plan.attributes(&keys.point, Origin::Point, POINT, Source::Point);
        let first = base + Place::Attributes as usize;
        plan.attributes(&keys.resource, Origin::Resource, RESOURCE, |at| Source::Context(first + at));
        let first = first + keys.resource.len();
        plan.attributes(&keys.scope, Origin::ScopeAttribute, ABOVE_POINT, |at| Source::Context(first + at));
        plan.finish(&keys.point)
    }
}

struct Planner<'a> {
    rules: &'a Rules,
    format: Format,
    labels: BTreeMap<String, [Vec<Source>; RANKS]>,
    refused: Option<String>,
}

impl Planner<'_> {
    fn service(&mut self, keys: &Keys<'_>, base: usize) {
        let parts = [("job", SERVICE_NAME, Place::Job), ("instance", SERVICE_INSTANCE_ID, Place::Instance)];
        for (label, key, place) in parts {
            if keys.resource.contains(&key) {
                self.attribute(label, Origin::Service, ABOVE_POINT, Source::Context(base + place as usize));
            }
        }
    }

    fn scope(&mut self, keys: &Keys<'_>, base: usize) {
        let parts =
            [(SCOPE_NAME, Place::ScopeName), (SCOPE_VERSION, Place::ScopeVersion), (SCOPE_SCHEMA_URL, Place::ScopeUrl)];
        for ((label, place), _) in parts.into_iter().zip(keys.scope_parts).filter(|(_, there)| *there) {
            self.attribute(label, Origin::Scope, ABOVE_POINT, Source::Context(base + place as usize));
        }
    }

    /// In the byte order of the keys; equal ones in theirs.
    fn attributes(&mut self, keys: &[&str], origin: Origin, rank: usize, source: impl Fn(usize) -> Source) {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|at| keys[*at]);
        for at in order {
            self.attribute(keys[at], origin, rank, source(at));
        }
    }

    fn attribute(&mut self, key: &str, origin: Origin, rank: usize, source: Source) {
        match self.rules.label(key, origin) {
            Ok(Some(label)) => self.put(label, rank, source),
            Ok(None) => {}
            Err(_) => self.refused = Some(key.to_string()),
        }
    }

    fn put(&mut self, label: String, rank: usize, source: Source) {
        if !is_taken_by_format(&label, self.format == Format::Histogram, self.format == Format::Summary) {
            self.labels.entry(label).or_default()[rank].push(source);
        }
    }

    fn finish(self, point_keys: &[&str]) -> Draft {
        let labels: Vec<Label> =
            self.labels.into_iter().map(|(name, ranks)| Label { name, groups: groups(ranks) }).collect();
        let ordinary = labels.iter().map(Label::only_source).collect::<Option<Vec<_>>>();
        let unchanged = labels.len() == point_keys.len()
            && labels
                .iter()
                .enumerate()
                .all(|(at, label)| label.name == point_keys[at] && label.only_source() == Some(Source::Point(at)));
        Draft { labels, ordinary, unchanged, refused: self.refused }
    }
}

fn groups(ranks: [Vec<Source>; RANKS]) -> Vec<Vec<Source>> {
    let overwritten = !ranks[OVERWRITE].is_empty();
    let count = if overwritten { OVERWRITE + 1 } else { RANKS };
    ranks.into_iter().take(count).filter(|group| !group.is_empty()).collect()
}

impl Label {
    fn only_source(&self) -> Option<Source> {
        match self.groups.as_slice() {
            [group] if group.len() == 1 => Some(group[0]),
            _ => None,
        }
    }
}
