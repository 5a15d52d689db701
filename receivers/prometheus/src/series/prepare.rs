//! A line that is seen for the first time: its labels, what the target adds to them, what relabelling makes of them, and
//! what it then is to its family. The slow path; every line takes it once.

use std::sync::Arc;

use steadyline_prometheus::{MetricKind, is_legal_label_name, is_legal_metric_name};
use steadyline_scrape::relabel;
use steadyline_scrape::{Fault, Format, Labels, Member, NAME};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::family::Variant;
use super::tables::{Form, Head, Origin};
use super::{Cache, DROPPED, Group, LabelSet, NONE, Role, Series};
use crate::units::trimmed;

/// What is done to every series of a target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// The target's labels.
    pub(crate) target: Arc<[(String, String)]>,
    /// Whether exposed labels win over them.
    pub(crate) honor_labels: bool,
    /// Metric relabelling.
    pub(crate) relabel: relabel::Rules,
    /// Labels that fill gaps.
    pub(crate) external: Arc<[(String, String)]>,
    /// Whether names must be classic ones.
    pub(crate) legacy_names: bool,
    /// Whether suffixes are taken off names.
    pub(crate) trim_suffixes: bool,
    /// The most labels; 0 = any number.
    pub(crate) label_limit: u64,
    /// The longest label name; 0 = any length.
    pub(crate) label_name_length_limit: u64,
    /// The longest label value; 0 = any length.
    pub(crate) label_value_length_limit: u64,
}

/// Why a series fails its scrape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    /// It does not read.
    #[error("{0}")]
    Fault(Fault),
    /// Relabelling took its name.
    #[error("relabelling leaves a series without a metric name")]
    NoName,
    /// A name that is not allowed.
    #[error("the name `{0}` is not allowed by `metric_name_validation_scheme: legacy`")]
    Name(String),
    /// Too many labels.
    #[error("`{name}` has {count} labels, more than `label_limit` allows")]
    LabelLimit {
        /// The metric.
        name: String,
        /// How many.
        count: usize,
    },
    /// A label name that is too long.
    #[error("the label name `{0}` is longer than `label_name_length_limit` allows")]
    LabelName(String),
    /// A label value that is too long.
    #[error("the value of the label `{0}` is longer than `label_value_length_limit` allows")]
    LabelValue(String),
}

impl Refused {
    /// Whether it is one of the configured limits that refuses.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Refused::LabelLimit { .. } | Refused::LabelName(_) | Refused::LabelValue(_))
    }
}

impl Rules {
    /// What a series' labels become; false if it is dropped.
    fn apply(&self, labels: &mut Labels) -> Result<bool, Refused> {
        attach(labels, &self.target, self.honor_labels);
        labels.drop_empty();
        if !self.relabel.apply(labels) || labels.is_empty() {
            return Ok(false);
        }
        for (name, value) in self.external.iter() {
            if labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        self.check(labels)?;
        Ok(true)
    }

    fn check(&self, labels: &Labels) -> Result<(), Refused> {
        let Some(metric) = labels.name() else { return Err(Refused::NoName) };
        if self.legacy_names {
            let legal = |(name, _): &(&str, &str)| is_legal_label_name(name);
            if !is_legal_metric_name(metric) {
                return Err(Refused::Name(short(metric)));
            }
            if let Some((name, _)) = labels.iter().find(|label| !legal(label)) {
                return Err(Refused::Name(short(name)));
            }
        }
        let exceeds = |len: usize, limit: u64| limit > 0 && len as u64 > limit;
        if exceeds(labels.len(), self.label_limit) {
            return Err(Refused::LabelLimit { name: short(metric), count: labels.len() });
        }
        for (name, value) in labels.iter() {
            if exceeds(name.len(), self.label_name_length_limit) {
                return Err(Refused::LabelName(short(name)));
            }
            if exceeds(value.len(), self.label_value_length_limit) {
                return Err(Refused::LabelValue(short(name)));
            }
        }
        Ok(())
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Adds the target's labels. Where the series has one of them: with `honor` it keeps it (also an empty one, which means
/// that it wants none); else its own becomes `exported_<name>`, short names first, the prefix repeated until the name is free.
fn attach(labels: &mut Labels, target: &[(String, String)], honor: bool) {
    let mut conflicts: Vec<(&str, String)> = Vec::new();
    for (name, value) in target {
        let exposed = labels.get(name);
        if honor && exposed.is_some() {
            continue;
        }
        if let Some(exposed) = exposed.filter(|exposed| !exposed.is_empty()) {
            conflicts.push((name, exposed.to_string()));
        }
        labels.set(name, value);
    }
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut free = format!("exported_{name}");
        while labels.get(&free).is_some_and(|taken| !taken.is_empty()) {
            free.insert_str(0, "exported_");
        }
        labels.set(&free, &value);
    }
}

impl Cache {
    /// What a line becomes: a series, or [`DROPPED`].
    pub(crate) fn prepare(&mut self, text: &[u8], format: Format, rules: &Rules) -> Result<u32, Refused> {
        let mut labels = std::mem::take(&mut self.scratch);
        let series = self.prepare_in(&mut labels, text, format, rules);
        self.scratch = labels;
        series
    }

    fn prepare_in(&mut self, labels: &mut Labels, text: &[u8], format: Format, rules: &Rules) -> Result<u32, Refused> {
        steadyline_scrape::labels(text, format, labels).map_err(Refused::Fault)?;
        let name = labels.name().unwrap_or_default();
        let exposed = self.names.intern_as(|known| known == name, || name.to_string());
        if !rules.apply(labels)? {
            return Ok(DROPPED);
        }
        let parts = Parts::of(labels);
        let (hash, found) = self.find_series(&parts);
        if let Some(id) = found {
            return Ok(id);
        }
        let (id, series) = (self.series.len() as u32, self.new_series(&parts, exposed));
        self.series.push(series);
        let Cache { by_labels, series, names, origins, shapes, values, seed, .. } = self;
        by_labels.insert_unique(hash, id, |&id| {
            let series = &series[id as usize];
            let names_of = shapes.get(series.labels.shape).iter().map(String::as_str);
            let labels = names_of.zip(values.values(series.labels.at, series.labels.lens));
            let origin = origins.get(series.origin);
            identity(names.get(series.name), (&origin.job, &origin.instance), pairs(&origin.scope), labels, *seed)
        });
        Ok(id)
    }

    /// What a `_created` line is about: a series; [`NONE`] while there is none.
    pub(crate) fn prepare_created(&mut self, text: &[u8], format: Format, rules: &Rules) -> Result<u32, Refused> {
        let mut labels = Labels::new();
        steadyline_scrape::labels(text, format, &mut labels).map_err(Refused::Fault)?;
        let exposed = labels.name().unwrap_or_default().to_string();
        let stem = exposed.strip_suffix("_created").unwrap_or(&exposed);
        for suffix in ["_total", "_count", ""] {
            steadyline_scrape::labels(text, format, &mut labels).map_err(Refused::Fault)?;
            labels.set(NAME, &format!("{stem}{suffix}"));
            if let (Ok(true), (_, Some(found))) = (rules.apply(&mut labels), self.find_series(&Parts::of(&labels))) {
                return Ok(found);
            }
        }
        Ok(NONE)
    }

    /// The series of this cache that another cache's series is.
    pub(crate) fn same_series(&self, other: &Cache, id: u32) -> Option<u32> {
        let theirs = &other.series[id as usize];
        let (name, origin) = (other.names.get(theirs.name), other.origins.get(theirs.origin));
        let target = (origin.job.as_str(), origin.instance.as_str());
        let hash = identity(name, target, pairs(&origin.scope), other.labels(theirs.labels), self.seed);
        let found = self.by_labels.find(hash, |&id| {
            let series = &self.series[id as usize];
            self.names.get(series.name) == name
                && self.origins.get(series.origin) == origin
                && self.labels(series.labels).eq(other.labels(theirs.labels))
        });
        found.copied()
    }

    /// The hash of a whole label set, and the series that has it.
    fn find_series(&self, parts: &Parts<'_>) -> (u64, Option<u32>) {
        let (target, scope, own) = ((parts.job, parts.instance), &parts.scope, &parts.own);
        let hash = identity(parts.name, target, scope.iter().copied(), own.iter().copied(), self.seed);
        let found = self.by_labels.find(hash, |&id| {
            let series = &self.series[id as usize];
            self.names.get(series.name) == parts.name
                && parts.is_of(self.origins.get(series.origin))
                && self.labels(series.labels).eq(own.iter().copied())
        });
        (hash, found.copied())
    }

    fn new_series(&mut self, parts: &Parts<'_>, exposed: u32) -> Series {
        Series {
            seen: 0,
            context: 0,
            role: Role::Unknown,
            origin: self.origins.intern_as(|known| parts.is_of(known), || parts.origin()),
            name: self.names.intern_as(|known| known == parts.name, || parts.name.to_string()),
            exposed,
            labels: self.label_set(&parts.own),
            live: false,
            time: None,
            start: 0,
            started: 0,
        }
    }

    /// Makes sure that the role of a series is the one that the families give it now.
    #[inline]
    pub(crate) fn settle_role(&mut self, id: u32, variant: Variant, rules: &Rules) -> Role {
        let context = self.families.context(variant);
        let series = &self.series[id as usize];
        if series.context == context {
            return series.role;
        }
        let role = self.find_role(id, variant, rules);
        let series = &mut self.series[id as usize];
        (series.role, series.context) = (role, context);
        role
    }

    fn find_role(&mut self, id: u32, variant: Variant, rules: &Rules) -> Role {
        let series = &self.series[id as usize];
        let (exposed, name) = (self.names.get(series.exposed), self.names.get(series.name).clone());
        let found = self.families.find(exposed);
        let kind = found.map_or(MetricKind::Unknown, |(row, _)| self.families.get(row).kind);
        let family = found.map(|(row, _)| row);
        let form = match variant {
            Variant::Exponential => Form::Exponential,
            Variant::Custom => Form::Histogram,
            Variant::Float => return self.float_role(id, name, found.map(|(_, member)| member), (kind, family), rules),
        };
        Role::Native(self.heads.intern(Head { name, kind: MetricKind::Histogram, form, family }))
    }

    fn float_role(
        &mut self,
        id: u32,
        name: String,
        member: Option<Member>,
        (kind, family): (MetricKind, Option<u32>),
        rules: &Rules,
    ) -> Role {
        use MetricKind::{Gauge, GaugeHistogram, Histogram, Info, Summary, Unknown};
        if name == "target_info" && matches!(kind, Info | Gauge | Unknown) {
            return Role::TargetInfo;
        }
        let own = match (kind, member) {
            (Histogram | Summary, Some(member)) => {
                return self.part(id, &name, member, (kind, family)).unwrap_or_else(|| {
                    // Not to be put together: each series for itself, and without a unit that does not fit its name.
                    Role::Number(self.heads.intern(Head { name, kind: Unknown, form: Form::Number, family: None }))
                });
            }
            (GaugeHistogram, _) | (_, Some(Member::Value)) => kind,
            (_, Some(Member::Created)) => Gauge,
            _ => Unknown,
        };
        let unit = family.map_or("", |row| self.families.get(row).unit.as_str());
        let name = if rules.trim_suffixes { trimmed(&name, own, unit).to_string() } else { name };
        Role::Number(self.heads.intern(Head { name, kind: own, form: Form::Number, family }))
    }

    /// The role of a part of a histogram or summary, if its name and labels are still those of one.
    fn part(&mut self, id: u32, name: &str, member: Member, (kind, family): (MetricKind, Option<u32>)) -> Option<Role> {
        let is_histogram = kind == MetricKind::Histogram;
        let (stem, key) = match member {
            Member::Bucket if is_histogram => (name.strip_suffix("_bucket")?, Some("le")),
            Member::Value if !is_histogram => (name, Some("quantile")),
            Member::Sum => (name.strip_suffix("_sum")?, None),
            Member::Count => (name.strip_suffix("_count")?, None),
            _ => return None,
        };
        let set = self.series[id as usize].labels;
        let bound = match key {
            Some(key) => Some(self.labels(set).find(|(name, _)| *name == key).and_then(|(_, text)| number(text))?),
            None => None,
        };
        let form = if is_histogram { Form::Histogram } else { Form::Summary };
        let head = self.heads.intern(Head { name: stem.to_string(), kind, form, family });
        let group = self.group(id, head, key);
        Some(match (member, bound) {
            (Member::Bucket, Some(bound)) => Role::Bucket(group, bound),
            (Member::Value, Some(quantile)) => Role::Quantile(group, quantile),
            (Member::Sum, _) => Role::Sum(group),
            _ => Role::Count(group),
        })
    }

    /// The group of a series: that of its head, origin and labels but for `key`.
    fn group(&mut self, id: u32, head: u32, key: Option<&str>) -> u32 {
        let series = &self.series[id as usize];
        let (origin, set) = (series.origin, series.labels);
        let own = |label: &(&str, &str)| Some(label.0) != key;
        let hash = group_hash(head, origin, self.labels(set).filter(own), self.seed);
        let found = self.by_group.find(hash, |&id| {
            let group = &self.groups[id as usize];
            let Some(labels) = group.labels else { return false };
            group.head == head && group.origin == origin && self.labels(labels).eq(self.labels(set).filter(own))
        });
        if let Some(found) = found {
            return *found;
        }
        let copied = self.labels(set).filter(own).map(|(name, value)| (name.to_string(), value.to_string()));
        let copied: Vec<(String, String)> = copied.collect();
        let labels = Some(self.label_set(&pairs(&copied).collect::<Vec<_>>()));
        let id = self.groups.len() as u32;
        self.groups.push(Group { head, origin, labels, ..Group::default() });
        let Cache { by_group, groups, shapes, values, seed, .. } = self;
        by_group.insert_unique(hash, id, |&id| {
            let group = &groups[id as usize];
            let LabelSet { shape, at, lens } = group.labels.unwrap_or(LabelSet { shape: 0, at: 0, lens: 0 });
            let labels = shapes.get(shape).iter().map(String::as_str).zip(values.values(at, lens));
            group_hash(group.head, group.origin, labels, *seed)
        });
        id
    }
}

/// The number that `le` or `quantile` says.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = match text {
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text if is_plain => text.parse().ok()?,
        _ => return None,
    };
    Some(value)
}

const SCOPE: &str = "otel_scope_";

/// A label set taken apart: what resource and scope are made of, the name, and the series' own labels.
struct Parts<'a> {
    name: &'a str,
    job: &'a str,
    instance: &'a str,
    scope: Vec<(&'a str, &'a str)>,
    own: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn of(labels: &'a Labels) -> Parts<'a> {
        let own = Vec::with_capacity(labels.len());
        let mut parts = Parts { name: "", job: "", instance: "", scope: Vec::new(), own };
        for (name, value) in labels.iter() {
            match name {
                NAME => parts.name = value,
                "job" => parts.job = value,
                "instance" => parts.instance = value,
                _ => match name.strip_prefix(SCOPE) {
                    Some(key) if !key.is_empty() => parts.scope.push((key, value)),
                    _ => parts.own.push((name, value)),
                },
            }
        }
        parts
    }

    fn is_of(&self, origin: &Origin) -> bool {
        self.job == origin.job
            && self.instance == origin.instance
            && pairs(&origin.scope).eq(self.scope.iter().copied())
    }

    fn origin(&self) -> Origin {
        let scope = self.scope.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Origin { job: self.job.to_string(), instance: self.instance.to_string(), scope }
    }
}

fn pairs(owned: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    owned.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn identity<'a>(
    name: &str,
    target: (&str, &str),
    scope: impl Iterator<Item = (&'a str, &'a str)>,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    seed: u64,
) -> u64 {
    let seed = hash_pairs([(name, ""), target].into_iter(), seed);
    hash_pairs(labels, hash_pairs(scope, seed))
}

fn group_hash<'a>(head: u32, origin: u32, labels: impl Iterator<Item = (&'a str, &'a str)>, seed: u64) -> u64 {
    hash_pairs(labels, seed ^ (u64::from(head) << 32 | u64::from(origin)))
}

/// No text holds the byte 255, so texts that differ never run together to the same bytes.
fn hash_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, seed: u64) -> u64 {
    let mut bytes = Vec::with_capacity(128);
    for (name, value) in pairs {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0xff);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0xff);
    }
    xxh3_64_with_seed(&bytes, seed)
}
