//! Units and suffixes: the words that Prometheus writes, and what OTLP calls them.

use steadyline_prometheus::MetricKind;

/// Words and their UCUM spellings. Source: OpenTelemetry, "Prometheus and OpenMetrics Compatibility".
const UNITS: [(&str, &str); 25] = [
    ("days", "d"),
    ("hours", "h"),
    ("minutes", "min"),
    ("seconds", "s"),
    ("milliseconds", "ms"),
    ("microseconds", "us"),
    ("nanoseconds", "ns"),
    ("bytes", "By"),
    ("kibibytes", "KiBy"),
    ("mebibytes", "MiBy"),
    ("gibibytes", "GiBy"),
    ("tebibytes", "TiBy"),
    ("kilobytes", "kBy"),
    ("megabytes", "MBy"),
    ("gigabytes", "GBy"),
    ("terabytes", "TBy"),
    ("meters", "m"),
    ("volts", "V"),
    ("amperes", "A"),
    ("joules", "J"),
    ("watts", "W"),
    ("grams", "g"),
    ("celsius", "Cel"),
    ("hertz", "Hz"),
    ("percent", "%"),
];

/// The UCUM spelling of a unit; one that is not a known word is kept.
pub(crate) fn ucum(word: &str) -> &str {
    UNITS.iter().find(|(known, _)| *known == word).map_or(word, |(_, ucum)| ucum)
}

/// A metric's name without the suffixes that its type and unit gave it; never an empty one.
pub(crate) fn trimmed<'a>(name: &'a str, kind: MetricKind, unit: &str) -> &'a str {
    let mut stem = name;
    if kind == MetricKind::Counter {
        stem = stem.strip_suffix("_total").unwrap_or(stem);
    }
    if !unit.is_empty() {
        stem = stem.strip_suffix(unit).and_then(|stem| stem.strip_suffix('_')).unwrap_or(stem);
    }
    if stem.is_empty() { name } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_suffixes() {
        assert_eq!((ucum("seconds"), ucum("bytes"), ucum("widgets"), ucum("")), ("s", "By", "widgets", ""));
        for (name, kind, unit, expected) in [
            ("a_seconds_total", MetricKind::Counter, "seconds", "a"),
            ("a_total", MetricKind::Counter, "", "a"),
            ("a_total", MetricKind::Gauge, "", "a_total"),
            ("a_bytes", MetricKind::Gauge, "bytes", "a"),
            ("abytes", MetricKind::Gauge, "bytes", "abytes"),
            ("_total", MetricKind::Counter, "", "_total"),
        ] {
            assert_eq!(trimmed(name, kind, unit), expected, "{name}");
        }
    }
}
