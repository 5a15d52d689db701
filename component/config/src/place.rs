//! Where something stands in a config source, and the texts of the sources themselves.
//! Every node, key and diagnostic carries a [`Place`]; the [`SourceMap`] turns it back into an excerpt.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A stretch of text in one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which source, in the order in which they were given.
    pub source: SourceId,
    /// The source's name: a path, or how it was given (`env:X`, `--set`).
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// First byte of the stretch in the source's text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Place {
    /// The bytes of the source's text.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The number of a source within its [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceId(u32);

/// The name and text of every source that was read.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    sources: Vec<(Arc<str>, Arc<str>)>,
}

impl SourceMap {
    /// The source's name and text.
    pub fn get(&self, id: SourceId) -> Option<(&str, &str)> {
        let (name, text) = self.sources.get(id.0 as usize)?;
        Some((name, text))
    }

    /// Names of all sources, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|(name, _)| &**name)
    }

    pub(crate) fn add(&mut self, name: &str, text: Arc<str>) -> (SourceId, Arc<str>) {
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = name.into();
        self.sources.push((name.clone(), text));
        (id, name)
    }
}
