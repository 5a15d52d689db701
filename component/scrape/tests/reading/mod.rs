//! Reads a body as a scraper does that knows no series yet, and shows what it found as text.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its own part")]

pub mod client_model;

use std::fmt::Write;

use steadyline_scrape::{Entry, Exemplar, Fault, Flavour, Format, Histograms, Labels, ParseError, labels, parse};

/// All entries: `TYPE a counter`, `HELP a "text"`, `UNIT a s`, `a{b="c"} 1 @millis ^created # {id="x"} 1 @millis`.
pub fn read(body: &[u8], format: Format) -> Result<Vec<String>, ParseError> {
    read_as(body, format, Histograms::default())
}

pub fn read_as(body: &[u8], format: Format, histograms: Histograms) -> Result<Vec<String>, ParseError> {
    let mut parser = parse(body, format).histograms(histograms);
    let mut found = Vec::new();
    loop {
        let fault = match parser.next_entry() {
            None => return Ok(found),
            Some(Err(error)) => {
                assert!(parser.next_entry().is_none(), "there is nothing after an error");
                return Err(error);
            }
            Some(Ok(entry)) => match show(entry, format) {
                Ok(text) => {
                    found.push(text);
                    continue;
                }
                Err(fault) => fault,
            },
        };
        return Err(parser.error(fault));
    }
}

fn show(entry: Entry<'_>, format: Format) -> Result<String, Fault> {
    Ok(match entry {
        Entry::Type { family, kind } => format!("TYPE {family} {kind:?}"),
        Entry::Help { family, text } => format!("HELP {family} {text:?}"),
        Entry::Unit { family, unit } => format!("UNIT {family} {unit}"),
        Entry::Created(created) => format!("{} ^{}", show_series(created.series, format)?, created.created),
        Entry::Sample(sample) => {
            let mut text = format!("{} {}", show_series(sample.series, format)?, sample.value);
            show_times(&mut text, sample.timestamp, sample.created);
            show_exemplars(&mut text, sample.exemplar)?;
            text
        }
        Entry::Histogram(sample) => {
            let mut text = format!("{} {}", show_series(sample.series, format)?, show_histogram(sample.value()));
            show_times(&mut text, sample.timestamp, sample.created);
            show_exemplars(&mut text, sample.exemplars())?;
            text
        }
    })
}

pub fn show_series(series: &[u8], format: Format) -> Result<String, Fault> {
    let mut set = Labels::new();
    labels(series, format, &mut set)?;
    Ok(show_labels(&set))
}

pub fn show_labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{}{{{}}}", labels.name().unwrap_or_default(), pairs.join(","))
}

fn show_times(text: &mut String, timestamp: Option<i64>, created: Option<i64>) {
    if let Some(millis) = timestamp {
        write!(text, " @{millis}").unwrap();
    }
    if let Some(millis) = created {
        write!(text, " ^{millis}").unwrap();
    }
}

fn show_exemplars<'a>(text: &mut String, exemplars: impl IntoIterator<Item = Exemplar<'a>>) -> Result<(), Fault> {
    for exemplar in exemplars {
        let mut set = Labels::new();
        exemplar.labels(&mut set)?;
        write!(text, " # {} {}", show_labels(&set), exemplar.value).unwrap();
        show_times(text, exemplar.timestamp, None);
    }
    Ok(())
}

fn show_histogram(value: Flavour<'_>) -> String {
    let spans = |spans: &[steadyline_prometheus::Span]| {
        let spans: Vec<String> = spans.iter().map(|span| format!("{}:{}", span.offset, span.length)).collect();
        spans.join(",")
    };
    // The two have the same fields by name, and no type in common.
    macro_rules! show {
        ($kind:literal, $h:ident, $buckets:ident) => {
            format!(
                "{} schema={} zero={}/{} count={} sum={} +[{}]{:?} -[{}]{:?} {:?}",
                $kind,
                $h.schema,
                $h.zero_count,
                $h.zero_threshold,
                $h.count,
                f64::from_bits($h.sum_bits),
                spans($h.positive.spans),
                $h.positive.$buckets,
                spans($h.negative.spans),
                $h.negative.$buckets,
                $h.reset_hint
            )
        };
    }
    match value {
        Flavour::Integer(h) => show!("int", h, deltas),
        Flavour::Float(h) => show!("float", h, counts),
    }
}

/// Checks that each body is read as what stands beside it, entries separated by ` | `.
pub fn accepted(format: Format, rows: &[(&str, &str)]) {
    for (body, expected) in rows {
        match read(body.as_bytes(), format) {
            Ok(entries) => assert_eq!(entries.join(" | "), *expected, "{body:?}"),
            Err(error) => panic!("{body:?}: {error}"),
        }
    }
}

/// Checks that each body is refused with this message.
pub fn refused(format: Format, rows: &[(&[u8], &str)]) {
    for (body, expected) in rows {
        let shown = String::from_utf8_lossy(body);
        match read(body, format) {
            Ok(entries) => panic!("{shown:?} was read as {entries:?}"),
            Err(error) => assert_eq!(error.to_string(), *expected, "{shown:?}"),
        }
    }
}
