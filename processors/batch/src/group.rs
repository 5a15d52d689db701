//! Batches that wait to become one: those of one source that say the same about themselves.
//! Nothing is copied before they go on.

use std::time::Duration;

use steadyline_component::{Batch, Data, Header, Permit};
use steadyline_telemetry::{Metrics, Opaque, Signal};

/// More is not held, however few items it is.
const MAX_BYTES: usize = 32 << 20;

/// Batches in order, and what is known about them together. Never empty.
#[derive(Debug)]
pub(crate) struct Group {
    /// The first batch's, with everybody's receipts.
    header: Header,
    permits: Vec<Permit>,
    parts: Parts,
    /// Data points, spans or log records.
    pub items: u64,
    bytes: usize,
    /// When it goes on at the latest, on the monotonic clock.
    pub deadline: Duration,
}

#[derive(Debug)]
enum Parts {
    Metrics(Vec<Metrics>),
    Opaque(Vec<Opaque>),
}

impl Group {
    /// A group of one batch.
    pub(crate) fn new(batch: Batch, deadline: Duration) -> Group {
        let Batch { mut header, data } = batch;
        let permits = header.permit.take().into_iter().collect();
        let mut group = Group { header, permits, parts: Parts::of(&data), items: 0, bytes: 0, deadline };
        group.push(data);
        group
    }

    /// Whether the batch is of the same source and signal: it must not overtake this group.
    pub(crate) fn precedes(&self, batch: &Batch) -> bool {
        self.header.source == batch.header.source && self.parts.signal() == batch.signal()
    }

    /// Whether the batch can become part of this group, with at most `most` items in all.
    pub(crate) fn admits(&self, batch: &Batch, most: Option<u64>) -> bool {
        let (ours, theirs) = (&self.header, &batch.header);
        self.precedes(batch)
            && ours.pass == theirs.pass
            && ours.identity == theirs.identity
            && ours.labels_final == theirs.labels_final
            && ours.term == theirs.term
            && most.is_none_or(|most| self.items + batch.items() <= most)
            && self.bytes + bytes(&batch.data) <= MAX_BYTES
    }

    /// Adds a batch that is admitted.
    pub(crate) fn add(&mut self, batch: Batch, deadline: Duration) {
        let Batch { header, data } = batch;
        self.header.receipts.extend(header.receipts);
        self.permits.extend(header.permit);
        self.deadline = self.deadline.min(deadline);
        self.push(data);
    }

    fn push(&mut self, data: Data) {
        self.bytes += bytes(&data);
        match (&mut self.parts, data) {
            (Parts::Metrics(parts), Data::Metrics(metrics)) => {
                self.items += metrics.points() as u64;
                parts.push(metrics);
            }
            (Parts::Opaque(parts), Data::Opaque(opaque)) => {
                self.items += opaque.items() as u64;
                parts.push(opaque);
            }
            _ => unreachable!("only batches of one signal are admitted to a group"),
        }
    }

    /// All of it as one batch.
    pub(crate) fn join(self) -> Batch {
        let Group { mut header, permits, parts, .. } = self;
        header.permit = Permit::join(permits);
        // What is admitted stays below MAX_BYTES, and one batch alone always joins.
        let data = match parts {
            Parts::Metrics(parts) => Data::Metrics(Metrics::join(&parts).expect("positions fit 32 bits")),
            Parts::Opaque(parts) => Data::Opaque(Opaque::join(&parts).expect("a group is of one signal")),
        };
        Batch { header, data }
    }
}

impl Parts {
    fn of(data: &Data) -> Parts {
        match data {
            Data::Metrics(_) => Parts::Metrics(Vec::new()),
            Data::Opaque(_) => Parts::Opaque(Vec::new()),
        }
    }

    fn signal(&self) -> Signal {
        match self {
            Parts::Opaque(parts) => parts.first().map_or(Signal::Logs, Opaque::signal),
            Parts::Metrics(_) => Signal::Metrics,
        }
    }
}

fn bytes(data: &Data) -> usize {
    match data {
        Data::Metrics(metrics) => metrics.memory(),
        Data::Opaque(opaque) => opaque.bytes().len(),
    }
}

/// A batch in equal pieces of at most `most` items; they share receipts and permit.
pub(crate) fn cut(batch: Batch, most: Option<u64>) -> Vec<Batch> {
    let Some(most) = most.filter(|most| batch.items() > *most) else { return vec![batch] };
    let Batch { header, data } = batch;
    let even = |items: usize| items.div_ceil((items as u64).div_ceil(most) as usize);
    let pieces: Vec<Data> = match data {
        Data::Metrics(metrics) => metrics.split(even(metrics.points())).into_iter().map(Data::Metrics).collect(),
        Data::Opaque(opaque) => opaque.split(even(opaque.items())).into_iter().map(Data::Opaque).collect(),
    };
    pieces.into_iter().map(|data| Batch { header: header.clone(), data }).collect()
}
