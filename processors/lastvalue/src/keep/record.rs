//! The rows that storage has: keys, values, and the check that tells a row of ours from a damaged one.

use std::ops::Range;

use bytes::Bytes;
use steadyline_component::{Change, Header, Pass};
use steadyline_telemetry::{NumberKind, ValueKind};

use crate::arena::MAX_LABELS;
use crate::identity::Secret;
use crate::keep::bases;
use crate::pack::{self, Unpack};
use crate::source::{Heard, Source};

/// Bytes of the check at the end of every value.
const CHECK: usize = 4;

/// Rows to be written, their bytes in one buffer.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a row whose value `write` appends.
    pub(super) fn put(&mut self, secret: &Secret, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value = self.bytes.len();
        write(&mut self.bytes);
        let check = secret.hash(&self.bytes[start..]) as u32;
        self.bytes.extend_from_slice(&check.to_le_bytes());
        self.places.push((start..value, value..self.bytes.len()));
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = Change> {
        let bytes = Bytes::from(self.bytes);
        self.places.into_iter().map(move |(key, value)| Change::Put(bytes.slice(key), bytes.slice(value)))
    }
}

/// One row as [`Rows::put`] writes it.
pub(super) fn sealed(secret: &Secret, key: &[u8], value: &[u8]) -> Change {
    let mut rows = Rows::default();
    rows.put(secret, key, |out| out.extend_from_slice(value));
    let change = rows.into_changes().next();
    change.unwrap_or_else(|| unreachable!("a row was put above"))
}

/// The value of a row without its check; `None` if it is not one of ours.
pub(super) fn open<'a>(secret: &Secret, key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (value, check) = value.split_at_checked(value.len().checked_sub(CHECK)?)?;
    let whole = [key, value].concat();
    (secret.hash(&whole) as u32).to_le_bytes().eq(check).then_some(value)
}

/// The key of a series.
pub(super) fn series_key(hash: u128) -> [u8; 17] {
    let mut key = [b'r'; 17];
    key[1..].copy_from_slice(&hash.to_be_bytes());
    key
}

/// The identity in the key of a series.
pub(super) fn series_hash(key: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(*key.get(1..)?.first_chunk()?)).filter(|_| key.len() == 17)
}

/// The key of what several series share.
pub(super) fn head_key(kind: u8, hash: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&hash.to_be_bytes());
    key
}

/// The hash in such a key.
pub(super) fn head_hash_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(1..)?.first_chunk()?)).filter(|_| key.len() == 9)
}

/// The hash of what several series share.
pub(super) fn head_hash(secret: &Secret, kind: u8, bytes: &[u8]) -> u64 {
    secret.hash(&[&[kind][..], bytes].concat()) as u64
}

/// The hash of a source: of its name, and whether it has passes.
pub(super) fn source_hash(secret: &Secret, header: &Header) -> u64 {
    let name = [&[u8::from(header.pass.is_some())][..], header.source.as_bytes()].concat();
    head_hash(secret, b's', &name)
}

/// A series as storage has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row<'a> {
    /// The generation in which the source confirmed it last.
    pub generation: u32,
    /// The hashes of its source, its metric and its label names.
    pub source: u64,
    pub family: u64,
    pub names: u64,
    /// How to read `bits`.
    pub number: NumberKind,
    /// Event time of the value.
    pub time: u64,
    pub bits: u64,
    pub guard: Option<u64>,
    pub start: Option<u64>,
    /// The body of a distribution.
    pub body: &'a [u8],
    /// The label values, packed.
    pub labels: &'a [u8],
}

const NUMBERS: [NumberKind; 4] = [NumberKind::None, NumberKind::Int, NumberKind::Double, NumberKind::Body];
const HAS_GUARD: u8 = 4;
const HAS_START: u8 = 8;

impl<'a> Row<'a> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let flag = |part: Option<u64>, flag| if part.is_some() { flag } else { 0 };
        out.push(self.number as u8 | flag(self.guard, HAS_GUARD) | flag(self.start, HAS_START));
        out.extend_from_slice(&self.generation.to_le_bytes());
        let words = [self.source, self.family, self.names, self.time, self.bits];
        for word in words.into_iter().chain(self.guard).chain(self.start) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        pack::put(out, ValueKind::Bytes, self.body);
        out.extend_from_slice(self.labels);
    }

    pub(super) fn read(bytes: &'a [u8]) -> Option<Row<'a>> {
        let mut reader = Words(bytes);
        let flags = reader.byte()?;
        let generation = u32::from_le_bytes(reader.take()?);
        let [source, family, names, time, bits] =
            [reader.word()?, reader.word()?, reader.word()?, reader.word()?, reader.word()?];
        let guard = if flags & HAS_GUARD != 0 { Some(reader.word()?) } else { None };
        let start = if flags & HAS_START != 0 { Some(reader.word()?) } else { None };
        let mut unpack = Unpack::new(reader.0);
        let body = unpack.next()?.bytes;
        let labels = unpack.rest();
        let number = NUMBERS[usize::from(flags & 3)];
        let row = Row { generation, source, family, names, number, time, bits, guard, start, body, labels };
        (labels.len() <= MAX_LABELS && number != NumberKind::None).then_some(row)
    }
}

/// Reads fixed words one by one.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn word(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

const HAS_PASSES: u8 = 1;
const LABELS_FINAL: u8 = 2;
const LED: u8 = 4;

/// Appends a source.
pub(super) fn write_source(source: &Source, generation: u32, out: &mut Vec<u8>) {
    let header = &source.header;
    let flag = |is: bool, flag| if is { flag } else { 0 };
    let pass = header.pass.as_ref();
    out.push(flag(pass.is_some(), HAS_PASSES) | flag(header.labels_final, LABELS_FINAL) | flag(source.heard.led, LED));
    for span in [pass.map(|pass| pass.interval), pass.map(|pass| pass.timeout)] {
        let nanos = span.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        out.extend_from_slice(&nanos.to_le_bytes());
    }
    let count = bases(source, generation).count() as u32;
    out.extend_from_slice(&count.to_le_bytes());
    for (generation, time) in bases(source, generation) {
        out.extend_from_slice(&generation.to_le_bytes());
        out.extend_from_slice(&time.to_le_bytes());
    }
    pack::put(out, ValueKind::Str, header.source.as_bytes());
    for key in header.identity.iter() {
        pack::put(out, ValueKind::Str, key.as_bytes());
    }
}

/// A source as its header, without a pass of its own yet, and when it confirmed its series.
pub(super) fn read_source(bytes: &[u8]) -> Option<(Header, Heard)> {
    let mut words = Words(bytes);
    let flags = words.byte()?;
    let [interval, timeout] = [words.word()?, words.word()?].map(std::time::Duration::from_nanos);
    let mut heard = Heard { led: flags & LED != 0, ..Heard::default() };
    for _ in 0..u32::from_le_bytes(words.take()?) {
        heard.before.push((u32::from_le_bytes(words.take()?), words.word()?));
    }
    let mut texts = Unpack::new(words.0).map(|text| std::str::from_utf8(text.bytes).ok());
    let source = texts.next()??.into();
    let identity: Option<Vec<std::sync::Arc<str>>> = texts.map(|text| text.map(Into::into)).collect();
    let pass = (flags & HAS_PASSES != 0).then_some(Pass { epoch: 0, time: 0, interval, timeout, end: None });
    let labels_final = flags & LABELS_FINAL != 0;
    Some((Header { source, pass, identity: identity?.into(), labels_final, ..Header::default() }, heard))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(guard: Option<u64>, start: Option<u64>) -> Row<'static> {
        Row {
            generation: 7,
            source: 1,
            family: 2,
            names: 3,
            number: NumberKind::Double,
            time: 4,
            bits: 5,
            guard,
            start,
            body: b"body",
            labels: b"labels",
        }
    }

    #[test]
    fn rows_read_back_and_damage_is_seen() {
        let secret = Secret::random();
        for (guard, start) in [(None, None), (Some(8), None), (None, Some(9)), (Some(8), Some(9))] {
            let mut bytes = Vec::new();
            row(guard, start).write(&mut bytes);
            assert_eq!(Row::read(&bytes), Some(row(guard, start)));
            let key = series_key(77);
            assert_eq!(series_hash(&key), Some(77));
            let Change::Put(_, value) = sealed(&secret, &key, &bytes) else { panic!("a put") };
            assert_eq!(open(&secret, &key, &value), Some(&bytes[..]));
            for at in 0..value.len() {
                let mut damaged = value.to_vec();
                damaged[at] ^= 1;
                assert_eq!(open(&secret, &key, &damaged), None);
            }
            assert_eq!(open(&secret, &series_key(78), &value), None);
            assert_eq!(open(&Secret::random(), &key, &value), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_a_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Row::read(&bytes);
            let _ = read_source(&bytes);
            let _ = open(&Secret::random(), b"k", &bytes);
        }
    }
}
