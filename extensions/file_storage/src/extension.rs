//! The extension: a folder and a file for each owner, opened once, called away from the async threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use steadyline_component::{
    Adaptable, Area, Change, CheckRow, Clock, Extension, Folder, Host, Instrument, Meter, Owner, StartError, Status,
    Storage, StorageError, StorageHealth, Verdict, async_trait,
};

use crate::config::Config;
use crate::database::{Database, OpenError, move_aside};
use crate::directory::{self, failed};

/// The newest file of each folder, while somebody holds it. As with the lock of a folder, the process has it once: after a
/// reload, another extension may open the same.
static OPEN: tokio::sync::Mutex<BTreeMap<PathBuf, Weak<File>>> = tokio::sync::Mutex::const_new(BTreeMap::new());

/// State and queues in a folder.
pub struct FileStorage {
    opener: Mutex<Arc<Opener>>,
    id: String,
    health: Arc<StorageHealth>,
}

/// What opening a file needs.
struct Opener {
    config: Config,
    permissions: u32,
    id: String,
    clock: Clock,
    moved_aside: Arc<Instrument>,
}

/// The file of one owner.
struct File {
    database: Arc<Mutex<Option<Database>>>,
    health: Arc<StorageHealth>,
}

impl FileStorage {
    /// A storage; nothing is touched before it starts.
    pub(crate) fn new(config: Config, permissions: u32, id: String, clock: Clock, meter: &Meter) -> FileStorage {
        let failures = meter.counter("file_storage_failures", "Changes that could not be kept, and were tried.", &[]);
        let moved = "Damaged files that were moved aside; their components started as if they were new.";
        let moved_aside = meter.counter("file_storage_moved_aside", moved, &[]);
        FileStorage {
            opener: Mutex::new(Arc::new(Opener { config, permissions, id: id.clone(), clock, moved_aside })),
            id,
            health: Arc::new(StorageHealth::new(failures)),
        }
    }

    /// The config of now.
    fn opener(&self) -> Arc<Opener> {
        Arc::clone(&lock(&self.opener))
    }

    /// The files that were opened here, and are.
    async fn files(&self) -> Vec<Arc<File>> {
        let open = OPEN.lock().await;
        let ours = |file: &Arc<File>| Arc::ptr_eq(&file.health, &self.health);
        open.values().filter_map(Weak::upgrade).filter(ours).collect()
    }
}

impl Opener {
    /// Makes sure that the folder is one in which files can be made.
    fn prepare(&self) -> Result<(), StorageError> {
        let path = &self.config.directory;
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                let message = format!("{} is no folder; name another `directory`", path.display());
                return Err(StorageError { message, retryable: false });
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.config.create_directory => {
                let message = format!(
                    "the folder {} is missing; mount or make it, or set `create_directory: true`",
                    path.display()
                );
                return Err(StorageError { message, retryable: false });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => directory::make(path, self.permissions)?,
            Err(error) => return Err(failed("use", path, &error)),
        }
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|error| failed("write to", path, &error.into()))
    }

    /// The folder of an owner, ours until the process ends.
    async fn own_folder(&self, owner: &Owner) -> Result<PathBuf, StorageError> {
        self.prepare()?;
        let folder = self.config.directory.join(directory::name(owner));
        directory::make(&folder, self.permissions)?;
        directory::lock(&folder, self.config.timeout.get(), &self.clock).await?;
        Ok(folder)
    }

    /// Whether both name the same folder.
    fn has_folder_of(&self, other: &Opener) -> bool {
        let (ours, theirs) = (&self.config.directory, &other.config.directory);
        let real = |path: &Path| path.canonicalize().ok();
        ours == theirs || real(ours).is_some_and(|ours| real(theirs) == Some(ours))
    }

    /// Opens the file of a folder; one that is damaged is moved aside, if that is the config.
    fn open(&self, folder: &Path, owner: &Owner) -> Result<Database, StorageError> {
        let open = || Database::open(folder, self.config.fsync, self.config.max_size.bytes());
        let why = match open() {
            Ok(database) => return Ok(database),
            Err(OpenError::Failed(error)) => return Err(error),
            Err(OpenError::Damaged(why)) => why,
        };
        let file = folder.join(crate::database::FILE);
        if !self.config.recreate {
            let message = format!(
                "{} is damaged ({why}); remove it and start as if `{owner}` were new, or set `recreate: true`",
                file.display()
            );
            return Err(StorageError { message, retryable: false });
        }
        let now = self.clock.now().unix_nanos / 1_000_000_000;
        let aside = move_aside(folder, now).map_err(|error| failed("move aside", &file, &error))?;
        self.moved_aside.add(1.0);
        tracing::error!(
            component = %self.id, %owner, file = %aside.display(), reason = %why,
            "damaged state was moved aside: its component starts as if it were new"
        );
        open().map_err(|error| match error {
            OpenError::Failed(error) => error,
            OpenError::Damaged(why) => {
                let message = format!("{} cannot be made anew: {why}", file.display());
                StorageError { message, retryable: false }
            }
        })
    }
}

impl std::fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStorage").field("config", &self.opener().config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for FileStorage {
    async fn open(&self, owner: &Owner) -> Result<Arc<dyn Area>, StorageError> {
        let opener = self.opener();
        let folder = opener.own_folder(owner).await?;
        let folder = folder.canonicalize().map_err(|error| failed("use", &folder, &error))?;
        let mut open = OPEN.lock().await;
        open.retain(|_, file| file.strong_count() > 0);
        if let Some(before) = open.remove(&folder).and_then(|before| before.upgrade()) {
            // The new holder follows the old one, which must not write over what the new one knows.
            let database = Arc::clone(&before.database);
            away(move || drop(lock(&database).take())).await?;
        }
        let (place, owner) = (folder.clone(), owner.clone());
        let database = away(move || opener.open(&place, &owner)).await??;
        let file = Arc::new(File { database: Arc::new(Mutex::new(Some(database))), health: Arc::clone(&self.health) });
        open.insert(folder, Arc::downgrade(&file));
        Ok(file)
    }

    async fn folder(&self, owner: &Owner) -> Result<Option<Folder>, StorageError> {
        let opener = self.opener();
        let path = opener.own_folder(owner).await?;
        Ok(Some(Folder { path, sync: opener.config.fsync }))
    }

    fn is_place_of(&self, other: &dyn Storage) -> bool {
        let other = (other as &dyn Any).downcast_ref::<FileStorage>();
        other.is_some_and(|other| self.opener().has_folder_of(&other.opener()))
    }
}

#[async_trait]
impl Extension for FileStorage {
    async fn start(&self, host: &Host) -> Result<(), StartError> {
        self.health.start(&host.board, &self.id);
        self.opener().prepare().map_err(StartError::new)?;
        self.health.set(Status::Ok);
        Ok(())
    }

    /// What is under way is kept before the process ends.
    async fn shutdown(&self) {
        for file in self.files().await {
            if let Err(error) = file.call(|database| database.settle()).await {
                tracing::warn!(component = %self.id, %error, "the log of changes stays beside its file; nothing is lost");
            }
        }
        self.health.set(Status::Stopping);
    }

    fn as_storage(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        Some(self)
    }

    fn as_adaptable(&self) -> Option<&dyn Adaptable> {
        Some(self)
    }

    async fn check(&self) -> Vec<CheckRow> {
        let opener = self.opener();
        let what = format!("keep state in {}", opener.config.directory.display());
        let row = |verdict, detail, advice: &str| CheckRow { what, verdict, detail, advice: advice.to_owned() };
        vec![match opener.prepare() {
            Ok(()) => row(Verdict::Pass, "it is there and can be written to".to_owned(), ""),
            Err(error) => row(Verdict::Fail, error.message, "see `directory` and `create_directory`"),
        }]
    }
}

impl Adaptable for FileStorage {
    fn can_become(&self, next: &dyn Extension) -> bool {
        let next = (next as &dyn Any).downcast_ref::<FileStorage>();
        next.is_some_and(|next| self.opener().has_folder_of(&next.opener()))
    }

    fn become_as(&self, next: &dyn Extension) {
        let Some(next) = (next as &dyn Any).downcast_ref::<FileStorage>() else { return };
        let (new, id) = (next.opener(), self.id.clone());
        let old = std::mem::replace(&mut *lock(&self.opener), Arc::clone(&new));
        let (was, is) = (&old.config, &new.config);
        if was.fsync != is.fsync {
            tracing::warn!(component = %id, "`fsync` holds at once for state, and for queues of exporters when they are opened next");
        }
        let (health, sync, max_size) = (Arc::clone(&self.health), is.fsync, is.max_size.bytes());
        tokio::spawn(async move {
            let open = OPEN.lock().await.values().filter_map(Weak::upgrade).collect::<Vec<_>>();
            for file in open.into_iter().filter(|file| Arc::ptr_eq(&file.health, &health)) {
                if let Err(error) = file.call(move |database| database.tune(sync, max_size)).await {
                    tracing::error!(component = %id, %error, "the new config does not hold for state that is open");
                }
            }
        });
    }
}

#[async_trait]
impl Area for File {
    async fn read_all(&self) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.call(|database| database.read_all()).await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let key = key.to_vec();
        self.call(move |database| database.get(&key)).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StorageError> {
        if changes.is_empty() {
            return Ok(());
        }
        let result = self.call(move |database| database.commit(&changes)).await;
        self.health.note(&result);
        result
    }
}

impl File {
    /// Calls SQLite where it may block.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Database) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let database = Arc::clone(&self.database);
        away(move || match &mut *lock(&database) {
            Some(database) => call(database),
            None => {
                let message = "another holder has opened this state since, as after a reload".to_owned();
                Err(StorageError { message, retryable: false })
            }
        })
        .await?
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what blocks on a thread that may.
async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StorageError {
        message: format!("the call of the storage broke off: {error}"),
        retryable: true,
    })
}
