//! What a plain scalar means: YAML's core schema, with booleans spelt `true` and `false` alone.

use std::sync::Arc;

use crate::node::Kind;

/// The meaning of a plain (unquoted) scalar.
pub(crate) fn resolve(text: &Arc<str>) -> Kind {
    match &**text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        plain => number(plain).unwrap_or_else(|| Kind::Str(text.clone())),
    }
}

fn number(text: &str) -> Option<Kind> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    whole(text).or_else(|| fraction(text))
}

fn whole(text: &str) -> Option<Kind> {
    let radix = |digits: &str, radix| {
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        all.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
    };
    let value = if let Some(hex) = text.strip_prefix("0x") {
        radix(hex, 16)?
    } else if let Some(octal) = text.strip_prefix("0o") {
        radix(octal, 8)?
    } else {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        sign * radix(digits, 10)?
    };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(Kind::Int(value))
}

fn fraction(text: &str) -> Option<Kind> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(Kind::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if rest.len() == text.len() => return Some(Kind::Float(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_is_right = digits(before) && digits(after) && !(before.is_empty() && after.is_empty());
    let exponent_is_right = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    if !mantissa_is_right || !exponent_is_right {
        return None;
    }
    rest.parse::<f64>().ok().map(|value| Kind::Float(sign * value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> String {
        match resolve(&text.into()) {
            Kind::Null => "null".to_owned(),
            Kind::Bool(value) => format!("bool {value}"),
            Kind::Int(value) => format!("int {value}"),
            Kind::Float(value) => format!("float {value}"),
            _ => "text".to_owned(),
        }
    }

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        let cases = [
            ("", "null"),
            ("~", "null"),
            ("null", "null"),
            ("true", "bool true"),
            ("False", "bool false"),
            ("yes", "text"),
            ("on", "text"),
            ("no", "text"),
            ("off", "text"),
            ("y", "text"),
            ("0", "int 0"),
            ("-7", "int -7"),
            ("+7", "int 7"),
            ("0123", "int 123"),
            ("0x1F", "int 31"),
            ("0o17", "int 15"),
            ("18446744073709551615", "int 18446744073709551615"),
            ("18446744073709551616", "float 18446744073709552000"),
            ("1e5", "float 100000"),
            ("1.5", "float 1.5"),
            (".5", "float 0.5"),
            ("5.", "float 5"),
            ("-.inf", "float -inf"),
            (".nan", "float NaN"),
            ("1_000", "text"),
            ("30s", "text"),
            ("1.2.3", "text"),
            ("-", "text"),
            (".", "text"),
            ("+", "text"),
            ("0x", "text"),
            ("1e", "text"),
            ("e5", "text"),
            ("inf", "text"),
            ("nan", "text"),
            ("-+1", "text"),
        ];
        for (text, expected) in cases {
            assert_eq!(resolved(text), expected, "{text:?}");
        }
    }
}
