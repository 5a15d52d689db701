//! What is remembered of a target between scrapes: for each line of text what it becomes. Labels are parsed and rewritten
//! when a line is first seen; after that a line costs one comparison with the line that followed its predecessor last time.
//!
//! A *line* is a series as the target writes it. A *series* is what it becomes: a name, labels, a role in its family. Two
//! lines may be one series. A *group* is a histogram or summary that several series make up.

mod family;
mod prepare;
mod tables;

use hashbrown::HashTable;
use steadyline_scrape::Labels;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) use family::{Families, Variant};
pub(crate) use prepare::{Refused, Rules};
pub(crate) use tables::{Form, Head, Names, Origin, Origins};

use tables::{Arena, Set};

/// No line, no series.
pub(crate) const NONE: u32 = u32::MAX;
/// A line that relabelling drops.
pub(crate) const DROPPED: u32 = u32::MAX - 1;

/// What a series is to its family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// Not found out yet.
    Unknown,
    /// A metric of its own; the row of its head.
    Number(u32),
    /// A native histogram, or one with custom bounds; the row of its head.
    Native(u32),
    /// Describes the target itself.
    TargetInfo,
    /// A bucket of a group, up to the bound.
    Bucket(u32, f64),
    /// The quantile of a group.
    Quantile(u32, f64),
    /// The sum of a group.
    Sum(u32),
    /// The count of a group.
    Count(u32),
}

impl Role {
    /// The group that the series is a part of.
    pub(crate) fn group(self) -> Option<u32> {
        match self {
            Role::Bucket(group, _) | Role::Quantile(group, _) | Role::Sum(group) | Role::Count(group) => Some(group),
            _ => None,
        }
    }
}

/// A set of labels without its name: names by shape, values in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LabelSet {
    /// Which names.
    pub(crate) shape: u32,
    /// The first value's place among the lengths.
    lens: u32,
    /// Where the values' bytes begin.
    at: u32,
}

/// What a line becomes.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The last scrape that had it.
    pub(crate) seen: u32,
    /// The state of the families under which the role was found out.
    context: u64,
    /// What it is to its family.
    pub(crate) role: Role,
    /// Job, instance and scope.
    pub(crate) origin: u32,
    /// Its name after relabelling.
    pub(crate) name: u32,
    /// Its name as the target writes it.
    exposed: u32,
    /// Its labels after relabelling.
    pub(crate) labels: LabelSet,
    /// Whether the last scrape had it, so that it must be marked stale when it is gone.
    pub(crate) live: bool,
    /// The timestamp that the target gave it in this scrape.
    pub(crate) time: Option<i64>,
    /// When its counting began, by the scrape in `started`; milliseconds.
    pub(crate) start: i64,
    /// The last scrape that said when the counting began.
    pub(crate) started: u32,
}

#[derive(Debug)]
struct Line {
    at: u32,
    len: u32,
    series: u32,
    /// The line that followed this one last time.
    next: u32,
}

/// A histogram or summary whose series are scraped one by one.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The row of its head.
    pub(crate) head: u32,
    /// Job, instance and scope.
    pub(crate) origin: u32,
    /// The labels without `le` and `quantile`.
    pub(crate) labels: Option<LabelSet>,
    /// The scrape that `parts` are of.
    pub(crate) seen: u32,
    /// Its series in that scrape, with their values.
    pub(crate) parts: Vec<(u32, f64)>,
    /// The OTLP exemplars of that scrape, encoded.
    pub(crate) exemplars: Vec<u8>,
    /// The timestamp that the target gave.
    pub(crate) time: Option<i64>,
    /// When its counting began, by the scrape in `started`; milliseconds.
    pub(crate) start: i64,
    /// The last scrape that said when the counting began.
    pub(crate) started: u32,
    /// Whether its last point was one for all its series.
    pub(crate) is_whole: bool,
    /// The bounds or quantiles of that point.
    pub(crate) bounds: Vec<f64>,
}

/// Everything that is remembered of one target.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    seed: u64,
    texts: Vec<u8>,
    lines: Vec<Line>,
    by_text: HashTable<u32>,
    pub(crate) series: Vec<Series>,
    by_labels: HashTable<u32>,
    pub(crate) groups: Vec<Group>,
    by_group: HashTable<u32>,
    pub(crate) shapes: Set<Vec<String>>,
    values: Arena,
    pub(crate) names: Names,
    pub(crate) heads: Set<Head>,
    pub(crate) origins: Origins,
    pub(crate) families: Families,
    scratch: Labels,
    last_line: u32,
}

impl Cache {
    /// Nothing remembered; hashes are keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Cache {
        Cache { seed, last_line: NONE, ..Cache::default() }
    }

    /// A body begins.
    pub(crate) fn begin(&mut self) {
        self.last_line = NONE;
        self.families.begin();
    }

    /// How much is remembered, in lines and families.
    pub(crate) fn size(&self) -> usize {
        self.lines.len() + self.families.len()
    }

    /// The line of a text: [`NONE`] if it is new, then [`Cache::add_line`] is to follow.
    #[inline]
    pub(crate) fn find_line(&mut self, text: &[u8]) -> u32 {
        let guess = match self.lines.get(self.last_line as usize) {
            Some(last) => last.next,
            None => 0,
        };
        if let Some(line) = self.lines.get(guess as usize)
            && self.text(line) == text
        {
            self.last_line = guess;
            return guess;
        }
        let hash = xxh3_64_with_seed(text, self.seed);
        let found = self.by_text.find(hash, |&id| self.text(&self.lines[id as usize]) == text);
        let Some(&id) = found else { return NONE };
        self.follow(id);
        id
    }

    /// What a line becomes: a series, [`DROPPED`], or [`NONE`] where it is not known yet.
    #[inline]
    pub(crate) fn series_of(&self, line: u32) -> u32 {
        self.lines[line as usize].series
    }

    /// Says what a line becomes.
    pub(crate) fn set_series(&mut self, line: u32, series: u32) {
        self.lines[line as usize].series = series;
    }

    /// Remembers a line that is new.
    pub(crate) fn add_line(&mut self, text: &[u8], series: u32) -> u32 {
        let (id, at) = (self.lines.len() as u32, self.texts.len() as u32);
        self.texts.extend_from_slice(text);
        self.lines.push(Line { at, len: text.len() as u32, series, next: id + 1 });
        let hash = xxh3_64_with_seed(text, self.seed);
        let Cache { by_text, lines, texts, seed, .. } = self;
        by_text.insert_unique(hash, id, |&id| xxh3_64_with_seed(text_of(texts, &lines[id as usize]), *seed));
        self.follow(id);
        id
    }

    fn follow(&mut self, id: u32) {
        if let Some(last) = self.lines.get_mut(self.last_line as usize) {
            last.next = id;
        }
        self.last_line = id;
    }

    fn text(&self, line: &Line) -> &[u8] {
        text_of(&self.texts, line)
    }

    /// Names and values of a label set, sorted by name.
    pub(crate) fn labels(&self, set: LabelSet) -> impl Iterator<Item = (&str, &str)> {
        let names = self.shapes.get(set.shape).iter().map(String::as_str);
        names.zip(self.values.values(set.at, set.lens))
    }

    /// The lengths of the values of a label set, and their bytes one after another.
    #[inline]
    pub(crate) fn raw_values(&self, set: LabelSet) -> (&[u32], &[u8]) {
        self.values.raw(set.at, set.lens, self.shapes.get(set.shape).len())
    }

    fn label_set(&mut self, labels: &[(&str, &str)]) -> LabelSet {
        let names = || labels.iter().map(|(name, _)| *name);
        let shape = self
            .shapes
            .intern_as(|known| known.iter().map(String::as_str).eq(names()), || names().map(str::to_string).collect());
        let (at, lens) = self.values.push(labels.iter().map(|(_, value)| *value));
        LabelSet { shape, lens, at }
    }
}

fn text_of<'a>(texts: &'a [u8], line: &Line) -> &'a [u8] {
    &texts[line.at as usize..(line.at + line.len) as usize]
}
