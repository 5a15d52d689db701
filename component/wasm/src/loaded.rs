//! A plugin's file: read, compiled, and joined with what the host offers. Slow, so never on the runtime's own threads.

use std::path::Path;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store};

use crate::bindings::receiver::Receiver;
use crate::config::Settings;
use crate::data::{Data, MOST_HANDLES, tick};
use crate::log::PluginLog;
use crate::plugin::Guest;
use crate::report::{Failure, NOT_LOADED};
use crate::state::State;
use crate::ticker::{Running, Ticker};

/// A larger file is no plugin.
const MAX_FILE: u64 = 512 << 20;

/// A plugin that can be started.
pub(crate) struct Loaded<G: Guest> {
    engine: Engine,
    ticker: Ticker,
    pub(crate) pre: G::Pre,
}

impl<G: Guest> Loaded<G> {
    /// Reads and compiles a file. Blocks.
    pub(crate) fn new(settings: &Settings) -> Result<Loaded<G>, Failure> {
        let failed = |what: &str, error: wasmtime::Error| {
            Failure::new(NOT_LOADED, format!("{what} `{}`: {error:#}", settings.path.display()))
        };
        let bytes = read(&settings.path)?;
        let engine = engine(settings).map_err(|error| failed("cannot prepare for", error))?;
        let component = Component::new(&engine, &bytes).map_err(|error| failed("this is no component:", error))?;
        let pre = linker(&engine).and_then(|linker| linker.instantiate_pre(&component));
        let pre = pre.and_then(G::prepare).map_err(|error| failed(G::WRONG, error))?;
        let ticker = Ticker::new(engine.clone()).map_err(|error| failed("cannot run", error.into()))?;
        Ok(Loaded { engine, ticker, pre })
    }

    /// Room for an instance, within its bounds.
    pub(crate) fn store(&self, settings: &Settings, log: &PluginLog, state: &State) -> Store<Data> {
        let mut store = Store::new(&self.engine, Data::new(settings, log, state));
        store.limiter(|data| &mut data.memory);
        store.epoch_deadline_callback(tick);
        store.set_hostcall_fuel(settings.limits.output.as_usize());
        store.set_max_component_handles(MOST_HANDLES);
        store
    }

    /// Ticks until what is returned is dropped.
    pub(crate) fn running(&self) -> Running {
        self.ticker.running()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |words: &dyn std::fmt::Display| {
        Failure::new(NOT_LOADED, format!("cannot read the plugin `{}`: {words}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_FILE {
        return Err(failed(&format!("it has {size} bytes, more than any plugin")));
    }
    std::fs::read(path).map_err(|error| failed(&error))
}

fn engine(settings: &Settings) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.consume_fuel(settings.limits.fuel.is_some());
    config.wasm_component_model(true);
    if let Some(directory) = &settings.cache_directory {
        private(directory)?;
        let mut cache = CacheConfig::new();
        cache.with_directory(directory);
        config.cache(Some(Cache::new(cache)?));
    }
    Engine::new(&config)
}

/// Native code is run from there: nobody else may write into it.
fn private(directory: &Path) -> wasmtime::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let shown = directory.display();
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| wasmtime::format_err!("cannot make `cache_directory` {shown}: {error}"))?;
    let found = std::fs::metadata(directory)?;
    let own = rustix::process::geteuid().as_raw();
    if found.mode() & 0o022 != 0 || (found.uid() != own && found.uid() != 0) {
        wasmtime::bail!("others may write into `cache_directory` {shown}, and code is run from it: chmod go-w {shown}");
    }
    Ok(())
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // The worlds of processors import less.
    Receiver::add_to_linker::<_, HasSelf<Data>>(&mut linker, |data| data)?;
    Ok(linker)
}
