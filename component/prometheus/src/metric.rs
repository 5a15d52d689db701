//! What the exposition formats and remote write have in common: kinds of metrics, native histograms, exemplars.

/// What a metric is to Prometheus. The discriminants are those of remote write's metadata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Not known (`untyped` in the text format).
    #[default]
    Unknown = 0,
    /// A value that only grows, or starts again at zero.
    Counter = 1,
    /// A value that goes up and down.
    Gauge = 2,
    /// Counts of observations in buckets.
    Histogram = 3,
    /// A histogram whose counts may fall.
    GaugeHistogram = 4,
    /// Quantiles computed at the source.
    Summary = 5,
    /// Text in labels, value 1.
    Info = 6,
    /// One series per possible state.
    StateSet = 7,
}

/// A run of consecutive buckets of a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first span: index of its first bucket. Later ones: empty buckets since the end of the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// One half, positive or negative, of a native histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Buckets<'a> {
    /// Where the buckets lie.
    pub spans: &'a [Span],
    /// Counts, each as the difference from the bucket before it; the first as it is.
    pub deltas: &'a [i64],
}

/// Whether a native histogram starts again at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// The receiver finds out.
    #[default]
    Unknown = 0,
    /// It does.
    Yes = 1,
    /// It does not.
    No = 2,
    /// It is a gauge histogram: there are no resets.
    Gauge = 3,
}

/// A native histogram with integer counts, as Prometheus stores it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeHistogram<'a> {
    /// Resolution, -4 to 8; -53 for custom bounds.
    pub schema: i32,
    /// Observations within this distance of zero are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Bits of the sum of all observations; bits, because a stale marker does not survive arithmetic.
    pub sum_bits: u64,
    /// Buckets above zero.
    pub positive: Buckets<'a>,
    /// Buckets below zero.
    pub negative: Buckets<'a>,
    /// Upper bounds, with schema -53 only.
    pub custom_bounds: &'a [f64],
    /// Whether it starts again at zero.
    pub reset_hint: ResetHint,
}

impl NativeHistogram<'_> {
    /// The marker that ends a series of native histograms: the sum's bits say it, nothing is counted.
    pub const STALE: NativeHistogram<'static> = NativeHistogram {
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0,
        count: 0,
        sum_bits: crate::values::STALE_NAN_BITS,
        positive: Buckets { spans: &[], deltas: &[] },
        negative: Buckets { spans: &[], deltas: &[] },
        custom_bounds: &[],
        reset_hint: ResetHint::Unknown,
    };
}

/// One observation that stands for its series or bucket, usually with a trace id.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'a> {
    /// Labels, sorted by name; `trace_id` and `span_id` by custom.
    pub labels: &'a [(&'a str, &'a str)],
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}
