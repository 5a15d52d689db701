//! What belongs to one instance, and what the host does when the instance calls it.

use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::receiver::steadyline::plugin::{http as wit_http, log as wit_log, state as wit_state, types};
use crate::config::Settings;
use crate::http::{Error, Grant, Request};
use crate::log::{Level, PluginLog};
use crate::state::State;
use crate::ticker::TICK;
use crate::wasi::{LastWords, system};

/// What belongs to one instance.
pub struct Data {
    wasi: WasiCtx,
    resources: ResourceTable,
    pub(crate) memory: Memory,
    /// How often the tick found it running, in the call at hand.
    ticks: u64,
    most_ticks: u64,
    log: PluginLog,
    state: State,
    grant: Option<Grant>,
    /// Requests of the call at hand.
    requests: u32,
    pub(crate) last_words: LastWords,
}

/// It ran for longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("it used more processor time than it may")]
pub(crate) struct CpuTimeUsed;

/// How much memory an instance has.
#[derive(Debug)]
pub(crate) struct Memory {
    used: usize,
    most: usize,
    /// It asked for more.
    pub(crate) refused: bool,
}

/// An instance's tables have at most so many elements; each is a pointer.
const MOST_ELEMENTS: usize = 1 << 20;

/// An instance holds at most so many things of the host at once: streams, timers.
pub(crate) const MOST_HANDLES: usize = 10_000;

impl Data {
    pub(crate) fn new(settings: &Settings, log: &PluginLog, state: &State) -> Data {
        let last_words = LastWords::default();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MOST_HANDLES);
        Data {
            wasi: system(&settings.clock, log, &last_words),
            resources,
            memory: Memory { used: 0, most: settings.limits.memory.as_usize(), refused: false },
            ticks: 0,
            most_ticks: (settings.limits.cpu_time.get().as_nanos() / TICK.as_nanos()).max(1) as u64,
            log: log.clone(),
            state: state.clone(),
            grant: settings.grant.clone(),
            requests: 0,
            last_words,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        (self.ticks, self.requests, self.memory.refused) = (0, 0, false);
        self.last_words.take();
    }
}

/// At every tick that finds a plugin running: others get their turn, and whoever had too many is ended.
pub(crate) fn tick(mut store: StoreContextMut<'_, Data>) -> wasmtime::Result<UpdateDeadline> {
    let data = store.data_mut();
    data.ticks += 1;
    if data.ticks > data.most_ticks { Err(CpuTimeUsed.into()) } else { Ok(UpdateDeadline::Yield(1)) }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.most {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.refused |= desired > MOST_ELEMENTS;
        Ok(desired <= MOST_ELEMENTS)
    }

    fn instances(&self) -> usize {
        1000
    }

    fn tables(&self) -> usize {
        1000
    }

    fn memories(&self) -> usize {
        16
    }
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl types::Host for Data {}

impl wit_log::Host for Data {
    fn write(&mut self, level: wit_log::Level, message: String) {
        let level = match level {
            wit_log::Level::Debug => Level::Debug,
            wit_log::Level::Info => Level::Info,
            wit_log::Level::Warn => Level::Warn,
            wit_log::Level::Error => Level::Error,
        };
        self.log.line(level, &message);
    }
}

impl wit_state::Host for Data {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.state.get(&key).map(|value| value.to_vec())
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), String> {
        self.state.set(key, Bytes::from(value))
    }

    fn remove(&mut self, key: String) {
        self.state.remove(&key);
    }

    fn keys(&mut self, prefix: String) -> Vec<String> {
        self.state.keys(&prefix)
    }
}

impl wit_http::Host for Data {
    async fn send(&mut self, request: wit_http::Request) -> Result<wit_http::Response, wit_http::Error> {
        let Some(grant) = self.grant.clone() else {
            return Err(wit_http::Error::Denied("this component makes no requests".into()));
        };
        let number = self.requests;
        self.requests = number.saturating_add(1);
        let wit_http::Request { method, url, headers, body } = request;
        let answer = grant.send(Request { method, url, headers, body }, number).await;
        let answer = answer.map_err(|error| match error {
            Error::Denied(words) => wit_http::Error::Denied(words),
            Error::Invalid(words) => wit_http::Error::Invalid(words),
            Error::TooLarge => wit_http::Error::TooLarge,
            Error::Failed(words) => wit_http::Error::Failed(words),
        })?;
        Ok(wit_http::Response { status: answer.status, headers: answer.headers, body: answer.body })
    }
}
