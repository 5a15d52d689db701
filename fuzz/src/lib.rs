//! What the fuzz targets share: a scrape that reads everything a body has, and a disk in memory.
//! A target fails by a panic, also by that of an assertion; by running out of memory, and by taking too long.

pub mod disk;
pub mod recovery;

use steadyline_scrape::{Entry, Fault, Flavour, Format, Histograms, Labels, labels, parse};

/// Reads a body to its end as a scraper does that knows no series yet.
pub fn scrape(body: &[u8], format: Format, histograms: Histograms) {
    let mut parser = parse(body, format).histograms(histograms);
    let mut set = Labels::new();
    loop {
        let seen = match parser.next_entry() {
            None => return,
            Some(Err(error)) => {
                let message = error.to_string();
                assert!(message.len() < 1000, "a message of {} bytes", message.len());
                assert!(parser.next_entry().is_none(), "there is nothing after an error");
                return;
            }
            Some(Ok(entry)) => look_at(entry, format, &mut set),
        };
        if let Err(fault) = seen {
            let message = parser.error(fault).to_string();
            assert!(message.len() < 1000, "a message of {} bytes", message.len());
            return;
        }
    }
}

fn look_at(entry: Entry<'_>, format: Format, set: &mut Labels) -> Result<(), Fault> {
    match entry {
        Entry::Type { family, .. } | Entry::Help { family, .. } | Entry::Unit { family, .. } => {
            assert!(!family.is_empty(), "a family without a name");
        }
        Entry::Created(created) => check_series(created.series, format, set)?,
        Entry::Sample(sample) => {
            check_series(sample.series, format, set)?;
            assert!(sample.value.to_bits() != 0x7ff0_0000_0000_0002, "a measurement is no stale marker");
            if let Some(exemplar) = sample.exemplar {
                let _ = exemplar.labels(set);
            }
        }
        Entry::Histogram(sample) => {
            check_series(sample.series, format, set)?;
            if let Flavour::Integer(histogram) = sample.value() {
                let covered: u64 = histogram.positive.spans.iter().map(|span| u64::from(span.length)).sum();
                assert_eq!(covered, histogram.positive.deltas.len() as u64, "spans cover the buckets");
            }
            for exemplar in sample.exemplars() {
                assert!(exemplar.timestamp.is_some(), "exemplars of native histograms have a time");
                let _ = exemplar.labels(set);
            }
        }
    }
    Ok(())
}

fn check_series(series: &[u8], format: Format, set: &mut Labels) -> Result<(), Fault> {
    labels(series, format, set)?;
    assert!(set.name().is_some_and(|name| !name.is_empty()), "a series without a name");
    check_set(set);
    Ok(())
}

/// Checks that a set of labels is one.
pub fn check_set(set: &Labels) {
    let names: Vec<&str> = set.iter().map(|(name, _)| name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "names are sorted, each there once: {names:?}");
    assert!(names.iter().all(|name| !name.is_empty()), "a label without a name");
}
