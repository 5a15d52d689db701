//! One value of a row, whatever the database.

use std::borrow::Cow;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// A moment, in nanoseconds since the Unix epoch.
    Time(i128),
    /// Anything else, as text; exact decimals too.
    Text(String),
}

impl Cell {
    /// As text; nothing for NULL.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Cell::Null => return None,
            Cell::Int(int) => Cow::Owned(int.to_string()),
            Cell::Double(double) => Cow::Owned(double.to_string()),
            Cell::Bool(bool) => Cow::Borrowed(if *bool { "true" } else { "false" }),
            Cell::Time(nanos) => match jiff::Timestamp::from_nanosecond(*nanos) {
                Ok(time) => Cow::Owned(time.to_string()),
                Err(_) => Cow::Owned(nanos.to_string()),
            },
            Cell::Text(text) => Cow::Borrowed(text),
        })
    }

    /// As a whole number, if it is one.
    pub(crate) fn int(&self) -> Option<i64> {
        /// Doubles up to here are exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Cell::Int(int) => Some(*int),
            Cell::Bool(bool) => Some(i64::from(*bool)),
            Cell::Double(double) => (double.fract() == 0.0 && double.abs() <= EXACT).then_some(*double as i64),
            Cell::Text(text) => {
                let text = text.trim();
                // An exact decimal may carry a fraction of zeros.
                let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
                whole.map_or(text, |(whole, _)| whole).parse().ok()
            }
            Cell::Null | Cell::Time(_) => None,
        }
    }

    /// As a number, if it is one.
    pub(crate) fn double(&self) -> Option<f64> {
        match self {
            Cell::Int(int) => Some(*int as f64),
            Cell::Bool(bool) => Some(f64::from(u8::from(*bool))),
            Cell::Double(double) => Some(*double),
            Cell::Text(text) => text.trim().parse().ok(),
            Cell::Null | Cell::Time(_) => None,
        }
    }

    /// As a moment: a timestamp, or nanoseconds since the Unix epoch.
    pub(crate) fn nanos(&self) -> Option<u64> {
        let nanos = match self {
            Cell::Time(nanos) => u64::try_from(*nanos).ok(),
            Cell::Int(int) => u64::try_from(*int).ok(),
            Cell::Text(text) => text.trim().parse().ok().or_else(|| {
                let time: jiff::Timestamp = text.trim().parse().ok()?;
                u64::try_from(time.as_nanosecond()).ok()
            }),
            Cell::Null | Cell::Double(_) | Cell::Bool(_) => None,
        };
        nanos.filter(|nanos| *nanos > 0)
    }

    /// The bytes that it holds, roughly.
    pub(crate) fn size(&self) -> usize {
        size_of::<Cell>() + if let Cell::Text(text) = self { text.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_kind() {
        let text = |text: &str| Cell::Text(text.into());
        let rows = [
            (Cell::Int(5), Some(5), Some(5.0)),
            (Cell::Bool(true), Some(1), Some(1.0)),
            (Cell::Double(2.0), Some(2), Some(2.0)),
            (Cell::Double(2.5), None, Some(2.5)),
            (text("12.000"), Some(12), Some(12.0)),
            (text("12.5"), None, Some(12.5)),
            (text(" 7 "), Some(7), Some(7.0)),
            (text("x"), None, None),
            (Cell::Null, None, None),
            (Cell::Time(5), None, None),
        ];
        for (cell, int, double) in rows {
            assert_eq!((cell.int(), cell.double()), (int, double), "{cell:?}");
        }
        assert_eq!(text("NaN").double().map(f64::is_nan), Some(true));
    }

    #[test]
    fn moments() {
        let text = |text: &str| Cell::Text(text.into());
        for cell in
            [Cell::Time(1_500_000_000), Cell::Int(1_500_000_000), text("1500000000"), text("1970-01-01T00:00:01.5Z")]
        {
            assert_eq!(cell.nanos(), Some(1_500_000_000), "{cell:?}");
        }
        for cell in [Cell::Time(-1), Cell::Int(0), text("soon"), Cell::Double(1.0), Cell::Null] {
            assert_eq!(cell.nanos(), None, "{cell:?}");
        }
        assert_eq!(Cell::Time(1_500_000_000).text().unwrap(), "1970-01-01T00:00:01.5Z");
    }
}
