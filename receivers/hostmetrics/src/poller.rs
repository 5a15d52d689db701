//! A pass over the machine, on a thread where waiting for a disk holds up nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::telemetry::Metrics;
use steadyline_component::{Clock, CreateContext, LogPause, PassEnd, PollError, PollOutput, Poller, Tick, async_trait};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::machine::Machine;
use crate::scrape::{Scrape, Unread};
use crate::sheet::Sheet;

/// Polls the machine.
pub(crate) struct HostPoller {
    id: String,
    machine: Machine,
    scrapers: Arc<Mutex<Vec<Box<dyn Scrape>>>>,
    unread: Unread,
    clock: Clock,
    /// The reading of a pass that was given up.
    under_way: Option<JoinHandle<Read>>,
    telling: LogPause,
}

/// What a reading brought, and which scrapers failed.
type Read = (Vec<Metrics>, Vec<String>);

/// Scrapers that fail are told at most so often.
const GAP: Duration = Duration::from_secs(300);

impl HostPoller {
    pub(crate) fn new(config: &Config, scrapers: Vec<Box<dyn Scrape>>, context: &CreateContext<'_>) -> HostPoller {
        HostPoller {
            id: context.id.to_string(),
            machine: Machine::new(&config.root_path),
            scrapers: Arc::new(Mutex::new(scrapers)),
            unread: Unread::new(context.meter),
            clock: context.clock.clone(),
            under_way: None,
            telling: LogPause::new(GAP),
        }
    }

    fn begin(&self, time: u64) -> JoinHandle<Read> {
        let (machine, scrapers, unread) = (self.machine.clone(), Arc::clone(&self.scrapers), self.unread.clone());
        tokio::task::spawn_blocking(move || {
            let mut scrapers = scrapers.lock().unwrap_or_else(PoisonError::into_inner);
            read(&machine, &mut scrapers, &unread, time)
        })
    }
}

fn read(machine: &Machine, scrapers: &mut [Box<dyn Scrape>], unread: &Unread, time: u64) -> Read {
    let (mut pages, mut failures) = (Vec::new(), Vec::new());
    let start = match machine.kernel() {
        Ok(kernel) => kernel.btime * 1_000_000_000,
        Err(error) => {
            failures.push(format!("when the machine was booted is not known: {error}"));
            0
        }
    };
    for scraper in scrapers {
        let mut sheet = Sheet::new(time, start);
        if let Err(error) = scraper.scrape(machine, &mut sheet, unread) {
            failures.push(format!("{}: {error}", scraper.name()));
        }
        pages.push(sheet.finish());
    }
    (pages, failures)
}

#[async_trait]
impl Poller for HostPoller {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        if self.under_way.as_ref().is_some_and(|reading| !reading.is_finished()) {
            let message = "the last reading has not ended; a file system may not answer";
            return Err(PollError::new("hangs", message));
        }
        // Kept where it outlives this poll: a thread that hangs cannot be stopped.
        let reading = self.under_way.insert(self.begin(tick.time));
        let read = reading.await;
        self.under_way = None;
        let (pages, failures) = read.map_err(|error| PollError::new("broke_off", error.to_string()))?;
        for page in pages {
            output.send(page).await?;
        }
        if failures.is_empty() {
            return Ok(PassEnd::Complete);
        }
        if output.sent() == 0 {
            return Err(PollError::new("unreadable", failures.join("; ")));
        }
        if self.telling.pass(self.clock.now().mono).is_some() {
            tracing::warn!(component = %self.id, "a part of the machine cannot be read: {}", failures.join("; "));
        }
        Ok(PassEnd::Partial)
    }
}
