//! `io.prometheus.client.MetricFamily`, each message behind its length: the only exposition that shows native histograms.

use super::text::has_unit;
use super::{Family, FamilyWriter, Histogram, SampleValue, Series, Summary};
use crate::metric::{Exemplar, MetricKind, NativeHistogram, Span};
use crate::names::{Escaping, put_escaped};
use crate::wire::{
    WireType, put_bytes, put_deltas, put_double, put_len_prefixed, put_spans, put_tag, put_uint, put_varint, zigzag,
};

/// Writes the family's own fields behind one byte that its length will take.
pub(super) fn put_head(writer: &mut FamilyWriter<'_>, family: &Family<'_>) {
    let out = &mut *writer.out;
    out.push(0);
    put_bytes(out, 1, writer.name);
    if !family.help.is_empty() {
        put_bytes(out, 2, family.help.as_bytes());
    }
    put_tag(out, 3, WireType::Varint);
    put_varint(out, type_number(family.kind));
    let counter = family.kind == MetricKind::Counter;
    let stem = writer.name.strip_suffix(b"_total").filter(|_| counter).unwrap_or(writer.name);
    // A scraper refuses the whole page for a unit that does not end the name.
    if has_unit(stem, family.unit) {
        put_bytes(out, 5, family.unit.as_bytes());
    }
}

fn type_number(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Counter => 0,
        MetricKind::Gauge | MetricKind::Info | MetricKind::StateSet => 1,
        MetricKind::Summary => 2,
        MetricKind::Unknown => 3,
        MetricKind::Histogram => 4,
        MetricKind::GaugeHistogram => 5,
    }
}

/// Writes one `Metric`.
pub(super) fn put_series(writer: &mut FamilyWriter<'_>, series: &Series<'_>) {
    let (kind, escaping) = (writer.kind, writer.format.escaping);
    put_len_prefixed(writer.out, 4, |buf| {
        for (name, value) in series.labels {
            put_label(buf, name, value, escaping);
        }
        match &series.value {
            SampleValue::Number(value) => put_number(buf, kind, *value, series, escaping),
            SampleValue::Summary(summary) => put_summary(buf, summary, series),
            SampleValue::Histogram(histogram) => put_histogram(buf, histogram, series, escaping),
            SampleValue::NativeHistogram(histogram) => put_native(buf, histogram, series, escaping),
        }
        if let Some(millis) = series.timestamp_ms {
            put_tag(buf, 6, WireType::Varint);
            put_varint(buf, millis as u64);
        }
    });
}

fn put_label(buf: &mut Vec<u8>, name: &str, value: &str, escaping: Escaping) {
    put_len_prefixed(buf, 1, |buf| {
        put_len_prefixed(buf, 1, |buf| put_escaped(buf, name, escaping, false));
        put_bytes(buf, 2, value.as_bytes());
    });
}

fn put_number(buf: &mut Vec<u8>, kind: MetricKind, value: f64, series: &Series<'_>, escaping: Escaping) {
    let field = match kind {
        MetricKind::Counter => 3,
        MetricKind::Unknown => 5,
        _ => 2,
    };
    put_len_prefixed(buf, field, |buf| {
        put_double(buf, 1, value.to_bits());
        if kind == MetricKind::Counter {
            if let Some(exemplar) = series.exemplars.last() {
                put_exemplar(buf, 2, exemplar, escaping);
            }
            put_time(buf, 3, series.start_ms);
        }
    });
}

fn put_summary(buf: &mut Vec<u8>, summary: &Summary<'_>, series: &Series<'_>) {
    put_len_prefixed(buf, 4, |buf| {
        put_uint(buf, 1, summary.count);
        put_double(buf, 2, summary.sum.to_bits());
        for (quantile, value) in summary.quantiles {
            put_len_prefixed(buf, 3, |buf| {
                put_double(buf, 1, quantile.to_bits());
                put_double(buf, 2, value.to_bits());
            });
        }
        put_time(buf, 4, series.start_ms);
    });
}

fn put_histogram(buf: &mut Vec<u8>, histogram: &Histogram<'_>, series: &Series<'_>, escaping: Escaping) {
    put_len_prefixed(buf, 7, |buf| {
        put_uint(buf, 1, histogram.count);
        if let Some(sum) = histogram.sum {
            put_double(buf, 2, sum.to_bits());
        }
        for (bound, count, exemplar) in histogram.with_exemplars(series.exemplars) {
            put_len_prefixed(buf, 3, |buf| {
                put_uint(buf, 1, count);
                put_double(buf, 2, bound.to_bits());
                if let Some(exemplar) = exemplar {
                    put_exemplar(buf, 3, exemplar, escaping);
                }
            });
        }
        put_time(buf, 15, series.start_ms);
    });
}

fn put_native(buf: &mut Vec<u8>, histogram: &NativeHistogram<'_>, series: &Series<'_>, escaping: Escaping) {
    put_len_prefixed(buf, 7, |buf| {
        put_uint(buf, 1, histogram.count);
        put_double(buf, 2, histogram.sum_bits);
        put_uint(buf, 5, zigzag(histogram.schema.into()));
        put_double(buf, 6, histogram.zero_threshold.to_bits());
        put_uint(buf, 7, histogram.zero_count);
        put_spans(buf, 9, histogram.negative.spans);
        put_deltas(buf, 10, histogram.negative.deltas);
        put_spans(buf, 12, positive_spans(histogram));
        put_deltas(buf, 13, histogram.positive.deltas);
        put_time(buf, 15, series.start_ms);
        for exemplar in series.exemplars.iter().filter(|exemplar| exemplar.timestamp_ms.is_some()) {
            put_exemplar(buf, 16, exemplar, escaping);
        }
    });
}

/// Without any bucket and zero bucket a reader takes the message for a classic histogram: a span of no length says otherwise.
fn positive_spans<'a>(histogram: &NativeHistogram<'a>) -> &'a [Span] {
    const NONE: &[Span] = &[Span { offset: 0, length: 0 }];
    let unmarked = histogram.zero_threshold == 0.0 && histogram.zero_count == 0;
    if unmarked && histogram.positive.spans.is_empty() && histogram.negative.spans.is_empty() {
        return NONE;
    }
    histogram.positive.spans
}

fn put_exemplar(buf: &mut Vec<u8>, field: u32, exemplar: &Exemplar<'_>, escaping: Escaping) {
    put_len_prefixed(buf, field, |buf| {
        for (name, value) in exemplar.labels {
            put_label(buf, name, value, escaping);
        }
        put_double(buf, 2, exemplar.value.to_bits());
        put_time(buf, 3, exemplar.timestamp_ms);
    });
}

/// Writes a `google.protobuf.Timestamp`.
fn put_time(buf: &mut Vec<u8>, field: u32, millis: Option<i64>) {
    if let Some(millis) = millis {
        put_len_prefixed(buf, field, |buf| {
            put_uint(buf, 1, millis.div_euclid(1000) as u64);
            put_uint(buf, 2, millis.rem_euclid(1000) as u64 * 1_000_000);
        });
    }
}
