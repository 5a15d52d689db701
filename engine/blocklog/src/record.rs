//! What goes into the log and comes out of it.

use bytes::Bytes;

/// A finished wire block with what must be known about it to send it and to count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is known about it.
    pub meta: Meta,
    /// The bytes that go over the wire.
    pub payload: Bytes,
}

/// What is known about a record without its payload. The log gives meaning to `seq`, `shard` and `generation` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// Its place in the order of all shards; no two records have the same.
    pub seq: u64,
    /// The shard that it belongs to.
    pub shard: u32,
    /// Which division into shards that number belongs to. Never falls while `seq` grows.
    pub generation: u32,
    /// Data points, spans or log records in it.
    pub items: u64,
    /// The exporter's own numbering of protocols and versions.
    pub protocol: u16,
    /// Bytes before compression.
    pub uncompressed: u64,
    /// The earliest and latest sample, nanoseconds since the Unix epoch; (0, 0) if there is none.
    pub time_range: (u64, u64),
    /// When the data was accepted, nanoseconds since the Unix epoch.
    pub accepted: u64,
    /// Whether the data was read under a lease, and must not be sent without one.
    pub leased: bool,
}

/// A pending record: which, and where it lies. Valid until the record is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The record's sequence number.
    pub seq: u64,
    /// Its shard.
    pub shard: u32,
    /// Its generation.
    pub generation: u32,
}

/// How much of something there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Items in them.
    pub items: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl Amount {
    pub(crate) fn add(&mut self, items: u64, bytes: u64) {
        self.records += 1;
        self.items = self.items.saturating_add(items);
        self.bytes += bytes;
    }

    pub(crate) fn subtract(&mut self, other: Amount) {
        self.records = self.records.saturating_sub(other.records);
        self.items = self.items.saturating_sub(other.items);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.records += other.records;
        self.items = self.items.saturating_add(other.items);
        self.bytes += other.bytes;
    }
}
