//! Scrapes of one target into batches, one after the other: what goes on is OTLP, each scrape is reported once, and what
//! a target had is ended once when it is lost.
//! The first byte is the format, `\n%%\n` stands between the bodies.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use steadyline_receiver_prometheus::offline::Offline;
use steadyline_scrape::Format;
use steadyline_telemetry::{Limits, Metrics};

const START: i64 = 1_700_000_000_000;
const INTERVAL: i64 = 15_000;
const BETWEEN: &[u8] = b"\n%%\n";
/// In no format.
const BROKEN: &[u8] = b"\xff{";
const BODIES: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let format = match first % 3 {
        0 => Format::Text,
        1 => Format::OpenMetrics,
        _ => Format::Protobuf,
    };
    let mut target = Offline::new("job", "host:1");
    let mut time = START;
    let mut values = 0;
    for body in bodies(rest) {
        let (batches, result) = target.scrape(body, format, time);
        let seen = look_at(&batches);
        assert_eq!(seen.up, [f64::from(u8::from(result.is_ok()))], "one report a scrape");
        assert!(result.is_ok() || seen.values == 0, "of a body that cannot be read nothing is kept");
        assert!(result.err().is_none_or(|words| words.len() < 1000), "a short message");
        values += seen.values;
        time += INTERVAL;
    }
    let (batches, result) = target.scrape(BROKEN, format, time);
    assert!(result.is_err());
    assert!(look_at(&batches).ends <= values, "only what was there ends");
    let (batches, _) = target.scrape(BROKEN, format, time + INTERVAL);
    assert_eq!(look_at(&batches).ends, 0, "what ended does not end again");
});

fn bodies(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut more = true;
    let split = std::iter::from_fn(move || {
        if !std::mem::replace(&mut more, false) {
            return None;
        }
        let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) else { return Some(rest) };
        let body = &rest[..at];
        (rest, more) = (&rest[at + BETWEEN.len()..], true);
        Some(body)
    });
    split.take(BODIES)
}

#[derive(Default)]
struct Seen {
    /// The values of `up`.
    up: Vec<f64>,
    /// Points with a value, but for the report.
    values: usize,
    /// Points that end a series.
    ends: usize,
}

fn look_at(batches: &[Metrics]) -> Seen {
    let mut seen = Seen::default();
    // What ends, ends once in a scrape.
    let mut ended: BTreeMap<String, usize> = BTreeMap::new();
    for metrics in batches {
        check_wire(metrics);
        for (resource, scope, metric) in metrics.iter() {
            let name = metrics.text(metric.name);
            assert!(!name.is_empty(), "a metric without a name");
            for point in metrics.points_of(metric) {
                if point.is_no_value() {
                    seen.ends += 1;
                    let pairs = |attributes| metrics.pairs(attributes).map(|p| format!("{p:?}")).collect::<Vec<_>>();
                    let series = [resource.attributes, scope.attributes, point.attributes()].map(pairs);
                    *ended.entry(format!("{name} {:?} {series:?}", metric.kind)).or_default() += 1;
                } else if name == "up" {
                    seen.up.extend(point.as_f64());
                } else if !name.starts_with("scrape_") {
                    seen.values += 1;
                }
            }
        }
    }
    assert!(ended.values().all(|times| *times == 1), "a series ends once: {ended:?}");
    seen
}

/// What is handed on is OTLP that reads back as the same.
fn check_wire(metrics: &Metrics) {
    let wire = metrics.encode();
    let again = Metrics::decode(wire.clone(), &Limits::default()).expect("what was written can be read");
    assert_eq!((again.points(), again.iter().count()), (metrics.points(), metrics.iter().count()));
    assert_eq!(again.encode(), wire);
}
