//! The reversible and lossy ways to show a UTF-8 name to a scraper that asked for something else.

use super::is_label_byte;

/// How a name outside the classic character set is shown: the `escaping` parameter of an `Accept` header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// As it is, in quotes.
    AllowUtf8,
    /// Each illegal character becomes `_`. What a scraper gets that does not ask.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, other characters become `__`.
    Dots,
    /// `U__`, then each illegal character as `_<hex>_`, and `_` as `__`; legal names stay. Reversible.
    Values,
}

impl Escaping {
    /// Reads the value of an `escaping` parameter.
    pub fn parse(value: &str) -> Option<Self> {
        Some(match value {
            "allow-utf-8" => Self::AllowUtf8,
            "underscores" => Self::Underscores,
            "dots" => Self::Dots,
            "values" => Self::Values,
            _ => return None,
        })
    }
}

/// Appends `name` under `escaping`. `colons` says whether `:` is legal: in metric names, not in label names.
///
/// With [`Escaping::AllowUtf8`] the bare name is appended; quotes and their escapes are the format's business.
pub fn put_escaped(out: &mut Vec<u8>, name: &str, escaping: Escaping, colons: bool) {
    let legal = |c: char| c.is_ascii() && (is_label_byte(c as u8) || (colons && c == ':'));
    let classic = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(legal);
    if escaping == Escaping::AllowUtf8 || (classic && escaping != Escaping::Dots) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    if escaping == Escaping::Values {
        out.extend_from_slice(b"U__");
    }
    for (at, c) in name.chars().enumerate() {
        let legal = legal(c) && !(at == 0 && c.is_ascii_digit());
        match (escaping, c) {
            (Escaping::Dots | Escaping::Values, '_') => out.extend_from_slice(b"__"),
            (_, c) if legal => out.push(c as u8),
            (Escaping::Dots, '.') => out.extend_from_slice(b"_dot_"),
            (Escaping::Dots, _) => out.extend_from_slice(b"__"),
            (Escaping::Values, c) => put_hex(out, c),
            _ => out.push(b'_'),
        }
    }
}

fn put_hex(out: &mut Vec<u8>, c: char) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let code = u32::from(c);
    out.push(b'_');
    let mut shift = (u32::BITS - code.leading_zeros()).div_ceil(4).max(1) * 4;
    while shift > 0 {
        shift -= 4;
        out.push(DIGITS[(code >> shift & 0xf) as usize]);
    }
    out.push(b'_');
}
