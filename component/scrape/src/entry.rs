//! What a body consists of: descriptions of families, samples, native histograms, created stamps.
//! Everything is borrowed from the body or from the parser, until the next entry is asked for.

use steadyline_prometheus::{MetricKind, NativeHistogram, ResetHint, Span};
use steadyline_telemetry::wire::{FieldData, Reader};

use crate::error::Fault;
use crate::labels::Labels;
use crate::protobuf::{self, NativeScratch};
use crate::syntax;

/// One entry of a body.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// The type of a family.
    Type {
        /// The family's name, unescaped: without `_total`, `_bucket` and the like in OpenMetrics, see [`crate::member`].
        family: &'a str,
        /// Its type.
        kind: MetricKind,
    },
    /// What a family means.
    Help {
        /// The family's name.
        family: &'a str,
        /// The text, unescaped; may be empty.
        text: &'a str,
    },
    /// The unit of a family.
    Unit {
        /// The family's name, which ends with the unit.
        family: &'a str,
        /// The unit; may be empty.
        unit: &'a str,
    },
    /// A sample.
    Sample(Sample<'a>),
    /// A native histogram. Protobuf only.
    Histogram(HistogramSample<'a>),
    /// When the counting began for a series, where that is a line of its own. OpenMetrics only.
    Created(Created<'a>),
}

/// One number of one series.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The series as it stands in the body (`name{label="value"}`), or as a text format would write it. Not checked: that is
    /// the business of [`crate::labels`] when the text is seen for the first time.
    pub series: &'a [u8],
    /// The value. Every "not a number" is Prometheus' ordinary one, never a stale marker.
    pub value: f64,
    /// Milliseconds since the Unix epoch, where the target says it.
    pub timestamp: Option<i64>,
    /// When the counting began, in milliseconds since the Unix epoch. Protobuf only; OpenMetrics has [`Entry::Created`].
    pub created: Option<i64>,
    /// An observation that stands for the series.
    pub exemplar: Option<Exemplar<'a>>,
}

/// The `_created` line of a counter, histogram or summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created<'a> {
    /// The line's own series, `name_created{label="value"}`: the labels are those of the group that it is about, without
    /// `le` and `quantile`.
    pub series: &'a [u8],
    /// When the counting began, in milliseconds since the Unix epoch.
    pub created: i64,
}

/// An observation, usually with the id of a trace.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'a> {
    pub(crate) source: Source<'a>,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch, where the target says it.
    pub timestamp: Option<i64>,
}

/// Where the labels of an exemplar are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// `{...}` of OpenMetrics.
    Text(&'a [u8]),
    /// An `Exemplar` message.
    Message(&'a [u8]),
}

impl Exemplar<'_> {
    /// Replaces the content of `labels` by those of the exemplar, sorted by name.
    ///
    /// # Errors
    /// [`Fault::RepeatedLabel`]; all else has been checked by the parser.
    pub fn labels(&self, labels: &mut Labels) -> Result<(), Fault> {
        match self.source {
            Source::Text(text) => syntax::read_exemplar(text, labels),
            Source::Message(message) => protobuf::read_exemplar_labels(message, labels),
        }
    }
}

/// A native histogram of one series.
#[derive(Debug, Clone, Copy)]
pub struct HistogramSample<'a> {
    /// The series as a text format would write it; its name is the family's. To be checked as a sample's.
    pub series: &'a [u8],
    /// Milliseconds since the Unix epoch, where the target says it.
    pub timestamp: Option<i64>,
    /// When the counting began, in milliseconds since the Unix epoch.
    pub created: Option<i64>,
    pub(crate) scratch: &'a NativeScratch,
    pub(crate) message: &'a [u8],
}

impl<'a> HistogramSample<'a> {
    /// The histogram itself, checked: the spans cover the buckets, no bucket is negative, the count is what they hold.
    pub fn value(&self) -> Flavour<'a> {
        self.scratch.value()
    }

    /// Its exemplars: its own, or those of its classic buckets. Those without a timestamp are left out, because nothing
    /// tells them from those of the scrape before.
    pub fn exemplars(&self) -> Exemplars<'a> {
        Exemplars { message: Reader::new(self.message), of_buckets: !self.scratch.has_exemplars() }
    }
}

/// A native histogram counts in integers or in floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flavour<'a> {
    /// As instrumentation does it.
    Integer(NativeHistogram<'a>),
    /// As a computation over histograms yields it.
    Float(FloatHistogram<'a>),
}

/// A native histogram with counts that need not be whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatHistogram<'a> {
    /// Resolution, -4 to 8.
    pub schema: i32,
    /// Observations within this distance of zero are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Bits of the sum of all observations.
    pub sum_bits: u64,
    /// Buckets above zero.
    pub positive: FloatBuckets<'a>,
    /// Buckets below zero.
    pub negative: FloatBuckets<'a>,
    /// Whether it starts again at zero.
    pub reset_hint: ResetHint,
}

/// One half of a [`FloatHistogram`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FloatBuckets<'a> {
    /// Where the buckets lie.
    pub spans: &'a [Span],
    /// Their counts, as they are.
    pub counts: &'a [f64],
}

/// The exemplars of a native histogram.
#[derive(Debug, Clone)]
pub struct Exemplars<'a> {
    message: Reader<'a>,
    of_buckets: bool,
}

impl<'a> Iterator for Exemplars<'a> {
    type Item = Exemplar<'a>;

    fn next(&mut self) -> Option<Exemplar<'a>> {
        while let Some(field) = self.message.field().ok()? {
            let FieldData::Len(content) = field.data else { continue };
            let message = match field.number {
                3 if self.of_buckets => protobuf::exemplar_of_bucket(content.rest()),
                16 if !self.of_buckets => Some(content.rest()),
                _ => None,
            };
            let exemplar = message.and_then(|message| protobuf::read_exemplar(message).ok());
            if let Some(exemplar) = exemplar.filter(|exemplar| exemplar.timestamp.is_some()) {
                return Some(exemplar);
            }
        }
        None
    }
}
