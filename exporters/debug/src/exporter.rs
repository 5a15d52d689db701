//! The exporter: chooses what to print, and counts what it could not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadyline_component::{Batch, Clock, Data, Host, Instrument, Meter, Sink, StartError, Tally, async_trait};

use crate::changes::Changes;
use crate::config::{Config, Verbosity};
use crate::printer::{Printer, open};
use crate::sampling::Sampling;
use crate::{detailed, lines, opaque};

/// Prints batches.
pub struct DebugExporter {
    config: Config,
    clock: Clock,
    state: Mutex<State>,
    printer: Mutex<Option<Printer>>,
    series: Arc<Instrument>,
}

/// What becomes of a batch.
enum Shown {
    /// Whole lines.
    Block(String),
    /// There is nothing to say about it.
    Nothing,
    /// It is left out by `sampling_thereafter`.
    SampledOut,
}

struct State {
    sampling: Sampling,
    changes: Changes,
}

impl DebugExporter {
    pub(crate) fn new(config: Config, clock: Clock, meter: &Meter) -> DebugExporter {
        let sampling = Sampling::new(config.sampling_initial, config.sampling_thereafter);
        let state = State { sampling, changes: Changes::new(config.max_series) };
        let series = meter.gauge("exporter_debug_series", "Series whose changes are followed.", &[]);
        DebugExporter { config, clock, state: Mutex::new(state), printer: Mutex::default(), series }
    }

    fn shown(&self, batch: &Batch) -> Shown {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if self.config.verbosity == Verbosity::Changes
            && let Data::Metrics(metrics) = &batch.data
        {
            let block = state.changes.take(&batch.header, metrics, now.unix_nanos);
            self.series.set(state.changes.series() as f64);
            return block.map_or(Shown::Nothing, Shown::Block);
        }
        if batch.is_idle() {
            return Shown::Nothing;
        }
        if !state.sampling.takes(now.mono) {
            return Shown::SampledOut;
        }
        drop(state);
        let time = now.unix_nanos;
        Shown::Block(match (self.config.verbosity, &batch.data) {
            (Verbosity::Basic | Verbosity::Changes, _) => lines::basic(batch, time),
            (Verbosity::Normal, Data::Metrics(metrics)) => lines::normal(batch, metrics, time),
            (Verbosity::Detailed, Data::Metrics(metrics)) => detailed::detailed(batch, metrics, time),
            (Verbosity::Normal | Verbosity::Detailed, Data::Opaque(data)) => opaque::items(batch, data, time),
        })
    }
}

#[async_trait]
impl Sink for DebugExporter {
    fn counts_as_branch(&self) -> bool {
        false
    }

    async fn start(&self, _host: &Host) -> Result<(), StartError> {
        *lock(&self.printer) = Some(Printer::start(open(&self.config.output_paths)?)?);
        Ok(())
    }

    async fn consume(&self, batch: Batch, tally: &Tally) {
        let printed = match self.shown(&batch) {
            Shown::Block(block) => lock(&self.printer).as_ref().is_some_and(|printer| printer.print(block)),
            Shown::Nothing => true,
            Shown::SampledOut => return tally.dropped("sampling", batch.items()),
        };
        if printed {
            // Confirmations are no data: no exporter counts them as delivered.
            tally.dropped("confirmation", held(&batch));
        } else {
            tally.dropped("output_slow", batch.items());
        }
    }

    async fn shutdown(&self) {
        let printer = lock(&self.printer).take();
        if let Some(printer) = printer {
            printer.finish().await;
        }
    }
}

fn held(batch: &Batch) -> u64 {
    batch.as_metrics().map_or(0, |metrics| metrics.tables().points.iter().filter(|point| point.held).count() as u64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for DebugExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DebugExporter").field("config", &self.config).finish_non_exhaustive()
    }
}
