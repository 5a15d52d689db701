//! The processor: a batch is shown to the plugin, and becomes what the plugin says; or goes the way of `on_error`.

use std::time::Duration;

use bytes::Bytes;
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal};
use steadyline_component::{Batch, Data, Host, Processor, StartError, Work, async_trait};
use steadyline_wasm::bindings::otlp::LogsAndTracesProcessor;
use steadyline_wasm::bindings::otlp::exports::steadyline::plugin::otlp_processor::Signal as GuestSignal;
use steadyline_wasm::bindings::processor::Processor as MetricsProcessor;
use steadyline_wasm::report::NOT_LOADED;
use steadyline_wasm::{Failure, Guest, Plugin, Settings, Waiter};

use crate::change::{Changed, apply};
use crate::config::{Config, OnError};
use crate::show::{Names, Shown};

/// A plugin of one of the two worlds, and how it is called.
struct WasmProcessor<G: Guest> {
    plugin: Plugin<G>,
    waiter: Waiter,
    timeout: Duration,
    on_error: OnError,
    names: Names,
}

pub(crate) fn make(config: &Config, settings: Settings, signal: Signal) -> Box<dyn Processor> {
    match signal {
        Signal::Metrics => Box::new(WasmProcessor::<MetricsProcessor>::new(config, settings)),
        Signal::Logs | Signal::Traces => Box::new(WasmProcessor::<LogsAndTracesProcessor>::new(config, settings)),
    }
}

impl<G: Guest> WasmProcessor<G> {
    fn new(config: &Config, settings: Settings) -> Self {
        WasmProcessor {
            plugin: Plugin::new(settings),
            waiter: Waiter::default(),
            timeout: config.timeout.get(),
            on_error: config.on_error,
            names: Names(config.metrics.clone()),
        }
    }

    fn call(&mut self, input: G::Input<'_>) -> Result<G::Output, Failure> {
        let called = self.waiter.wait(self.plugin.call(input, self.timeout));
        called.unwrap_or_else(|error| Err(Failure::new(NOT_LOADED, format!("the plugin cannot be run: {error}"))))
    }

    /// The batch goes the way of `on_error`.
    fn failed(&mut self, failure: &Failure, batch: Batch, work: &mut Work<'_>) {
        match self.on_error {
            OnError::Pass => {
                self.plugin.report().tell(failure, "batches pass unchanged");
                work.emit(batch);
            }
            OnError::Drop => {
                self.plugin.report().tell(failure, "batches are dropped");
                work.tally.dropped(failure.reason, batch.items());
                // Who waits for the delivery of nothing need not wait; how a pass ended is still true.
                let data = nothing(&batch.data);
                work.emit(Batch { data, ..batch });
            }
        }
    }

    async fn begin(&mut self, host: &Host) -> Result<(), StartError> {
        self.plugin.open().await?;
        self.plugin.loaded().await.map_err(StartError::new)?;
        self.plugin.keep_in_background(host.shutdown.clone());
        Ok(())
    }
}

/// No items, of the same signal.
fn nothing(data: &Data) -> Data {
    let empty = |opaque: &Opaque| Opaque::count(opaque.signal(), Bytes::new(), &Limits::default()).ok();
    match data {
        Data::Opaque(opaque) => empty(opaque).map_or_else(|| data.clone(), Data::Opaque),
        Data::Metrics(_) => Data::Metrics(Metrics::default()),
    }
}

#[async_trait]
impl Processor for WasmProcessor<MetricsProcessor> {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        self.begin(host).await
    }

    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        let Some(metrics) = batch.as_metrics() else { return work.emit(batch) };
        let shown = Shown::new(metrics, &self.names);
        if shown.points.is_empty() {
            return work.emit(batch);
        }
        let time = work.now.unix_nanos;
        let answer = shown.batch(metrics, time, |records| self.call(records));
        let changed = answer
            .and_then(|outcome| apply(metrics, &shown, &outcome, time).map_err(|words| self.plugin.garbage(words)));
        let Changed { metrics, dropped, created, relabelled } = match changed {
            Ok(changed) => changed,
            Err(failure) => return self.failed(&failure, batch, work),
        };
        self.plugin.keep();
        work.tally.dropped("plugin", dropped);
        work.tally.created("plugin", created.points() as u64);
        if relabelled || !created.is_empty() {
            batch.header.labels_final = false;
        }
        let header = batch.header.clone();
        work.emit(Batch { header: batch.header, data: Data::Metrics(metrics) });
        if !created.is_empty() {
            work.emit(Batch { header, data: Data::Metrics(created) });
        }
    }
}

#[async_trait]
impl Processor for WasmProcessor<LogsAndTracesProcessor> {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        self.begin(host).await
    }

    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        let Data::Opaque(opaque) = &batch.data else { return work.emit(batch) };
        if opaque.items() == 0 {
            return work.emit(batch);
        }
        let signal = opaque.signal();
        let guest_signal = if signal == Signal::Logs { GuestSignal::Logs } else { GuestSignal::Traces };
        let answer = self.call((guest_signal, opaque.bytes())).and_then(|request| {
            let read = Opaque::count(signal, Bytes::from(request), &Limits::default());
            read.map_err(|error| self.plugin.garbage(error.to_string()))
        });
        let (before, changed) = match answer {
            Ok(changed) => (opaque.items() as u64, changed),
            Err(failure) => return self.failed(&failure, batch, work),
        };
        self.plugin.keep();
        let after = changed.items() as u64;
        work.tally.dropped("plugin", before.saturating_sub(after));
        work.tally.created("plugin", after.saturating_sub(before));
        work.emit(Batch { data: Data::Opaque(changed), ..batch });
    }
}
