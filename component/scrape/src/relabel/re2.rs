//! Regexes in RE2's syntax, as Go reads it, for the `regex` crate.
//! Both know the same language up to details: what Go takes literally, and that its classes of letters are ASCII.

use regex::Regex;

/// Compiles a regex that must match a whole text. A dot matches every character, also the end of a line.
///
/// # Errors
/// The message of the regex compiler.
pub(super) fn anchored(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?s:{})$", translate(pattern))).map_err(|error| message(pattern, &error))
}

/// Without the drawing that points into the translated pattern.
fn message(pattern: &str, error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("the regex `{pattern}` compiles to more than {limit} bytes"),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("the regex `{pattern}` is not valid: {}", last.trim_start_matches("error: "))
        }
    }
}

/// Writes a pattern of Go's so that the `regex` crate reads it the same way.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, false, &mut out),
            '[' => rest = class(rest, &mut out),
            '{' if !is_repetition(rest) => out.push_str("\\{"),
            _ => out.push(c),
        }
    }
    out
}

/// Translates what follows a backslash, and returns what follows that.
fn escape<'p>(rest: &'p str, in_class: bool, out: &mut String) -> &'p str {
    let Some(c) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let behind = &rest[c.len_utf8()..];
    let (open, close) = if in_class { ("", "") } else { ("[", "]") };
    match c {
        'd' => out.extend([open, "0-9", close]),
        'w' => out.extend([open, "0-9A-Za-z_", close]),
        's' => out.extend([open, "\\t\\n\\f\\r ", close]),
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'B' if !in_class => out.push_str("(?-u:\\B)"),
        'Q' if !in_class => {
            let (literal, behind) = behind.split_once("\\E").unwrap_or((behind, ""));
            out.push_str(&regex::escape(literal));
            return behind;
        }
        // Any other sign stands for itself, also `<`, which would be the start of a word.
        c if c.is_ascii_punctuation() => out.push_str(&literal(c)),
        'p' | 'P' | 'x' if behind.starts_with('{') => {
            // The braces are part of the escape.
            let len = behind.find('}').map_or(behind.len(), |end| end + 1);
            out.extend(["\\", &rest[..1 + len]]);
            return &behind[len..];
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    behind
}

/// A character that stands for itself, in a class and outside.
fn literal(c: char) -> String {
    format!("\\x{:02x}", u32::from(c))
}

/// Translates a class behind its opening bracket, and returns what follows it. Go knows no classes inside of classes but
/// the named ones, and no operations on them.
fn class<'p>(rest: &'p str, out: &mut String) -> &'p str {
    out.push('[');
    let mut rest = rest;
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    let mut first = true;
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            ']' if !first => {
                out.push(']');
                return behind;
            }
            '[' => match named_class(rest) {
                Some(name) => {
                    out.push_str(name);
                    &rest[name.len()..]
                }
                None => {
                    out.push_str(&literal('['));
                    behind
                }
            },
            '\\' => escape(behind, true, out),
            // Alone, a dash is an operator or stands for itself; where it ends a range or begins one it is spelled out.
            '-' if behind.starts_with('-') || out.ends_with('-') => {
                out.push_str(if behind.starts_with('-') && !out.ends_with('-') { "-" } else { "\\x2d" });
                behind
            }
            ']' | '&' | '~' => {
                out.push_str(&literal(c));
                behind
            }
            c => {
                out.push(c);
                behind
            }
        };
        first = false;
    }
    rest
}

/// `[:alpha:]`, at the beginning of `rest`.
fn named_class(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix("[:")?;
    let end = name.find(":]")?;
    let letters = name[..end].trim_start_matches('^');
    letters.bytes().all(|byte| byte.is_ascii_lowercase()).then(|| &rest[..end + 4])
}

/// Whether `{` begins `{2}`, `{2,}` or `{2,3}`; else it stands for itself.
fn is_repetition(rest: &str) -> bool {
    let Some((counts, _)) = rest.split_once('}') else { return false };
    let (from, to) = counts.split_once(',').unwrap_or((counts, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !from.is_empty() && digits(from) && digits(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_covers_the_whole_text() {
        let rows = [
            ("a", "a", true),
            ("a", "ab", false),
            ("a|ab", "ab", true),
            ("(.*)", "", true),
            ("(.*)", "line\nline", true),
            (".+", "\n", true),
            ("^a$", "a", true),
            ("a$", "a\n", false),
            ("(?-s:.)", "\n", false),
            ("(?i)ab", "AB", true),
            ("", "", true),
            ("", "a", false),
        ];
        check(&rows);
    }

    #[test]
    fn classes_of_letters_are_ascii() {
        check(&[
            (r"\d", "7", true),
            (r"\d", "\u{667}", false),
            (r"\D", "\u{667}", true),
            (r"\w+", "aZ_9", true),
            (r"\w", "ü", false),
            (r"\W", "ü", true),
            (r"\s", "\t", true),
            (r"\s", "\u{b}", false),
            (r"\s", "\u{a0}", false),
            (r"\S", "\u{a0}", true),
            (r"[\d-]+", "1-2", true),
            (r"[\w.]+", "a.b", true),
            (r"[^\d]", "x", true),
            (r"[^\d]", "1", false),
            (r"[\D]", "x", true),
            (r"[\D\d]", "1", true),
            (r"[^\W]", "a", true),
            (r"[^\W]", "-", false),
            (r"[\s]", " ", true),
            (r"ü\b", "ü", false),
            (r"a\b.*", "aü", true),
            (r"\B-\B", "-", true),
            (r"\pL", "ü", true),
            (r"\p{Greek}+", "αβ", true),
            (r"[[:alpha:]]+", "ab", true),
            (r"[[:alpha:]]", "ü", false),
            (r"[[:^alpha:]]", "1", true),
        ]);
    }

    #[test]
    fn what_is_literal_to_go_is_literal_here() {
        check(&[
            ("a{", "a{", true),
            ("{a}", "{a}", true),
            ("a{,2}", "a{,2}", true),
            ("a{,2}", "aa", false),
            ("a{2}", "aa", true),
            ("a{2,}", "aaa", true),
            ("a{1,2}", "aaa", false),
            ("{{ .Name }}", "{{ .Name }}", true),
            ("[[]", "[", true),
            ("[[a]", "a", true),
            ("[]a]+", "]a", true),
            ("[^]a]", "b", true),
            ("[^]a]", "]", false),
            ("[a&&b]+", "a&b", true),
            ("[a~~b]+", "a~b", true),
            ("[a-c--]+", "b-", true),
            ("[+--]+", "+,-", true),
            ("[-a]+", "a-", true),
            ("[a-]+", "a-", true),
            ("[a^]+", "a^", true),
            (r"[\]]", "]", true),
            (r"[\\]", r"\", true),
            (r"[a\-z]+", "a-z", true),
            (r"[a\-z]", "b", false),
            ("[ #]+", "# ", true),
            (r"a\<b\>", "a<b>", true),
            (r"a\_b", "a_b", true),
            (r"\/\-\:\@", "/-:@", true),
            (r"\Qa.b*\E+", "a.b**", true),
            (r"\Qa.b", "a.b", true),
            (r"\x41\x{42}", "AB", true),
            (r"\.\*\?\(\)\[\]\{\}\|\^\$\+\\", r".*?()[]{}|^$+\", true),
        ]);
    }

    #[test]
    fn what_does_not_compile_says_why() {
        for pattern in ["(", "a)", "[a", "*", r"\", r"\C", r"\1", "(?P<n", "[b-a]", "a{2,1}", "(?=a)", r"\8"] {
            let message = anchored(pattern).expect_err(pattern);
            assert!(message.starts_with(&format!("the regex `{pattern}` is not valid: ")), "{message}");
            assert!(!message.contains('\n') && !message.contains("(?s:"), "{message}");
        }
        let message = anchored("(a{1000}){1000}").expect_err("too large");
        assert!(message.contains("compiles to more than"), "{message}");
    }

    fn check(rows: &[(&str, &str, bool)]) {
        for (pattern, text, expected) in rows {
            let regex = anchored(pattern).unwrap_or_else(|message| panic!("{message}"));
            assert_eq!(regex.is_match(text), *expected, "{pattern} {text:?}: {regex}");
        }
    }
}
