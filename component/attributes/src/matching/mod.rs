//! Which points, spans and records are meant: the Collector's `include` and `exclude`.
//! Compiled once; what depends on a resource, a scope, a name or on keys alone is decided once for each of these.

mod config;
mod points;
mod test;
mod tree;

pub(crate) use config::severity_number;
pub use config::{AttributeConfig, LibraryConfig, MatchConfig, MatchType, RegexpConfig, SeverityConfig, Spelling};
pub use points::Chosen;
pub use test::{AttributeTest, LibraryTest, SeverityTest, Texts, ValueTest};

/// What an item must be like: all of what is given.
#[derive(Debug, Default)]
pub struct Match {
    /// The name of the metric or span.
    pub names: Option<Texts>,
    /// Attributes of the point, span or record.
    pub attributes: Vec<AttributeTest>,
    /// Attributes of the resource.
    pub resources: Vec<AttributeTest>,
    /// The instrumentation scope: one of these.
    pub libraries: Vec<LibraryTest>,
    /// The resource's `service.name`.
    pub services: Option<Texts>,
    /// The kind of a span.
    pub kinds: Option<Texts>,
    /// The body of a record, if it is text.
    pub bodies: Option<Texts>,
    /// The severity of a record as text.
    pub severity_texts: Option<Texts>,
    /// The severity of a record as a number.
    pub severity_number: Option<SeverityTest>,
}

/// What is meant: what `include` matches, or everything, without what `exclude` matches.
#[derive(Debug, Default)]
pub struct Selection {
    /// What is meant.
    pub include: Option<Match>,
    /// What is not.
    pub exclude: Option<Match>,
}

/// What is known of an item on the way down from its resource.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    include: bool,
    exclude: bool,
}

impl Selection {
    /// Whether everything is meant.
    pub fn is_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// Before anything is known.
    pub fn start(&self) -> Verdict {
        Verdict { include: true, exclude: self.exclude.is_some() }
    }

    /// After one more test.
    pub fn narrow(&self, so_far: Verdict, test: impl Fn(&Match) -> bool) -> Verdict {
        Verdict {
            include: so_far.include && self.include.as_ref().is_none_or(&test),
            exclude: so_far.exclude && self.exclude.as_ref().is_some_and(&test),
        }
    }
}

impl Verdict {
    /// Whether the item is meant, if all is known.
    pub fn is_meant(self) -> bool {
        self.include && !self.exclude
    }

    /// Whether no test can change it any more: it cannot be meant.
    pub fn is_lost(self) -> bool {
        !self.include
    }
}
