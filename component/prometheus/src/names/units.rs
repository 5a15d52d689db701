//! UCUM units as the words that Prometheus puts at the end of a metric name.

/// The words of a unit: `By/s` is `bytes` and `second`. Either may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct UnitWords {
    /// The unit itself, in the plural: legal name characters, no `_` at either end.
    pub(super) main: String,
    /// What stands after the `/`, in the singular: `second` of `per_second`.
    pub(super) per: String,
}

impl UnitWords {
    pub(super) fn of(unit: &str) -> Self {
        let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
        Self { main: word(main, main_word), per: word(per, per_word) }
    }

    /// Leaves out the word that the metric's type adds anyway.
    pub(super) fn without(mut self, suffix: Option<&str>) -> Self {
        for words in [&mut self.main, &mut self.per] {
            if words.split('_').any(|word| Some(word) == suffix) {
                let kept: Vec<&str> = words.split('_').filter(|w| Some(*w) != suffix).collect();
                *words = kept.join("_");
            }
        }
        self
    }
}

/// Appends the words of `unit` as they end a metric name: `By/s` gives `bytes_per_second`; `1` and `{step}` give nothing.
///
/// This is what a `# UNIT` line or remote write metadata shows.
pub fn unit_words(out: &mut String, unit: &str) {
    let words = UnitWords::of(unit);
    out.push_str(&words.main);
    if !words.per.is_empty() {
        if !words.main.is_empty() {
            out.push('_');
        }
        out.push_str("per_");
        out.push_str(&words.per);
    }
}

/// A part with an `{annotation}` counts for nothing, also where a unit stands beside it.
fn word(part: &str, known: fn(&str) -> Option<&'static str>) -> String {
    let part = part.trim();
    if part.contains(['{', '}']) {
        return String::new();
    }
    if let Some(word) = known(part) {
        return word.to_owned();
    }
    let mut clean = String::with_capacity(part.len());
    for token in part.split(|c: char| !c.is_ascii_alphanumeric() && c != ':') {
        if !token.is_empty() {
            if !clean.is_empty() {
                clean.push('_');
            }
            clean.push_str(token);
        }
    }
    clean
}

fn main_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tebibytes",
        "kBy" | "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        _ => return None,
    })
}

fn per_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}
