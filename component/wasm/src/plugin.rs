//! One plugin: its instance is started when it is first needed, called within its bounds, and replaced when it broke off.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Shutdown, StartError, StorageError, async_trait};
use tokio::task::JoinHandle;
use wasmtime::component::InstancePre;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::backoff::Backoff;
use crate::config::Settings;
use crate::data::{CpuTimeUsed, Data};
use crate::loaded::Loaded;
use crate::log::PluginLog;
use crate::report::{
    CPU_TIME, Failure, GARBAGE, MEMORY, NOT_LOADED, NOT_STARTED, PLUGIN, Report, TIMEOUT, TOO_LARGE, TRAP,
};
use crate::state::State;

/// What a world of `plugins/wit` exports, as the host calls it: a start, and one call.
#[async_trait]
pub trait Guest: Send + Sync + Sized + 'static {
    /// A component with all its imports and exports found.
    type Pre: Send + Sync;
    /// What the call is given.
    type Input<'a>: Send;
    /// What it gives.
    type Output: Send;
    /// What to say of a component that is another one: `... <path>: why`.
    const WRONG: &'static str;

    /// Finds the exports.
    ///
    /// # Errors
    /// The component does not have them.
    fn prepare(pre: InstancePre<Data>) -> wasmtime::Result<Self::Pre>;

    /// Makes an instance.
    async fn instantiate(pre: &Self::Pre, store: &mut Store<Data>) -> wasmtime::Result<Self>;

    /// Starts it.
    async fn start(&self, store: &mut Store<Data>, config: &str) -> wasmtime::Result<Result<(), String>>;

    /// Calls it.
    async fn call<'a>(
        &self,
        store: &mut Store<Data>,
        input: Self::Input<'a>,
    ) -> wasmtime::Result<Result<Self::Output, String>>;
}

/// What changes is written together, so long after the first of it.
const PERIOD: Duration = Duration::from_secs(1);
/// What could not be written is tried again after so long.
const RETRY: Duration = Duration::from_secs(10);

/// One plugin of one component.
pub struct Plugin<G: Guest> {
    settings: Arc<Settings>,
    code: Code<G>,
    live: Option<Live<G>>,
    state: State,
    backoff: Backoff,
    report: Report,
    log: PluginLog,
}

/// Where its file is on the way to running.
enum Code<G: Guest> {
    Unread,
    Compiling(JoinHandle<Result<Loaded<G>, Failure>>),
    Ready(Arc<Loaded<G>>),
}

struct Live<G> {
    store: Store<Data>,
    guest: G,
}

impl<G: Guest> Plugin<G> {
    /// A plugin. Does no I/O; see [`Plugin::open`].
    pub fn new(settings: Settings) -> Plugin<G> {
        Plugin {
            state: State::new(settings.limits.state.as_usize()),
            report: Report::new(&settings.id, &settings.clock, &settings.meter),
            log: PluginLog::new(&settings.id, &settings.clock),
            backoff: Backoff::default(),
            code: Code::Unread,
            live: None,
            settings: Arc::new(settings),
        }
    }

    /// Its books.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Its keys and values.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Opens its storage and begins to compile its file, without waiting for the end of that.
    ///
    /// # Errors
    /// The storage cannot be used, or there is no such file.
    pub async fn open(&mut self) -> Result<(), StartError> {
        if let Some((storage, owner)) = &self.settings.storage {
            let failed = |error: StorageError| StartError(format!("the state of {owner} cannot be read: {error}"));
            let area = storage.open(owner).await.map_err(failed)?;
            self.state.open(area).await.map_err(failed)?;
        }
        let path = &self.settings.path;
        tokio::fs::metadata(path)
            .await
            .map_err(|error| StartError(format!("cannot read the plugin `{}`: {error}", path.display())))?;
        self.begin_to_compile();
        Ok(())
    }

    /// Waits until its file is compiled, however long that takes.
    ///
    /// # Errors
    /// It is no plugin of this kind.
    pub async fn loaded(&mut self) -> Result<(), Failure> {
        self.code().await.map(drop)
    }

    /// Writes what it keeps whenever that changes, until the component ends.
    pub fn keep_in_background(&self, shutdown: Shutdown) {
        if self.settings.storage.is_none() {
            return;
        }
        let (state, report, clock) = (self.state.clone(), self.report.clone(), self.settings.clock.clone());
        tokio::spawn(async move {
            let mut has_failed = false;
            loop {
                let due = async {
                    if has_failed {
                        return clock.sleep(RETRY).await;
                    }
                    state.changed().await;
                    clock.sleep(PERIOD).await;
                };
                tokio::select! {
                    () = due => {}
                    () = shutdown.wait() => {}
                }
                let result = state.flush().await;
                has_failed = result.as_ref().is_err_and(|error| error.retryable);
                if let Err(error) = result {
                    tell_unkept(&report, &error);
                }
                if shutdown.fired() {
                    return;
                }
            }
        });
    }

    /// What the last call gave was good: what it changed in its state counts, and is written in the background.
    pub fn keep(&mut self) {
        self.backoff.succeeded();
        self.state.keep();
    }

    /// The same, and it is written at once.
    pub async fn keep_now(&mut self) {
        self.keep();
        if let Err(error) = self.state.flush().await {
            tell_unkept(&self.report, &error);
        }
    }

    /// One call, its start included if it has to be started, within `limit`. What it changed in its state stands until
    /// [`Plugin::keep`] or [`State::undo`]; after a failure it is undone.
    ///
    /// # Errors
    /// Why there is nothing; counted. Unless the plugin itself said so, its instance is gone.
    pub async fn call(&mut self, input: G::Input<'_>, limit: Duration) -> Result<G::Output, Failure> {
        self.state.undo();
        // Taken out of its place: a call that is broken off takes its instance with it.
        let result = tokio::time::timeout(limit, self.attempt(input)).await;
        let result = result.unwrap_or_else(|_| Err(self.late(limit)));
        result.inspect_err(|failure| {
            self.state.undo();
            self.report.count(failure);
        })
    }

    /// The plugin handed over what does not read: counted, its instance replaced, what it changed undone.
    pub fn garbage(&mut self, words: impl AsRef<str>) -> Failure {
        let failure = Failure::new(GARBAGE, format!("the plugin's answer does not read: {}", words.as_ref()));
        self.live = None;
        self.backoff.failed(self.settings.clock.now().mono, false, &self.settings.restart);
        self.state.undo();
        self.report.count(&failure);
        failure
    }

    /// The time was over before there was an answer.
    fn late(&mut self, limit: Duration) -> Failure {
        if !matches!(self.code, Code::Ready(_)) {
            return Failure::new(NOT_LOADED, format!("the plugin is still compiled after {limit:?}; it goes on"));
        }
        self.backoff.failed(self.settings.clock.now().mono, false, &self.settings.restart);
        Failure::new(TIMEOUT, format!("the plugin did not answer within {limit:?}"))
    }

    async fn attempt(&mut self, input: G::Input<'_>) -> Result<G::Output, Failure> {
        let code = self.code().await?;
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.start(&code).await?,
        };
        self.report.called();
        self.begin(&mut live.store);
        let running = code.running();
        let result = live.guest.call(&mut live.store, input).await;
        drop(running);
        match result {
            Ok(answer) => {
                self.live = Some(live);
                answer.map_err(|words| {
                    // It works; whether what it gives is good is known to the caller only.
                    self.backoff.succeeded();
                    Failure::new(PLUGIN, format!("the plugin says: {words}"))
                })
            }
            Err(error) => {
                self.backoff.failed(self.settings.clock.now().mono, false, &self.settings.restart);
                Err(failure(&error, live.store.data(), TRAP))
            }
        }
    }

    async fn start(&mut self, code: &Loaded<G>) -> Result<Live<G>, Failure> {
        let left = self.backoff.left(self.settings.clock.now().mono);
        if !left.is_zero() {
            let message = format!("the plugin failed of late; it is tried again in {}s", left.as_secs() + 1);
            return Err(Failure::new(NOT_STARTED, message));
        }
        self.report.replaced();
        let mut store = code.store(&self.settings, &self.log, &self.state);
        self.begin(&mut store);
        let running = code.running();
        let config = &self.settings.config;
        let started = async {
            let guest = G::instantiate(&code.pre, &mut store).await?;
            Ok((guest.start(&mut store, config).await?, guest))
        };
        let result = started.await;
        drop(running);
        let failed = match result {
            Ok((Ok(()), guest)) => return Ok(Live { store, guest }),
            Ok((Err(words), _)) => Failure::new(NOT_STARTED, format!("the plugin does not start: {words}")),
            Err(error) => failure(&error, store.data(), NOT_STARTED),
        };
        self.backoff.failed(self.settings.clock.now().mono, true, &self.settings.restart);
        Err(failed)
    }

    fn begin(&self, store: &mut Store<Data>) {
        store.data_mut().begin();
        store.set_epoch_deadline(1);
        if let Some(fuel) = self.settings.limits.fuel {
            // The engine counts fuel, or there would be no key.
            let _ = store.set_fuel(fuel);
        }
    }

    fn begin_to_compile(&mut self) {
        let settings = Arc::clone(&self.settings);
        self.code = Code::Compiling(tokio::task::spawn_blocking(move || Loaded::new(&settings)));
    }

    /// The compiled code; waits for it. A file that did not load is read again at the next call, later and later.
    async fn code(&mut self) -> Result<Arc<Loaded<G>>, Failure> {
        if let Code::Unread = self.code {
            let left = self.backoff.left(self.settings.clock.now().mono);
            if !left.is_zero() {
                let message = format!("the plugin did not load; it is tried again in {}s", left.as_secs() + 1);
                return Err(Failure::new(NOT_STARTED, message));
            }
            self.begin_to_compile();
        }
        if let Code::Compiling(job) = &mut self.code {
            let loaded = job.await.unwrap_or_else(|error| Err(Failure::new(NOT_LOADED, error.to_string())));
            match loaded {
                Ok(loaded) => self.code = Code::Ready(Arc::new(loaded)),
                Err(failure) => {
                    self.code = Code::Unread;
                    self.backoff.failed(self.settings.clock.now().mono, true, &self.settings.restart);
                    return Err(failure);
                }
            }
        }
        match &self.code {
            Code::Ready(loaded) => Ok(Arc::clone(loaded)),
            _ => Err(Failure::new(NOT_LOADED, "the plugin is not loaded")),
        }
    }
}

fn tell_unkept(report: &Report, error: &StorageError) {
    let failure = Failure::new("state_not_kept", format!("the state cannot be written: {error}"));
    report.tell(&failure, if error.retryable { "it is tried again" } else { "it is not kept until the next start" });
}

/// Why the engine broke off.
fn failure(error: &wasmtime::Error, data: &Data, otherwise: &'static str) -> Failure {
    tracing::debug!("a plugin broke off: {error:?}");
    let trap = error.downcast_ref::<Trap>();
    let cause = error.root_cause().to_string();
    let (reason, words) = match trap {
        _ if error.downcast_ref::<CpuTimeUsed>().is_some() => (CPU_TIME, cause),
        Some(Trap::OutOfFuel) => (CPU_TIME, "it used all its fuel".into()),
        _ if data.memory.refused => (MEMORY, format!("it wanted more memory than it may have: {cause}")),
        Some(_) => (TRAP, cause),
        None if cause.contains("hostcalls has been exhausted") => {
            (TOO_LARGE, "it handed over more than `limits.output`".into())
        }
        None if error.downcast_ref::<I32Exit>().is_some() => (TRAP, "it exited".into()),
        None if otherwise == NOT_STARTED => (NOT_STARTED, cause),
        None => (GARBAGE, format!("what it handed over does not read: {cause}")),
    };
    let said = data.last_words.take();
    let said = if said.is_empty() { said } else { format!("; it said: {said}") };
    Failure::new(reason, format!("the plugin broke off: {words}{said}"))
}
