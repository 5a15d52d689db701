//! Paths as diagnostics write them: `a.b[0].c`, and `a["x.y"]` for a key that holds a dot or a bracket.

use std::fmt::Write;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// The path of a key below `base` (which may be empty).
pub fn join(base: &str, key: &str) -> String {
    let mut path = base.to_owned();
    push_key(&mut path, key);
    path
}

/// The path of a list's element below `base`.
pub fn index(base: &str, index: usize) -> String {
    format!("{base}[{index}]")
}

pub(crate) fn push_key(path: &mut String, key: &str) {
    if key.is_empty() || key.contains(['.', '[', ']', '"', '\\', '=']) {
        path.push_str("[\"");
        for c in key.chars() {
            if matches!(c, '"' | '\\') {
                path.push('\\');
            }
            path.push(c);
        }
        path.push_str("\"]");
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

pub(crate) fn push_index(path: &mut String, index: usize) {
    // Writing to a String cannot fail.
    let _ = write!(path, "[{index}]");
}

/// Reads a path; `None` if it is malformed. The empty path has no steps.
pub(crate) fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let (key, after) = quoted_key(quoted)?;
            steps.push(Step::Key(key));
            rest = after;
        } else if let Some(bracket) = rest.strip_prefix('[') {
            let (digits, after) = bracket.split_once(']')?;
            steps.push(Step::Index(digits.parse().ok()?));
            rest = after;
        } else {
            let name = if steps.is_empty() { rest } else { rest.strip_prefix('.')? };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Key(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    Some(steps)
}

fn quoted_key(quoted: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.push(chars.next()?.1),
            '"' => return quoted[at + 1..].strip_prefix(']').map(|after| (key, after)),
            _ => key.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_as_its_steps() {
        let mut path = String::new();
        push_key(&mut path, "exporters");
        push_key(&mut path, "otlp/a.b\"c");
        push_index(&mut path, 3);
        push_key(&mut path, "tls");
        assert_eq!(path, r#"exporters["otlp/a.b\"c"][3].tls"#);
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(parse(&path), Some(vec![key("exporters"), key("otlp/a.b\"c"), Step::Index(3), key("tls")]));
    }

    #[test]
    fn malformed_paths_are_refused() {
        for path in [".a", "a..b", "a.", "a[", "a[x]", "a[\"b", "a[\"b\"", "a]b["] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
