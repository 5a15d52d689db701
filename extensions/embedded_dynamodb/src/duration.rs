//! Spans of time as they are written in a seed file: `5s`, `250ms`, `1m30s`.

use std::time::Duration;

/// Reads a span; the parts of `1m30s` add up.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is no span of time, expected for example `250ms`, `5s`, `1m30s` or `2h`");
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let tail = &rest[digits..];
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let part = span(number, &tail[..letters]).ok_or_else(bad)?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = &tail[letters..];
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

fn span(number: u64, unit: &str) -> Option<Duration> {
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7200)));
    }

    #[test]
    fn refuses_the_rest() {
        for bad in ["", "5", "s", "-5s", "5 s", "5d", "99999999999999999999s"] {
            assert!(parse(bad).unwrap_err().contains("expected"), "{bad}");
        }
    }
}
