//! The segments of an open log: what each holds, and the files that are open.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::LogError;
use crate::manifest::{Listed, Manifest};
use crate::record::Amount;

const SUFFIX: &str = ".log";
/// Numbers above are not of ours: no log lives that long.
pub(crate) const HIGHEST: u32 = 4_000_000_000;
/// Files open for reading at once.
const READERS: usize = 4;

/// The name of a segment's file.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The number of the segment with this name.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok().filter(|number| *number <= HIGHEST)?;
    (segment_name(number) == name).then_some(number)
}

/// What is known of a segment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Segment {
    /// Where its records end.
    pub end: u64,
    /// How large its file is.
    pub size: u64,
    /// What of it is pending.
    pub live: Amount,
    /// Bytes of pending records with their headers.
    pub extents: u64,
}

impl Segment {
    pub(crate) fn add(&mut self, items: u64, bytes: u64) {
        self.live.add(items, bytes);
        self.extents += crate::format::extent(bytes);
    }

    /// Takes a record out, with what its header says if that can be read.
    pub(crate) fn take(&mut self, header: Option<(u64, u64)>) -> Amount {
        let mut amount = Amount { records: 1, ..Amount::default() };
        if let Some((items, bytes)) = header {
            amount = Amount { records: 1, items, bytes };
            self.extents = self.extents.saturating_sub(crate::format::extent(bytes));
        }
        self.live.subtract(amount);
        if self.live.records == 0 {
            // What an unreadable header kept from being counted goes with the last record.
            self.extents = 0;
        }
        amount
    }
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Active<F> {
    pub number: u32,
    pub file: Arc<F>,
    /// Where its room ends.
    pub capacity: u64,
}

/// Segments by number.
pub(crate) type Segments = BTreeMap<u32, Segment>;

/// What the manifest says when everything written is synced.
pub(crate) fn listed(segments: &Segments) -> Manifest {
    let list = |segment: &Segment| Listed {
        synced: segment.end as u32,
        records: segment.live.records as u32,
        items: segment.live.items,
    };
    segments.iter().map(|(&number, segment)| (number, list(segment))).collect()
}

/// A few files that stay open between reads, the last used first.
#[derive(Debug)]
pub(crate) struct Readers<F>(Vec<(u32, Arc<F>)>);

impl<F> Default for Readers<F> {
    fn default() -> Self {
        Readers(Vec::new())
    }
}

impl<F> Readers<F> {
    /// The segment's file, opened if need be.
    pub(crate) fn file<D: Disk<File = F>>(&mut self, disk: &D, folder: &Path, number: u32) -> Result<Arc<F>, LogError> {
        if let Some(at) = self.0.iter().position(|reader| reader.0 == number) {
            self.0[..=at].rotate_right(1);
            return Ok(Arc::clone(&self.0[0].1));
        }
        let path = folder.join(segment_name(number));
        let file = Arc::new(disk.open(&path, true).map_err(|error| LogError::io("open", &path, error))?);
        self.0.truncate(READERS - 1);
        self.0.insert(0, (number, Arc::clone(&file)));
        Ok(file)
    }

    pub(crate) fn close(&mut self, number: u32) {
        self.0.retain(|reader| reader.0 != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_and_nothing_else_is() {
        assert_eq!(segment_number(&segment_name(42)), Some(42));
        for name in ["42.log", "0000000042.log.new", "lock", "4294967295.log", "-000000042.log", "+000000042.log"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
