//! Data with its header. Every processor passes the header on: it says where the data came from, in which pass of
//! its source it was read, who waits for its delivery, and which bytes of the memory budget it holds.

use std::sync::Arc;
use std::time::Duration;

use steadyline_telemetry::{Metrics, Opaque, Signal};

use crate::budget::Permit;
use crate::delivery::Receipt;
use crate::leadership::Term;

/// One unit of work: data and its header. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where the data came from and who waits for it.
    pub header: Header,
    /// The data.
    pub data: Data,
}

/// The data of a batch.
#[derive(Debug, Clone)]
pub enum Data {
    /// Metrics, as tables.
    Metrics(Metrics),
    /// Traces or logs, as counted OTLP bytes.
    Opaque(Opaque),
}

/// Where a batch came from and who waits for it.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// The id of the receiver (or connector) that made the data; empty in tests that do not care.
    pub source: Arc<str>,
    /// For polled data: the pass of the source that it belongs to.
    pub pass: Option<Pass>,
    /// Attribute keys that identify an entity of the source, as they are called at this place of the pipeline.
    /// Empty: not declared.
    pub identity: Arc<[Arc<str>]>,
    /// Whether names and labels are what the backend will see: metric names and attribute keys are translated, values are
    /// text, attributes are sorted by name and complete. No exporter renames them again.
    pub labels_final: bool,
    /// Fires when everything made from this batch is settled; may be several after a merge.
    pub receipts: Vec<Receipt>,
    /// The term of leadership under which the data was read; nothing of it is sent once that is over.
    pub term: Option<Term>,
    /// The bytes of the memory budget that the data holds until its last copy is gone.
    pub permit: Option<Permit>,
}

/// One pass over a polled source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Counts the passes of a source since its start, from 1; never repeats within a process.
    pub epoch: u64,
    /// The tick that started the pass, nanoseconds since the Unix epoch; points of the pass carry it.
    pub time: u64,
    /// How often the source is read.
    pub interval: Duration,
    /// How long one pass may take.
    pub timeout: Duration,
    /// How the pass ended; only on the last batch of a pass, which carries no data of its own.
    pub end: Option<PassEnd>,
}

/// How a pass over a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassEnd {
    /// Everything was read: what was not seen is not there.
    Complete,
    /// It broke off or failed: what was not seen says nothing.
    Partial,
    /// Another instance leads now: this one says nothing about any series until it leads again.
    SteppedDown,
    /// The source is no longer configured: a reload took it away, and its series end.
    Removed,
}

impl Batch {
    /// A batch of metrics with an empty header.
    pub fn metrics(metrics: Metrics) -> Batch {
        Batch { header: Header::default(), data: Data::Metrics(metrics) }
    }

    /// The signal of the data.
    pub fn signal(&self) -> Signal {
        match &self.data {
            Data::Metrics(_) => Signal::Metrics,
            Data::Opaque(opaque) => opaque.signal(),
        }
    }

    /// How many data points (confirmations included), spans or log records there are.
    pub fn items(&self) -> u64 {
        match &self.data {
            Data::Metrics(metrics) => metrics.points() as u64,
            Data::Opaque(opaque) => opaque.items() as u64,
        }
    }

    /// Whether the batch says nothing: no item and no end of a pass.
    pub fn is_idle(&self) -> bool {
        self.items() == 0 && self.header.pass.as_ref().is_none_or(|pass| pass.end.is_none())
    }

    /// The metrics, if it is a batch of metrics.
    pub fn as_metrics(&self) -> Option<&Metrics> {
        match &self.data {
            Data::Metrics(metrics) => Some(metrics),
            Data::Opaque(_) => None,
        }
    }

    /// How the pass of the batch ended, if this batch says so.
    pub fn pass_end(&self) -> Option<PassEnd> {
        self.header.pass.as_ref()?.end
    }
}
