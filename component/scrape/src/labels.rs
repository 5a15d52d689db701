//! A set of labels, sorted by name: what relabelling works on.
//! One buffer holds all text, so that a set that is used again for the next series allocates nothing.

use std::fmt;
use std::ops::Range;

use crate::error::{Fault, shown};

/// The label that holds the name of a metric.
pub const NAME: &str = "__name__";

/// Labels sorted by name, each name once. The metric's name is the label [`NAME`].
#[derive(Clone, Default)]
pub struct Labels {
    text: String,
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone)]
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

impl Labels {
    /// No labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a label; `None` where there is no such label, which is not the same as an empty value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.find(name).ok()?;
        Some(&self.text[self.pairs[at].value.clone()])
    }

    /// The metric's name.
    pub fn name(&self) -> Option<&str> {
        self.get(NAME)
    }

    /// Sets a label. An empty value removes it: to Prometheus, an empty label and none are the same.
    pub fn set(&mut self, name: &str, value: &str) {
        let found = self.find(name);
        if value.is_empty() {
            if let Ok(at) = found {
                self.pairs.remove(at);
            }
            return;
        }
        match found {
            Ok(at) => self.pairs[at].value = self.put(value),
            Err(at) => {
                let pair = Pair { name: self.put(name), value: self.put(value) };
                self.pairs.insert(at, pair);
            }
        }
    }

    /// Removes a label; it need not be there.
    pub fn remove(&mut self, name: &str) {
        self.set(name, "");
    }

    /// Keeps the labels for which `keep`, called with name and value, says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let text = &self.text;
        self.pairs.retain(|pair| keep(&text[pair.name.clone()], &text[pair.value.clone()]));
    }

    /// Removes labels with an empty value. A scrape does so last: before, an exposed `job=""` is a wish to have no such
    /// label, which `honor_labels` respects.
    pub fn drop_empty(&mut self) {
        self.pairs.retain(|pair| !pair.value.is_empty());
    }

    /// Names and values, sorted by the bytes of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|pair| (&self.text[pair.name.clone()], &self.text[pair.value.clone()]))
    }

    /// How many labels there are, the metric's name and empty ones included.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Removes all labels and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.pairs.clear();
    }

    /// Appends a label as it stands in a body, unsorted and perhaps escaped: until [`Labels::settle`] the set is not a set.
    pub(crate) fn push_escaped(&mut self, name: &str, value: &str) {
        let name = self.put_unescaped(name);
        let value = self.put_unescaped(value);
        self.pairs.push(Pair { name, value });
    }

    /// As [`Labels::push_escaped`], without any escapes.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let pair = Pair { name: self.put(name), value: self.put(value) };
        self.pairs.push(pair);
    }

    /// Sorts what was pushed.
    pub(crate) fn settle(&mut self) -> Result<(), Fault> {
        let text = &self.text;
        let name = |pair: &Pair| &text[pair.name.clone()];
        if !self.pairs.is_sorted_by(|a, b| name(a) < name(b)) {
            self.pairs.sort_by(|a, b| name(a).cmp(name(b)));
            if let Some(pair) = self.pairs.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
                return Err(Fault::RepeatedLabel(shown(name(&pair[0]).as_bytes())));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|pair| self.text[pair.name.clone()].cmp(name))
    }

    fn put(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn put_unescaped(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        unescape(text, true, &mut self.text);
        start..self.text.len()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    /// As by [`Labels::set`], one after another: the last of equal names counts.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut labels = Labels::new();
        for (name, value) in pairs {
            labels.set(name, value);
        }
        labels
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Labels {}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Appends `text` with `\\`, `\n` and, where `quotes` says so, `\"` resolved; any other backslash stands for itself.
pub(crate) fn unescape(text: &str, quotes: bool, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let plain = match rest.as_bytes().get(at + 1) {
            Some(b'\\') => '\\',
            Some(b'n') => '\n',
            Some(b'"') if quotes => '"',
            _ => {
                out.push('\\');
                rest = &rest[at + 1..];
                continue;
            }
        };
        out.push(plain);
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_stays_sorted_and_knows_each_name_once() {
        let mut labels = Labels::from_iter([("b", "2"), ("a", "1"), ("c", "3"), ("b", "4")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "4"), ("c", "3")]);
        labels.set("a", "");
        labels.remove("absent");
        labels.set("", "empty name");
        assert_eq!(labels.get("a"), None);
        assert_eq!(labels.len(), 3);
        labels.retain(|name, value| name != "b" && value != "empty name");
        assert_eq!(labels, Labels::from_iter([("c", "3")]));
        assert_eq!(labels.name(), None);
        labels.clear();
        assert!(labels.is_empty());
    }

    #[test]
    fn an_empty_value_of_a_body_is_there_until_it_is_dropped() {
        let mut labels = Labels::new();
        labels.push("b", "");
        labels.push("a", "1");
        assert_eq!(labels.settle(), Ok(()));
        assert_eq!(labels.get("b"), Some(""));
        labels.drop_empty();
        assert_eq!(labels, Labels::from_iter([("a", "1")]));
    }

    #[test]
    fn escapes() {
        let rows = [
            ("plain", "plain", "plain"),
            (r#"a\"b"#, r#"a\"b"#, "a\"b"),
            (r"a\\b", r"a\b", r"a\b"),
            (r"a\nb", "a\nb", "a\nb"),
            (r"a\\nb", r"a\nb", r"a\nb"),
            (r"C:\dir", r"C:\dir", r"C:\dir"),
            (r"ü\ü\n", "ü\\ü\n", "ü\\ü\n"),
            ("\\", "\\", "\\"),
        ];
        for (text, help, value) in rows {
            for (quotes, expected) in [(false, help), (true, value)] {
                let mut out = String::new();
                unescape(text, quotes, &mut out);
                assert_eq!(out, expected, "{text} {quotes}");
            }
        }
    }
}
