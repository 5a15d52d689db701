//! Text 0.0.4 and OpenMetrics 1.0: the same lines, but for types, units, exemplars and the form of a timestamp.
//!
//! A series has the same name and labels in both: a counter without `_total` is of type `unknown` in OpenMetrics, which
//! could otherwise show it only under another name, and `le` is written the same way.

use super::{Encoding, Family, FamilyWriter, SampleValue, Series};
use crate::metric::{Exemplar, MetricKind};
use crate::names::{Escaping, is_legal_label_name, put_escaped};
use crate::values::{put_bound, put_int, put_sample, put_seconds, put_uint};

/// OpenMetrics allows an exemplar's names and values this many characters together.
const EXEMPLAR_CHARS: usize = 128;

/// Writes HELP, TYPE and, in OpenMetrics, UNIT.
pub(super) fn put_head(writer: &mut FamilyWriter<'_>, family: &Family<'_>) {
    let open = writer.format.encoding == Encoding::OpenMetrics;
    let (type_name, suffix) = if open { open_type(family.kind, writer.name) } else { text_type(family.kind) };
    let name = writer.name.strip_suffix(suffix.as_bytes()).unwrap_or(writer.name);
    let (out, quoted) = (&mut *writer.out, writer.quoted);
    if !family.help.is_empty() {
        put_comment(out, b"# HELP ", name, quoted);
        put_text(out, family.help, open);
        out.push(b'\n');
    }
    put_comment(out, b"# TYPE ", name, quoted);
    out.extend_from_slice(type_name.as_bytes());
    out.push(b'\n');
    if open && has_unit(name, family.unit) {
        put_comment(out, b"# UNIT ", name, quoted);
        out.extend_from_slice(family.unit.as_bytes());
        out.push(b'\n');
    }
}

/// Writes the lines of one series.
pub(super) fn put_series(writer: &mut FamilyWriter<'_>, series: &Series<'_>) {
    let gauge = writer.kind == MetricKind::GaugeHistogram && is_open(writer);
    let (count_suffix, sum_suffix) = if gauge { ("_gcount", "_gsum") } else { ("_count", "_sum") };
    match &series.value {
        SampleValue::Number(value) => {
            put_name(writer, series, "", None);
            put_sample(writer.out, *value);
            let exemplar = match writer.kind {
                MetricKind::Counter if writer.name.ends_with(b"_total") => series.exemplars.last(),
                _ => None,
            };
            end_line(writer, series, exemplar);
        }
        SampleValue::Histogram(histogram) => {
            for (bound, count, exemplar) in histogram.with_exemplars(series.exemplars) {
                put_name(writer, series, "_bucket", Some(("le", bound)));
                put_uint(writer.out, count);
                end_line(writer, series, exemplar);
            }
            put_count(writer, series, count_suffix, histogram.count);
            if let Some(sum) = histogram.sum {
                put_sum(writer, series, sum_suffix, sum);
            }
        }
        SampleValue::Summary(summary) => {
            for (quantile, value) in summary.quantiles {
                put_name(writer, series, "", Some(("quantile", *quantile)));
                put_sample(writer.out, *value);
                end_line(writer, series, None);
            }
            put_count(writer, series, count_suffix, summary.count);
            put_sum(writer, series, sum_suffix, summary.sum);
        }
        SampleValue::NativeHistogram(histogram) => {
            put_name(writer, series, "_bucket", Some(("le", f64::INFINITY)));
            put_uint(writer.out, histogram.count);
            end_line(writer, series, None);
            put_count(writer, series, count_suffix, histogram.count);
            put_sum(writer, series, sum_suffix, f64::from_bits(histogram.sum_bits));
        }
    }
}

fn is_open(writer: &FamilyWriter<'_>) -> bool {
    writer.format.encoding == Encoding::OpenMetrics
}

/// The type in text 0.0.4, and what the family's name lacks compared to the metric's.
fn text_type(kind: MetricKind) -> (&'static str, &'static str) {
    let name = match kind {
        MetricKind::Unknown => "untyped",
        MetricKind::Counter => "counter",
        MetricKind::Gauge | MetricKind::Info | MetricKind::StateSet => "gauge",
        MetricKind::Histogram | MetricKind::GaugeHistogram => "histogram",
        MetricKind::Summary => "summary",
    };
    (name, "")
}

/// The same in OpenMetrics, where some types demand a suffix of their series.
fn open_type(kind: MetricKind, name: &[u8]) -> (&'static str, &'static str) {
    match kind {
        MetricKind::Counter if is_suffixed(name, b"_total") => ("counter", "_total"),
        MetricKind::Info if is_suffixed(name, b"_info") => ("info", "_info"),
        MetricKind::Unknown | MetricKind::Counter => ("unknown", ""),
        MetricKind::Gauge | MetricKind::Info | MetricKind::StateSet => ("gauge", ""),
        MetricKind::Histogram => ("histogram", ""),
        MetricKind::GaugeHistogram => ("gaugehistogram", ""),
        MetricKind::Summary => ("summary", ""),
    }
}

fn is_suffixed(name: &[u8], suffix: &[u8]) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

/// Whether a family's name, without the suffix of its type, ends with its unit.
pub(super) fn has_unit(name: &[u8], unit: &str) -> bool {
    let rest = name.strip_suffix(unit.as_bytes());
    !unit.is_empty() && rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with(b"_"))
}

fn put_comment(out: &mut Vec<u8>, keyword: &[u8], name: &[u8], quoted: bool) {
    out.extend_from_slice(keyword);
    if quoted {
        out.push(b'"');
        put_escapes(out, name, true);
        out.push(b'"');
    } else {
        out.extend_from_slice(name);
    }
    out.push(b' ');
}

fn put_count(writer: &mut FamilyWriter<'_>, series: &Series<'_>, suffix: &str, count: u64) {
    put_name(writer, series, suffix, None);
    put_uint(writer.out, count);
    end_line(writer, series, None);
}

fn put_sum(writer: &mut FamilyWriter<'_>, series: &Series<'_>, suffix: &str, sum: f64) {
    put_name(writer, series, suffix, None);
    put_sample(writer.out, sum);
    end_line(writer, series, None);
}

/// Writes a line up to its value. A quoted name stands between the braces, first.
fn put_name(writer: &mut FamilyWriter<'_>, series: &Series<'_>, suffix: &str, extra: Option<(&str, f64)>) {
    let escaping = writer.format.escaping;
    let out = &mut *writer.out;
    if writer.quoted {
        out.extend_from_slice(b"{\"");
        put_escapes(out, writer.name, true);
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(writer.name);
        out.extend_from_slice(suffix.as_bytes());
    }
    let mut opened = writer.quoted;
    for (name, value) in series.labels {
        out.push(if opened { b',' } else { b'{' });
        opened = true;
        put_label(out, name, value, escaping);
    }
    if let Some((name, bound)) = extra {
        out.push(if opened { b',' } else { b'{' });
        opened = true;
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        put_bound(out, bound);
        out.push(b'"');
    }
    out.extend_from_slice(if opened { b"} " } else { b" " });
}

fn put_label(out: &mut Vec<u8>, name: &str, value: &str, escaping: Escaping) {
    if escaping == Escaping::AllowUtf8 && !is_legal_label_name(name) {
        out.push(b'"');
        put_escapes(out, name.as_bytes(), true);
        out.push(b'"');
    } else {
        put_escaped(out, name, escaping, false);
    }
    out.extend_from_slice(b"=\"");
    put_escapes(out, value.as_bytes(), true);
    out.push(b'"');
}

fn end_line(writer: &mut FamilyWriter<'_>, series: &Series<'_>, exemplar: Option<&Exemplar<'_>>) {
    let open = is_open(writer);
    let escaping = writer.format.escaping;
    let out = &mut *writer.out;
    if let Some(millis) = series.timestamp_ms {
        out.push(b' ');
        if open { put_seconds(out, millis) } else { put_int(out, millis) }
    }
    if let Some(exemplar) = exemplar.filter(|exemplar| open && fits(exemplar)) {
        out.extend_from_slice(b" # {");
        for (at, (name, value)) in exemplar.labels.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            put_label(out, name, value, escaping);
        }
        out.extend_from_slice(b"} ");
        put_sample(out, exemplar.value);
        if let Some(millis) = exemplar.timestamp_ms {
            out.push(b' ');
            put_seconds(out, millis);
        }
    }
    out.push(b'\n');
}

fn fits(exemplar: &Exemplar<'_>) -> bool {
    let chars = exemplar.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count());
    chars.sum::<usize>() <= EXEMPLAR_CHARS
}

fn put_text(out: &mut Vec<u8>, text: &str, quotes: bool) {
    put_escapes(out, text.as_bytes(), quotes);
}

/// Escapes backslash and newline, and quotes where `quotes` says so.
fn put_escapes(out: &mut Vec<u8>, text: &[u8], quotes: bool) {
    let mut rest = text;
    let special = |b: &u8| matches!(b, b'\\' | b'\n') || (quotes && *b == b'"');
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            _ => b"\\\"",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
