//! The text of a series, `name{label="value"}` or `{"name",label="value"}`: where it ends, and what it says.
//! Finding the end is all that a known series costs.

use memchr::{memchr2, memchr3};

use crate::error::{Fault, shown};
use crate::labels::{Labels, NAME};

/// How long the text of the series is that `line` begins with. `open`: by OpenMetrics' rules, which allow no blanks.
/// `None` if its braces do not close.
pub(crate) fn series_len(line: &[u8], open: bool) -> Option<usize> {
    let name = memchr3(b'{', b' ', b'\t', line).unwrap_or(line.len());
    let mut brace = name;
    if !open {
        brace += blanks(&line[name..]);
    }
    if line.get(brace) == Some(&b'{') { Some(brace + braces_len(&line[brace..])?) } else { Some(name) }
}

/// How long `{...}` is, by its quotes only.
pub(crate) fn braces_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'}', text.get(at..)?)? + 1;
        if text[at - 1] == b'}' {
            return Some(at);
        }
        at += string_len(&text[at..])?;
    }
}

/// How long a string is whose opening quote stands before `text`, closing quote included.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)? + 1;
        if text[at - 1] == b'"' {
            return Some(at);
        }
        at += 1;
    }
}

pub(crate) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_blank(**byte)).count()
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(crate) fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':')
}

fn is_name_byte(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit()
}

/// How long the metric name without quotes is that `text` begins with; 0 if there is none.
pub(crate) fn name_len(text: &[u8]) -> usize {
    match text.first() {
        Some(byte) if is_name_start(*byte) => text.iter().take_while(|byte| is_name_byte(**byte)).count(),
        _ => 0,
    }
}

/// The string that `text` begins with, without its quotes and still escaped; `None` if it does not close.
pub(crate) fn quoted(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"\"")?;
    Some(&text[..string_len(text)? - 1])
}

/// Bytes as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Utf8(shown(bytes)))
}

/// Replaces `labels` by those that the text of a series says, name included.
pub(crate) fn read_series(series: &[u8], open: bool, labels: &mut Labels) -> Result<(), Fault> {
    labels.clear();
    let name = name_len(series);
    let mut cursor = Cursor { text: series, at: name, open, named: name > 0, exemplar: false };
    if name > 0 {
        labels.push(NAME, utf8(&series[..name])?);
    }
    cursor.skip_blanks();
    match cursor.peek() {
        Some(b'{') => cursor.read_braces(labels)?,
        Some(_) => return Err(Fault::Start(shown(series))),
        None => {}
    }
    if !cursor.named {
        return Err(Fault::NoName(shown(series)));
    }
    labels.settle()
}

/// Replaces `labels` by those of the `{...}` of an exemplar.
pub(crate) fn read_exemplar(text: &[u8], labels: &mut Labels) -> Result<(), Fault> {
    labels.clear();
    Cursor { text, at: 0, open: true, named: false, exemplar: true }.read_braces(labels)?;
    labels.settle()
}

/// Reads `{...}` to the end of the text.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
    open: bool,
    named: bool,
    exemplar: bool,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        if !self.open {
            self.at += blanks(self.rest());
        }
    }

    fn read_braces(&mut self, labels: &mut Labels) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.skip_blanks();
            match self.peek() {
                Some(b'}') => break,
                Some(b'"') => self.read_quoted(labels)?,
                _ => {
                    let name = self.bare_label_name()?;
                    self.read_value(name, labels)?;
                }
            }
            self.read_comma()?;
        }
        match self.rest() {
            [_] => Ok(()),
            rest => Err(Fault::Trailing(shown(&rest[1..]))),
        }
    }

    /// A quoted string is the name of a label if a value follows, else that of the metric.
    fn read_quoted(&mut self, labels: &mut Labels) -> Result<(), Fault> {
        let raw = quoted(self.rest()).ok_or_else(|| Fault::LabelName(shown(self.rest())))?;
        let name = utf8(raw)?;
        let start = self.at;
        self.at += raw.len() + 2;
        self.skip_blanks();
        if !matches!(self.peek(), Some(b',' | b'}')) {
            return self.read_value(name, labels);
        }
        if self.exemplar {
            return Err(Fault::LabelName(shown(&self.text[start..])));
        }
        if self.named {
            return Err(Fault::TwoNames(shown(self.text)));
        }
        if name.is_empty() {
            return Err(Fault::NoName(shown(self.text)));
        }
        self.named = true;
        labels.push_escaped(NAME, name);
        Ok(())
    }

    fn bare_label_name(&mut self) -> Result<&'t str, Fault> {
        let len = name_len(self.rest());
        let name = &self.rest()[..len];
        if name.is_empty() || name.contains(&b':') {
            return Err(Fault::LabelName(shown(self.rest())));
        }
        self.at += len;
        utf8(name)
    }

    fn read_value(&mut self, name: &str, labels: &mut Labels) -> Result<(), Fault> {
        self.skip_blanks();
        if self.peek() != Some(b'=') {
            return Err(Fault::Equals(shown(name.as_bytes())));
        }
        self.at += 1;
        self.skip_blanks();
        if name.is_empty() {
            return Err(Fault::LabelName("\"\"".into()));
        }
        let raw = quoted(self.rest()).ok_or_else(|| Fault::LabelValue(shown(name.as_bytes())))?;
        labels.push_escaped(name, utf8(raw)?);
        self.at += raw.len() + 2;
        Ok(())
    }

    /// Behind a label: a comma, which may be the last, or the closing brace. Text 0.0.4 takes labels without commas too.
    fn read_comma(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(b'}') => {}
            Some(_) if !self.open => {}
            _ => return Err(Fault::Comma(shown(self.rest()))),
        }
        Ok(())
    }
}
