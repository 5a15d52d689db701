//! Values and timestamps as Prometheus reads them.
//! No hexadecimal floats, no separators between digits, and nothing too large for a float.

use steadyline_prometheus::values::sample_bits;

/// A sample's value: decimal digits with or without an exponent, `Inf` and `Infinity` with or without a sign, `NaN` without,
/// letters of any case.
pub(crate) fn value(text: &[u8]) -> Option<f64> {
    if let Some(value) = short_integer(text) {
        return Some(value);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let named = |byte: u8| text.iter().any(|letter| letter.eq_ignore_ascii_case(&byte));
    if value.is_nan() {
        return (text.len() == 3).then(|| plain(value));
    }
    // Digits that overflow are an error; a name is meant.
    (value.is_finite() || named(b'n')).then_some(value)
}

/// The value with every "not a number" made the ordinary one.
pub(crate) fn plain(value: f64) -> f64 {
    f64::from_bits(sample_bits(value))
}

/// Most values of most targets. Fifteen digits are exact.
fn short_integer(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut value = 0u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value as f64)
}

/// Milliseconds of text 0.0.4: an integer.
pub(crate) fn millis(text: &[u8]) -> Option<i64> {
    if text.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Milliseconds from OpenMetrics' seconds, cut to whole ones. Plain digits are cut exactly, without the error of a float.
pub(crate) fn seconds(text: &[u8]) -> Option<i64> {
    exact_seconds(text).or_else(|| millis_of(value(text)?))
}

/// Milliseconds from seconds in a float, cut to whole ones.
fn millis_of(seconds: f64) -> Option<i64> {
    /// The first float above what 64 bits hold.
    const TOO_MUCH: f64 = 9_223_372_036_854_775_808.0;
    let millis = seconds * 1000.0;
    (millis > -TOO_MUCH && millis < TOO_MUCH).then_some(millis as i64)
}

fn exact_seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    // Twelve digits of seconds are 30,000 years.
    if whole.is_empty() || whole.len() > 12 || !text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    if fraction.contains(&b'.') {
        return None;
    }
    let digit = |byte: &u8| i64::from(byte - b'0');
    let mut millis = whole.iter().fold(0, |sum, byte| sum * 10 + digit(byte));
    for at in 0..3 {
        millis = millis * 10 + fraction.get(at).map_or(0, digit);
    }
    Some(if negative { -millis } else { millis })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let rows: &[(&str, Option<f64>)] = &[
            ("0", Some(0.0)),
            ("1", Some(1.0)),
            ("-1", Some(-1.0)),
            ("+1", Some(1.0)),
            ("007", Some(7.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("1.5e3", Some(1500.0)),
            ("1.5E+3", Some(1500.0)),
            ("4.9e-324", Some(4.9e-324)),
            ("1e-400", Some(0.0)),
            ("999999999999999", Some(999_999_999_999_999.0)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("1.7976931348623157e+308", Some(f64::MAX)),
            ("2.2250738585072014e-308", Some(f64::MIN_POSITIVE)),
            ("Inf", Some(f64::INFINITY)),
            ("+Inf", Some(f64::INFINITY)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("+iNFiNITY", Some(f64::INFINITY)),
            ("1e400", None),
            ("-1e400", None),
            ("0x10", None),
            ("0x1p-3", None),
            ("0X1P3", None),
            ("1_000", None),
            ("1,5", None),
            ("1e", None),
            ("e1", None),
            (".", None),
            ("-", None),
            ("", None),
            ("infinite", None),
            ("+NaN", None),
            ("-nan", None),
            ("NaN(1)", None),
            ("true", None),
            ("1\r", None),
            ("1\0", None),
            ("\u{661}", None),
        ];
        for (text, expected) in rows {
            assert_eq!(value(text.as_bytes()), *expected, "{text:?}");
        }
        assert_eq!(value(b"-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        for name in ["NaN", "nan", "NAN"] {
            assert_eq!(value(name.as_bytes()).map(f64::to_bits), Some(0x7ff8_0000_0000_0001), "{name}");
        }
        assert_eq!(value(b"\xff"), None);
    }

    #[test]
    fn a_stale_marker_is_no_value() {
        assert_eq!(plain(f64::from_bits(0x7ff0_0000_0000_0002)).to_bits(), 0x7ff8_0000_0000_0001);
        assert_eq!(plain(1.5), 1.5);
    }

    #[test]
    fn timestamps_in_milliseconds() {
        let rows: &[(&str, Option<i64>)] = &[
            ("0", Some(0)),
            ("1395066363000", Some(1_395_066_363_000)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("+1", None),
            ("1.5", None),
            ("1_2", None),
            ("1e3", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(millis(text.as_bytes()), *expected, "{text:?}");
        }
    }

    #[test]
    fn timestamps_in_seconds() {
        let rows: &[(&str, Option<i64>)] = &[
            ("0", Some(0)),
            ("1520879607.789", Some(1_520_879_607_789)),
            ("1520430000.123", Some(1_520_430_000_123)),
            ("1.0009", Some(1000)),
            ("-1.5", Some(-1500)),
            ("-0.0009", Some(0)),
            ("1.", Some(1000)),
            (".5", Some(500)),
            ("+2", Some(2000)),
            ("1e3", Some(1_000_000)),
            ("1.5e-3", Some(1)),
            ("4102444800", Some(4_102_444_800_000)),
            ("1234567890123", Some(1_234_567_890_123_000)),
            ("1e30", None),
            ("-1e30", None),
            ("Inf", None),
            ("NaN", None),
            ("1.2.3", None),
            ("1-2", None),
            ("x", None),
            ("-", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(seconds(text.as_bytes()), *expected, "{text:?}");
        }
    }
}
