//! Prometheus' text formats into metrics: numbers as they are, histograms and summaries put together from their series.
//! What does not make up a whole (no `_count`, fractions) goes on as gauges under its series' own names, as in a scrape.

use std::collections::{BTreeMap, HashMap, HashSet};

use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, SummaryDataPoint};
use prost::Message;
use steadyline_component::telemetry::metrics::{MetricDef, MetricRef, NumberValue};
use steadyline_component::telemetry::{MetricKind as Otlp, Metrics, MetricsBuilder, Slot, Temporality, Value};
use steadyline_prometheus::MetricKind;
use steadyline_scrape::{Entry, Fault, Format, Labels, Member, NAME, labels, member, parse};

/// Where (a line, from 1) and why a document does not read.
type Unreadable = (u64, String);

type LabelList = Vec<(String, String)>;

/// Reads one document.
pub(super) fn read(text: &[u8], is_open: bool, time: u64, builder: MetricsBuilder) -> Result<Metrics, Unreadable> {
    let format = if is_open { Format::OpenMetrics } else { Format::Text };
    let mut document = Document::default();
    let mut parser = parse(text, format);
    let mut set = Labels::new();
    while let Some(entry) = parser.next_entry() {
        let entry = entry.map_err(|error| (line_of(error.place), error.fault.to_string()))?;
        if let Err(why) = document.take(entry, format, &mut set) {
            return Err((line_of(parser.place()), why));
        }
    }
    Ok(Writer::new(builder, time).write(document))
}

fn line_of(place: steadyline_scrape::Place) -> u64 {
    match place {
        steadyline_scrape::Place::Line(line) => line as u64,
        steadyline_scrape::Place::Byte(_) => 1,
    }
}

/// What is known of a family.
#[derive(Default)]
struct Family {
    kind: MetricKind,
    help: String,
    unit: String,
}

/// A series on its own.
struct Number {
    name: String,
    family: Option<String>,
    kind: MetricKind,
    labels: LabelList,
    value: f64,
    time: Option<u64>,
}

/// The series of one histogram or summary.
#[derive(Default)]
struct Group {
    parts: Vec<Part>,
    time: Option<u64>,
}

struct Part {
    name: String,
    member: Member,
    /// `le` or `quantile`, where the member has one.
    bound: Option<(String, f64)>,
    value: f64,
}

#[derive(Default)]
struct Document {
    families: HashMap<String, Family>,
    numbers: Vec<Number>,
    groups: BTreeMap<(String, LabelList), Group>,
    /// Start times by family and labels, nanoseconds.
    created: HashMap<(String, LabelList), u64>,
    seen: HashSet<(LabelList, Option<i64>)>,
}

impl Document {
    fn take(&mut self, entry: Entry<'_>, format: Format, set: &mut Labels) -> Result<(), String> {
        match entry {
            Entry::Type { family, kind } => self.family(family).kind = kind,
            Entry::Help { family, text } => self.family(family).help = text.to_string(),
            Entry::Unit { family, unit } => self.family(family).unit = unit.to_string(),
            Entry::Sample(sample) => {
                let pairs = read_labels(sample.series, format, set).map_err(|fault| fault.to_string())?;
                self.sample(pairs, sample.value, sample.timestamp)?;
            }
            Entry::Created(created) => {
                let pairs = read_labels(created.series, format, set).map_err(|fault| fault.to_string())?;
                let (name, pairs) = split_name(pairs);
                if let (Some(family), Some(start)) = (name.strip_suffix("_created"), nanos(created.created)) {
                    self.created.insert((family.to_string(), pairs), start);
                }
            }
            // Only protobuf has native histograms.
            Entry::Histogram(_) => {}
        }
        Ok(())
    }

    fn family(&mut self, name: &str) -> &mut Family {
        self.families.entry(name.to_string()).or_default()
    }

    fn sample(&mut self, pairs: LabelList, value: f64, timestamp: Option<i64>) -> Result<(), String> {
        if !self.seen.insert((pairs.clone(), timestamp)) {
            let name = pairs.iter().find(|(key, _)| key == NAME).map_or("", |(_, name)| name);
            return Err(format!("the series of `{name}` is there twice"));
        }
        let time = timestamp.map(|at| nanos(at).ok_or("the timestamp is out of range")).transpose()?;
        let (name, mut labels) = split_name(pairs);
        labels.retain(|(_, value)| !value.is_empty());
        let Some((family, kind, role)) = self.member(&name) else {
            self.numbers.push(Number { name, family: None, kind: MetricKind::Unknown, labels, value, time });
            return Ok(());
        };
        let bound = match (kind, role) {
            (MetricKind::Histogram, Member::Bucket) => Some("le"),
            (MetricKind::Summary, Member::Value) => Some("quantile"),
            (MetricKind::Histogram | MetricKind::Summary, Member::Sum | Member::Count) => None,
            _ => {
                self.numbers.push(Number { name, family: Some(family), kind, labels, value, time });
                return Ok(());
            }
        };
        let bound = bound.map(|key| take_bound(key, &mut labels)).transpose()?;
        let group = self.groups.entry((family, labels)).or_default();
        group.time = time.or(group.time);
        group.parts.push(Part { name, member: role, bound, value });
        Ok(())
    }

    /// The family that a series belongs to, and what it is to it. The longest name that is declared wins.
    fn member(&self, name: &str) -> Option<(String, MetricKind, Member)> {
        const SUFFIXES: [&str; 6] = ["", "_total", "_info", "_bucket", "_sum", "_count"];
        const GAUGES: [&str; 2] = ["_gsum", "_gcount"];
        SUFFIXES.iter().chain(&GAUGES).find_map(|suffix| {
            let family = name.strip_suffix(suffix)?;
            let kind = self.families.get(family)?.kind;
            Some((family.to_string(), kind, member(family, kind, name)?))
        })
    }
}

fn read_labels(series: &[u8], format: Format, set: &mut Labels) -> Result<LabelList, Fault> {
    labels(series, format, set)?;
    Ok(set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

fn split_name(mut pairs: LabelList) -> (String, LabelList) {
    let at = pairs.iter().position(|(key, _)| key == NAME);
    let name = at.map(|at| pairs.remove(at).1).unwrap_or_default();
    (name, pairs)
}

fn take_bound(key: &'static str, labels: &mut LabelList) -> Result<(String, f64), String> {
    let at = labels.iter().position(|(name, _)| name == key);
    let text = at.map(|at| labels.remove(at).1).ok_or_else(|| format!("it has no label `{key}`"))?;
    let bound = text.parse().map_err(|_| format!("the label `{key}` is not a number"))?;
    Ok((text, bound))
}

/// Milliseconds as nanoseconds.
fn nanos(millis: i64) -> Option<u64> {
    u64::try_from(millis).ok()?.checked_mul(1_000_000).filter(|nanos| *nanos > 0)
}

/// Writes a document as a batch.
struct Writer {
    builder: MetricsBuilder,
    time: u64,
    metrics: HashMap<(String, u8), MetricRef>,
}

impl Writer {
    fn new(builder: MetricsBuilder, time: u64) -> Writer {
        Writer { builder, time, metrics: HashMap::new() }
    }

    fn write(mut self, document: Document) -> Metrics {
        let Document { families, numbers, groups, created, .. } = document;
        for number in numbers {
            let about = number.family.as_ref().and_then(|family| families.get(family));
            let kind = match number.kind {
                MetricKind::Counter => Otlp::Sum { temporality: Temporality::Cumulative, monotonic: true },
                MetricKind::Info | MetricKind::StateSet => {
                    Otlp::Sum { temporality: Temporality::Cumulative, monotonic: false }
                }
                _ => Otlp::Gauge,
            };
            let key = (number.family.clone().unwrap_or_default(), number.labels);
            let start = created.get(&key).copied().unwrap_or(0);
            let (labels, time) = (key.1, number.time.unwrap_or(self.time));
            self.number(&number.name, kind, about, &labels, (time, start), number.value);
        }
        for ((family, labels), group) in groups {
            let start = created.get(&(family.clone(), labels.clone())).copied().unwrap_or(0);
            self.group(&family, families.get(&family), &labels, &group, start);
        }
        self.builder.finish()
    }

    fn group(&mut self, name: &str, family: Option<&Family>, labels: &LabelList, group: &Group, start: u64) {
        let time = group.time.unwrap_or(self.time);
        let is_summary = family.is_some_and(|family| family.kind == MetricKind::Summary);
        let whole = if is_summary { group.summary() } else { group.histogram() };
        let Some(body) = whole else {
            for part in &group.parts {
                let mut labels = labels.clone();
                if let Some((text, _)) = &part.bound {
                    labels.push((if is_summary { "quantile" } else { "le" }.to_string(), text.clone()));
                }
                self.number(&part.name, Otlp::Gauge, None, &labels, (time, 0), part.value);
            }
            return;
        };
        let temporality = Temporality::Cumulative;
        let kind = if is_summary { Otlp::Summary } else { Otlp::Histogram { temporality } };
        let metric = self.metric(name, kind, family);
        let (shape, values) = self.attributes(labels);
        self.builder.body(metric, shape, &values, time, start, 0, &body);
    }

    fn number(
        &mut self,
        name: &str,
        kind: Otlp,
        family: Option<&Family>,
        labels: &LabelList,
        (time, start): (u64, u64),
        value: f64,
    ) {
        let metric = self.metric(name, kind, family);
        let (shape, values) = self.attributes(labels);
        self.builder.number(metric, shape, &values, time, start, NumberValue::Double(value));
    }

    fn attributes(&mut self, labels: &LabelList) -> (steadyline_component::telemetry::ShapeId, Vec<Slot>) {
        let shape = self.builder.shape(labels.iter().map(|(key, _)| key.as_str()));
        (shape, labels.iter().map(|(_, value)| self.builder.value(Value::text(value))).collect())
    }

    fn metric(&mut self, name: &str, kind: Otlp, family: Option<&Family>) -> MetricRef {
        let rank = match kind {
            Otlp::Sum { monotonic, .. } => 1 + u8::from(monotonic),
            Otlp::Histogram { .. } => 3,
            Otlp::Summary => 4,
            _ => 0,
        };
        let builder = &mut self.builder;
        *self.metrics.entry((name.to_string(), rank)).or_insert_with(|| {
            let (description, unit) = family.map_or(("", ""), |family| (family.help.as_str(), family.unit.as_str()));
            builder.metric(MetricDef { name, description, unit, kind })
        })
    }
}

impl Group {
    fn value(&self, member: Member) -> Option<f64> {
        self.parts.iter().find(|part| part.member == member).map(|part| part.value)
    }

    /// The count, if it is one.
    fn count(&self) -> Option<u64> {
        self.value(Member::Count).and_then(whole)
    }

    fn bounds(&self) -> Option<Vec<(f64, f64)>> {
        let mut bounds: Vec<(f64, f64)> =
            self.parts.iter().filter_map(|part| part.bound.as_ref().map(|(_, bound)| (*bound, part.value))).collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let is_set = bounds.windows(2).all(|pair| pair[0].0 < pair[1].0) && !bounds.iter().any(|(at, _)| at.is_nan());
        is_set.then_some(bounds)
    }

    fn histogram(&self) -> Option<Vec<u8>> {
        let count = self.count()?;
        let (mut explicit_bounds, mut bucket_counts, mut below) = (Vec::new(), Vec::new(), 0);
        for (bound, cumulative) in self.bounds()? {
            let cumulative = whole(cumulative)?;
            if bound.is_finite() {
                explicit_bounds.push(bound);
                bucket_counts.push(cumulative.checked_sub(below)?);
                below = cumulative;
            } else if bound < 0.0 || cumulative != count {
                return None;
            }
        }
        if self.parts.iter().any(|part| part.bound.is_some()) {
            bucket_counts.push(count.checked_sub(below)?);
        }
        let sum = self.value(Member::Sum);
        Some(HistogramDataPoint { count, sum, explicit_bounds, bucket_counts, ..Default::default() }.encode_to_vec())
    }

    fn summary(&self) -> Option<Vec<u8>> {
        let quantiles = self.bounds()?.into_iter().map(|(quantile, value)| ValueAtQuantile { quantile, value });
        let (count, sum) = (self.count()?, self.value(Member::Sum)?);
        let quantile_values = quantiles.collect();
        Some(SummaryDataPoint { count, sum, quantile_values, ..Default::default() }.encode_to_vec())
    }
}

/// A whole number that a double holds exactly.
fn whole(value: f64) -> Option<u64> {
    ((0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}
