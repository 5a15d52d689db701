//! A folder for requests that the backend refused for good: the bytes as they were sent, and beside them what they were
//! and what the backend said. Bounded; the oldest go first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::json;
use steadyline_component::Block;
use steadyline_component::exporter::DeadLetterConfig;

/// The folder of one exporter.
#[derive(Debug)]
pub(super) struct DeadLetters {
    directory: PathBuf,
    max: u64,
    /// One at a time makes room and writes.
    writing: Mutex<u64>,
}

impl DeadLetters {
    /// By config; nothing is touched before the first refusal.
    pub(super) fn new(config: &DeadLetterConfig) -> DeadLetters {
        let max = config.max_size.as_usize() as u64;
        DeadLetters { directory: config.directory.clone(), max, writing: Mutex::new(0) }
    }

    /// Keeps a block, off the async threads' way for as long as a file takes.
    ///
    /// # Errors
    /// It is not kept; the folder or the disk says why.
    pub(super) fn keep(&self, component: &str, block: &Block, reason: &str, message: &str) -> io::Result<PathBuf> {
        let mut count = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *count += 1;
        fs::create_dir_all(&self.directory)?;
        let bytes = block.payload.bytes();
        make_room(&self.directory, self.max.saturating_sub(bytes.len() as u64))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let component_name = component.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let name = format!("{:020}-{:06}-{component_name}", now.as_nanos(), *count);
        let told = json!({
            "component": component, "reason": reason, "message": message, "items": block.items,
            "protocol": block.protocol, "bytes": bytes.len(), "uncompressed": block.uncompressed,
            "first_unix_nanos": block.time_range.0, "last_unix_nanos": block.time_range.1,
        });
        let path = self.directory.join(format!("{name}.bin"));
        fs::write(&path, bytes)?;
        fs::write(self.directory.join(format!("{name}.json")), format!("{told:#}\n"))?;
        Ok(path)
    }
}

/// Removes the oldest letters, each with what tells of it, until the rest has at most so many bytes.
fn make_room(directory: &Path, max: u64) -> io::Result<()> {
    let mut letters = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let size = fs::metadata(&path)?.len();
            letters.push((path, size));
        }
    }
    // Names begin with their time.
    letters.sort();
    let mut total: u64 = letters.iter().map(|(_, size)| size).sum();
    for (path, size) in letters {
        if total <= max {
            break;
        }
        fs::remove_file(&path)?;
        let told = fs::remove_file(path.with_extension("json"));
        told.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        total -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use steadyline_component::config::ByteSize;

    use super::*;

    fn block(bytes: usize) -> Block {
        let payload = vec![7; bytes].into();
        let (receipts, term, permit) = (Vec::new(), None, None);
        Block { payload, items: 3, protocol: 1, shard: 0, uncompressed: 0, time_range: (1, 2), receipts, term, permit }
    }

    #[test]
    fn the_newest_are_kept_with_what_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let config = DeadLetterConfig { directory: folder.path().join("dead"), max_size: ByteSize::kib(3) };
        let letters = DeadLetters::new(&config);
        let kept: Vec<PathBuf> = (0..5)
            .map(|_| letters.keep("exporter:amp/eu", &block(1000), "http_400", "out of order").unwrap())
            .collect();
        let there: Vec<bool> = kept.iter().map(|path| path.exists()).collect();
        assert_eq!(there, [false, false, true, true, true]);
        let told: serde_json::Value =
            serde_json::from_slice(&fs::read(kept[4].with_extension("json")).unwrap()).unwrap();
        assert_eq!((told["items"].as_u64(), told["message"].as_str()), (Some(3), Some("out of order")));
        assert_eq!(fs::read_dir(&config.directory).unwrap().count(), 6);
    }
}
