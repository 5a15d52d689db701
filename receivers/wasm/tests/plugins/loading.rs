//! Files that are no plugins, and compiled code that is kept.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{of, probe};

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("path: {}", path.display())
    };
    let words = of("path: /nowhere/x.wasm", None).start().await.unwrap_err();
    assert!(words.contains("cannot read the plugin `/nowhere/x.wasm`"), "{words}");
    for (name, bytes, word) in [
        ("text.wasm", &b"hello"[..], "no component"),
        ("empty.wasm", b"", "no component"),
        ("module.wasm", b"\0asm\x01\0\0\0", "no component"),
        ("other.wasm", b"\0asm\x0d\0\x01\0", "world `receiver`"),
    ] {
        let mut made = of(&path(name, bytes), None);
        made.start().await.unwrap();
        let error = made.fails("not_loaded").await;
        assert!(error.message.contains(word) && error.message.contains(name), "{name}: {error}");
        made.fails("not_started").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_put_right_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    std::fs::write(&path, "not yet").unwrap();
    let yaml = format!("path: {}\nconfig: {{do: calls}}\nrestart: {{initial_interval: 1ms}}", path.display());
    let mut made = of(&yaml, None);
    made.start().await.unwrap();
    made.fails("not_loaded").await;
    std::fs::copy(probe(), &path).unwrap();
    let put_right = async {
        while let Err(error) = made.poll().await {
            assert_eq!(error.reason, "not_started", "{error}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), put_right).await.unwrap();
    assert_eq!(made.lines().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_kept_where_nobody_else_can_write() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/cache");
    let yaml = format!("path: {}\nconfig: {{do: calls}}\ncache_directory: {}", probe(), cache.display());
    of(&yaml, None).complete().await;
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let kept = files(&cache);
    assert!(kept > 0);
    of(&yaml, None).complete().await;
    assert_eq!(files(&cache), kept, "it was found");
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o770)).unwrap();
    let error = of(&yaml, None).fails("not_loaded").await;
    assert!(error.message.contains("others may write"), "{error}");
}
