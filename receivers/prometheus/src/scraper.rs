//! One target's scrapes: each at its time, one after another, never two at once. What a slow scrape or a full pipeline
//! makes late is skipped, not made up for.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use steadyline_component::{Batch, Clock, Header, Output, SendError, Shutdown, Until};
use steadyline_scrape::Format;
use tokio::sync::watch;

use crate::emit::{Emitter, Place};
use crate::http::{Fetched, Memory as BodyMemory, shown};
use crate::ingest::{Counts, Memory, Reading, Scraped};
use crate::job::Job;
use crate::report::{Facts, Report};
use crate::target::Target;

/// What is wanted of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To be scraped.
    Scrape,
    /// To fail: its job has more targets than it may.
    Refuse,
    /// To end: nobody lists it any more.
    End,
    /// To end without a word: another target has its series now, as when the path or the interval changes.
    Replaced,
}

impl Wish {
    fn is_scrape(self) -> bool {
        matches!(self, Wish::Scrape | Wish::Refuse)
    }
}

/// A scrape within this of its ideal time is said to be at that time, so that samples are evenly spaced.
const TOLERANCE_MS: i64 = 2;
/// Work on a body of this size is not done between other tasks.
const HEAVY: usize = 64 * 1024;
/// What a sample counts for against that.
const POINT_BYTES: usize = 64;
/// A pipeline without room is asked again after so long, unless it says when.
const PAUSE: Duration = Duration::from_millis(500);
/// A failing target is written about once in so many failures.
const LOG_EVERY: u64 = 60;

/// Scrapes one target.
pub(crate) struct Scraper {
    job: Arc<Job>,
    target: Arc<Target>,
    reading: Arc<Reading>,
    /// Where the target is; its labels are those of the report.
    place: Arc<Place>,
    memory: Memory,
    output: Output,
    source: Arc<str>,
    clock: Clock,
    wish: watch::Receiver<Wish>,
    shutdown: Shutdown,
    last_time: i64,
    /// The memory that is waited for before a scrape begins: what the last one needed. Targets that do not answer need
    /// next to none, so that they keep it from nobody.
    last_size: u64,
    failures: u64,
}

/// Where a scraper's batches go and what it runs by.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Where batches go.
    pub(crate) output: Output,
    /// The receiver's id.
    pub(crate) source: Arc<str>,
    /// The clock.
    pub(crate) clock: Clock,
    /// Fires when everything ends.
    pub(crate) shutdown: Shutdown,
    /// The seed of hashes.
    pub(crate) seed: u64,
}

/// Why a scrape does not count.
struct Failure {
    reason: &'static str,
    words: String,
    counts: Counts,
    body_bytes: i64,
}

impl Failure {
    fn new(reason: &'static str, words: impl std::fmt::Display) -> Failure {
        Failure { reason, words: words.to_string(), counts: Counts::default(), body_bytes: 0 }
    }
}

impl Scraper {
    /// A scraper that has scraped nothing yet.
    pub(crate) fn new(job: Arc<Job>, target: Arc<Target>, wish: watch::Receiver<Wish>, around: Surroundings) -> Self {
        let mut reading = job.reading.clone();
        reading.rules.target = target.labels.clone().into();
        let mut place = target.place.clone();
        let lacks = |name: &String| !target.labels.iter().any(|(known, _)| known == name);
        place.labels.extend(reading.rules.external.iter().filter(|(name, _)| lacks(name)).cloned());
        place.labels.sort();
        Scraper {
            job,
            target,
            reading: Arc::new(reading),
            place: Arc::new(place),
            memory: Memory::new(around.seed),
            output: around.output,
            source: around.source,
            clock: around.clock,
            wish,
            shutdown: around.shutdown,
            last_time: i64::MIN,
            last_size: 0,
            failures: 0,
        }
    }

    /// Scrapes until the target has ended or everything ends. At the end of everything nothing is marked as ended: the
    /// series may go on elsewhere; unless a reload took the receiver away.
    pub(crate) async fn run(mut self) {
        let interval = self.target.interval;
        let mut next = self.first_tick();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.wait() => {
                    if self.shutdown.is_removal() {
                        self.mark_ended(self.wall_millis(self.clock.now().mono)).await;
                    }
                    return;
                }
                wish = wished(&mut self.wish, |wish| !wish.is_scrape()) => {
                    if wish != Wish::End || self.end(next).await {
                        return;
                    }
                }
                () = self.clock.sleep_until(next) => self.scrape(next).await,
            }
            let now = self.clock.now().mono;
            if next <= now {
                let missed = (now - next).as_nanos() / interval.as_nanos().max(1);
                self.job.meters.late.add(missed as f64);
                next += interval.saturating_mul(u32::try_from(missed + 1).unwrap_or(u32::MAX));
            }
        }
    }

    /// The first time of this target that is still to come, on the monotonic clock.
    fn first_tick(&self) -> Duration {
        let now = self.clock.now();
        let interval = (self.target.interval.as_nanos() as u64).max(1);
        let wait = (self.target.offset() + interval - now.unix_nanos % interval) % interval;
        now.mono + Duration::from_nanos(wait)
    }

    /// The target is not wanted any more. After two of its times and a tenth of the interval, its series are marked as
    /// ended at the first time that it missed. Whether it has ended: it may be wanted again before.
    async fn end(&mut self, first_missed: Duration) -> bool {
        let at = self.wall_millis(first_missed);
        let over = first_missed + self.target.interval + self.target.interval / 10;
        tokio::select! {
            biased;
            () = self.shutdown.wait() => {
                if !self.shutdown.is_removal() {
                    return true;
                }
            }
            wish = wished(&mut self.wish, |wish| *wish != Wish::End) => return !wish.is_scrape(),
            () = self.clock.sleep_until(over) => {}
        }
        self.mark_ended(at).await;
        true
    }

    /// Marks all series as ended, at this time or just above their last.
    async fn mark_ended(&mut self, at: i64) {
        if self.last_time != i64::MIN {
            let scraped = self.memory.lose();
            let report = Report { facts: None, extra: self.job.extra_metrics };
            self.send(scraped, at.max(self.last_time.saturating_add(1)), report, None).await;
        }
    }

    /// The wall clock's milliseconds at a moment of the monotonic clock.
    fn wall_millis(&self, mono: Duration) -> i64 {
        let now = self.clock.now();
        let wall = i128::from(now.unix_nanos) + mono.as_nanos() as i128 - now.mono.as_nanos() as i128;
        i64::try_from(wall.div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }

    async fn scrape(&mut self, tick: Duration) {
        let limit = self.limit();
        let wanted = self.last_size.clamp(1, limit.max(1) as u64);
        let mut memory = tokio::select! {
            biased;
            () = self.shutdown.wait() => return,
            memory = BodyMemory::acquire(self.output.budget(), wanted) => memory,
        };
        let time = self.time(tick);
        let started = self.clock.now().mono;
        let fetched = tokio::select! {
            biased;
            () = self.shutdown.wait() => return,
            fetched = self.fetch(limit, &mut memory) => fetched,
        };
        let outcome = match fetched {
            Ok(fetched) => self.read(fetched, time).await,
            Err(failure) => {
                self.last_size = memory.needed();
                Err(failure)
            }
        };
        let duration = self.clock.now().mono.saturating_sub(started);
        let (scraped, facts) = self.conclude(outcome, duration);
        let report = Report { facts: Some(facts), extra: self.job.extra_metrics };
        self.send(scraped, time, report, Some(memory)).await;
    }

    /// The most bytes of a body.
    fn limit(&self) -> usize {
        let room = usize::try_from(self.output.budget().largest()).unwrap_or(usize::MAX);
        match usize::try_from(self.job.body_size_limit).unwrap_or(usize::MAX) {
            0 => room,
            limit => limit.min(room),
        }
    }

    /// The timestamp of a scrape: now, or the ideal time if that is very near; always above the last one.
    fn time(&mut self, tick: Duration) -> i64 {
        let (now, ideal) = (self.wall_millis(self.clock.now().mono), self.wall_millis(tick));
        let tolerance = TOLERANCE_MS.min(self.target.interval.as_millis() as i64 / 100);
        let time = if now.abs_diff(ideal) <= tolerance.unsigned_abs() { ideal } else { now };
        self.last_time = time.max(self.last_time.saturating_add(1));
        self.last_time
    }

    async fn fetch(&self, limit: usize, memory: &mut BodyMemory) -> Result<(Fetched, Format), Failure> {
        if *self.wish.borrow() == Wish::Refuse {
            return Err(Failure::new("target_limit", "the job has more targets than `target_limit` allows"));
        }
        let mut headers = self.job.headers.clone();
        let seconds = self.target.timeout.as_secs_f64().to_string();
        if let Ok(seconds) = HeaderValue::try_from(seconds) {
            headers.insert("x-prometheus-scrape-timeout-seconds", seconds);
        }
        let exchange = self.job.client.get(&self.target.url, &headers, limit, Some(memory));
        let fetched = match self.clock.timeout(self.target.timeout, exchange).await {
            None => {
                let words = format!("the scrape took longer than its timeout of {:?}", self.target.timeout);
                return Err(Failure::new("timeout", words));
            }
            Some(Err(error)) => {
                let body_bytes = if error.reason() == "body_size_limit" { -1 } else { 0 };
                return Err(Failure { body_bytes, ..Failure::new(error.reason(), error) });
            }
            Some(Ok(fetched)) => fetched,
        };
        let kind = fetched.headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        let format = Format::from_content_type(kind.as_deref(), self.job.fallback)
            .map_err(|error| Failure::new("content_type", error))?;
        Ok((fetched, format))
    }

    async fn read(&mut self, (fetched, format): (Fetched, Format), time: i64) -> Result<(Scraped, i64), Failure> {
        let size = fetched.body.len();
        // A little more than last time: a body that grows slowly waits for memory once.
        self.last_size = size as u64 + size as u64 / 8;
        let reading = Arc::clone(&self.reading);
        let read = self.work(size, move |memory| memory.read(&fetched.body, format, time, &reading)).await;
        let body_bytes = size as i64;
        match read {
            Ok(scraped) => Ok((scraped, body_bytes)),
            Err((error, counts)) => Err(Failure { counts, body_bytes, ..Failure::new(error.reason(), error) }),
        }
    }

    /// Works on the memory; beside the other tasks if there is much to do.
    async fn work<T: Send + 'static>(
        &mut self,
        size: usize,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> T {
        if size < HEAVY {
            return work(&mut self.memory);
        }
        let mut memory = std::mem::replace(&mut self.memory, Memory::new(0));
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut memory);
            (memory, result)
        });
        match done.await {
            Ok((memory, result)) => {
                self.memory = memory;
                result
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Counts a scrape's outcome and says it.
    fn conclude(&mut self, outcome: Result<(Scraped, i64), Failure>, duration: Duration) -> (Scraped, Facts) {
        let meters = &self.job.meters;
        let facts = Facts {
            duration,
            timeout: self.target.timeout,
            sample_limit: self.reading.sample_limit,
            ..Facts::default()
        };
        let of = |counts: Counts| Facts { scraped: counts.scraped, kept: counts.kept, added: counts.added, ..facts };
        match outcome {
            Ok((scraped, body_bytes)) => {
                meters.scrapes.add(1.0);
                meters.duplicates.add(scraped.counts.duplicates as f64);
                meters.unsupported.add(scraped.counts.unsupported as f64);
                if self.failures > 0 {
                    let (target, failures) = (shown(&self.target.url), self.failures);
                    tracing::info!(target_url = target, failures, "the target can be scraped again");
                }
                self.failures = 0;
                let facts = Facts { up: true, body_bytes, ..of(scraped.counts) };
                (scraped, facts)
            }
            Err(failure) => {
                meters.failed(failure.reason);
                if self.failures.is_multiple_of(LOG_EVERY) {
                    let target = shown(&self.target.url);
                    tracing::warn!(
                        target_url = target,
                        reason = failure.reason,
                        error = failure.words,
                        "a scrape failed"
                    );
                }
                self.failures += 1;
                let facts = Facts { body_bytes: failure.body_bytes, added: 0, ..of(failure.counts) };
                (self.memory.lose(), facts)
            }
        }
    }

    /// Sends everything of a scrape, batch by batch. A pipeline without room is waited for.
    async fn send(&mut self, scraped: Scraped, time: i64, report: Report, memory: Option<BodyMemory>) {
        let permit = memory.and_then(BodyMemory::into_permit);
        let size = scraped.samples.len() * POINT_BYTES;
        let mut emitter = Emitter::new(scraped, time, report);
        let mut is_open = true;
        while !emitter.is_done() {
            let place = Arc::clone(&self.place);
            let next = move |memory: &mut Memory| {
                let batch = emitter.next_batch(memory, &place);
                (emitter, batch)
            };
            let batch;
            (emitter, batch) = self.work(size, next).await;
            let Some(metrics) = batch else { break };
            let header = Header { source: Arc::clone(&self.source), permit: permit.clone(), ..Header::default() };
            let batch = Batch { header, data: steadyline_component::Data::Metrics(metrics) };
            let items = batch.items();
            is_open = is_open && self.deliver(batch).await;
            if !is_open {
                self.output.refused("shutting_down", items);
            }
        }
        self.job.meters.untimely.add(emitter.untimely as f64);
    }

    /// Hands one batch over; false if the process stops and it was not taken.
    async fn deliver(&self, batch: Batch) -> bool {
        loop {
            match self.output.send(batch.clone(), Until::Enqueued).await {
                Ok(()) => return true,
                Err(SendError::Busy { retry_after }) => {
                    tokio::select! {
                        biased;
                        () = self.shutdown.wait() => return false,
                        () = self.clock.sleep(retry_after.unwrap_or(PAUSE)) => {}
                    }
                }
                Err(SendError::ShuttingDown) => return false,
                // What was refused for good is counted where it was refused; the rest goes on.
                Err(SendError::NotSettled(_)) => return true,
            }
        }
    }
}

/// Waits until the wish is as asked for; [`Wish::Replaced`] if nobody wishes anything any more.
async fn wished(wish: &mut watch::Receiver<Wish>, is: impl FnMut(&Wish) -> bool) -> Wish {
    wish.wait_for(is).await.map_or(Wish::Replaced, |wish| *wish)
}
