//! The extension: one connection to the table, and an area for each owner.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use steadyline_aws::TablePlace;
use steadyline_component::{
    Area, CheckRow, Extension, Folder, Host, IamStatement, Meter, Owner, StartError, Status, Storage, StorageError,
    StorageHealth, Verdict, async_trait,
};
use tokio::sync::OnceCell;

use crate::area::TableArea;
use crate::config::StorageConfig;
use crate::table::Table;

/// State in a table.
pub struct DynamoDbStorage {
    config: StorageConfig,
    place: TablePlace,
    id: String,
    table: OnceCell<Arc<Table>>,
    health: Arc<StorageHealth>,
}

impl DynamoDbStorage {
    /// A storage; it connects when it is first asked.
    pub(crate) fn new(config: StorageConfig, place: TablePlace, id: String, meter: &Meter) -> DynamoDbStorage {
        let help = "Changes that could not be kept, and were tried.";
        let failures = meter.counter("dynamodb_storage_failures", help, &[]);
        let health = Arc::new(StorageHealth::new(failures));
        DynamoDbStorage { config, place, id, table: OnceCell::new(), health }
    }

    async fn table(&self) -> Result<&Arc<Table>, StorageError> {
        let connect = async || Table::connect(&self.config.table, &self.place).await.map(Arc::new);
        self.table.get_or_try_init(connect).await
    }
}

impl std::fmt::Debug for DynamoDbStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDbStorage").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for DynamoDbStorage {
    async fn open(&self, owner: &Owner) -> Result<Arc<dyn Area>, StorageError> {
        let table = Arc::clone(self.table().await?);
        // No other holder has it: the system seeds every state when it is made.
        let [a, b] = [0, 1].map(|n| RandomState::new().hash_one(n) ^ RandomState::new().hash_one(!n));
        let name = format!("{}{owner}", self.config.prefix);
        let area = TableArea::open(table, name, format!("{a:016x}{b:016x}"), Arc::clone(&self.health)).await?;
        Ok(Arc::new(area))
    }

    async fn folder(&self, _: &Owner) -> Result<Option<Folder>, StorageError> {
        Ok(None)
    }
}

#[async_trait]
impl Extension for DynamoDbStorage {
    async fn start(&self, host: &Host) -> Result<(), StartError> {
        self.health.start(&host.board, &self.id);
        self.health.set(Status::Ok);
        Ok(())
    }

    async fn shutdown(&self) {
        self.health.set(Status::Stopping);
    }

    fn as_storage(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        Some(self)
    }

    async fn check(&self) -> Vec<CheckRow> {
        let what = format!("keep state in table `{}`", self.config.table);
        let row = |verdict, detail, advice| CheckRow { what: what.clone(), verdict, detail, advice };
        let table = match self.table().await {
            Ok(table) => table,
            Err(error) => return vec![row(Verdict::Fail, error.message, String::new())],
        };
        let mut rows = if self.place.is_aws() { table.shared.check().await } else { Vec::new() };
        rows.push(match table.try_read().await {
            Ok(()) => row(Verdict::Pass, "it is there and has the right keys".into(), String::new()),
            Err(failure) => failure.row(what.clone()),
        });
        rows
    }

    fn permissions(&self) -> Vec<IamStatement> {
        let actions = ["ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"];
        let keep = IamStatement {
            sid: "KeepState".to_owned(),
            actions: actions.map(|action| format!("dynamodb:{action}")).into(),
            resources: vec![self.place.arn(&self.config.table)],
            conditions: Vec::new(),
        };
        std::iter::once(keep).chain(self.place.permissions()).collect()
    }
}
