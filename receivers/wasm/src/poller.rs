//! A poll: the plugin is called page by page, and what it gives goes out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal};
use steadyline_component::{
    CheckRow, Clock, Data, Host, PassEnd, PollError, PollOutput, Poller, Polling, Schedule, StartError, Tick, Verdict,
    async_trait,
};
use steadyline_wasm::bindings::receiver::Receiver;
use steadyline_wasm::bindings::receiver::exports::steadyline::plugin::poller::{
    Data as Given, Page, Progress, Tick as GuestTick,
};
use steadyline_wasm::report::GARBAGE;
use steadyline_wasm::{Failure, Plugin, Settings, records};

use crate::config::Config;

/// What is left of a poll's time when a call must have ended, so that it can still be told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A plugin that says `more` so often has no end.
const MAX_PAGES: u32 = 10_000;

/// How long a trial call may take.
const TRIAL: Duration = Duration::from_secs(30);

struct WasmPoller {
    plugin: Plugin<Receiver>,
    clock: Clock,
}

pub(crate) fn polling(config: &Config, settings: Settings) -> Polling {
    let clock = settings.clock.clone();
    Polling {
        poller: Box::new(WasmPoller { plugin: Plugin::new(settings), clock }),
        schedule: Schedule {
            interval: config.collection_interval.get(),
            initial_delay: config.initial_delay.get(),
            timeout: config.timeout.get(),
        },
        identity: config.identity.iter().map(|key| Arc::from(key.as_str())).collect(),
        leadership: None,
    }
}

impl WasmPoller {
    /// One call: what it gave, read.
    async fn page(&mut self, tick: GuestTick, limit: Duration) -> Result<(Vec<Data>, Progress), Failure> {
        let time = tick.time;
        let Page { data, progress } = self.plugin.call(tick, limit).await?;
        let read: Result<Vec<Data>, String> = data.into_iter().map(|given| read(given, time)).collect();
        match read {
            Ok(data) => Ok((data, progress)),
            Err(words) => Err(self.plugin.garbage(words)),
        }
    }

    async fn pages(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        for page in 0..MAX_PAGES {
            let left = tick.deadline.saturating_sub(self.clock.now().mono);
            let limit = left.saturating_sub(LAST_WORDS.min(left / 5));
            let call = GuestTick {
                time: tick.time,
                epoch: tick.epoch,
                page,
                timeout: limit.as_millis() as u64,
                last_complete: tick.last_complete,
            };
            let (data, progress) = self.page(call, limit).await.map_err(told)?;
            for data in data {
                match data {
                    Data::Metrics(metrics) => output.send(metrics).await?,
                    Data::Opaque(opaque) => output.send_opaque(opaque).await?,
                }
            }
            // Only now: what a later poll counts from must not be ahead of what went out.
            self.plugin.keep_now().await;
            match progress {
                Progress::Complete => return Ok(PassEnd::Complete),
                Progress::Partial => return Ok(PassEnd::Partial),
                Progress::More => {}
            }
        }
        Err(told(self.plugin.garbage(format!("it said {MAX_PAGES} times that there is more"))))
    }
}

fn told(failure: Failure) -> PollError {
    PollError::new(failure.reason, failure.message)
}

fn read(given: Given, time: u64) -> Result<Data, String> {
    let limits = Limits::default();
    let opaque = |signal, bytes: Vec<u8>| {
        let read = Opaque::count(signal, Bytes::from(bytes), &limits).map(Data::Opaque);
        read.map_err(|error| format!("the request of {signal}: {error}"))
    };
    match given {
        Given::Metrics(given) => records::receiver::metrics(&given, time).map(Data::Metrics),
        Given::OtlpLogs(bytes) => opaque(Signal::Logs, bytes),
        Given::OtlpTraces(bytes) => opaque(Signal::Traces, bytes),
        Given::OtlpMetrics(bytes) => {
            let read = Metrics::decode(Bytes::from(bytes), &limits);
            let mut metrics = read.map_err(|error| format!("the request of metrics: {error}"))?;
            if metrics.tables().points.iter().any(|point| point.time == 0) {
                let undated = metrics.edit().tables.points.iter_mut().filter(|point| point.time == 0);
                undated.for_each(|point| point.time = time);
            }
            Ok(Data::Metrics(metrics))
        }
    }
}

fn items_of(data: &Data) -> u64 {
    match data {
        Data::Metrics(metrics) => metrics.points() as u64,
        Data::Opaque(opaque) => opaque.items() as u64,
    }
}

#[async_trait]
impl Poller for WasmPoller {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        self.plugin.open().await
    }

    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let shutdown = tick.shutdown.clone();
        tokio::select! {
            end = self.pages(tick, output) => end,
            () = shutdown.wait() => Err(PollError::new("stopped", "the process stops")),
        }
    }

    /// One call, of which nothing is kept.
    async fn check(&mut self) -> Vec<CheckRow> {
        let time = self.clock.now().unix_nanos;
        let tick = GuestTick { time, epoch: 1, page: 0, timeout: TRIAL.as_millis() as u64, last_complete: None };
        let result = self.page(tick, TRIAL).await;
        self.plugin.state().undo();
        let (verdict, detail, advice) = match result {
            Ok((data, _)) => {
                let items: u64 = data.iter().map(items_of).sum();
                (Verdict::Pass, format!("{items} items"), "")
            }
            Err(failure) if failure.reason == GARBAGE => {
                (Verdict::Fail, failure.message, "what the plugin gives must be as `plugins/wit` says")
            }
            Err(failure) => (Verdict::Fail, failure.message, ""),
        };
        vec![CheckRow { what: "call the plugin".into(), verdict, detail, advice: advice.into() }]
    }
}
