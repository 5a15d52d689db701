//! Time zones by name, as the expression language wants them: `timestamp(x).getHours('Europe/Berlin')`.
//!
//! The interpreter takes them from the crate `chrono-tz`, whose tables are 34,000 pointers to names: 2.2 MB of the binary, of
//! which each process writes 1.4 MB as it starts. This crate takes its place with the same names, on the database that
//! jiff packs into a tenth of that.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::fmt;
use std::str::FromStr;

use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use jiff::civil;
use jiff::tz::{self, AmbiguousOffset};

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tz(tz::TimeZone);

/// Coordinated universal time.
pub const UTC: Tz = Tz(tz::TimeZone::UTC);

/// There is no zone of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(());

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no time zone of this name")
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Tz {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        tz::TimeZone::get(name).map(Tz).map_err(|_| ParseError(()))
    }
}

/// How far a zone is from UTC at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TzOffset {
    zone: Tz,
    fixed: FixedOffset,
}

impl Offset for TzOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl fmt::Display for TzOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fixed.fmt(f)
    }
}

impl Tz {
    fn by(&self, offset: tz::Offset) -> TzOffset {
        // jiff's bound is 25:59:59, chrono's a day less a second; no zone was ever so far off.
        let fixed = FixedOffset::east_opt(offset.seconds()).unwrap_or(Offset::fix(&chrono::Utc));
        TzOffset { zone: self.clone(), fixed }
    }
}

impl TimeZone for Tz {
    type Offset = TzOffset;

    fn from_offset(offset: &TzOffset) -> Self {
        offset.zone.clone()
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<TzOffset> {
        self.offset_from_local_datetime(&local.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<TzOffset> {
        let Some(local) = civil_time(local) else { return MappedLocalTime::None };
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(self.by(offset)),
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
            AmbiguousOffset::Fold { before, after } => MappedLocalTime::Ambiguous(self.by(before), self.by(after)),
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> TzOffset {
        self.offset_from_utc_datetime(&utc.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> TzOffset {
        // Outside of jiff's years, -9999 to 9999, by the rules of its first or last.
        let seconds = utc.and_utc().timestamp();
        let bounds = jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second();
        let within = jiff::Timestamp::from_second(seconds.clamp(*bounds.start(), *bounds.end()));
        self.by(within.map_or(tz::Offset::UTC, |time| self.0.to_offset(time)))
    }
}

fn civil_time(time: &NaiveDateTime) -> Option<civil::DateTime> {
    jiff::Timestamp::from_second(time.and_utc().timestamp()).ok().map(|time| tz::Offset::UTC.to_datetime(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Local time and offset of an instant, written as RFC 3339.
    fn seen_in(zone: &str, utc: &str) -> String {
        let utc: chrono::DateTime<chrono::Utc> = utc.parse().unwrap();
        utc.with_timezone(&zone.parse::<Tz>().unwrap()).fixed_offset().format("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    #[test]
    fn zones_have_their_rules() {
        let cases = [
            ("Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T01:59:59+01:00"),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"),
            ("America/New_York", "2026-09-30T12:00:00Z", "2026-09-30T08:00:00-04:00"),
            ("America/New_York", "1883-11-18T12:00:00Z", "1883-11-18T07:03:58-04:56"),
            ("Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T05:30:00+05:30"),
            ("Australia/Lord_Howe", "2026-01-01T00:00:00Z", "2026-01-01T11:00:00+11:00"),
            ("Pacific/Kiritimati", "2050-06-01T00:00:00Z", "2050-06-01T14:00:00+14:00"),
            ("UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"),
            ("Etc/GMT+3", "2026-01-01T00:00:00Z", "2025-12-31T21:00:00-03:00"),
        ];
        for (zone, utc, local) in cases {
            assert_eq!(seen_in(zone, utc), local, "{zone}");
        }
    }

    #[test]
    fn a_local_time_may_be_twice_or_never() {
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| berlin.offset_from_local_datetime(&text.parse().unwrap());
        let hours = |offset: &TzOffset| offset.fix().local_minus_utc() / 3600;
        assert_eq!(at("2026-07-01T12:00:00").single().as_ref().map(hours), Some(2));
        assert_eq!(at("2026-03-29T02:30:00"), MappedLocalTime::None);
        let MappedLocalTime::Ambiguous(before, after) = at("2026-10-25T02:30:00") else { panic!() };
        assert_eq!((hours(&before), hours(&after)), (2, 1));
    }

    #[test]
    fn names_that_are_none_and_years_that_are_far_are_no_panic() {
        for name in ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\0"] {
            assert!(name.parse::<Tz>().is_err(), "{name:?}");
        }
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        for time in [NaiveDateTime::MIN, NaiveDateTime::MAX] {
            berlin.offset_from_utc_datetime(&time);
            assert_eq!(berlin.offset_from_local_datetime(&time), MappedLocalTime::None);
        }
    }
}
