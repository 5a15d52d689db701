//! `queue export`: what waits, as files.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};

use super::{Seen, described};

/// Copies every block to a file of its own, with a manifest. Says how many, and how many could not be read.
pub(super) fn export(seen: &[Seen], to: &Path) -> anyhow::Result<(u64, u64)> {
    fs::create_dir_all(to).with_context(|| format!("cannot make the folder {}", to.display()))?;
    if fs::read_dir(to)?.next().is_some() {
        bail!("{} is not empty; name a folder that is, or one that does not exist", to.display());
    }
    let path = to.join("manifest.jsonl");
    let mut manifest =
        BufWriter::new(fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?);
    let (mut copied, mut skipped) = (0, 0);
    for (number, (queue, seen)) in seen.iter().enumerate() {
        for record in &seen.records {
            let Some(payload) = seen.payload(record)? else {
                skipped += 1;
                continue;
            };
            let file = format!("{number:03}-{:020}.block", record.meta.seq);
            fs::write(to.join(&file), &payload).with_context(|| format!("cannot write {file}"))?;
            let mut line = described(queue, record);
            line["file"] = file.into();
            writeln!(manifest, "{line}")?;
            copied += 1;
        }
    }
    manifest.flush()?;
    Ok((copied, skipped))
}
