//! Batch -> blocks: one request for each shard that has something to send. A batch of which everything is sent goes
//! out as the bytes that it was decoded from, if nobody changed it.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::{Batch, Block, Data, Encoded, Encoder};
use steadyline_http::{Compressor, ConfigProblem};
use steadyline_telemetry::{Metrics, Opaque, Point};

use crate::request::RequestFormat;
use crate::select::{Sharder, select};

/// What happens to points that say "no value now" (OTLP's flag; a stale marker in Prometheus).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoRecordedValue {
    /// They are sent, for backends that end a series on them.
    #[default]
    Send,
    /// They are left out and counted, for backends that refuse them or show them as 0.
    Drop,
}

/// The encoder of the OTLP exporters.
#[derive(Debug)]
pub struct OtlpEncoder {
    format: RequestFormat,
    compressor: Compressor,
    no_recorded_value: NoRecordedValue,
    next_shard: u32,
}

impl OtlpEncoder {
    /// An encoder.
    ///
    /// # Errors
    /// The compression has no such level.
    pub fn new(format: RequestFormat, no_recorded_value: NoRecordedValue) -> Result<Self, ConfigProblem> {
        Ok(OtlpEncoder { format, compressor: format.compressor()?, no_recorded_value, next_shard: 0 })
    }

    fn metrics(&mut self, metrics: &Metrics, shards: u32, encoded: &mut Encoded<'_>) {
        let drops_stale = self.no_recorded_value == NoRecordedValue::Drop;
        let stale = |point: &Point| drops_stale && !point.held && point.is_no_value();
        let points = &metrics.tables().points;
        let held_count = points.iter().filter(|point| point.held).count() as u64;
        let stale_count = points.iter().filter(|point| stale(point)).count() as u64;
        encoded.tally.dropped("confirmation", held_count);
        encoded.tally.dropped("no_recorded_value", stale_count);
        let goes = |point: &Point| !point.held && !stale(point);
        if shards > 1 {
            let sharder = Sharder::new(metrics, shards);
            for shard in 0..shards {
                let part = select(metrics, |row, point| goes(point) && sharder.shard(row, point) == shard);
                self.part(&part, shard, encoded);
            }
        } else if held_count + stale_count > 0 {
            self.part(&select(metrics, |_, point| goes(point)), 0, encoded);
        } else {
            self.part(metrics, 0, encoded);
        }
    }

    fn part(&mut self, metrics: &Metrics, shard: u32, encoded: &mut Encoded<'_>) {
        let items = metrics.points() as u64;
        if items > 0 {
            self.block(metrics.encode(), items, shard, time_range(&metrics.tables().points), encoded);
        }
    }

    /// Spans and log records have no series: requests take turns.
    fn opaque(&mut self, opaque: &Opaque, shards: u32, encoded: &mut Encoded<'_>) {
        if opaque.items() > 0 {
            let shard = self.next_shard % shards.max(1);
            self.next_shard = self.next_shard.wrapping_add(1);
            self.block(opaque.bytes().clone(), opaque.items() as u64, shard, (0, 0), encoded);
        }
    }

    fn block(&mut self, protobuf: Bytes, items: u64, shard: u32, times: (u64, u64), encoded: &mut Encoded<'_>) {
        match self.format.close(protobuf, &mut self.compressor) {
            Ok((payload, uncompressed)) => encoded.blocks.push(Block {
                payload: payload.into(),
                items,
                protocol: self.format.protocol(),
                shard,
                uncompressed,
                time_range: times,
                receipts: Vec::new(),
                term: None,
                permit: None,
            }),
            Err(error) => {
                tracing::error!(%error, items, "a request could not be encoded and is dropped");
                encoded.tally.dropped("encode", items);
            }
        }
    }
}

impl Encoder for OtlpEncoder {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        match &batch.data {
            Data::Metrics(metrics) => self.metrics(metrics, shards, encoded),
            Data::Opaque(opaque) => self.opaque(opaque, shards, encoded),
        }
    }
}

/// The earliest and latest time that points say; (0, 0) if none does.
fn time_range(points: &[Point]) -> (u64, u64) {
    let times = || points.iter().map(|point| point.time).filter(|time| *time > 0);
    (times().min().unwrap_or(0), times().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use steadyline_component::{Tally, testkit};
    use steadyline_http::{Compression, CompressionParams};
    use steadyline_telemetry::{Limits, Signal};

    use super::*;
    use crate::request::{Encoding, Framing};

    fn encode(batch: &Batch, shards: u32, no_recorded_value: NoRecordedValue) -> (Vec<Block>, Tally) {
        let format = RequestFormat {
            signal: batch.signal(),
            encoding: Encoding::Proto,
            framing: Framing::Http,
            compression: Compression::None,
            params: CompressionParams::default(),
        };
        let tally = Tally::default();
        let mut blocks = Vec::new();
        tally.incoming(batch.items());
        let mut encoder = OtlpEncoder::new(format, no_recorded_value).unwrap();
        encoder.encode(batch, shards, &mut Encoded { blocks: &mut blocks, tally: &tally });
        tally.outgoing(blocks.iter().map(|block| block.items).sum());
        assert_eq!(tally.balance().missing(), 0);
        (blocks, tally)
    }

    fn lines(blocks: &[Block]) -> Vec<String> {
        let decode = |block: &Block| Metrics::decode(block.payload.bytes().clone(), &Limits::default()).unwrap();
        blocks.iter().flat_map(|block| testkit::render(&decode(block))).collect()
    }

    const POINTS: &str = "
        steps{account=\"a\"} 1 @10
        steps{account=\"b\"} stale @20
        steps{account=\"c\"} held
        other{} 5 @15
    ";

    #[test]
    fn confirmations_never_leave_and_markers_do_if_wanted() {
        let batch = Batch::metrics(testkit::metrics(POINTS));
        for (policy, expected, dropped) in [(NoRecordedValue::Send, 3, 1), (NoRecordedValue::Drop, 2, 2)] {
            let (blocks, tally) = encode(&batch, 1, policy);
            assert_eq!((blocks.len(), blocks[0].items, lines(&blocks).len()), (1, expected, expected as usize));
            assert_eq!(tally.balance().dropped.values().sum::<u64>(), dropped);
        }
        let (blocks, _) = encode(&batch, 1, NoRecordedValue::Send);
        assert_eq!(blocks[0].time_range, (10_000_000_000, 20_000_000_000));
    }

    #[test]
    fn nothing_to_send_is_no_request() {
        for points in ["", "steps{} held", "steps{} stale @1"] {
            let (blocks, _) = encode(&Batch::metrics(testkit::metrics(points)), 1, NoRecordedValue::Drop);
            assert!(blocks.is_empty(), "{points}");
        }
        let empty = Opaque::count(Signal::Logs, Bytes::new(), &Limits::default()).unwrap();
        let batch = Batch { header: Default::default(), data: Data::Opaque(empty) };
        assert!(encode(&batch, 1, NoRecordedValue::Send).0.is_empty());
    }

    #[test]
    fn shards_share_the_points_and_no_point_is_lost() {
        let points: String = (0..100).map(|i| format!("steps{{account=\"{i}\"}} {i} @10\n")).collect();
        let batch = Batch::metrics(testkit::metrics(&points));
        let (whole, _) = encode(&batch, 1, NoRecordedValue::Send);
        let (parts, _) = encode(&batch, 4, NoRecordedValue::Send);
        let sorted = |blocks: &[Block]| {
            let mut lines = lines(blocks);
            lines.sort();
            lines
        };
        assert_eq!(parts.len(), 4);
        assert_eq!(sorted(&parts), sorted(&whole));
    }

    #[test]
    fn an_untouched_batch_leaves_as_the_bytes_that_came() {
        let wire = testkit::metrics("steps{account=\"a\"} 1 @10").encode();
        let batch = Batch::metrics(Metrics::decode(wire.clone(), &Limits::default()).unwrap());
        let (blocks, _) = encode(&batch, 1, NoRecordedValue::Drop);
        assert_eq!(blocks[0].payload.bytes().as_ptr(), wire.as_ptr());
    }
}
