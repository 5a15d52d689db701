//! A storage of folders for queues.

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::*;

use super::{NameConfig, spec, stage};

pub struct FolderFactory;

/// A storage of folders, not locked. With `wait` it does not go on under another config.
struct FolderStorage(std::path::PathBuf, bool);

impl Component for FolderFactory {
    type Config = NameConfig;
    type Made = Arc<dyn Extension>;
    const SPEC: Spec = Spec { signals: &[], ..spec("folder") };

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Arc::new(FolderStorage(config.name.into(), config.wait)))
    }
}

impl Extension for FolderStorage {
    fn as_storage(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        Some(self)
    }

    fn as_adaptable(&self) -> Option<&dyn Adaptable> {
        Some(self)
    }
}

impl Adaptable for FolderStorage {
    fn can_become(&self, next: &dyn Extension) -> bool {
        let next = (next as &dyn std::any::Any).downcast_ref::<FolderStorage>().unwrap();
        next.0 == self.0 && !next.1
    }

    fn become_as(&self, next: &dyn Extension) {
        assert!(self.can_become(next));
        stage(self.0.to_str().unwrap()).attempts.lock().unwrap().push("adapted".into());
    }
}

#[async_trait]
impl Storage for FolderStorage {
    fn is_place_of(&self, other: &dyn Storage) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<FolderStorage>().is_some_and(|other| other.0 == self.0)
    }

    async fn open(&self, _: &Owner) -> Result<Arc<dyn Area>, StorageError> {
        Err(StorageError { message: "it has folders only".into(), retryable: false })
    }

    async fn folder(&self, owner: &Owner) -> Result<Option<Folder>, StorageError> {
        Ok(Some(Folder { path: self.0.join(owner.id.replace('/', "~")), sync: true }))
    }
}
