//! A pass: the queries one after another, their rows sent page by page.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::telemetry::Signal;
use steadyline_component::{
    CheckRow, Clock, CreateContext, Host, Instrument, Kind, LogPause, PassEnd, PollError, PollOutput, Poller,
    StartError, Storage, Tick, Verdict, async_trait,
};

use crate::cell::Cell;
use crate::config::{Config, Query};
use crate::database::{CONNECT, Database, QUERY};
use crate::map::{Mapped, Mapping};
use crate::tracking::Tracking;

/// Polls one database.
pub(crate) struct SqlPoller {
    id: String,
    config: Config,
    database: Database,
    tracking: Tracking,
    clock: Clock,
    rejected: Arc<Instrument>,
    telling: LogPause,
}

/// What is left of a pass's time when the database must have answered.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Rows that do not fit are told at most so often.
const GAP: Duration = Duration::from_secs(30);

impl SqlPoller {
    pub(crate) fn new(
        config: Config,
        database: Database,
        storage: Option<Arc<dyn Storage>>,
        context: &CreateContext<'_>,
    ) -> SqlPoller {
        let help = "Rows that do not fit the metrics and logs of their query.";
        SqlPoller {
            id: context.id.to_string(),
            tracking: Tracking::new(&config.queries, storage, context.owner(Kind::Receiver)),
            database,
            clock: context.clock.clone(),
            rejected: context.meter.counter("sqlquery_rows_rejected", help, &[]),
            telling: LogPause::new(GAP),
            config,
        }
    }

    /// All queries; whether everything that they yield was sent.
    async fn pass(&mut self, tick: &Tick, output: &PollOutput, timeout: Duration) -> Result<PassEnd, PollError> {
        let (mut is_whole, mut failures) = (true, Vec::new());
        let queries = self.config.queries.clone();
        for (row, query) in queries.iter().enumerate() {
            let wanted = !query.metrics.is_empty() && output.wants(Signal::Metrics)
                || !query.logs.is_empty() && output.wants(Signal::Logs);
            if !wanted {
                continue;
            }
            match self.query(row, query, tick, output, timeout).await {
                Ok(whole) => is_whole &= whole,
                // The others would fail alike.
                Err(error) if error.reason == CONNECT || error.reason == "not_sent" => return Err(error),
                Err(error) => {
                    failures.push(PollError { message: format!("query {}: {}", row + 1, error.message), ..error })
                }
            }
        }
        if let (Some(first), true) = (failures.first(), failures.len() == queries.len() || output.sent() == 0) {
            return Err(first.clone());
        }
        if let Some(first) = failures.first() {
            self.tell(failures.len(), &first.message);
        }
        Ok(if is_whole && failures.is_empty() { PassEnd::Complete } else { PassEnd::Partial })
    }

    async fn query(
        &mut self,
        row: usize,
        query: &Query,
        tick: &Tick,
        output: &PollOutput,
        timeout: Duration,
    ) -> Result<bool, PollError> {
        if self.config.telemetry.logs.query {
            tracing::debug!(component = %self.id, "query {}: {}", row + 1, query.sql);
        }
        let tracked = self.tracking.value(row);
        let is_tracked = tracked.is_some();
        let mut rows = self.database.query(&query.sql, tracked, self.config.max_rows, timeout).await?;
        let (mut first, mut is_whole) = (1, true);
        let mut mapping: Option<Mapping<'_>> = None;
        while let Some(page) = rows.next().await {
            let page = page?;
            if mapping.is_none() {
                mapping = Some(Mapping::new(query, &page.columns)?);
            }
            let Some(mapping) = &mapping else { continue };
            let Mapped { metrics, logs, rejected, last } = mapping.page(&page, first, tick.time);
            first += page.rows.len() as u64;
            is_whole &= rejected.is_empty();
            self.reject(row, &rejected);
            if is_tracked {
                output.send_news(metrics).await?
            } else {
                output.send(metrics).await?
            }
            if let Some(logs) = logs {
                output.send_opaque(logs).await?;
            }
            self.track(row, query, last).await?;
        }
        Ok(is_whole)
    }

    async fn track(&mut self, row: usize, query: &Query, last: Option<Cell>) -> Result<(), PollError> {
        let last = match last {
            None => return Ok(()),
            Some(Cell::Null) => {
                let message = format!("the tracked column `{}` is NULL in the last row", query.tracking_column);
                return Err(PollError::new(QUERY, message));
            }
            Some(last) => last,
        };
        self.tracking.sent(row, query, last).await.map_err(|error| {
            PollError::new(
                "storage",
                format!("the tracked value could not be kept, so a restart sends rows again: {error}"),
            )
        })
    }

    fn reject(&mut self, row: usize, rejected: &[(u64, String)]) {
        self.rejected.add(rejected.len() as f64);
        if let Some((number, why)) = rejected.first() {
            self.tell(rejected.len(), &format!("query {}, row {number}: {why}", row + 1));
        }
    }

    fn tell(&mut self, count: usize, first: &str) {
        if self.telling.pass(self.clock.now().mono).is_some() {
            tracing::warn!(component = %self.id, count, "a part of the rows was left out: {first}");
        }
    }

    fn too_late(&self, limit: Duration) -> PollError {
        let words = self.database.words();
        PollError::new(
            "timeout",
            format!("{words} did not answer every query within {limit:?}; raise `timeout` or ask for less"),
        )
    }
}

#[async_trait]
impl Poller for SqlPoller {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        self.tracking.open(&self.config.queries).await
    }

    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let left = tick.deadline.saturating_sub(self.clock.now().mono);
        let limit = left.saturating_sub(LAST_WORDS.min(left / 5));
        let timeout = self.config.schedule().pass_timeout();
        let clock = self.clock.clone();
        let passed = clock.timeout(limit, self.pass(tick, output, timeout)).await;
        passed.unwrap_or_else(|| {
            self.database.reset();
            Err(self.too_late(limit))
        })
    }

    async fn check(&mut self) -> Vec<CheckRow> {
        let mut checks = Vec::new();
        for (row, query) in self.config.queries.iter().enumerate() {
            let what = format!("query {} of {}", row + 1, self.database.words());
            let asked = self.database.query(&query.sql, self.tracking.value(row), self.config.max_rows, LONGEST_CHECK);
            let result = match asked.await {
                Ok(mut rows) => match rows.next().await {
                    Some(Ok(page)) => Mapping::new(query, &page.columns).map(|_| page.rows.len()),
                    Some(Err(error)) => Err(error),
                    None => Ok(0),
                },
                Err(error) => Err(error),
            };
            let (verdict, detail) = match result {
                Ok(rows) => (Verdict::Pass, format!("{rows} rows at first")),
                Err(error) => (Verdict::Fail, error.message),
            };
            checks.push(CheckRow { what, verdict, detail, advice: String::new() });
        }
        checks
    }
}

/// A check may take so long for each query.
const LONGEST_CHECK: Duration = Duration::from_secs(30);
