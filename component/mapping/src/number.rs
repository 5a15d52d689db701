//! Numbers as items hold them, decimal text of up to 38 digits and more, as the integer or float that a metric can hold.
//! What does not fit exactly is said to be lossy; text that names an entity never comes through here.

/// A metric's number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Exact.
    Int(i64),
    /// Nearest.
    Float(f64),
}

impl Number {
    /// This number as a float; integers beyond 2^53 become the nearest one.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }
}

/// A parsed number, and whether digits were lost on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parsed {
    /// The nearest number.
    pub number: Number,
    /// The text holds more significant digits than a float keeps.
    pub lossy: bool,
}

/// Digits that every `f64` keeps.
const FLOAT_DIGITS: usize = 15;

/// Parses decimal text: an `i64` if it fits, else the nearest `f64`; `None` if it is no finite number.
pub fn parse(text: &str) -> Option<Parsed> {
    if let Some(int) = parse_int(text) {
        return Some(Parsed { number: Number::Int(int), lossy: false });
    }
    // Rust's float parser also takes "inf" and "nan", which are no numbers here.
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
    Some(Parsed { number: Number::Float(float), lossy: significant_digits(text) > FLOAT_DIGITS })
}

fn parse_int(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Counts the digits of the mantissa without leading and trailing zeros.
fn significant_digits(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    let (mut count, mut trailing_zeros) = (0, 0);
    for digit in digits.skip_while(|digit| *digit == b'0') {
        count += 1;
        trailing_zeros = if digit == b'0' { trailing_zeros + 1 } else { 0 };
    }
    count - trailing_zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_where_they_can_be_and_say_where_not() {
        let cases: &[(&str, Option<(Number, bool)>)] = &[
            ("5", Some((Number::Int(5), false))),
            ("-0", Some((Number::Int(0), false))),
            ("9223372036854775807", Some((Number::Int(i64::MAX), false))),
            ("9223372036854775808", Some((Number::Float(9.223372036854776e18), true))),
            ("12345678901234567890123456789012345678", Some((Number::Float(1.2345678901234568e37), true))),
            ("100000000000000000000000000000", Some((Number::Float(1e29), false))),
            ("0.1", Some((Number::Float(0.1), false))),
            ("0.12345678901234567", Some((Number::Float(0.12345678901234567), true))),
            ("1E-130", Some((Number::Float(1e-130), false))),
            ("9.9E+125", Some((Number::Float(9.9e125), false))),
            ("1E400", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("5 ", None),
            ("0x10", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(|parsed| (parsed.number, parsed.lossy)), *expected, "{text}");
        }
    }
}
