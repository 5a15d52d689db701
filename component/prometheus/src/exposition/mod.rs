//! What a scraper reads: metric families as text 0.0.4, OpenMetrics 1.0 or delimited protobuf, written from borrowed data.

mod negotiate;
mod protobuf;
mod text;

pub use negotiate::{Encoding, Format, negotiate, negotiate_among};

use crate::metric::{Exemplar, MetricKind, NativeHistogram};
use crate::names::{Escaping, is_legal_metric_name, put_escaped};
use crate::wire;

/// A metric: what all of its series have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Family<'a> {
    /// The name as remote write would send it: with `_total` for a counter that has it, without `_bucket` and the like.
    pub name: &'a str,
    /// What it means; may be empty.
    pub help: &'a str,
    /// The Prometheus word for its unit, such as `seconds`; may be empty. Shown only where the name ends with it.
    pub unit: &'a str,
    /// Its type. The values of its series must fit.
    pub kind: MetricKind,
}

/// One series of a family at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Series<'a> {
    /// Names and values, without `__name__`, `le` and `quantile`.
    pub labels: &'a [(&'a str, &'a str)],
    /// The value.
    pub value: SampleValue<'a>,
    /// Milliseconds since the Unix epoch; `None` leaves the time to the scraper, as an exporter normally should.
    pub timestamp_ms: Option<i64>,
    /// When the counting began, in milliseconds since the Unix epoch. Only protobuf shows it: in text it would be a series of its own.
    pub start_ms: Option<i64>,
    /// Exemplars, in order of time. Text 0.0.4 shows none; a counter shows the last one, a bucket the last that fell into it.
    pub exemplars: &'a [Exemplar<'a>],
}

impl<'a> Series<'a> {
    /// A series without a time or exemplars.
    pub fn new(labels: &'a [(&'a str, &'a str)], value: SampleValue<'a>) -> Self {
        Self { labels, value, timestamp_ms: None, start_ms: None, exemplars: &[] }
    }
}

/// The value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValue<'a> {
    /// A plain number.
    Number(f64),
    /// A histogram with explicit bounds.
    Histogram(Histogram<'a>),
    /// Quantiles.
    Summary(Summary<'a>),
    /// A native histogram. Only protobuf can show its buckets; the text formats show its count and sum.
    NativeHistogram(NativeHistogram<'a>),
}

/// A histogram with explicit bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Histogram<'a> {
    /// Upper bounds, rising, and how many observations are at or below each. `+Inf` need not be among them.
    pub buckets: &'a [(f64, u64)],
    /// The sum of all observations, if it is known.
    pub sum: Option<f64>,
    /// All observations.
    pub count: u64,
}

impl<'a> Histogram<'a> {
    /// All buckets, `+Inf` last, each with the newest exemplar that fell into it.
    fn with_exemplars(
        &self,
        exemplars: &'a [Exemplar<'a>],
    ) -> impl Iterator<Item = (f64, u64, Option<&'a Exemplar<'a>>)> {
        let finite = self.buckets.iter().copied().filter(|(bound, _)| *bound < f64::INFINITY);
        let mut below = f64::NEG_INFINITY;
        finite.chain([(f64::INFINITY, self.count)]).map(move |(bound, count)| {
            let inside = |e: &&Exemplar<'_>| e.value <= bound && (e.value > below || below == f64::NEG_INFINITY);
            let exemplar = exemplars.iter().rev().find(inside);
            below = bound;
            (bound, count, exemplar)
        })
    }
}

/// Quantiles, computed at the source.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary<'a> {
    /// Quantiles from 0 to 1, and their values.
    pub quantiles: &'a [(f64, f64)],
    /// The sum of all observations.
    pub sum: f64,
    /// All observations.
    pub count: u64,
}

/// Writes families, one after another, in one format. The caller sees to it that no family comes twice.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    format: Format,
    shown: Vec<u8>,
}

impl<'o> Writer<'o> {
    /// Appends to `out`.
    pub fn new(out: &'o mut Vec<u8>, format: Format) -> Self {
        Self { out, format, shown: Vec::new() }
    }

    /// Writes a family with all its series. One without series leaves no trace.
    pub fn family<'s>(&mut self, family: &Family<'_>, series: impl IntoIterator<Item = Series<'s>>) {
        self.family_with(family, |writer| {
            for series in series {
                writer.series(&series);
            }
        });
    }

    /// Writes a family whose series `write` hands over one by one: for callers that put each together in a buffer of theirs.
    pub fn family_with(&mut self, family: &Family<'_>, write: impl FnOnce(&mut FamilyWriter<'_>)) {
        let start = self.out.len();
        self.shown.clear();
        put_escaped(&mut self.shown, family.name, self.format.escaping, true);
        let mut writer = FamilyWriter {
            out: &mut *self.out,
            format: self.format,
            kind: family.kind,
            name: &self.shown,
            quoted: self.format.escaping == Escaping::AllowUtf8 && !is_legal_metric_name(family.name),
            empty: true,
        };
        writer.head(family);
        write(&mut writer);
        if writer.empty {
            self.out.truncate(start);
        } else if self.format.encoding == Encoding::Protobuf {
            wire::patch_len(self.out, start);
        }
    }

    /// Writes what must stand at the end.
    pub fn finish(self) {
        if self.format.encoding == Encoding::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }
}

/// Writes the series of one family.
#[derive(Debug)]
pub struct FamilyWriter<'w> {
    out: &'w mut Vec<u8>,
    format: Format,
    kind: MetricKind,
    /// The name as the scraper sees it, escaped but not quoted.
    name: &'w [u8],
    quoted: bool,
    empty: bool,
}

impl FamilyWriter<'_> {
    /// Writes one series.
    pub fn series(&mut self, series: &Series<'_>) {
        self.empty = false;
        match self.format.encoding {
            Encoding::Protobuf => protobuf::put_series(self, series),
            Encoding::Text | Encoding::OpenMetrics => text::put_series(self, series),
        }
    }

    fn head(&mut self, family: &Family<'_>) {
        match self.format.encoding {
            Encoding::Protobuf => protobuf::put_head(self, family),
            Encoding::Text | Encoding::OpenMetrics => text::put_head(self, family),
        }
    }
}
