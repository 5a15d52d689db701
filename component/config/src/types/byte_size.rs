//! A number of bytes, `512KiB` or `1MB`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::InvalidValue;

const EXPECTED: &str = "a number of bytes such as `512KiB`, `1MB` or `65536`";

/// A number of bytes: `512KiB` (1024 each), `1MB` (1,000,000), or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// So many times 1024 KiB.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a size in memory; the largest `usize` where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Bytes per unit; a binary unit comes before the decimal one that it may be confused with.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidValue::new(format!("`{text}` is not a number of bytes"), EXPECTED);
        let trimmed = text.trim();
        if trimmed.starts_with('-') {
            return Err(InvalidValue::new(format!("the number of bytes `{text}` is negative"), EXPECTED));
        }
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = unit.trim();
        let scale = if unit.is_empty() {
            1
        } else if let Some((_, scale)) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            *scale
        } else {
            let letter = unit.chars().next().map(|c| c.to_ascii_uppercase()).filter(|c| "KMGT".contains(*c));
            let error = invalid();
            return Err(match letter {
                Some(letter) if unit.len() <= 2 && !number.is_empty() => error.meant(format!("{number}{letter}iB")),
                _ => error,
            });
        };
        scaled(number, scale).map(Self).ok_or_else(invalid)
    }
}

/// `1.5` times a unit, if that is a whole number of bytes that fits.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 12 || !part.bytes().all(|b| b.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    let ten = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let fraction: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let units = u128::from(whole.parse::<u64>().ok()?) * ten + fraction;
    let bytes = units * u128::from(scale);
    (bytes.is_multiple_of(ten)).then(|| u64::try_from(bytes / ten).ok()).flatten()
}

super::scalar_type!(ByteSize, crate::decode::BYTE_SIZE, EXPECTED, |number| Ok::<_, InvalidValue>(ByteSize(number)));

impl fmt::Display for ByteSize {
    /// In the largest unit of which it is a whole number; bytes without a unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| *scale > 1 && self.0 >= *scale && self.0.is_multiple_of(*scale);
        match UNITS.iter().filter(fits).max_by_key(|(_, scale)| *scale) {
            Some((name, scale)) => write!(f, "{}{name}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: a plain number, or one with a unit: KiB, MiB, GiB, TiB (1024 each), kB, MB, GB, TB (1000 each).",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(([kKmMgGtT][iI]?)?[bB])?\s*$"}
            ],
            "examples": ["512KiB", "1MB", 65536]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        let cases = [
            ("0", 0, "0"),
            ("1500", 1500, "1500"),
            ("512KiB", 512 * 1024, "512KiB"),
            ("1MB", 1_000_000, "1MB"),
            ("1 mib", 1 << 20, "1MiB"),
            ("1.5MiB", 3 << 19, "1536KiB"),
            ("2B", 2, "2"),
            ("16TiB", 16 << 40, "16TiB"),
        ];
        for (text, bytes, printed) in cases {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, printed), "{text}");
        }
    }

    #[test]
    fn wrong_spellings_are_refused_with_the_likely_one() {
        let cases = [
            ("5M", Some("5MiB")),
            ("1Gi", Some("1GiB")),
            ("10x", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("KiB", None),
            ("99999999999TiB", None),
        ];
        for (text, meant) in cases {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert_eq!(error.help, meant.map(|meant| format!("did you mean `{meant}`?")), "{text}");
        }
    }
}
