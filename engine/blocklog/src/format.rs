//! The bytes of headers, as the crate's documentation has them.
//! What does not decode is damaged; nothing here panics on any input.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::record::Meta;

/// The version that this program writes, and the latest that it reads.
pub(crate) const VERSION: u16 = 1;
/// Every record starts at a multiple of this, and so can be found again after a damaged one.
pub(crate) const ALIGN: u64 = 64;
/// Length of the header of each file.
pub(crate) const FILE_HEADER: usize = 64;
/// Length of the header of a record; the payload follows.
pub(crate) const RECORD_HEADER: usize = 104;

const RECORD_MAGIC: [u8; 4] = *b"SLrc";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Cursor,
    Manifest,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        *match self {
            FileKind::Segment => b"STDYsegm",
            FileKind::Cursor => b"STDYcurs",
            FileKind::Manifest => b"STDYlist",
        }
    }
}

/// The header of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub version: u16,
    /// The number of a segment, 0 for others.
    pub number: u32,
    /// The random id of the log.
    pub id: u64,
}

impl FileHeader {
    pub(crate) fn new(number: u32, id: u64) -> FileHeader {
        FileHeader { version: VERSION, number, id }
    }

    pub(crate) fn encode(&self, kind: FileKind) -> [u8; FILE_HEADER] {
        let mut bytes = [0; FILE_HEADER];
        bytes[..8].copy_from_slice(&kind.magic());
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        let sum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None`: damaged, or not such a file.
    pub(crate) fn decode(bytes: &[u8], kind: FileKind) -> Option<FileHeader> {
        let bytes = bytes.get(..FILE_HEADER)?;
        if bytes[..8] != kind.magic() || u64_at(bytes, 56) != xxh3_64(&bytes[..56]) {
            return None;
        }
        Some(FileHeader {
            version: u16::from_le_bytes([bytes[8], bytes[9]]),
            number: u32_at(bytes, 12),
            id: u64_at(bytes, 16),
        })
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// What was damaged here is in quarantine; there is no payload to read.
    pub hole: bool,
    pub meta: Meta,
    /// Bytes of the payload.
    pub length: u32,
    /// Checksum of the payload.
    pub sum: u64,
}

impl RecordHeader {
    pub(crate) fn of(meta: Meta, payload: &[u8]) -> RecordHeader {
        // Callers bound the payload by the size of a segment.
        RecordHeader { hole: false, meta, length: payload.len() as u32, sum: xxh3_64(payload) }
    }

    /// One that covers a damaged range, itself included.
    pub(crate) fn hole(range: u64) -> RecordHeader {
        let length = (range - RECORD_HEADER as u64) as u32;
        RecordHeader { hole: true, meta: Meta::default(), length, sum: 0 }
    }

    /// The bytes from this header to the next.
    pub(crate) fn extent(&self) -> u64 {
        extent(u64::from(self.length))
    }

    /// As it stands in a segment of a log.
    pub(crate) fn encode(&self, segment: u32, id: u64) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        let meta = &self.meta;
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4] = if self.hole { 2 } else { 1 };
        bytes[5] = u8::from(meta.leased);
        bytes[6..8].copy_from_slice(&meta.protocol.to_le_bytes());
        let words32 = [segment, self.length, meta.shard, meta.generation];
        for (place, word) in bytes[8..24].chunks_exact_mut(4).zip(words32) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (earliest, latest) = meta.time_range;
        let words64 = [id, meta.seq, meta.items, meta.uncompressed, earliest, latest, meta.accepted, 0, self.sum];
        for (place, word) in bytes[24..96].chunks_exact_mut(8).zip(words64) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let sum = xxh3_64_with_seed(&bytes[..96], id);
        bytes[96..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None`: no header of this segment and log. Without an id any header that is whole in itself is taken.
    pub(crate) fn decode(bytes: &[u8], segment: u32, id: Option<u64>) -> Option<RecordHeader> {
        let bytes = bytes.get(..RECORD_HEADER)?;
        let own = u64_at(bytes, 24);
        if bytes[..4] != RECORD_MAGIC || u32_at(bytes, 8) != segment || id.is_some_and(|id| id != own) {
            return None;
        }
        if !matches!(bytes[4], 1 | 2) || u64_at(bytes, 96) != xxh3_64_with_seed(&bytes[..96], own) {
            return None;
        }
        let meta = Meta {
            leased: bytes[5] & 1 == 1,
            protocol: u16::from_le_bytes([bytes[6], bytes[7]]),
            shard: u32_at(bytes, 16),
            generation: u32_at(bytes, 20),
            seq: u64_at(bytes, 32),
            items: u64_at(bytes, 40),
            uncompressed: u64_at(bytes, 48),
            time_range: (u64_at(bytes, 56), u64_at(bytes, 64)),
            accepted: u64_at(bytes, 72),
        };
        Some(RecordHeader { hole: bytes[4] == 2, meta, length: u32_at(bytes, 12), sum: u64_at(bytes, 88) })
    }

    /// The id of the log that a header says it belongs to, if it is whole in itself.
    pub(crate) fn id(bytes: &[u8], segment: u32) -> Option<u64> {
        RecordHeader::decode(bytes, segment, None).map(|_| u64_at(bytes, 24))
    }

    /// Whether a header may stand here: cheap, and mostly no.
    pub(crate) fn may_start(bytes: &[u8]) -> bool {
        bytes.starts_with(&RECORD_MAGIC)
    }
}

/// The bytes that a record takes in a segment.
pub(crate) fn extent(payload: u64) -> u64 {
    (RECORD_HEADER as u64 + payload).next_multiple_of(ALIGN)
}

/// The checksum of a payload.
pub(crate) fn payload_sum(payload: &[u8]) -> u64 {
    xxh3_64(payload)
}

/// Reads a number; the caller knows that it is there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Reads a number; the caller knows that it is there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            seq: 7,
            shard: 3,
            generation: 2,
            items: 500,
            protocol: 2,
            uncompressed: 4096,
            time_range: (11, 12),
            accepted: 13,
            leased: true,
        }
    }

    #[test]
    fn a_record_header_survives_and_any_flipped_bit_shows() {
        let header = RecordHeader::of(meta(), b"payload");
        let bytes = header.encode(5, 99);
        assert_eq!(RecordHeader::decode(&bytes, 5, Some(99)), Some(header));
        assert_eq!(RecordHeader::id(&bytes, 5), Some(99));
        assert_eq!(RecordHeader::decode(&bytes, 6, Some(99)), None, "another segment");
        assert_eq!(RecordHeader::decode(&bytes, 5, Some(98)), None, "another log");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, 5, Some(99)), None, "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(&bytes[..50], 5, None), None);
    }

    #[test]
    fn a_file_header_survives_and_any_flipped_bit_shows() {
        let header = FileHeader::new(5, 99);
        let bytes = header.encode(FileKind::Segment);
        assert_eq!(FileHeader::decode(&bytes, FileKind::Segment), Some(header));
        assert_eq!(FileHeader::decode(&bytes, FileKind::Cursor), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHeader::decode(&flipped, FileKind::Segment), None, "bit {bit}");
        }
    }

    #[test]
    fn extents_are_aligned_and_hold_header_and_payload() {
        for (payload, expected) in [(0, 128), (24, 128), (25, 192), (65_536, 65_664)] {
            assert_eq!(extent(payload), expected, "{payload}");
        }
    }
}
