//! From batches to blocks: each is one request of at most ten events and so many bytes. A block says its entries in JSON, so that it can wait on a disk.

use serde::{Deserialize, Serialize};
use steadyline_component::{Batch, Block, Data, Encoded, Encoder};

use crate::events::{Event, EventPlan};

/// One event in a block.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Entry {
    pub(crate) body: String,
    pub(crate) id: String,
    pub(crate) group: u64,
    pub(crate) points: u64,
}

/// How many entries a request may have.
pub(crate) const MOST: usize = 10;
/// What attributes and the like may take of a message besides its body.
const OVERHEAD: usize = 512;

/// Makes blocks.
#[derive(Debug)]
pub(crate) struct SqsEncoder {
    plans: Vec<EventPlan>,
    /// The most bytes of a request.
    most_bytes: usize,
    /// What message attributes take of each message.
    attributes: usize,
}

impl SqsEncoder {
    pub(crate) fn new(plans: Vec<EventPlan>, most_bytes: usize, attributes: usize) -> Self {
        Self { plans, most_bytes, attributes }
    }

    fn size(&self, event: &Event) -> usize {
        event.body.len() + self.attributes + OVERHEAD
    }

    /// The blocks of one shard.
    fn shard(&self, shard: u32, events: Vec<Event>, encoded: &mut Encoded<'_>) {
        let mut open: Vec<Event> = Vec::new();
        let mut bytes = 0;
        for event in events {
            let size = self.size(&event);
            if size > self.most_bytes {
                encoded.tally.dropped("too_large", event.points);
                continue;
            }
            if open.len() == MOST || bytes + size > self.most_bytes {
                encoded.blocks.push(block(shard, std::mem::take(&mut open)));
                bytes = 0;
            }
            bytes += size;
            open.push(event);
        }
        if !open.is_empty() {
            encoded.blocks.push(block(shard, open));
        }
    }
}

impl Encoder for SqsEncoder {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let Data::Metrics(metrics) = &batch.data else { return };
        let is_known = |name: &str| self.plans.iter().any(|plan| plan.metrics().any(|known| known == name));
        for (_, _, metric) in metrics.iter().filter(|(_, _, metric)| !is_known(metrics.text(metric.name))) {
            let points = metrics.points_of(metric);
            let held = points.iter().filter(|point| point.held).count();
            encoded.tally.dropped("confirmation", held as u64);
            encoded.tally.dropped("no_event", (points.len() - held) as u64);
        }
        let mut by_shard: Vec<Vec<Event>> = vec![Vec::new(); shards.max(1) as usize];
        for plan in &self.plans {
            for event in plan.events(metrics, encoded.tally) {
                by_shard[(event.group % u64::from(shards.max(1))) as usize].push(event);
            }
        }
        for (shard, events) in by_shard.into_iter().enumerate() {
            self.shard(shard as u32, events, encoded);
        }
    }
}

fn block(shard: u32, events: Vec<Event>) -> Block {
    let times = events.iter().map(|event| event.time).filter(|time| *time > 0);
    let time_range = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
    let entry = |event: Event| Entry { body: event.body, id: event.id, group: event.group, points: event.points };
    of(shard, time_range, &events.into_iter().map(entry).collect::<Vec<_>>())
}

/// A block of these entries.
pub(crate) fn of(shard: u32, time_range: (u64, u64), entries: &[Entry]) -> Block {
    let payload = serde_json::to_vec(entries).expect("texts and numbers are JSON");
    Block {
        items: entries.iter().map(|entry| entry.points).sum(),
        protocol: 0,
        shard,
        uncompressed: payload.len() as u64,
        payload: payload.into(),
        time_range,
        receipts: Vec::new(),
        term: None,
        permit: None,
    }
}
