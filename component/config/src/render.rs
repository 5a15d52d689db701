//! Findings as text with excerpts, as JSON, and as GitHub annotations. Secrets are starred out of every excerpt.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity, looks_secret};
use crate::place::Place;

/// A longer line is not shown: it would fill the screen and explain nothing.
const LONGEST_LINE: usize = 400;

impl Diagnostics {
    /// For people: each finding with an excerpt, then a line that counts them. Empty if there is nothing to say.
    pub fn to_text(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for diagnostic in self.sorted() {
            out.push_str(&renderer.render(&[self.group(diagnostic)]));
            out.push_str("\n\n");
        }
        if !self.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{}", self.summary());
        }
        out
    }

    /// For programs: `{"errors": n, "warnings": n, "diagnostics": [...]}`. Each has `rule`, `severity`, `path`,
    /// `message` and `notes`, and, where known, `file`, `line`, `column` (both from 1), `expected`, `help`. Fields may be added.
    pub fn to_json(&self) -> String {
        let report = Report {
            errors: self.error_count(),
            warnings: self.warning_count(),
            diagnostics: self.sorted().into_iter().map(Entry::new).collect(),
        };
        // Texts and numbers always serialise.
        serde_json::to_string_pretty(&report).unwrap_or_default()
    }

    /// For a workflow on GitHub: one `::error` or `::warning` command a line.
    pub fn to_github(&self) -> String {
        let mut out = String::new();
        for diagnostic in self.sorted() {
            let level = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let mut properties = Vec::new();
            if let Some(place) = &diagnostic.place {
                properties.push(format!("file={}", github_property(&place.file)));
                properties.push(format!("line={},col={}", place.line, place.column));
            }
            properties.push(format!("title={}", github_property(diagnostic.rule)));
            let mut message = diagnostic.message.clone();
            let path = Some(&diagnostic.path).filter(|path| !path.is_empty()).map(|path| format!("at {path}"));
            for line in remarks(diagnostic).into_iter().map(|(_, line)| line).chain(path) {
                message.push('\n');
                message.push_str(&line);
            }
            let _ = writeln!(out, "::{level} {}::{}", properties.join(","), github_data(&message));
        }
        out
    }

    fn summary(&self) -> String {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        match (self.error_count(), self.warning_count()) {
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    fn group(&self, diagnostic: &Diagnostic) -> Group<'static> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(normalize_untrusted_str(&diagnostic.message)).id(diagnostic.rule);
        let mut group = Group::with_title(title);
        if let Some(place) = &diagnostic.place {
            group = group.element(self.excerpt(place, AnnotationKind::Primary, None));
        }
        for note in &diagnostic.notes {
            if let Some(place) = &note.place {
                group = group.element(self.excerpt(place, AnnotationKind::Context, Some(&note.message)));
            }
        }
        if !diagnostic.path.is_empty() {
            group = group.element(Level::NOTE.with_name("at").message(normalize_untrusted_str(&diagnostic.path)));
        }
        for (kind, text) in remarks(diagnostic) {
            let level = if kind == "help" { Level::HELP } else { Level::NOTE };
            let text = text.strip_prefix("help: ").unwrap_or(&text);
            group = group.element(level.message(normalize_untrusted_str(text)));
        }
        group
    }

    /// The line where it stands, or the place alone if there is no line to show.
    fn excerpt(&self, place: &Place, kind: AnnotationKind, label: Option<&str>) -> Element<'static> {
        let origin = || {
            let origin = Origin::path(place.file.to_string()).line(place.line as usize);
            Element::from(origin.char_column(place.column as usize))
        };
        let Some((_, text)) = self.sources.get(place.source) else { return origin() };
        let line = line_around(text, place.start);
        if line.len() > LONGEST_LINE {
            return origin();
        }
        let shown = self.without_secrets(place, text, line.clone());
        let end = place.end.clamp(place.start, line.end);
        let trimmed = text[place.start.min(end)..end].trim_end().len();
        let start = place.start.min(end) - line.start;
        let mut annotation: Annotation<'static> = kind.span(start..start + trimmed);
        if let Some(label) = label {
            annotation = annotation.label(label.to_owned());
        }
        let snippet = Snippet::source(shown).line_start(place.line as usize).path(place.file.to_string());
        snippet.fold(false).annotation(annotation).into()
    }

    /// The line with every secret in it starred out, byte for byte, so that columns stay.
    fn without_secrets(&self, place: &Place, text: &str, line: Range<usize>) -> String {
        let mut bytes = text.as_bytes()[line.clone()].to_vec();
        for (source, stretch) in self.secrets.stretches() {
            let from = stretch.start.max(line.start);
            let to = stretch.end.min(line.end);
            if source == place.source && from < to {
                bytes[from - line.start..to - line.start].fill(b'*');
            }
        }
        for stretch in likely_secrets(&text[line]) {
            bytes[stretch].fill(b'*');
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Values in a line that nothing decoded (it may not even be YAML), behind keys such as `password`.
fn likely_secrets(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, separator) in line.match_indices([':', '=']) {
        let before = line[..at].trim_end_matches(['"', '\'']);
        let in_key = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let key = before.rsplit(|c| !in_key(c)).next().unwrap_or_default();
        let value = line[at + separator.len()..].trim_start();
        // `key` alone holds a name more often than a secret.
        if key == "key"
            || !looks_secret(key)
            || value.is_empty()
            || value.starts_with(['$', '{', '[', '|', '>', '&', '*'])
        {
            continue;
        }
        let start = line.len() - value.len();
        let end = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |at| at + 2),
            _ => value.find([',', '}', ']']).unwrap_or(value.len()),
        };
        found.push(start..start + end);
    }
    found
}

fn line_around(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    let bytes = text.as_bytes();
    let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(text.len(), |length| at + length);
    start..end
}

/// What else there is to say, in order: kind and text.
fn remarks(diagnostic: &Diagnostic) -> Vec<(&'static str, String)> {
    let mut remarks = Vec::new();
    if let Some(expected) = diagnostic.expected.as_ref().filter(|expected| !diagnostic.message.contains(*expected)) {
        remarks.push(("expected", format!("expected {expected}")));
    }
    for note in diagnostic.notes.iter().filter(|note| note.place.is_none()) {
        remarks.push(("note", note.message.clone()));
    }
    if let Some(help) = &diagnostic.help {
        remarks.push(("help", format!("help: {help}")));
    }
    remarks
}

fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[derive(Serialize)]
struct Report<'a> {
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    rule: &'a str,
    severity: Severity,
    path: &'a str,
    #[serde(flatten)]
    place: Option<EntryPlace<'a>>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    notes: Vec<EntryNote<'a>>,
}

#[derive(Serialize)]
struct EntryPlace<'a> {
    file: &'a str,
    line: u32,
    column: u32,
}

#[derive(Serialize)]
struct EntryNote<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: Option<EntryPlace<'a>>,
}

impl<'a> EntryPlace<'a> {
    fn new(place: &'a Place) -> Self {
        Self { file: &place.file, line: place.line, column: place.column }
    }
}

impl<'a> Entry<'a> {
    fn new(diagnostic: &'a Diagnostic) -> Self {
        let notes = diagnostic.notes.iter();
        Self {
            rule: diagnostic.rule,
            severity: diagnostic.severity,
            path: &diagnostic.path,
            place: diagnostic.place.as_ref().map(EntryPlace::new),
            message: &diagnostic.message,
            expected: diagnostic.expected.as_deref(),
            help: diagnostic.help.as_deref(),
            notes: notes
                .map(|note| EntryNote { message: &note.message, place: note.place.as_ref().map(EntryPlace::new) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_not_decoded_do_not_show_what_looks_secret() {
        let cases = [
            ("  password: hunter2", vec!["hunter2"]),
            ("{\"api_key\": \"a, b\", token: x, y: z}", vec!["\"a, b\"", "x"]),
            ("a.b.secret=x", vec!["x"]),
            ("password: ${env:P}", vec![]),
            ("key: name, cert_file: /x, tokens: {a: b}", vec![]),
            ("idempotency_key: a.b, partition_key: c, access_key: x", vec!["x"]),
        ];
        for (line, expected) in cases {
            let found: Vec<&str> = likely_secrets(line).into_iter().map(|stretch| &line[stretch]).collect();
            assert_eq!(found, expected, "{line}");
        }
    }
}
