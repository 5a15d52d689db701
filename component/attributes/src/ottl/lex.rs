//! From text to tokens, each with its column.

use super::OttlError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Int(i64),
    Float(f64),
    /// `==`, `(`, `.`, ...
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    /// In characters from 1.
    pub(super) column: usize,
}

/// Longer ones first.
const SIGNS: [&str; 20] =
    ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ".", ",", "+", "-", "*", "/", "{", "}", ":", "="];

pub(super) fn lex(text: &str) -> Result<Vec<Placed>, OttlError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let column = text[..text.len() - rest.len()].chars().count() + 1;
        let Some(first) = rest.chars().next() else {
            tokens.push(Placed { token: Token::End, column });
            return Ok(tokens);
        };
        let (token, len) = match first {
            '"' => quoted(rest, column)?,
            c if c.is_ascii_digit() => number(rest, column)?,
            '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest, column)?,
            c if c.is_ascii_alphabetic() || c == '_' => {
                let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Token::Word(rest[..len].to_owned()), len)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(OttlError { column, message: format!("unexpected `{first}`") }),
            },
        };
        tokens.push(Placed { token, column });
        rest = &rest[len..];
    }
}

/// A text in quotes, and how many bytes it takes.
fn quoted(rest: &str, column: usize) -> Result<(Token, usize), OttlError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(text), at + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some(c @ ('"' | '\\')) => text.push(c),
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(c) => {
                    let message = format!("unknown escape `\\{c}`; a backslash is written `\\\\`");
                    return Err(OttlError { column, message });
                }
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(OttlError { column, message: "the text has no end".into() })
}

fn number(rest: &str, column: usize) -> Result<(Token, usize), OttlError> {
    let sign = usize::from(rest.starts_with('-'));
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut len = sign + digits(&rest[sign..]);
    let mut is_float = false;
    if rest[len..].starts_with('.') && rest[len + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        len += 1 + digits(&rest[len + 1..]);
        is_float = true;
    }
    if let Some(exponent) = rest[len..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let count = digits(&exponent[sign..]);
        if count > 0 {
            len += 1 + sign + count;
            is_float = true;
        }
    }
    let number = &rest[..len];
    let token = match is_float {
        true => number.parse().ok().filter(|float: &f64| float.is_finite()).map(Token::Float),
        false => number.parse().ok().map(Token::Int),
    };
    let too_large = || OttlError { column, message: format!("the number `{number}` is too large") };
    token.map(|token| (token, len)).ok_or_else(too_large)
}
