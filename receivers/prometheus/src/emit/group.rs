//! Histograms and summaries, put together from their series; or not, where the series do not make up a whole: then each
//! goes on as what it is, so that a backend that knows series gets exactly those that the target exposes.

use steadyline_prometheus::MetricKind;
use steadyline_telemetry::{NO_RECORDED_VALUE, NumberKind, Point};

use super::batch::{BatchBuilder, Generation};
use super::{Dot, number, start};
use crate::points::{put_histogram, put_summary};
use crate::series::{Cache, Form, Head, Role};

/// The parts of one group in one scrape.
#[derive(Debug, Default)]
struct Parts {
    count: Option<f64>,
    sum: Option<f64>,
    bounded: Vec<(f64, f64)>,
}

/// Adds the points of a group whose parts are all known: one, or one for each part.
pub(super) fn put(builder: &mut BatchBuilder<'_>, cache: &mut Cache, row: u32, time: u64) {
    let mut parts = std::mem::take(&mut cache.groups[row as usize].parts);
    let mut whole = collect(cache, &parts);
    let form = cache.heads.get(cache.groups[row as usize].head).form;
    let mut body = Vec::new();
    let is_whole = match form {
        Form::Histogram => histogram(&mut whole, &mut body),
        _ => summary(&mut whole, &mut body),
    };
    let group = &mut cache.groups[row as usize];
    group.is_whole = is_whole;
    if is_whole {
        body.extend_from_slice(&group.exemplars);
        group.bounds.clear();
        group.bounds.extend(whole.bounded.iter().map(|(bound, _)| *bound));
        let start = start(group.start, group.started == group.seen);
        let (origin, head, labels) = (group.origin, group.head, group.labels);
        if let Some(labels) = labels {
            let point = Point { start, body: builder.body(&body), number: NumberKind::Body, ..number(time) };
            builder.put(Generation::Now, cache, Dot { origin, head, labels, point });
        }
    } else {
        for &(id, value) in &parts {
            let head = separate(cache, id);
            let series = &cache.series[id as usize];
            let point = Point { bits: value.to_bits(), ..number(time) };
            builder.put(Generation::Now, cache, Dot { origin: series.origin, head, labels: series.labels, point });
        }
    }
    parts.clear();
    cache.groups[row as usize].parts = parts;
}

/// Marks a whole group as ended. Its bounds go along, because they name the series that end.
pub(super) fn end(builder: &mut BatchBuilder<'_>, generation: Generation, cache: &mut Cache, row: u32, time: u64) {
    let group = &cache.groups[row as usize];
    let mut body = Vec::new();
    match cache.heads.get(group.head).form {
        Form::Histogram => {
            let buckets: Vec<(f64, u64)> = group.bounds.iter().map(|bound| (*bound, 0)).collect();
            put_histogram(&mut body, 0, None, &buckets);
        }
        _ => {
            let quantiles: Vec<(f64, f64)> = group.bounds.iter().map(|quantile| (*quantile, 0.0)).collect();
            put_summary(&mut body, 0, 0.0, &quantiles);
        }
    }
    let Some(labels) = group.labels else { return };
    let (origin, head) = (group.origin, group.head);
    let body = builder.body(&body);
    let point = Point { body, number: NumberKind::Body, flags: NO_RECORDED_VALUE, ..number(time) };
    builder.put(generation, cache, Dot { origin, head, labels, point });
}

/// The head of a part that goes by itself. A gauge: an exporter that adds suffixes leaves its name alone.
pub(super) fn separate(cache: &mut Cache, id: u32) -> u32 {
    let name = cache.names.get(cache.series[id as usize].name).clone();
    cache.heads.intern(Head { name, kind: MetricKind::Unknown, form: Form::Number, family: None })
}

fn collect(cache: &Cache, parts: &[(u32, f64)]) -> Parts {
    let mut whole = Parts::default();
    for &(id, value) in parts {
        match cache.series[id as usize].role {
            Role::Bucket(_, bound) | Role::Quantile(_, bound) => whole.bounded.push((bound, value)),
            Role::Sum(_) => whole.sum = Some(value),
            Role::Count(_) => whole.count = Some(value),
            _ => {}
        }
    }
    if !whole.bounded.is_sorted_by(|a, b| a.0 < b.0) {
        whole.bounded.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    whole
}

/// Writes a histogram, if there is a count, at least one bucket, and every count is one.
///
/// Counts that fall from one bucket to the next come from a target that counts on while it writes: the higher one holds.
fn histogram(parts: &mut Parts, body: &mut Vec<u8>) -> bool {
    let Some(count) = parts.count.and_then(whole_number) else { return false };
    let is_ladder = parts.bounded.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let counts: Option<Vec<u64>> = parts.bounded.iter().map(|(_, value)| whole_number(*value)).collect();
    let (Some(counts), true, false) = (counts, is_ladder, parts.bounded.is_empty()) else { return false };
    let mut highest = 0;
    let mut buckets = Vec::with_capacity(counts.len());
    for ((bound, _), count) in parts.bounded.iter().zip(counts) {
        highest = highest.max(count);
        buckets.push((*bound, highest));
    }
    put_histogram(body, count.max(highest), parts.sum, &buckets);
    true
}

/// Writes a summary, if there are a count and a sum.
fn summary(parts: &mut Parts, body: &mut Vec<u8>) -> bool {
    let (Some(count), Some(sum)) = (parts.count.and_then(whole_number), parts.sum) else { return false };
    if !parts.bounded.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return false;
    }
    put_summary(body, count, sum, &parts.bounded);
    true
}

/// A count as an integer, if it is one that a float holds exactly.
fn whole_number(value: f64) -> Option<u64> {
    let is_whole = (0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0;
    is_whole.then_some(value as u64)
}
