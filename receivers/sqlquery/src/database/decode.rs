//! PostgreSQL's binary values as cells. Source: the `send` functions of its types; times count from 2000-01-01.

use std::error::Error;
use std::fmt::Write;

use tokio_postgres::types::{FromSql, Kind, Type};

use crate::cell::Cell;

/// A cell that any column may hold.
pub(super) struct Decoded(pub(super) Cell);

/// Why a value does not read.
type Refused = Box<dyn Error + Sync + Send>;

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Refused> {
        decode(kind, raw).map(Decoded)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Refused> {
        Ok(Decoded(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Seconds from the Unix epoch to PostgreSQL's.
const EPOCH: i128 = 946_684_800;
const DAY: i128 = 86_400;
const SECOND: i128 = 1_000_000_000;

fn decode(kind: &Type, raw: &[u8]) -> Result<Cell, Refused> {
    Ok(match *kind {
        Type::BOOL => Cell::Bool(bool::from_sql(kind, raw)?),
        Type::INT2 => Cell::Int(i16::from_sql(kind, raw)?.into()),
        Type::INT4 => Cell::Int(i32::from_sql(kind, raw)?.into()),
        Type::INT8 => Cell::Int(i64::from_sql(kind, raw)?),
        Type::OID => Cell::Int(u32::from_sql(kind, raw)?.into()),
        Type::FLOAT4 => Cell::Double(widened(f32::from_sql(kind, raw)?)),
        Type::FLOAT8 => Cell::Double(f64::from_sql(kind, raw)?),
        Type::NUMERIC => Cell::Text(numeric(raw).ok_or("it is no numeric")?),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            Cell::Time(EPOCH * SECOND + i128::from(i64::from_be_bytes(raw.try_into()?)) * 1000)
        }
        Type::DATE => Cell::Time((EPOCH + i128::from(i32::from_be_bytes(raw.try_into()?)) * DAY) * SECOND),
        Type::UUID => Cell::Text(uuid(raw)),
        Type::BYTEA => Cell::Text(hex(raw)),
        Type::JSONB => Cell::Text(text(raw.get(1..).unwrap_or_default())?),
        Type::JSON | Type::XML | Type::CHAR => Cell::Text(text(raw)?),
        _ => match kind.kind() {
            Kind::Enum(_) => Cell::Text(text(raw)?),
            Kind::Domain(inner) => return decode(inner, raw),
            _ if <&str>::accepts(kind) => Cell::Text(text(raw)?),
            _ => return Err(format!("the type `{}` is not read: cast it, as in `column::text`", kind.name()).into()),
        },
    })
}

fn text(raw: &[u8]) -> Result<String, Refused> {
    Ok(std::str::from_utf8(raw)?.to_string())
}

/// The double that prints like the float.
fn widened(float: f32) -> f64 {
    float.to_string().parse().unwrap_or(f64::from(float))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn uuid(raw: &[u8]) -> String {
    let text = hex(raw);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A decimal, exactly: groups of four digits, the first of which stands `weight` groups before the point.
fn numeric(raw: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_be_bytes(raw.get(at * 2..at * 2 + 2)?.try_into().ok()?));
    let (groups, weight, sign, scale) = (word(0)?, word(1)?.cast_signed(), word(2)?, usize::from(word(3)?));
    match sign {
        0xc000 => return Some("NaN".into()),
        0xd000 => return Some("inf".into()),
        0xf000 => return Some("-inf".into()),
        _ => {}
    }
    let digits: Vec<u16> = (0..usize::from(groups)).map(|group| word(4 + group)).collect::<Option<_>>()?;
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let mut text = String::from(if sign == 0x4000 { "-" } else { "" });
    let mut whole = String::new();
    for at in 0..=i32::from(weight).max(0) {
        let _ = write!(whole, "{:04}", if weight < 0 { 0 } else { group(at) });
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        let mut at = i32::from(weight) + 1;
        // Groups that are left out behind the point are zero.
        (0..-at).take(scale / 4 + 1).for_each(|_| fraction.push_str("0000"));
        at = at.max(0);
        while fraction.len() < scale {
            let _ = write!(fraction, "{:04}", group(at));
            at += 1;
        }
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn decimals_are_exact() {
        let rows: &[(&[u16], &str)] = &[
            (&[0, 0, 0, 0], "0"),
            (&[1, 0, 0, 0, 5], "5"),
            (&[2, 1, 0, 0, 1, 2345], "12345"),
            (&[2, 0, 0, 2, 12, 3400], "12.34"),
            (&[2, 0, 0x4000, 3, 12, 3450], "-12.345"),
            (&[1, 0xffff, 0, 4, 1], "0.0001"),
            (&[1, 0xfffe, 0, 8, 1], "0.00000001"),
            (&[1, 2, 0, 1, 1], "100000000.0"),
            (&[0, 0, 0xc000, 0], "NaN"),
            (&[0, 0, 0xf000, 0], "-inf"),
        ];
        for (words, expected) in rows {
            assert_eq!(numeric(&raw(words)).as_deref(), Some(*expected));
        }
        assert_eq!(numeric(&raw(&[2, 0, 0, 0, 1])), None);
        assert_eq!(numeric(b"x"), None);
    }

    #[test]
    fn types_and_what_is_none() {
        assert_eq!(decode(&Type::INT4, &[0, 0, 0, 7]).unwrap(), Cell::Int(7));
        assert_eq!(decode(&Type::FLOAT4, &0.1f32.to_be_bytes()).unwrap(), Cell::Double(0.1));
        assert_eq!(decode(&Type::TIMESTAMPTZ, &[0; 8]).unwrap().text().unwrap(), "2000-01-01T00:00:00Z");
        assert_eq!(decode(&Type::DATE, &[0, 0, 0, 1]).unwrap().text().unwrap(), "2000-01-02T00:00:00Z");
        assert_eq!(
            decode(&Type::UUID, &[0xab; 16]).unwrap(),
            Cell::Text("abababab-abab-abab-abab-abababababab".into())
        );
        assert_eq!(decode(&Type::JSONB, b"\x01{}").unwrap(), Cell::Text("{}".into()));
        for (kind, raw) in
            [(Type::INT4, &b"x"[..]), (Type::TIMESTAMP, b""), (Type::TEXT, b"\xff"), (Type::NUMERIC, b"")]
        {
            assert!(decode(&kind, raw).is_err());
        }
        assert!(decode(&Type::POINT, &[0; 16]).unwrap_err().to_string().contains("column::text"));
    }
}
