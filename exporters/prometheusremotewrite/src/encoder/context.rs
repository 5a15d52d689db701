//! Names and labels that a point has from its resource, its scope and its metric.

use std::borrow::Cow;

use steadyline_prometheus::labels::{self, SCOPE_NAME, SCOPE_VERSION, is_identifying, scope_label_name};
use steadyline_prometheus::names::unit_words;
use steadyline_prometheus::{
    MetricKind as Kind, NameKind, TranslationStrategy, is_legal_metric_name, label_name, metric_name,
};
use steadyline_telemetry::metrics::{Attributes, Resource, Scope};
use steadyline_telemetry::{Metric, MetricKind, Metrics, ShapeId};

use super::losses::Loss;
use super::plan::{Candidate, Class, Content, Rank, merge_value, put_label};
use super::write::Family;
use super::{Part, RemoteWriteEncoder, ResourceLabels, Settings};
use crate::block::Protocol;
use crate::config::OnCollision;
use steadyline_prometheus::put_attribute;

/// The constant labels of the current scope.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The resource that `resource_labels` are of.
    resource: Option<u32>,
    resource_labels: Vec<ConstantLabel>,
    scope_labels: Vec<ConstantLabel>,
    /// Why no point of the resource can be sent.
    refused: Option<Loss>,
    /// The newest time of the resource's points, nanoseconds since the Unix epoch; 0 = none was sent.
    pub(super) newest: u64,
}

#[derive(Debug)]
struct ConstantLabel {
    name: String,
    value: String,
    rank: Rank,
}

/// A metric's name and the encoded name labels of its series.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The translated name, without suffixes of histograms and summaries.
    pub(super) base: String,
    labels: [Vec<u8>; 4],
}

impl Names {
    /// The encoded name label of a part.
    #[inline]
    pub(super) fn label(&self, part: Part) -> &[u8] {
        &self.labels[part as usize]
    }

    fn encode(&mut self, parts: &[(Part, &str)]) {
        let mut name = std::mem::take(&mut self.base);
        let len = name.len();
        for (part, suffix) in parts {
            name.push_str(suffix);
            let label = &mut self.labels[*part as usize];
            label.clear();
            put_label(label, "__name__", name.as_bytes());
            name.truncate(len);
        }
        self.base = name;
    }
}

impl RemoteWriteEncoder {
    /// Makes the labels of a scope, and of its resource if that is another one.
    pub(super) fn enter_scope(&mut self, metrics: &Metrics, row: u32) {
        if self.is_final {
            // Neither scope nor resource matters: plans are good for the whole batch.
            return;
        }
        let scope = &metrics.tables().scopes[row as usize];
        self.plans.begin();
        if self.context.resource != Some(scope.resource) {
            let resource = &metrics.tables().resources[scope.resource as usize];
            self.context.resource = Some(scope.resource);
            self.context.refused = None;
            self.context.resource_labels(metrics, resource, &self.settings);
        }
        self.context.scope_labels.clear();
        if self.settings.scope_labels {
            self.context.scope_labels(metrics, scope, &self.settings);
        }
    }

    /// Translates a metric's name.
    ///
    /// # Errors
    /// No point of the metric can be sent.
    pub(super) fn enter_metric(&mut self, metrics: &Metrics, metric: &Metric) -> Result<(), Loss> {
        let (name, unit) = (metrics.text(metric.name), metrics.text(metric.unit));
        let (is_final, settings) = (self.is_final, &self.settings);
        let names = &mut self.names;
        names.base.clear();
        let kind = name_kind(metric.kind);
        if is_final {
            names.base.push_str(name);
        } else if metric_name(&mut names.base, name, unit, kind, &settings.namespace, settings.strategy).is_err() {
            names.base.push_str(name);
            return Err(Loss::NoName);
        }
        if names.base.is_empty() {
            return Err(Loss::NoName);
        }
        if self.protocol == Protocol::V1 && !is_legal_metric_name(&names.base) {
            return Err(Loss::IllegalName);
        }
        match metric.kind {
            MetricKind::Histogram { .. } => {
                names.encode(&[(Part::Bucket, "_bucket"), (Part::Sum, "_sum"), (Part::Count, "_count")]);
            }
            MetricKind::Summary => names.encode(&[(Part::Whole, ""), (Part::Sum, "_sum"), (Part::Count, "_count")]),
            _ => names.encode(&[(Part::Whole, "")]),
        }
        if self.protocol == Protocol::V2 || settings.metadata {
            let family = family(names.base.clone(), metric.kind, metrics.text(metric.description), unit);
            self.families.push(family);
        }
        self.context.refused.map_or(Ok(()), Err)
    }
}

impl Context {
    /// Forgets the batch before.
    pub(super) fn begin(&mut self) {
        self.resource = None;
        self.refused = None;
        self.newest = 0;
        self.resource_labels.clear();
        self.scope_labels.clear();
    }

    fn resource_labels(&mut self, metrics: &Metrics, resource: &Resource, settings: &Settings) {
        let attributes = texts(metrics, resource.attributes);
        let pairs: Vec<(&str, &str)> = attributes.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        self.resource_labels.clear();
        let mut job = String::new();
        if labels::job(&mut job, &pairs) {
            self.resource_labels.push(ConstantLabel { name: "job".into(), value: job, rank: Rank::Target });
        }
        if let Some(instance) = labels::instance(&pairs) {
            let value = instance.to_owned();
            self.resource_labels.push(ConstantLabel { name: "instance".into(), value, rank: Rank::Target });
        }
        let kept: Vec<(&str, &str)> = match settings.resource_labels {
            ResourceLabels::None => return,
            ResourceLabels::NotIdentifying => pairs.into_iter().filter(|(key, _)| !is_identifying(key)).collect(),
            ResourceLabels::All => pairs,
        };
        let strategy = settings.strategy;
        let translated = translate(&kept, |out, key| label_name(out, key, strategy, false).is_ok());
        self.refused = merge(translated, Rank::Resource, settings.on_collision, &mut self.resource_labels).err();
    }

    fn scope_labels(&mut self, metrics: &Metrics, scope: &Scope, settings: &Settings) {
        for (name, slot) in [(SCOPE_NAME, scope.name), (SCOPE_VERSION, scope.version)] {
            let value = metrics.text(slot);
            if !value.is_empty() {
                let (name, value) = (name.to_owned(), value.to_owned());
                self.scope_labels.push(ConstantLabel { name, value, rank: Rank::Scope });
            }
        }
        let attributes = texts(metrics, scope.attributes);
        let pairs: Vec<(&str, &str)> = attributes.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        let strategy = settings.strategy;
        let translated = translate(&pairs, |out, key| scope_label_name(out, key, strategy));
        let merged = merge(translated, Rank::Scope, settings.on_collision, &mut self.scope_labels);
        self.refused = self.refused.or(merged.err());
    }
}

/// Who wants which label on a series of this shape.
pub(super) fn candidates<'c>(
    metrics: &'c Metrics,
    shape: ShapeId,
    class: Class,
    context: &'c Context,
    settings: &'c Settings,
    is_final: bool,
) -> Vec<Candidate<'c>> {
    let format = |name, content| Candidate { name: Cow::Borrowed(name), rank: Rank::Format, content };
    let mut all = vec![format("__name__", Content::Name)];
    match class {
        Class::Plain => {}
        Class::Histogram => all.push(format("le", Content::Bound)),
        Class::Summary => all.push(format("quantile", Content::Bound)),
    }
    let mut keys: Vec<(u32, &str)> = (0..).zip(metrics.keys(shape).iter().map(|key| metrics.text(*key))).collect();
    keys.sort_by_key(|(_, key)| *key);
    for (at, key) in keys {
        let name = if is_final { Cow::Borrowed(key) } else { translated_key(key, settings.strategy) };
        all.push(Candidate { name, rank: Rank::Attribute, content: Content::Attribute(at) });
    }
    let constants = context.resource_labels.iter().chain(&context.scope_labels);
    all.extend(constants.map(|label| constant(&label.name, &label.value, label.rank)));
    all.extend(settings.external.iter().map(|(name, value)| constant(name, value, Rank::External)));
    all
}

fn constant<'c>(name: &'c str, value: &'c str, rank: Rank) -> Candidate<'c> {
    Candidate { name: Cow::Borrowed(name), rank, content: Content::Constant(value) }
}

/// The label name of an attribute; empty for a key that cannot be one.
fn translated_key(key: &str, strategy: TranslationStrategy) -> Cow<'_, str> {
    let mut name = String::with_capacity(key.len() + 4);
    // On an error nothing is appended, and the plan leaves an attribute without a name out.
    let _ = label_name(&mut name, key, strategy, false);
    Cow::Owned(name)
}

/// Keys and values of a resource or scope as text, sorted by key.
pub(super) fn texts(metrics: &Metrics, attributes: Attributes) -> Vec<(&str, Cow<'_, str>)> {
    let mut all: Vec<(&str, Cow<'_, str>)> = metrics
        .pairs(attributes)
        .map(|(key, value)| match value.as_str() {
            Some(text) => (key, Cow::Borrowed(text)),
            None => {
                let mut text = Vec::new();
                put_attribute(&mut text, value);
                (key, Cow::Owned(String::from_utf8_lossy(&text).into_owned()))
            }
        })
        .collect();
    all.sort_by_key(|(key, _)| *key);
    all
}

/// Label names and values of attributes that are not empty and can be named, sorted by name, then by key.
fn translate<'v>(pairs: &[(&str, &'v str)], name: impl Fn(&mut String, &str) -> bool) -> Vec<(String, &'v str)> {
    let mut all: Vec<(String, &str)> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(key, value)| {
            let mut out = String::new();
            name(&mut out, key).then_some((out, *value))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn merge(
    translated: Vec<(String, &str)>,
    rank: Rank,
    policy: OnCollision,
    out: &mut Vec<ConstantLabel>,
) -> Result<(), Loss> {
    let mut result = Ok(());
    for group in translated.chunk_by(|a, b| a.0 == b.0) {
        if group.len() > 1 && policy == OnCollision::Drop {
            result = Err(Loss::LabelCollision);
        }
        let mut value = String::new();
        group.iter().for_each(|(_, text)| merge_value(policy, &mut value, text));
        out.push(ConstantLabel { name: group[0].0.clone(), value, rank });
    }
    result
}

fn name_kind(kind: MetricKind) -> NameKind {
    match kind {
        MetricKind::Gauge => NameKind::Gauge,
        MetricKind::Sum { monotonic: true, .. } => NameKind::MonotonicSum,
        _ => NameKind::Other,
    }
}

fn family(name: String, kind: MetricKind, help: &str, unit: &str) -> Family {
    let kind = match kind {
        MetricKind::Gauge | MetricKind::Sum { monotonic: false, .. } => Kind::Gauge,
        MetricKind::Sum { .. } => Kind::Counter,
        MetricKind::Histogram { .. } | MetricKind::ExponentialHistogram { .. } => Kind::Histogram,
        MetricKind::Summary => Kind::Summary,
        MetricKind::Empty => Kind::Unknown,
    };
    let mut words = String::new();
    unit_words(&mut words, unit);
    Family { name, kind, help: help.to_owned(), unit: words }
}
