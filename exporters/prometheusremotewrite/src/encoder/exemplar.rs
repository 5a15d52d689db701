//! Exemplars: their labels are made legal, sorted and unique, and stay within OpenMetrics' bound.

use std::collections::BTreeMap;

use steadyline_prometheus::{TranslationStrategy, label_name};
use steadyline_telemetry::metrics::Exemplar;

use super::stage::OwnedExemplar;
use steadyline_prometheus::put_attribute;

/// Characters that names and values of one exemplar may have together (OpenMetrics 1.0).
const MAX_CHARS: usize = 128;

/// An exemplar ready to be sent. `None` for one without a time, which receivers refuse. Trace and span win over attributes
/// of their names; attributes that would make it too long are left out, all of them.
pub(super) fn owned(exemplar: &Exemplar<'_>) -> Option<OwnedExemplar> {
    if exemplar.time == 0 {
        return None;
    }
    let mut ids = BTreeMap::new();
    for (name, id) in [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            ids.insert(name.to_owned(), hex(id));
        }
    }
    let mut all = BTreeMap::new();
    for (key, value) in exemplar.filtered_attributes() {
        let (mut name, mut text) = (String::new(), Vec::new());
        put_attribute(&mut text, value);
        let is_named = label_name(&mut name, key, TranslationStrategy::default(), false).is_ok();
        if is_named && !text.is_empty() {
            all.entry(name).or_insert_with(|| String::from_utf8_lossy(&text).into_owned());
        }
    }
    all.extend(ids.clone());
    let kept = if chars(&all) <= MAX_CHARS { all } else { ids };
    Some(OwnedExemplar {
        labels: kept.into_iter().collect(),
        value: exemplar.value,
        time_ms: super::millis(exemplar.time),
    })
}

fn chars(labels: &BTreeMap<String, String>) -> usize {
    labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
