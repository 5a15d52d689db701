//! A length of time in Go's spelling, `1m30s`, as the Collector's users write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::InvalidValue;

const EXPECTED: &str = "a duration such as `30s`, `1m30s` or `200ms`";

/// A length of time, zero or more, written as in Go: `1m30s`, `200ms`, `1.5h`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// None at all.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// Nanoseconds per unit, largest first.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for Duration {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let invalid = || InvalidValue::new(format!("`{text}` is not a duration"), EXPECTED);
        if trimmed.starts_with('-') {
            return Err(InvalidValue::new(format!("the duration `{text}` is negative"), EXPECTED));
        }
        let mut rest = trimmed.strip_prefix('+').unwrap_or(trimmed);
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(InvalidValue::new("the duration is empty", EXPECTED));
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let Some(nanos) = unit_nanos(unit) else {
                return Err(match likely(trimmed) {
                    Some(meant) => invalid().meant(meant),
                    None => invalid(),
                });
            };
            total = times(number, nanos).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
            rest = after;
        }
        let seconds = u64::try_from(total / 1_000_000_000).map_err(|_| invalid())?;
        if seconds > i64::MAX as u64 / 1_000_000_000 {
            return Err(InvalidValue::new(format!("the duration `{text}` is longer than 292 years"), EXPECTED));
        }
        let nanos = u32::try_from(total % 1_000_000_000).map_err(|_| invalid())?;
        Ok(Self(std::time::Duration::new(seconds, nanos)))
    }
}

fn unit_nanos(unit: &str) -> Option<u128> {
    let unit = if matches!(unit, "µs" | "μs") { "us" } else { unit };
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos)
}

/// `1.5` times a unit in whole nanoseconds; digits too small to matter are cut off.
fn times(number: &str, unit: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = &part[..part.len().min(18)];
    let fraction: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / scale)
}

/// What `30`, `30 s`, `30sec`, `5min` or `1d` were probably meant to be.
fn likely(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, word) = lower.split_at(end);
    let number: u64 = number.parse().ok()?;
    let unit = match word.trim() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "ms" | "msec" | "msecs" | "millis" | "milliseconds" => "ms",
        "d" | "day" | "days" => return Some(format!("{}h", number.checked_mul(24)?)),
        "w" | "week" | "weeks" => return Some(format!("{}h", number.checked_mul(168)?)),
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

fn from_number(number: u64) -> Result<Duration, InvalidValue> {
    match number {
        0 => Ok(Duration::ZERO),
        _ => {
            Err(InvalidValue::new(format!("the duration `{number}` has no unit"), EXPECTED).meant(format!("{number}s")))
        }
    }
}

super::scalar_type!(Duration, crate::decode::DURATION, EXPECTED, from_number);

impl fmt::Display for Duration {
    /// The shortest spelling that reads back as the same: `1m30s`, `200ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, nanos) in UNITS {
            let count = rest / nanos;
            if count > 0 {
                write!(f, "{count}{name}")?;
                rest %= nanos;
            }
        }
        Ok(())
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time: numbers with units, such as `1m30s` or `200ms`. Units: h, m, s, ms, us, ns.",
            "anyOf": [
                {"type": "string", "pattern": r"^\s*(0|\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|m|s|ms|us|µs|ns)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|m|s|ms|us|µs|ns))*)\s*$"},
                {"const": 0}
            ],
            "examples": ["30s", "1m30s", "200ms"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        let cases = [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("30s", 30_000_000_000, "30s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("200ms", 200_000_000, "200ms"),
            ("1.5h", 5_400_000_000_000, "1h30m"),
            (".5s", 500_000_000, "500ms"),
            ("1h0m0.25s", 3_600_250_000_000, "1h250ms"),
            ("3µs", 3_000, "3us"),
            ("1ns", 1, "1ns"),
        ];
        for (text, nanos, printed) in cases {
            let duration: Duration = text.parse().unwrap();
            assert_eq!((duration.get().as_nanos(), duration.to_string().as_str()), (nanos, printed), "{text}");
        }
    }

    #[test]
    fn wrong_spellings_are_refused_with_the_likely_one() {
        let cases = [
            ("30", Some("30s")),
            ("30 s", Some("30s")),
            ("5min", Some("5m")),
            ("2 Hours", Some("2h")),
            ("1d", Some("24h")),
            ("", None),
            ("-5s", None),
            ("s", None),
            ("1.2.3s", None),
            ("1..s", None),
            ("10x", None),
            ("99999999999999999999h", None),
            ("300000000h", None),
        ];
        for (text, meant) in cases {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!(error.help, meant.map(|meant| format!("did you mean `{meant}`?")), "{text}");
        }
    }
}
