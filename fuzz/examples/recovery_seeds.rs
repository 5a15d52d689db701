//! Writes the seeds of `recovery`: `cargo run --example recovery_seeds --no-default-features -- seeds/recovery`

use std::path::Path;

use steadyline_blocklog::{Log, Meta, Options, Record};
use steadyline_fuzz::disk::MemoryDisk;

const FOLDER: &str = "/queue";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let to = std::env::args().nth(1).ok_or("where to? name a folder")?;
    std::fs::create_dir_all(&to)?;
    for (name, flags, records, acknowledged, clean) in [
        ("empty", 0, 0, 0, true),
        ("one", 0, 1, 0, true),
        ("crashed", 0, 6, 2, false),
        ("two_segments", 0, 14, 3, true),
        ("sealed", 1, 6, 2, false),
        ("sealed_two_segments", 1, 14, 3, true),
    ] {
        let disk = MemoryDisk::default();
        let options = Options { segment_bytes: 4096, id: 7, ..Options::default() };
        let (mut log, _) = Log::open(disk.clone(), Path::new(FOLDER), options)?;
        for seq in 1..=records {
            let meta = Meta { seq, shard: (seq % 2) as u32, generation: (seq / 4) as u32, items: 5, ..Meta::default() };
            log.append(&[Record { meta, payload: vec![seq as u8; seq as usize * 40].into() }])?;
        }
        log.acknowledge(1, acknowledged)?;
        log.sync_job().run()?;
        if clean {
            log.close_clean()?;
        }
        std::fs::write(Path::new(&to).join(name), disk.to_input(flags, Path::new(FOLDER)))?;
    }
    Ok(())
}
