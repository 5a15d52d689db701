//! The storage on a real file system: what is kept, who is kept out, what becomes of damage and of a full file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use steadyline_component::testkit::{TestExtensions, create, create_with};
use steadyline_component::{
    Area, Board, Change, Clock, Extension, Host, Meter, Owner, Shutdown, Status, Storage, StorageError, Verdict,
};
use tempfile::TempDir;

use crate::FileStorageFactory;

struct Bench {
    folder: TempDir,
    meter: Meter,
    board: Board,
    extension: Arc<dyn Extension>,
}

impl Bench {
    async fn start(more: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        Bench::in_folder(folder, more).await
    }

    async fn in_folder(folder: TempDir, more: &str) -> Bench {
        let (meter, clock) = (Meter::default(), Clock::system());
        let yaml = format!("directory: {}\n{more}", folder.path().display());
        let extension =
            create_with::<FileStorageFactory>(&yaml, &mut TestExtensions::default(), &clock, &meter).unwrap();
        let board = Board::new(clock.clone());
        let host = Host { clock, board: board.clone(), shutdown: Shutdown::new().1 };
        extension.start(&host).await.unwrap();
        Bench { folder, meter, board, extension }
    }

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.extension).as_storage().unwrap()
    }

    async fn open(&self, id: &str) -> Result<Arc<dyn Area>, StorageError> {
        self.storage().open(&owner(id)).await
    }

    async fn again(self, more: &str) -> Bench {
        self.extension.shutdown().await;
        Bench::in_folder(self.folder, more).await
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("processor_{id}_metrics"))
    }

    fn counted(&self, name: &str) -> f64 {
        self.meter.read().iter().filter(|one| one.name == name).map(|one| one.value()).sum()
    }
}

fn owner(id: &str) -> Owner {
    Owner { kind: "processor", id: id.into(), place: "metrics".into() }
}

fn put(key: &str, value: impl AsRef<[u8]>) -> Change {
    Change::Put(Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_ref()))
}

fn delete(key: &str) -> Change {
    Change::Delete(Bytes::copy_from_slice(key.as_bytes()))
}

async fn keys(area: &Arc<dyn Area>) -> Vec<String> {
    let pairs = area.read_all().await.unwrap();
    pairs.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_there_again_and_owners_stay_apart() {
    for more in ["", "fsync: true"] {
        let bench = Bench::start(more).await;
        let area = bench.open("a").await.unwrap();
        area.commit(vec![put("b", "2"), put("a", "1"), put("c", [0, 255])]).await.unwrap();
        area.commit(vec![delete("b"), put("a", "3"), delete("missing")]).await.unwrap();
        area.commit(Vec::new()).await.unwrap();
        assert!(bench.open("other").await.unwrap().read_all().await.unwrap().is_empty());
        let bench = bench.again(more).await;
        let area = bench.open("a").await.unwrap();
        assert_eq!(keys(&area).await, ["a", "c"]);
        assert_eq!(area.get(b"a").await.unwrap().as_deref(), Some(&b"3"[..]));
        assert_eq!(area.get(b"c").await.unwrap().as_deref(), Some(&[0, 255][..]));
        assert_eq!(area.get(b"b").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_it_again_takes_it_from_the_one_before() {
    let bench = Bench::start("").await;
    let before = bench.open("a").await.unwrap();
    before.commit(vec![put("a", "1")]).await.unwrap();
    let after = bench.open("a").await.unwrap();
    let refused = before.commit(vec![put("b", "1")]).await.unwrap_err();
    assert!(!refused.retryable && refused.message.contains("another holder"), "{refused}");
    after.commit(vec![put("c", "1")]).await.unwrap();
    assert_eq!(keys(&after).await, ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_kept_out_and_named() {
    let bench = Bench::start("timeout: 100ms").await;
    let folder = bench.path("a");
    std::fs::create_dir_all(&folder).unwrap();
    // A lock belongs to the open file, so that one opened here stands for another process.
    let other = std::fs::File::create(folder.join("lock")).unwrap();
    std::io::Write::write_all(&mut &other, b"4711\n").unwrap();
    other.try_lock().unwrap();
    for refused in [bench.open("a").await.err().unwrap(), bench.storage().folder(&owner("a")).await.unwrap_err()] {
        assert!(refused.message.contains("process 4711 uses"), "{refused}");
        assert!(refused.message.contains("processor_a_metrics") && refused.retryable, "{refused}");
    }
    drop(other);
    bench.open("a").await.unwrap();
    let third = std::fs::File::open(folder.join("lock")).unwrap();
    assert!(third.try_lock().is_err(), "it is ours until the process ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_let_go_in_time_is_waited_for() {
    let bench = Bench::start("timeout: 60s").await;
    std::fs::create_dir_all(bench.path("a")).unwrap();
    let other = std::fs::File::create(bench.path("a").join("lock")).unwrap();
    other.try_lock().unwrap();
    let (opened, ()) = tokio::join!(bench.open("a"), async {
        tokio::task::yield_now().await;
        drop(other);
    });
    opened.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_made_with_the_permissions_of_the_config() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::start("directory_permissions: '0700'").await;
    let folder = bench.storage().folder(&owner("q")).await.unwrap().unwrap();
    assert_eq!((folder.path.clone(), folder.sync), (bench.path("q"), false));
    assert_eq!(std::fs::metadata(&folder.path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(names(&folder.path), ["lock"]);
    let synced = Bench::start("fsync: true").await;
    assert!(synced.storage().folder(&owner("q")).await.unwrap().unwrap().sync);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_folder_is_an_error_or_made() {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("x/y");
    let host = || {
        let clock = Clock::system();
        Host { board: Board::new(clock.clone()), clock, shutdown: Shutdown::new().1 }
    };
    let yaml = format!("directory: {}", inner.display());
    let refused = create::<FileStorageFactory>(&yaml).unwrap();
    let error = refused.start(&host()).await.unwrap_err().to_string();
    assert!(error.contains("is missing") && error.contains("create_directory: true"), "{error}");
    assert_eq!(refused.check().await[0].verdict, Verdict::Fail);
    let made = create::<FileStorageFactory>(&format!("{yaml}\ncreate_directory: true")).unwrap();
    made.start(&host()).await.unwrap();
    assert_eq!(made.check().await[0].verdict, Verdict::Pass);
    let file = outer.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = create::<FileStorageFactory>(&format!("directory: {}", file.display())).unwrap();
    assert!(refused.start(&host()).await.unwrap_err().to_string().contains("is no folder"));
}

/// Fills an area, closes it, and damages its file by `damage`.
async fn damaged(more: &str, damage: impl Fn(&mut Vec<u8>)) -> Bench {
    let bench = Bench::start(more).await;
    let area = bench.open("a").await.unwrap();
    let changes = (0..2000).map(|n| put(&format!("key{n:05}"), [n as u8; 40])).collect();
    area.commit(changes).await.unwrap();
    let bench = bench.again(more).await;
    drop(area);
    let path = bench.path("a").join("state.db");
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_moved_aside_and_counted() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[..100].fill(b'x'),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes[8192..40_960].fill(0xa5),
        |bytes| *bytes = b"this was never a database, and is long enough to be taken for one".repeat(200),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let bench = damaged("", damage).await;
        let area = bench.open("a").await.unwrap();
        assert_eq!(keys(&area).await, [""; 0], "{n}");
        area.commit(vec![put("new", "1")]).await.unwrap();
        assert_eq!(bench.counted("file_storage_moved_aside"), 1.0);
        let aside = names(&bench.path("a")).into_iter().filter(|name| name.starts_with("state.db.damaged-"));
        assert_eq!(aside.count(), 1, "{n}");
        let bench = damaged("recreate: false", damage).await;
        let refused = bench.open("a").await.err().unwrap();
        assert!(refused.message.contains("is damaged") && !refused.retryable, "{refused}");
        assert!(bench.path("a").join("state.db").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_three_damaged_files_are_kept() {
    let mut bench = Bench::start("").await;
    for _ in 0..5 {
        bench = bench.again("").await;
        std::fs::create_dir_all(bench.path("a")).unwrap();
        std::fs::write(bench.path("a").join("state.db"), "garbage ".repeat(1000)).unwrap();
        bench.open("a").await.unwrap();
    }
    let aside = names(&bench.path("a")).into_iter().filter(|name| name.starts_with("state.db.damaged-"));
    assert_eq!(aside.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_and_of_later_versions_are_left_alone() {
    for (pragma, words) in [("application_id = 7", "another program"), ("user_version = 9", "a newer version")] {
        let bench = Bench::start("").await;
        std::fs::create_dir_all(bench.path("a")).unwrap();
        let path = bench.path("a").join("state.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(&format!("CREATE TABLE t (x); PRAGMA {pragma};")).unwrap();
        drop(connection);
        let refused = bench.open("a").await.err().unwrap();
        assert!(refused.message.contains(words), "{refused}");
        assert_eq!(bench.counted("file_storage_moved_aside"), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_refuses_whole_commits_says_so_and_recovers() {
    let bench = Bench::start("max_size: 64KiB").await;
    let area = bench.open("a").await.unwrap();
    area.commit(vec![put("small", "1")]).await.unwrap();
    let status = || bench.board.read()["extension:file_storage"].status.clone();
    assert_eq!(status(), Status::Ok);
    for n in 0..3 {
        let refused = area.commit(vec![put("first", "1"), put("large", vec![7; 200_000])]).await.unwrap_err();
        assert!(refused.retryable && refused.message.contains("`max_size`"), "{refused}");
        assert_eq!(matches!(status(), Status::Degraded(_)), n == 2);
    }
    assert_eq!(keys(&area).await, ["small"], "all or nothing");
    assert_eq!(bench.counted("file_storage_failures"), 3.0);
    area.commit(vec![put("other", "1")]).await.unwrap();
    assert_eq!(status(), Status::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_config_of_the_same_folder_holds_for_what_is_open() {
    let bench = Bench::start("max_size: 64KiB").await;
    let area = bench.open("a").await.unwrap();
    area.commit(vec![put("large", vec![7; 200_000])]).await.unwrap_err();
    // By another way to the same place.
    let link = bench.folder.path().join("link");
    std::os::unix::fs::symlink(bench.folder.path(), &link).unwrap();
    let same = |more: &str| create::<FileStorageFactory>(&format!("directory: {}\n{more}", link.display())).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = create::<FileStorageFactory>(&format!("directory: {}", elsewhere.path().display())).unwrap();
    let adaptable = bench.extension.as_adaptable().unwrap();
    assert!(!adaptable.can_become(&*other));
    let next = same("fsync: true");
    assert!(adaptable.can_become(&*next));
    adaptable.become_as(&*next);
    assert!(bench.storage().folder(&owner("q")).await.unwrap().unwrap().sync);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while area.commit(vec![put("large", vec![7; 200_000])]).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the bound still holds");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    adaptable.become_as(&*same("max_size: 64KiB"));
    // Each needs more room than there was: what a file has it keeps.
    for size in 1.. {
        if area.commit(vec![put("larger", vec![7; size * 500_000])]).await.is_err() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the new bound does not hold");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_extension_for_the_same_folder_takes_the_state_over() {
    let bench = Bench::start("").await;
    let before = bench.open("a").await.unwrap();
    before.commit(vec![put("a", "1")]).await.unwrap();
    let yaml = format!("directory: {}/.", bench.folder.path().display());
    let other = create::<FileStorageFactory>(&yaml).unwrap().as_storage().unwrap();
    assert!(other.is_place_of(&*bench.storage()) && bench.storage().is_place_of(&*other));
    let after = other.open(&owner("a")).await.unwrap();
    let refused = before.commit(vec![put("b", "1")]).await.unwrap_err();
    assert!(refused.message.contains("another holder"), "{refused}");
    after.commit(vec![put("c", "1")]).await.unwrap();
    bench.extension.shutdown().await;
    assert_eq!(keys(&after).await, ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back_at_the_next_start() {
    let bench = Bench::start("").await;
    let area = bench.open("a").await.unwrap();
    area.commit((0..500).map(|n| put(&format!("{n}"), vec![1; 4000])).collect()).await.unwrap();
    area.commit((0..499).map(|n| delete(&format!("{n}"))).collect()).await.unwrap();
    let bench = bench.again("").await;
    drop(area);
    let size = |bench: &Bench| std::fs::metadata(bench.path("a").join("state.db")).unwrap().len();
    let before = size(&bench);
    let area = bench.open("a").await.unwrap();
    assert_eq!(keys(&area).await, ["499"]);
    let bench = bench.again("").await;
    assert!(before > 1_000_000 && size(&bench) < 100_000, "{before}, then {}", size(&bench));
}

#[test]
fn config_is_checked() {
    for (yaml, words) in [
        ("directory: ''", "no folder is named"),
        ("max_size: 100", "at least 64KiB"),
        ("directory_permissions: '0888'", "octal"),
        ("directory_permissions: '0500'", "7 for the owner"),
        ("compaction: {on_start: true}", "nothing to compact"),
        ("folder: /tmp", "folder"),
    ] {
        let error = create::<FileStorageFactory>(yaml).err().unwrap_or_default();
        assert!(error.contains("error") && error.contains(words), "{yaml}: {error}");
    }
}
