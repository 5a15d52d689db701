//! Text with the groups of a regex in it: `$1`, `${1}`, `${name}`, and `$$` for a dollar.
//! As Go expands it: the longest name counts, and a group that does not exist is empty.

use regex::{Captures, Regex};

/// A text that is filled in from a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads a template for matches of `regex`.
    pub(super) fn new(text: &str, regex: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
            } else if let Some((name, after)) = group_name(after) {
                rest = after;
                if let Some(group) = group(name, regex) {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Group(group));
                }
            } else {
                literal.push('$');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Self(parts)
    }

    /// The text of a match.
    pub(super) fn expand(&self, captures: &Captures<'_>) -> String {
        let texts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Group(group) => captures.get(*group).map_or("", |found| found.as_str()),
        });
        texts.collect()
    }
}

/// The name behind a dollar, and what follows it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let text = braced.unwrap_or(text);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    Some((name, rest))
}

fn group(name: &str, regex: &Regex) -> Option<usize> {
    let number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if number {
        return name.parse().ok().filter(|number| *number < regex.captures_len());
    }
    regex.capture_names().position(|group| group == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_filled_in_as_go_does() {
        let regex = Regex::new(r"^(?s:(?P<first>\w+)-(\w+)(?P<none>x)?)$").unwrap();
        let captures = regex.captures("ab-cd").unwrap();
        let rows = [
            ("", ""),
            ("plain", "plain"),
            ("$1", "ab"),
            ("$2$1", "cdab"),
            ("${1}", "ab"),
            ("${1}x", "abx"),
            ("$1x", ""),
            ("$1-$2", "ab-cd"),
            ("$0", "ab-cd"),
            ("$first", "ab"),
            ("${first}_", "ab_"),
            ("$first_", ""),
            ("$3", ""),
            ("$none.", "."),
            ("$9.", "."),
            ("$01", ""),
            ("$$1", "$1"),
            ("$", "$"),
            ("a$", "a$"),
            ("$-$1", "$-ab"),
            ("${", "${"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("${1-}", "${1-}"),
            ("$99999999999999999999", ""),
        ];
        for (template, expected) in rows {
            assert_eq!(Template::new(template, &regex).expand(&captures), expected, "{template}");
        }
    }
}
