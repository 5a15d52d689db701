//! What a scrape reads: text 0.0.4, OpenMetrics and protobuf, and relabelling.
//! No I/O.
//!
//! [`parse`] walks over a body entry by entry. A sample names its series by the text that stands in the body, so that a
//! scraper that keeps a table of the series it knows finds them without looking inside; [`labels`] reads that text the
//! first time it is seen, and that is when a repeated label or a missing name is found. What is read:
//!
//! - **text**: 0.0.4, and 1.0.0 with names in quotes;
//! - **OpenMetrics**: 0.0.1 and 1.0.0, with exemplars, units and `_created` lines, `# EOF` at the end;
//! - **protobuf**: delimited `io.prometheus.client.MetricFamily`, with classic and native histograms.
//!
//! Where a format's text and Prometheus disagree, the parser accepts what Prometheus accepts: a target that can be
//! scraped by one can be scraped by the other.
//!
//! Differences that are meant: labels `le` and `quantile` stay as they are written (Prometheus 3 makes `1` to `1.0`); blanks
//! in front of a line are no part of a name; escapes are resolved in exemplars too; OpenMetrics has no line breaks in
//! quoted names; a protobuf metric without a value of its family's type is an error, not a 0; each metric of a family is
//! native or classic for itself.
//!
//! [`relabel`] holds the rules that change, keep and drop targets and series.

mod entry;
mod error;
mod family;
mod format;
mod labels;
mod number;
mod parser;
mod protobuf;
pub mod relabel;
mod syntax;
mod text;

pub use entry::{Created, Entry, Exemplar, Exemplars, Flavour, FloatBuckets, FloatHistogram, HistogramSample, Sample};
pub use error::{Fault, ParseError, Place};
pub use family::{Member, member};
pub use format::{ContentTypeError, Format, ScrapeProtocol, accept_header};
pub use labels::{Labels, NAME};
pub use parser::{Histograms, Parser, labels, parse};
