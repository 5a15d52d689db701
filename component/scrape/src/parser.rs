//! The way in: a body and its format, entry by entry.
//! A lending iterator, because entries may borrow what the parser puts together itself.

use crate::entry::Entry;
use crate::error::{Fault, ParseError, Place};
use crate::format::Format;
use crate::labels::Labels;
use crate::protobuf::Families;
use crate::syntax;
use crate::text::Lines;

/// Begins to walk over a body.
pub fn parse(body: &[u8], format: Format) -> Parser<'_> {
    let inner = match format {
        Format::Text => Inner::Text(Lines::new(body, false)),
        Format::OpenMetrics => Inner::Text(Lines::new(body, true)),
        Format::Protobuf => Inner::Protobuf(Box::new(Families::new(body))),
    };
    Parser { inner }
}

/// Replaces `labels` by what the text of a series says: name ([`crate::NAME`]) and labels, unescaped, sorted by name, empty
/// values kept. `format` is that of the body: OpenMetrics allows no blanks.
///
/// To be called for each text that a target shows for the first time; a text that has passed is good for ever.
///
/// # Errors
/// No metric name or two of them, a repeated label, a name that is not legal without quotes, text that is not UTF-8, bad
/// punctuation. The scrape fails; [`Parser::error`] says on which line.
pub fn labels(series: &[u8], format: Format, labels: &mut Labels) -> Result<(), Fault> {
    syntax::read_series(series, format == Format::OpenMetrics, labels)
}

/// How protobuf's histograms are shown that are native and classic at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Histograms {
    /// As native ones; classic where they are nothing else.
    #[default]
    Native,
    /// As native ones, then as classic ones (`always_scrape_classic_histograms`).
    Both,
    /// As classic ones only; one without classic buckets shows its count, its sum and the bucket `+Inf`.
    Classic,
}

/// Walks over a body. After an error there is nothing more.
#[derive(Debug)]
pub struct Parser<'b> {
    inner: Inner<'b>,
}

#[derive(Debug)]
enum Inner<'b> {
    Text(Lines<'b>),
    Protobuf(Box<Families<'b>>),
}

impl Parser<'_> {
    /// Chooses how histograms are shown. To be called before the first entry.
    pub fn histograms(mut self, histograms: Histograms) -> Self {
        if let Inner::Protobuf(families) = &mut self.inner {
            families.histograms = histograms;
        }
        self
    }

    /// The next entry; `None` at the end of the body.
    ///
    /// # Errors
    /// The body is not what its format asks for. The text of a series is not looked into, see [`labels`].
    pub fn next_entry(&mut self) -> Option<Result<Entry<'_>, ParseError>> {
        match &mut self.inner {
            Inner::Text(lines) => lines.next_entry(),
            Inner::Protobuf(families) => families.next_entry(),
        }
    }

    /// An error about the entry that was read last: what [`labels`] finds, with its place.
    pub fn error(&self, fault: Fault) -> ParseError {
        ParseError { place: self.place(), fault }
    }

    /// Where the entry is that was read last. Counts lines, so it is for messages only.
    pub fn place(&self) -> Place {
        match &self.inner {
            Inner::Text(lines) => lines.place(),
            Inner::Protobuf(families) => families.place(),
        }
    }
}
