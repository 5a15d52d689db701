//! Numbers as text and as bits: attribute values, bucket bounds, samples and the stale marker.
//! Everything is appended to a buffer that the caller keeps; nothing here allocates once that buffer is large enough.

/// The bits of a stale marker: "this series ends here". It means nothing else, and is compared by bits, never as a float.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of Prometheus' ordinary "not a number".
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Whether a sample's bits are the stale marker.
pub fn is_stale(bits: u64) -> bool {
    bits == STALE_NAN_BITS
}

/// The bits to send for a measured value. Every "not a number" becomes the ordinary one, so that no measurement is ever
/// taken for a stale marker; every other value, also -0.0, keeps its bits.
pub fn sample_bits(value: f64) -> u64 {
    if value.is_nan() { NORMAL_NAN_BITS } else { value.to_bits() }
}

/// A buffer that text can be appended to.
pub trait Text {
    /// Appends `text`.
    fn put(&mut self, text: &str);
}

impl Text for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Text for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Appends an integer.
pub fn put_int(out: &mut impl Text, value: i64) {
    out.put(itoa::Buffer::new().format(value));
}

/// Appends an unsigned integer.
pub fn put_uint(out: &mut impl Text, value: u64) {
    out.put(itoa::Buffer::new().format(value));
}

/// Appends `true` or `false`.
pub fn put_bool(out: &mut impl Text, value: bool) {
    out.put(if value { "true" } else { "false" });
}

/// Appends a double as an attribute's value: the shortest digits in ECMAScript's layout (`1`, `0.5`, `1e+21`, `1e-7`),
/// `NaN`, `Infinity`, `-Infinity`. Unlike ECMAScript, and like the Collector, it keeps the sign of `-0`.
pub fn put_double(out: &mut impl Text, value: f64) {
    if value.is_infinite() {
        out.put(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        put_number(out, value, Layout::Exponents);
    }
}

/// Appends a sample's value in an exposition format: as [`put_double`], but `+Inf` and `-Inf`.
pub fn put_sample(out: &mut impl Text, value: f64) {
    put_exposed(out, value, Layout::Exponents);
}

/// Appends a bucket's bound or a quantile, the value of a label `le` or `quantile`: shortest digits, never an exponent,
/// `1` and not `1.0`, `+Inf`, `-Inf`. The same in every format: the label is part of the series' identity.
pub fn put_bound(out: &mut impl Text, value: f64) {
    put_exposed(out, value, Layout::Plain);
}

/// Appends milliseconds as seconds with up to three decimals (`1.5`, `-0.001`), as OpenMetrics writes timestamps.
pub fn put_seconds(out: &mut impl Text, millis: i64) {
    if millis < 0 {
        out.put("-");
    }
    let millis = millis.unsigned_abs();
    put_uint(out, millis / 1000);
    let rest = (millis % 1000) as usize;
    if rest > 0 {
        let digits = [rest / 100, rest / 10 % 10, rest % 10];
        let kept = if rest.is_multiple_of(100) {
            1
        } else if rest.is_multiple_of(10) {
            2
        } else {
            3
        };
        out.put(".");
        for digit in &digits[..kept] {
            out.put(DIGITS[*digit]);
        }
    }
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const ZEROS: &str = "0000000000000000000000000000000000000000";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Plain,
    Exponents,
}

fn put_exposed(out: &mut impl Text, value: f64, layout: Layout) {
    if value.is_infinite() {
        out.put(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        put_number(out, value, layout);
    }
}

fn put_number(out: &mut impl Text, value: f64, layout: Layout) {
    /// Below this, every whole float is exactly one integer.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        return out.put("NaN");
    }
    if value.is_sign_negative() {
        out.put("-");
    }
    let value = value.abs();
    if value < WHOLE && value.fract() == 0.0 {
        return put_uint(out, value as u64);
    }
    let mut buffer = ryu::Buffer::new();
    put_digits(out, &Shortest::of(buffer.format_finite(value)), layout);
}

/// The shortest digits that read back as the same float: 0.`whole``fraction` times ten to the power of `point`.
struct Shortest<'a> {
    whole: &'a str,
    fraction: &'a str,
    point: i32,
}

impl<'a> Shortest<'a> {
    /// Takes apart `12.5`, `0.00125`, `1.25e-7`: no leading zero stays in the digits, nor a trailing `.0`.
    fn of(text: &'a str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let exponent: i32 = exponent.parse().expect("ryu writes exponents as plain integers");
        if whole == "0" {
            let digits = fraction.trim_start_matches('0');
            let zeros = (fraction.len() - digits.len()) as i32;
            return Self { whole: "", fraction: digits, point: exponent - zeros };
        }
        Self { whole, fraction, point: exponent + whole.len() as i32 }
    }

    fn len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// Appends the digits `from..to`.
    fn put(&self, out: &mut impl Text, from: usize, to: usize) {
        let split = self.whole.len();
        if from < split {
            out.put(&self.whole[from..to.min(split)]);
        }
        if to > split {
            out.put(&self.fraction[from.max(split) - split..to - split]);
        }
    }
}

fn put_digits(out: &mut impl Text, digits: &Shortest<'_>, layout: Layout) {
    let (len, point) = (digits.len(), digits.point);
    if layout == Layout::Exponents && !(-5..=21).contains(&point) {
        digits.put(out, 0, 1);
        if len > 1 {
            out.put(".");
            digits.put(out, 1, len);
        }
        out.put(if point > 0 { "e+" } else { "e-" });
        return put_uint(out, u64::from((point - 1).unsigned_abs()));
    }
    if point <= 0 {
        out.put("0.");
        put_zeros(out, point.unsigned_abs() as usize);
        return digits.put(out, 0, len);
    }
    let whole = point as usize;
    digits.put(out, 0, whole.min(len));
    if whole < len {
        out.put(".");
        digits.put(out, whole, len);
    } else {
        put_zeros(out, whole - len);
    }
}

fn put_zeros(out: &mut impl Text, mut count: usize) {
    while count > 0 {
        let part = count.min(ZEROS.len());
        out.put(&ZEROS[..part]);
        count -= part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn doubles_as_attribute_values_and_as_bounds() {
        let rows: &[(f64, &str, &str)] = &[
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (-1.0, "-1", "-1"),
            (0.5, "0.5", "0.5"),
            (2.5, "2.5", "2.5"),
            (12.75, "12.75", "12.75"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
            (0.001, "0.001", "0.001"),
            (0.000_001, "0.000001", "0.000001"),
            (0.000_000_1, "1e-7", "0.0000001"),
            (1.25e-7, "1.25e-7", "0.000000125"),
            (123_456_789.125, "123456789.125", "123456789.125"),
            (9_007_199_254_740_993.0, "9007199254740992", "9007199254740992"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1e+21", "1000000000000000000000"),
            (1.5e22, "1.5e+22", "15000000000000000000000"),
            (-1e300, "-1e+300", &format!("-1{}", "0".repeat(300))),
            (5e-324, "5e-324", &format!("0.{}5", "0".repeat(323))),
        ];
        for (value, double, bound) in rows {
            assert_eq!(text(|out| put_double(out, *value)), *double, "{value:e}");
            assert_eq!(text(|out| put_sample(out, *value)), *double, "{value:e}");
            assert_eq!(text(|out| put_bound(out, *value)), *bound, "{value:e}");
        }
    }

    #[test]
    fn what_is_not_finite_has_a_name_in_each_form() {
        let rows =
            [(f64::NAN, "NaN", "NaN"), (f64::INFINITY, "Infinity", "+Inf"), (f64::NEG_INFINITY, "-Infinity", "-Inf")];
        for (value, double, exposed) in rows {
            assert_eq!(text(|out| put_double(out, value)), double);
            assert_eq!(text(|out| put_sample(out, value)), exposed);
            assert_eq!(text(|out| put_bound(out, value)), exposed);
        }
    }

    #[test]
    fn integers_bools_and_seconds() {
        assert_eq!(text(|out| put_int(out, i64::MIN)), "-9223372036854775808");
        assert_eq!(text(|out| put_uint(out, u64::MAX)), "18446744073709551615");
        assert_eq!(text(|out| put_bool(out, true)), "true");
        let rows = [
            (0, "0"),
            (1, "0.001"),
            (1500, "1.5"),
            (1_700_000_000_120, "1700000000.12"),
            (-1, "-0.001"),
            (999, "0.999"),
            (300, "0.3"),
            (i64::MIN, "-9223372036854775.808"),
        ];
        for (millis, seconds) in rows {
            assert_eq!(text(|out| put_seconds(out, millis)), seconds);
        }
    }

    #[test]
    fn no_measurement_is_taken_for_a_stale_marker() {
        let quiet = sample_bits(f64::from_bits(STALE_NAN_BITS));
        assert!(!is_stale(quiet));
        assert_eq!(quiet, NORMAL_NAN_BITS);
        assert_eq!(sample_bits(-0.0), 0x8000_0000_0000_0000);
        assert!(is_stale(0x7ff0_0000_0000_0002));
    }

    proptest! {
        #[test]
        fn every_finite_double_reads_back_exactly(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for written in [text(|o| put_double(o, value)), text(|o| put_bound(o, value))] {
                let back: f64 = written.parse().expect("a number");
                prop_assert_eq!(back.to_bits(), bits, "{}", written);
            }
            prop_assert!(!text(|o| put_bound(o, value)).contains('e'));
        }
    }
}
