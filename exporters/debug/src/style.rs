//! Colours and escapes. What is printed is marked with our own codes only: control characters in the data are escaped first,
//! so that no sender can speak to the terminal, and outputs that are no terminal get the text without the codes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a part of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Came into being.
    New,
    /// Is over.
    Ended,
    /// Is another than before.
    Changed,
    /// Matters less.
    Dim,
    /// Stands at the head.
    Head,
}

const RESET: &str = "\x1b[0m";

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::New => "\x1b[32m",
            Style::Ended => "\x1b[31m",
            Style::Changed => "\x1b[33m",
            Style::Dim => "\x1b[2m",
            Style::Head => "\x1b[1m",
        }
    }

    /// The text in this style.
    pub(crate) fn paint(self, text: &str) -> String {
        format!("{}{text}{RESET}", self.code())
    }
}

/// The text without codes.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Ours all end with the first `m`.
        plain.push_str(part.split_once('m').map_or("", |(_, text)| text));
    }
    Cow::Owned(plain)
}

/// Appends text of the data: control characters as `\n`, `\t`, `\u{1b}`; quotes and backslashes too if `quoted`.
pub(crate) fn put_escaped(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' if quoted => out.extend(['\\', c]),
            c if c.is_control() || is_bidi(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Characters that turn the direction of the text around them.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether colours are wanted at all: <https://no-color.org>.
pub(crate) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_off_and_data_brings_none() {
        let painted = format!("a {} b {}", Style::New.paint("+1 new"), Style::Dim.paint("x"));
        assert_eq!(plain(&painted), "a +1 new b x");
        assert!(matches!(plain("no codes"), Cow::Borrowed(_)));
        let mut out = String::new();
        put_escaped(&mut out, "a\x1b[31m\n\"\\\u{202e}é\u{9b}", true);
        assert_eq!(out, "a\\u{1b}[31m\\n\\\"\\\\\\u{202e}é\\u{9b}");
    }
}
