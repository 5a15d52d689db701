//! The log behind disk queues: how fast it takes blocks, how much disk and memory it needs, how soon it is open again.
//! `cargo bench -p steadyline-benches --bench disk_queue -- --blocks 4096 --backlog 16384`

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};
use steadyline_benches::alloc::Counting;
use steadyline_benches::args;
use steadyline_benches::meter::Stage;
use steadyline_blocklog::{Disk, DiskFile, Log, Meta, Options, RealDisk, Record};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BLOCK: usize = 64 << 10;
/// Blocks that wait while others come and go.
const DEPTH: u64 = 256;
const SHARDS: u64 = 8;
/// Of a disk that syncs in about a millisecond, 16 blocks a sync.
const GOAL: f64 = 200.0;
const REOPEN: Duration = Duration::from_secs(1);

fn main() {
    let (blocks, backlog) = (args::number("blocks", 4096), args::number("backlog", 16_384));
    println!("blocks of {} KiB, incompressible; {DEPTH} wait in {SHARDS} shards", BLOCK >> 10);
    for batch in [16, 1] {
        flow(blocks as u64, batch);
    }
    stuck();
    reopen(backlog as u64);
}

/// A folder of its own on the disk of the build, not in memory; removed when done with.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk_queue_{name}_{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the build's folder takes another");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that differ from block to block and do not compress.
fn record(seq: u64, noise: &Bytes) -> Record {
    let meta = Meta { seq, shard: (seq % SHARDS) as u32, items: 1000, accepted: seq, ..Meta::default() };
    let start = (seq as usize * 61) % (noise.len() - BLOCK);
    Record { meta, payload: noise.slice(start..start + BLOCK) }
}

fn noise() -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..4 * BLOCK).map(|_| next()).collect::<Vec<u8>>().into()
}

/// Appends, syncs, reads and acknowledges; every block is read back and compared.
fn flow(blocks: u64, batch: u64) {
    let scratch = Scratch::new("flow");
    let noise = noise();
    let (mut log, _) = Log::open(RealDisk, &scratch.0, Options::default()).expect("a new log opens");
    let (mut syncs, mut cpu) = (Vec::new(), Stage::default());
    let (mut peak, mut worst, mut done) = (0_u64, 0_f64, 0);
    let start = Instant::now();
    for first in (1..=blocks).step_by(batch as usize) {
        let last = blocks.min(first + batch - 1);
        let records: Vec<Record> = (first..=last).map(|seq| record(seq, &noise)).collect();
        cpu.measure(|| log.append(&records).expect("the disk has room"));
        let job = cpu.measure(|| log.sync_job());
        let begun = Instant::now();
        job.run().expect("the disk syncs");
        syncs.push(begun.elapsed());
        let stats = log.stats();
        peak = peak.max(stats.disk_bytes);
        let segments = 2 * Options::default().segment_bytes;
        worst = worst.max(stats.disk_bytes.saturating_sub(segments) as f64 / stats.live_bytes as f64);
        while done + DEPTH < last {
            done += 1;
            cpu.measure(|| take(&mut log, done, &noise));
        }
    }
    let elapsed = start.elapsed();
    while done < blocks {
        done += 1;
        take(&mut log, done, &noise);
    }
    assert_eq!(log.stats().pending.records, 0, "every block was read and acknowledged");
    assert!(worst <= 2.0, "on disk {worst:.2} times the backlog, and two segments");
    log.close_clean().expect("it closes");
    syncs.sort();
    let rate = (blocks as usize * BLOCK) as f64 / 1e6 / elapsed.as_secs_f64();
    let limit = limit(&scratch.0, blocks / batch, batch as usize * BLOCK, &noise);
    println!(
        "{batch:>2} a sync: {rate:.0} MB/s with reading back (goal at 16: {GOAL:.0}); the disk alone {limit:.0} MB/s; sync \
         {:.2?} (median), {:.2?} (99 %); CPU {:.1} us a block; disk at most {:.1} MB, {worst:.2} times the backlog and two segments",
        syncs[syncs.len() / 2],
        syncs[syncs.len() * 99 / 100],
        cpu.micros_per(blocks),
        peak as f64 / 1e6,
    );
}

fn take(log: &mut Log<RealDisk>, seq: u64, noise: &Bytes) {
    let shard = (seq % SHARDS) as u32;
    let entry = log.front(shard, 1)[0];
    assert_eq!(entry.seq, seq);
    let read = log.read(&entry).expect("it is whole");
    assert_eq!(read.payload, record(seq, noise).payload);
    assert_eq!(log.acknowledge(shard, seq).expect("the cursor takes it").records, 1);
}

/// The same bytes written and synced in the same portions, into files of the same size, and nothing else.
fn limit(folder: &Path, portions: u64, bytes: usize, noise: &Bytes) -> f64 {
    let segment = Options::default().segment_bytes;
    let portion: Vec<u8> = noise.iter().copied().cycle().take(bytes).collect();
    let start = Instant::now();
    let (mut file, mut at, path) = (None, segment, folder.join("limit"));
    for _ in 0..portions {
        if at + bytes as u64 > segment {
            let fresh = RealDisk.create(&path).expect("a file");
            fresh.preallocate(segment).expect("room");
            (file, at) = (Some(fresh), 0);
        }
        let file = file.as_ref().expect("there is one from the first round on");
        file.write_at(&portion, at).expect("written");
        file.sync_data().expect("synced");
        at += bytes as u64;
    }
    (portions as usize * bytes) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// One block in each segment belongs to a shard whose backend is gone; all others are delivered at once.
fn stuck() {
    let scratch = Scratch::new("stuck");
    let noise = noise();
    let options = Options { sync: false, ..Options::default() };
    let segment = options.segment_bytes;
    let (mut log, _) = Log::open(RealDisk, &scratch.0, options).expect("a new log opens");
    let (mut peak, mut worst) = (0, 0_f64);
    for seq in 1..=8192_u64 {
        let mut record = record(seq, &noise);
        record.meta.shard = u32::from(seq % 100 != 0);
        log.append(&[record]).expect("the disk has room");
        log.acknowledge(1, seq).expect("the cursor takes it");
        log.sync_job().run().expect("nothing to fail");
        let stats = log.stats();
        peak = peak.max(stats.disk_bytes);
        let over = stats.disk_bytes.saturating_sub(2 * segment);
        worst = worst.max(if over == 0 { 0.0 } else { over as f64 / stats.live_bytes as f64 });
    }
    assert_eq!(log.pending(0), 81);
    assert!(worst <= 2.0, "on disk {worst:.2} times the backlog, and two segments");
    println!(
        "a stuck shard with 1 block in 100 of 537 MB: disk at most {:.1} MB for {:.1} MB that wait",
        peak as f64 / 1e6,
        log.stats().live_bytes as f64 / 1e6
    );
}

/// A backlog of a gigabyte after a crash: how soon it is open, and what the index needs.
fn reopen(blocks: u64) {
    let scratch = Scratch::new("reopen");
    let noise = noise();
    let (mut log, _) = Log::open(RealDisk, &scratch.0, Options::default()).expect("a new log opens");
    for first in (1..=blocks).step_by(64) {
        let records: Vec<Record> = (first..=blocks.min(first + 63)).map(|seq| record(seq, &noise)).collect();
        log.append(&records).expect("the disk has room");
    }
    log.sync_job().run().expect("the disk syncs");
    drop(log);
    for cache in ["in memory", "dropped"] {
        if cache == "dropped" {
            drop_cache(&scratch.0);
        }
        let start = Instant::now();
        let (log, recovery) = Log::open(RealDisk, &scratch.0, Options::default()).expect("it opens");
        let elapsed = start.elapsed();
        assert_eq!(recovery.pending.records, blocks, "everything is pending");
        assert!(recovery.quarantined.is_empty() && !recovery.clean);
        let footprint = log.footprint();
        assert!(footprint as u64 <= (64 << 10) + 16 * blocks, "{footprint} bytes of index");
        println!(
            "reopened {:.2} GB with the page cache {cache} in {elapsed:.2?} (goal {REOPEN:?}); index {:.1} bytes a block",
            (blocks as usize * BLOCK) as f64 / 1e9,
            footprint as f64 / blocks as f64
        );
        black_box(log);
    }
}

/// Asks the kernel to forget what it has of the files.
fn drop_cache(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        if let Ok(file) = File::open(entry.path()) {
            let _ = file.sync_all();
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
    }
}
