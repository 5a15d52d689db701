//! Wire blocks in a segmented log on disk: the queue that outlives the process.
//!
//! A [`Log`] holds [`Record`]s: finished payloads with what must be known to send and to count them. It knows shards and
//! the order of numbers in them, and nothing else of what it holds. Records are appended, made durable by [`SyncJob`]s
//! (one for many records), read in the order of their shard and acknowledged; what is not acknowledged is there again
//! after a restart, a crash, or a power cut.
//!
//! # The folder
//!
//! | file | what it is |
//! |---|---|
//! | `0000000001.log`, `0000000002.log`, ... | segments: records, one behind the other |
//! | `cursor` | how far each shard is acknowledged, how far the log is synced, whether it was closed in order |
//! | `segments` | which segments there are, so that a missing or shortened one is noticed |
//! | `quarantine/` | copies of bytes that were found damaged, `<file>-<offset, hexadecimal>` |
//! | `cursor.new`, `segments.new` | the next such file, before it is renamed |
//!
//! Other files (a `lock`, say) are not the log's and are left alone. All numbers are little endian; `sum` is XXH3-64.
//!
//! # File header
//!
//! Every file starts with 64 bytes. Their layout is the same in all versions, so that any version can refuse a later one.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | `STDYsegm`, `STDYcurs` or `STDYlist` |
//! | 8..10 | version of the format: 1 |
//! | 10..12 | 0 |
//! | 12..16 | number of the segment; 0 in other files |
//! | 16..24 | id of the log: random, the same in all its files |
//! | 24..56 | 0 |
//! | 56..64 | sum of bytes 0..56 |
//!
//! A file of a later version is refused with words and left as it is.
//!
//! # Segment
//!
//! Behind the file header, records start at multiples of 64 bytes, each directly behind the one before:
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | `SLrc` |
//! | 4 | 1: a record; 2: a hole, whose bytes were damaged and are in quarantine |
//! | 5 | bit 0: the data was read under a lease |
//! | 6..8 | protocol, in the exporter's numbering |
//! | 8..12 | number of the segment |
//! | 12..16 | length of the payload |
//! | 16..20, 20..24 | shard, generation |
//! | 24..32 | id of the log |
//! | 32..40 | sequence number |
//! | 40..48, 48..56 | items; bytes before compression |
//! | 56..64, 64..72 | earliest and latest sample, nanoseconds since the Unix epoch |
//! | 72..80 | when it was accepted, likewise |
//! | 80..88 | 0 |
//! | 88..96 | sum of the payload |
//! | 96..104 | sum of bytes 0..96, seeded with the id of the log |
//! | 104.. | payload, then zeros up to a multiple of 64 |
//!
//! A segment is made with its full size, so that appending changes no metadata; when the next one is begun, or the log
//! is closed, it is cut to what it holds. A process appends only to segments that it made itself. Records of one shard
//! may stand out of order, and a record may stand in two segments (one that was moved, before the old segment is
//! deleted): the number counts, the later copy holds.
//!
//! A payload cannot pose as a record: its maker does not know the id.
//!
//! # Cursor
//!
//! Behind the file header, pairs of slots of 32 bytes. A value is written to the slots of its pair in turns, never
//! renamed or moved, so a torn write leaves the value before it. Of two whole slots the one with the higher counter
//! (modulo 2^32) holds. The first pair is the log's own, each further one belongs to a shard.
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | counter; its lowest bit is the slot's place in the pair |
//! | 4..8 | the shard; in the log's own pair 1 if the log was closed in order, else 0 |
//! | 8..16 | the number up to which the shard is done; in the log's own pair up to where the log is synced: segment in the upper, offset in the lower half |
//! | 16..24 | in the log's own pair which start of the machine wrote it, 0 if unknown; else 0 |
//! | 24..32 | sum of bytes 0..24, seeded with the id of the log xor the slot's offset in the file |
//!
//! An acknowledgement is written at once and synced by the next job: after a crash of the process the cursor is exact,
//! after one of the machine it may lag, and never leads. Which of the two it was, the start of the machine in the log's own
//! pair tells.
//!
//! # List of segments
//!
//! Behind the file header, for each segment: number (4 bytes), bytes of it that are synced (4), records pending (4), 0
//! (4), items pending (8). At the end the sum of all that, seeded with the id. Written anew whenever a segment comes or
//! goes, before a segment is deleted.
//!
//! # A sync job
//!
//! Syncs the segments written to; writes the list of segments, syncs and renames it; syncs the folder; syncs the cursor;
//! deletes segments with nothing pending. Only then does the log's own slot say how far it is synced. A job for what was
//! appended ([`Log::append_job`]) syncs the segments and leaves the rest to a later one, as long as no segment came or went:
//! one request, one sync. After a crash of the machine the cursor lags by as much.
//!
//! If a sync fails, the kernel holds the pages for clean and may have lost them, so a repetition proves nothing. The log
//! begins a new segment, and the next job first writes to it what no successful job has covered.
//!
//! # Recovery
//!
//! Segments are walked from header to header; payloads are verified in the last segment and wherever nothing was synced,
//! others when they are read. Where no whole header stands, the walk goes on at the next multiple of 64 bytes that has
//! one. What is damaged **before** the point up to which the segment is known to be synced (the larger of what list and
//! cursor say) is copied to the quarantine, told, and covered by a hole. What is damaged **behind** it is what a crash may
//! leave, and is dropped silently. If neither list nor cursor can be read, a torn end is legal in the last segment only.
//!
//! # Bounds
//!
//! On disk: after each sync job at most twice the pending records (with headers) and two segments, however the pending
//! ones lie: the last of them are moved out of segments that are mostly done with. In memory: at most 64 KiB and 16 bytes
//! a pending record, for up to 50 shards.

mod cursor;
mod disk;
mod error;
mod format;
mod index;
mod inspect;
mod log;
mod manifest;
mod mend;
mod quarantine;
mod reading;
mod record;
mod recovery;
mod relocate;
mod scan;
mod segments;
mod sync;
mod walk;

pub use disk::{Disk, DiskFile, RealDisk, boot};
pub use error::{LogError, ReadError};
pub use inspect::{Inspected, Inspection, inspect, is_log, purge};
pub use log::{Log, MOST_BYTES, Options, Stats};
pub use quarantine::{QUARANTINE, Quarantined};
pub use record::{Amount, Entry, Meta, Record};
pub use recovery::Recovery;
pub use sync::SyncJob;
