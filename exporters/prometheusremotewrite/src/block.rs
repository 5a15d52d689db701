//! Blocks: requests in their final, compressed form, and what a sender needs to do to them afterwards: look inside, split,
//! rewrite in the older version.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use steadyline_component::{Block, JoinLimit};
use steadyline_prometheus::wire::{Counts, rw1, rw2};

/// The version of remote write that a block is in; its number is [`Block::protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `prometheus.WriteRequest`.
    V1 = 1,
    /// `io.prometheus.write.v2.Request`.
    V2 = 2,
}

impl Protocol {
    /// The version of a block.
    pub(crate) fn of(block: &Block) -> Protocol {
        if block.protocol == Protocol::V2 as u16 { Protocol::V2 } else { Protocol::V1 }
    }

    /// Counts what a request holds; bytes that are no request hold nothing.
    pub(crate) fn count(self, request: &[u8]) -> Counts {
        let counted = match self {
            Protocol::V1 => rw1::count(request),
            Protocol::V2 => rw2::count(request),
        };
        counted.unwrap_or_default()
    }

    /// Two requests of about half the size; `None` if there is one series only.
    pub(crate) fn split(self, request: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Protocol::V1 => rw1::split(request),
            Protocol::V2 => rw2::split(request),
        }
    }
}

/// Samples and native histograms: what the engine counts as items.
pub(crate) fn items(counts: Counts) -> u64 {
    (counts.samples + counts.histograms) as u64
}

/// A snappy encoder that keeps its tables and its buffer.
pub(crate) struct Compressor {
    encoder: snap::raw::Encoder,
    buffer: Vec<u8>,
}

impl Compressor {
    /// With empty tables.
    pub(crate) fn new() -> Self {
        Compressor { encoder: snap::raw::Encoder::new(), buffer: Vec::new() }
    }

    /// `raw` in snappy's block format.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> Bytes {
        let bound = snap::raw::max_compress_len(raw.len());
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        let len = self.encoder.compress(raw, &mut self.buffer);
        let len = len.expect("requests are below 4 GiB, and the buffer has room for the worst case");
        Bytes::copy_from_slice(&self.buffer[..len])
    }
}

/// The request in a block; `None` if the block is not ours.
pub(crate) fn request(block: &Block) -> Option<Vec<u8>> {
    snap::raw::Decoder::new().decompress_vec(block.payload.bytes()).ok()
}

/// A block like `of`, with another request in it.
fn with_request(of: &Block, protocol: Protocol, request: &[u8]) -> Block {
    Block {
        payload: Compressor::new().compress(request).into(),
        items: items(protocol.count(request)),
        protocol: protocol as u16,
        uncompressed: request.len() as u64,
        ..of.clone()
    }
}

/// Two halves of a block, cut between two series; `None` if there is one series only.
pub(crate) fn split(block: &Block) -> Option<(Block, Block)> {
    let protocol = Protocol::of(block);
    let (first, second) = protocol.split(&request(block)?)?;
    Some((with_request(block, protocol, &first), with_request(block, protocol, &second)))
}

/// One block of several of one version. In 1.0 a request is a list of series, so that requests one after the other are one;
/// in 2.0 each numbers its strings for itself, and the whole numbers them anew. `None` for blocks of both versions, and for
/// what does not open.
pub(crate) fn join(blocks: &[Block]) -> Option<Block> {
    let first = blocks.first()?;
    let protocol = Protocol::of(first);
    if blocks.iter().any(|block| Protocol::of(block) != protocol) {
        return None;
    }
    let whole = match protocol {
        Protocol::V1 => {
            let mut whole = Vec::with_capacity(blocks.iter().map(|block| block.uncompressed as usize).sum());
            for block in blocks {
                whole.extend_from_slice(&request(block)?);
            }
            whole
        }
        Protocol::V2 => rw2::join(&blocks.iter().map(request).collect::<Option<Vec<_>>>()?)?,
    };
    Some(Block {
        payload: Compressor::new().compress(&whole).into(),
        items: blocks.iter().map(|block| block.items).sum(),
        uncompressed: whole.len() as u64,
        time_range: steadyline_component::exporter::time_range_of(blocks),
        ..first.clone()
    })
}

/// The series of several blocks of version 1.0 in lanes, each series in one of them; a lane's requests are in order and
/// within the limit. `None` as for [`join`].
pub(crate) fn spread(blocks: &[Block], ways: usize, limit: JoinLimit) -> Option<Vec<Vec<Block>>> {
    let first = blocks.first()?;
    if blocks.iter().any(|block| Protocol::of(block) != Protocol::V1) {
        return None;
    }
    let like = Block { time_range: steadyline_component::exporter::time_range_of(blocks), ..first.clone() };
    let hasher = RandomState::new();
    let mut lanes: Vec<Lane> = (0..ways).map(|_| Lane::default()).collect();
    for block in blocks {
        let mut shares = vec![Vec::new(); ways];
        rw1::spread(&request(block)?, &mut shares, |labels| hasher.hash_one(labels) as usize % ways).ok()?;
        for (lane, share) in lanes.iter_mut().zip(shares) {
            lane.add(&share, limit, &like);
        }
    }
    Some(lanes.into_iter().map(|lane| lane.end(&like)).filter(|lane| !lane.is_empty()).collect())
}

/// Series that are sent one request after the other.
#[derive(Default)]
struct Lane {
    request: Vec<u8>,
    items: u64,
    done: Vec<Block>,
}

impl Lane {
    fn add(&mut self, share: &[u8], limit: JoinLimit, like: &Block) {
        let more = items(Protocol::V1.count(share));
        if !limit.fits((self.request.len() + share.len()) as u64, self.items + more) {
            self.cut(like);
        }
        self.request.extend_from_slice(share);
        self.items += more;
    }

    fn cut(&mut self, like: &Block) {
        if !self.request.is_empty() {
            self.done.push(with_request(like, Protocol::V1, &self.request));
            self.request.clear();
            self.items = 0;
        }
    }

    fn end(mut self, like: &Block) -> Vec<Block> {
        self.cut(like);
        self.done
    }
}

/// A block of version 2.0 in version 1.0.
pub(crate) fn recode(block: &Block) -> Option<Block> {
    if Protocol::of(block) == Protocol::V1 {
        return None;
    }
    let request = rw2::to_rw1(&request(block)?).ok()?;
    Some(with_request(block, Protocol::V1, &request))
}

/// Finds a series for the log: the one that the backend's words name, or else the first.
pub(crate) fn offending_series(block: &Block, words: &str) -> Option<String> {
    let request = request(block)?;
    let all: Vec<Vec<(String, String)>> = match Protocol::of(block) {
        Protocol::V1 => rw1::series(&request).map(|series| owned(rw1::series_labels(series))).collect(),
        Protocol::V2 => rw2::series_labels(&request).ok()?,
    };
    let named = all.iter().filter(|labels| !words.is_empty() && is_named(labels, words));
    // Of several that fit, the one with the most labels is told apart best from the others.
    named.max_by_key(|labels| labels.len()).or(all.first()).map(|labels| render(labels))
}

fn owned<'a>(
    labels: impl Iterator<Item = (std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>,
) -> Vec<(String, String)> {
    labels.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Whether the words name the metric and every label with its value, in whatever notation.
fn is_named(labels: &[(String, String)], words: &str) -> bool {
    labels
        .iter()
        .all(|(name, value)| words.contains(value.as_str()) && (name == "__name__" || words.contains(name.as_str())))
}

fn render(labels: &[(String, String)]) -> String {
    let name = labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, value)| value.as_str());
    let pairs: Vec<String> =
        labels.iter().filter(|(name, _)| name != "__name__").map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{name}{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with one sample for each of these series.
    fn block(series: std::ops::Range<u32>, time: i64) -> Block {
        let name = rw1::label_name_prefix("__name__");
        let mut request = Vec::new();
        for number in series {
            rw1::put_series(&mut request, [(&*name, format!("s{number}").as_bytes())].into_iter(), 0, time);
        }
        let empty = Block {
            payload: Bytes::new().into(),
            items: 0,
            protocol: 1,
            shard: 3,
            uncompressed: 0,
            time_range: (time as u64, time as u64),
            receipts: Vec::new(),
            term: None,
            permit: None,
        };
        with_request(&empty, Protocol::V1, &request)
    }

    /// Series and times in the order in which they stand in blocks.
    fn samples(blocks: &[Block]) -> Vec<(String, String)> {
        let requests = blocks.iter().map(|block| request(block).unwrap());
        let all = requests.flat_map(|request| {
            rw1::series(&request)
                .map(|series| (owned(rw1::series_labels(series))[0].1.clone(), format!("{series:?}")))
                .collect::<Vec<_>>()
        });
        all.collect()
    }

    #[test]
    fn lanes_share_the_series_and_keep_their_order_and_the_limit() {
        let blocks: Vec<Block> = (1..=20).map(|time| block(0..50, time)).collect();
        let limit = JoinLimit { bytes: 1 << 20, items: 100 };
        let lanes = spread(&blocks, 4, limit).unwrap();
        assert_eq!(lanes.len(), 4);
        let mut series = std::collections::BTreeMap::new();
        for (number, lane) in lanes.iter().enumerate() {
            assert!(lane.iter().all(|block| block.items <= 100 && block.shard == 3 && block.time_range == (1, 20)));
            for (name, sample) in samples(lane) {
                let (at, known): &mut (usize, Vec<String>) = series.entry(name).or_insert((number, Vec::new()));
                assert_eq!(*at, number);
                known.push(sample);
            }
        }
        let of = |wanted: &str| {
            let all = samples(&blocks).into_iter().filter(|(name, _)| name == wanted);
            all.map(|(_, sample)| sample).collect::<Vec<String>>()
        };
        assert_eq!(series.len(), 50);
        for (name, (_, known)) in &series {
            assert_eq!(*known, of(name), "{name}");
        }
        assert_eq!(lanes.iter().flatten().map(|block| block.items).sum::<u64>(), 1000);
    }

    #[test]
    fn what_is_not_of_version_1_is_not_taken_apart() {
        let second = Block { protocol: 2, ..block(0..2, 1) };
        assert!(spread(&[block(0..2, 1), second], 2, JoinLimit { bytes: 1000, items: 10 }).is_none());
    }
}
