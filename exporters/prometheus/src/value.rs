//! Values as they are kept: copied out of a batch, in the form that pages are written from.

use steadyline_prometheus::exposition::{Histogram, SampleValue, Summary};
use steadyline_prometheus::labels::is_taken_by_format;
use steadyline_prometheus::native::{Exponential, Native};
use steadyline_prometheus::{MetricKind, TranslationStrategy, label_name, put_attribute};
use steadyline_telemetry::metrics::{self, ExponentialHistogramView, HistogramView, SummaryView};
use steadyline_telemetry::{MetricKind as OtlpKind, Metrics, Point, Temporality};

use crate::losses::Loss;

/// The last value of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A number.
    Number(f64),
    /// A histogram with explicit bounds.
    Explicit(Box<Explicit>),
    /// Quantiles.
    Quantiles(Box<Quantiles>),
    /// A histogram with exponential bounds.
    Native(Box<Native>),
}

/// Counts by explicit bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explicit {
    /// Bounds and how many observations are at or below each.
    buckets: Vec<(f64, u64)>,
    sum: Option<f64>,
    count: u64,
}

/// Quantiles computed by the source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantiles {
    quantiles: Vec<(f64, f64)>,
    sum: f64,
    count: u64,
}

/// One observation that stands for its series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnedExemplar {
    /// Sorted by name.
    pub(crate) labels: Vec<(String, String)>,
    /// The observed value.
    pub(crate) value: f64,
    /// Milliseconds since the Unix epoch.
    pub(crate) time_ms: Option<i64>,
}

/// What Prometheus calls a metric of this kind.
///
/// # Errors
/// It has no place in Prometheus.
pub(crate) fn kind_of(kind: OtlpKind) -> Result<MetricKind, Loss> {
    match kind.temporality() {
        Some(Temporality::Delta) => return Err(Loss::Delta),
        Some(Temporality::Unspecified) => return Err(Loss::NoTemporality),
        Some(Temporality::Cumulative) | None => {}
    }
    Ok(match kind {
        OtlpKind::Sum { monotonic: true, .. } => MetricKind::Counter,
        OtlpKind::Gauge | OtlpKind::Sum { .. } | OtlpKind::Empty => MetricKind::Gauge,
        OtlpKind::Histogram { .. } | OtlpKind::ExponentialHistogram { .. } => MetricKind::Histogram,
        OtlpKind::Summary => MetricKind::Summary,
    })
}

impl Value {
    /// Copies the value of a point.
    ///
    /// # Errors
    /// The point has none, or one that cannot be shown.
    pub(crate) fn of(batch: &Metrics, kind: OtlpKind, point: &Point) -> Result<Value, Loss> {
        if kind.is_number() {
            return point.as_f64().map(Value::Number).ok_or(Loss::NoValue);
        }
        let body = batch.bytes(point.body);
        Ok(match kind {
            OtlpKind::Histogram { .. } => Value::Explicit(Box::new(explicit(&HistogramView::new(body))?)),
            OtlpKind::ExponentialHistogram { .. } => {
                Value::Native(Box::new(native(&ExponentialHistogramView::new(body))?))
            }
            OtlpKind::Summary => Value::Quantiles(Box::new(quantiles(&SummaryView::new(body))?)),
            OtlpKind::Gauge | OtlpKind::Sum { .. } | OtlpKind::Empty => return Err(Loss::NoValue),
        })
    }

    /// As a page shows it.
    pub(crate) fn sample(&self) -> SampleValue<'_> {
        match self {
            Value::Number(number) => SampleValue::Number(*number),
            Value::Explicit(h) => SampleValue::Histogram(Histogram { buckets: &h.buckets, sum: h.sum, count: h.count }),
            Value::Quantiles(q) => {
                SampleValue::Summary(Summary { quantiles: &q.quantiles, sum: q.sum, count: q.count })
            }
            Value::Native(native) => SampleValue::NativeHistogram(native.histogram()),
        }
    }
}

fn explicit(view: &HistogramView<'_>) -> Result<Explicit, Loss> {
    let bounds: Vec<f64> = view.bounds().collect();
    let counts: Vec<u64> = view.bucket_counts().collect();
    let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]) && !bounds.iter().any(|bound| bound.is_nan());
    let fitting = counts.len() == bounds.len() + 1 || (counts.is_empty() && bounds.is_empty());
    if !rising || !fitting {
        return Err(Loss::MalformedHistogram);
    }
    let mut below = 0u64;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (at, count) in counts.iter().enumerate() {
        below = below.checked_add(*count).filter(|sum| *sum <= view.count).ok_or(Loss::MalformedHistogram)?;
        if let Some(bound) = bounds.get(at) {
            buckets.push((*bound, below));
        }
    }
    Ok(Explicit { buckets, sum: view.sum, count: view.count })
}

fn native(view: &ExponentialHistogramView<'_>) -> Result<Native, Loss> {
    let mut native = Native::default();
    native.convert(&Exponential::of(view))?;
    Ok(native)
}

fn quantiles(view: &SummaryView<'_>) -> Result<Quantiles, Loss> {
    let mut quantiles: Vec<(f64, f64)> = view.quantiles().collect();
    quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let twice = quantiles.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if twice || quantiles.iter().any(|(quantile, _)| quantile.is_nan()) {
        return Err(Loss::MalformedSummary);
    }
    Ok(Quantiles { quantiles, sum: view.sum, count: view.count })
}

/// A series keeps no more exemplars than this, the newest.
const MAX_EXEMPLARS: usize = 64;

/// Copies the exemplars of a point, in order of time.
pub(crate) fn exemplars(
    batch: &Metrics,
    kind: OtlpKind,
    point: &Point,
    strategy: TranslationStrategy,
) -> Vec<OwnedExemplar> {
    let field = match kind {
        OtlpKind::Sum { monotonic: true, .. } => 5,
        OtlpKind::Histogram { .. } => 8,
        OtlpKind::ExponentialHistogram { .. } => 11,
        OtlpKind::Gauge | OtlpKind::Sum { .. } | OtlpKind::Summary | OtlpKind::Empty => return Vec::new(),
    };
    if point.body.is_empty() {
        return Vec::new();
    }
    let body = batch.bytes(point.body);
    let mut all: Vec<OwnedExemplar> = metrics::exemplars(body, field).map(|e| exemplar(&e, strategy)).collect();
    all.sort_by_key(|exemplar| exemplar.time_ms);
    all.drain(..all.len().saturating_sub(MAX_EXEMPLARS));
    all
}

/// The ids of trace and span first: what else there is gives way to them where it has their names or takes their room.
fn exemplar(exemplar: &metrics::Exemplar<'_>, strategy: TranslationStrategy) -> OwnedExemplar {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, id) in [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)] {
        if !id.is_empty() {
            labels.push((name.to_owned(), id.iter().map(|byte| format!("{byte:02x}")).collect()));
        }
    }
    let mut chars = labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    for (key, value) in exemplar.filtered_attributes() {
        let (mut name, mut text) = (String::new(), Vec::new());
        put_attribute(&mut text, value);
        let named = label_name(&mut name, key, strategy, false).is_ok() && !is_taken_by_format(&name, true, true);
        let text = String::from_utf8_lossy(&text).into_owned();
        let len = name.chars().count() + text.chars().count();
        if named && !text.is_empty() && chars + len <= EXEMPLAR_CHARS && !labels.iter().any(|(other, _)| *other == name)
        {
            chars += len;
            labels.push((name, text));
        }
    }
    labels.sort();
    let time_ms = (exemplar.time != 0).then_some((exemplar.time / 1_000_000) as i64);
    OwnedExemplar { labels, value: exemplar.value, time_ms }
}

/// OpenMetrics allows an exemplar's names and values this many characters together.
const EXEMPLAR_CHARS: usize = 128;
