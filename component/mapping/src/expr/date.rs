//! Dates in strings, to Unix seconds. RFC 3339, the same without a zone (taken as UTC, as Python's `isoformat` writes it), and date-only.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::number::Number;

/// Unix seconds of `text`: whole if it names a whole second; `None` if it is no date.
pub fn parse(text: &str) -> Option<Number> {
    // Only texts that start with a year: jiff reads more forms than should count as a date here.
    if !text.as_bytes().get(..4)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    let nanoseconds = timestamp.subsec_nanosecond();
    Some(match nanoseconds {
        0 => Number::Int(timestamp.as_second()),
        _ => Number::Float(timestamp.as_second() as f64 + f64::from(nanoseconds) / 1e9),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_every_usual_form_become_unix_seconds() {
        let cases: &[(&str, Option<Number>)] = &[
            ("2026-09-30T12:00:00Z", Some(Number::Int(1_790_769_600))),
            ("2026-09-30T14:00:00+02:00", Some(Number::Int(1_790_769_600))),
            ("2026-09-30T12:00:00.5Z", Some(Number::Float(1_790_769_600.5))),
            ("2026-09-30T12:00:00", Some(Number::Int(1_790_769_600))),
            ("2026-09-30 12:00:00", Some(Number::Int(1_790_769_600))),
            ("2026-09-30", Some(Number::Int(1_790_726_400))),
            ("1969-12-31T23:59:58.5Z", Some(Number::Float(-1.5))),
            ("2026-02-30", None),
            ("30.9.2026", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), *expected, "{text}");
        }
    }
}
