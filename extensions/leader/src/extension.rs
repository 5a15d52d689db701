//! The extension: its life, and what it is to others. It competes only if somebody waits to lead, so that `check` and
//! `once`, which start it, take nothing from a process that works.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadyline_aws::TablePlace;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{
    CheckRow, Clock, CreateContext, Extension, Host, IamStatement, Leadership, Shutdown, StartError, Status,
    async_trait,
};
use tokio::task::JoinHandle;

use crate::config::LeaseConfig;
use crate::dynamodb::DynamoDbTable;
use crate::elector::Elector;
use crate::office::Office;
use crate::report::{Instruments, Report};
use crate::row::LeaseTable;

/// A lease that this process competes for.
pub struct Leader {
    id: String,
    config: LeaseConfig,
    table: Arc<DynamoDbTable>,
    office: Arc<Office>,
    instruments: Instruments,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
}

/// How long giving the lease back may take; whoever stands by takes it soon in any case.
const FAREWELL: Duration = Duration::from_millis(1500);

impl Leader {
    pub(crate) fn new(context: &CreateContext<'_>, config: LeaseConfig, place: TablePlace) -> Leader {
        Leader {
            id: context.id.to_string(),
            table: Arc::new(DynamoDbTable::new(config.clone(), place)),
            config,
            office: Office::new(context.clock),
            instruments: Instruments::new(context.meter),
            running: Mutex::new(None),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Extension for Leader {
    async fn start(&self, host: &Host) -> Result<(), StartError> {
        let status = host.board.component(&format!("extension:{}", self.id));
        let (id, lease) = (self.id.clone(), self.config.lease.clone());
        let report = Report::new(id, lease, &host.clock, status.clone(), self.instruments.clone());
        let table = Arc::clone(&self.table) as Arc<dyn LeaseTable>;
        let (me, timing) = (holder(&self.config.instance), self.config.timing());
        let elector = Elector::new(me, timing, &host.clock, table, Arc::clone(&self.office), report);
        let (trigger, stop) = Shutdown::new();
        let compete = tokio::spawn(compete(elector, Arc::clone(&self.office), host.clock.clone(), stop));
        let task = tokio::spawn(async move {
            if compete.await.is_err_and(|error| error.is_panic()) {
                // Its term ends by itself, and nothing begins another.
                status.set(Status::Failed("it panicked; this process does not lead any more".into()));
            }
        });
        *self.running() = Some(Running { stop: trigger, task });
        Ok(())
    }

    async fn shutdown(&self) {
        let Some(Running { stop, task }) = self.running().take() else { return };
        stop.fire();
        if tokio::time::timeout(FAREWELL, task).await.is_err() {
            tracing::warn!(component = %self.id, "the lease was not released in time; another process takes it when it ends");
        }
    }

    fn as_leadership(self: Arc<Self>) -> Option<Arc<dyn Leadership>> {
        Some(Arc::clone(&self.office) as Arc<dyn Leadership>)
    }

    async fn check(&self) -> Vec<CheckRow> {
        self.table.check().await
    }

    fn permissions(&self) -> Vec<IamStatement> {
        self.table.permissions()
    }
}

/// Competes from when somebody wants to lead until it is told to stop; then gives back what it holds.
async fn compete(mut elector: Elector, office: Arc<Office>, clock: Clock, stop: Shutdown) {
    tokio::select! {
        () = stop.wait() => return,
        () = office.wanted() => {}
    }
    let steps = async {
        loop {
            let pause = elector.step().await;
            clock.sleep(pause).await;
        }
    };
    tokio::select! {
        () = steps => {}
        () = stop.wait() => {}
    }
    elector.release().await;
}

/// Who we are: no other start, of this process or of another one, has the same name.
fn holder(instance: &str) -> String {
    let dice = RandomState::new();
    let id = format!("{:016x}{:016x}", dice.hash_one(0), dice.hash_one(1));
    if instance.is_empty() { id } else { format!("{instance}/{id}") }
}
