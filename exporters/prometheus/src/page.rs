//! The page: all families in the format that a scraper asked for. The store is locked for one family at a time, so that
//! a large page does not hold up the pipeline.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use steadyline_prometheus::Exemplar;
use steadyline_prometheus::exposition::{self, FamilyWriter, Format, Writer};

use crate::labels::texts;
use crate::store::{Age, Series, Store};

/// Writes a page of all series that are not too old.
pub(crate) fn write(store: &Mutex<Store>, format: Format, age: Age, timestamps: bool) -> Vec<u8> {
    let lock = || store.lock().unwrap_or_else(PoisonError::into_inner);
    let names = lock().names();
    let mut page = Vec::new();
    let mut writer = Writer::new(&mut page, format);
    for name in names {
        let store = lock();
        let Some(family) = store.get(&name) else { continue };
        let head = &family.head;
        let head = exposition::Family { name: &head.name, help: &head.help, unit: &head.unit, kind: head.kind };
        writer.family_with(&head, |writer| {
            for (key, series) in family.series.iter().filter(|(_, series)| !age.is_over(series)) {
                write_series(writer, key, series, timestamps);
            }
        });
    }
    writer.finish();
    page
}

fn write_series(writer: &mut FamilyWriter<'_>, key: &[u8], series: &Series, timestamps: bool) {
    let texts: Vec<Cow<'_, str>> = texts(key).collect();
    let labels: Vec<(&str, &str)> = texts.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    let exemplar_labels: Vec<Vec<(&str, &str)>> =
        series.exemplars.iter().map(|e| e.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()).collect();
    let exemplars: Vec<Exemplar<'_>> = series
        .exemplars
        .iter()
        .zip(&exemplar_labels)
        .map(|(e, labels)| Exemplar { labels, value: e.value, timestamp_ms: e.time_ms })
        .collect();
    let millis = |nanos: u64| (nanos / 1_000_000) as i64;
    writer.series(&exposition::Series {
        labels: &labels,
        value: series.value.sample(),
        timestamp_ms: timestamps.then(|| millis(series.time)),
        start_ms: (series.start != 0).then(|| millis(series.start)),
        exemplars: &exemplars,
    });
}
