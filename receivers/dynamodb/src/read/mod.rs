//! Reading a table or index page by page: own loops, one for each segment or query, that feed one channel.
//!
//! A page without items is not the end, only a page without a key to go on from is. A key that repeats is an error, as going on would read the same
//! page for ever. Pages wait in the channel only as long as the mapper takes, so that memory grows with the pages in flight.

mod budget;
mod request;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use steadyline_aws::{AwsFailure, FailureKind};
use steadyline_component::{Clock, PollError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use steadyline_mapping::item::Item;

pub(crate) use budget::Budget;
pub(crate) use request::{Part, Request};

/// What a reader meets.
#[derive(Debug)]
pub(crate) enum Event {
    /// A page, perhaps without items.
    Page(Page),
    /// DynamoDB asked to slow down; the page is tried again.
    Throttled(AwsFailure),
    /// The pass cannot be completed.
    Failed(AwsFailure),
    /// The same key came twice.
    RepeatedKey(String),
}

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Its items.
    pub(crate) items: Vec<Item>,
    /// The read units it took; 0 if it was not said.
    pub(crate) units: f64,
    /// The key to go on from.
    pub(crate) next: Option<HashMap<String, AttributeValue>>,
}

/// Reads a table.
#[derive(Debug)]
pub(crate) struct Reader {
    /// What is asked, and whom.
    pub(crate) request: Request,
    /// What may be spent.
    pub(crate) budget: Option<Arc<Budget>>,
    /// For pauses.
    pub(crate) clock: Clock,
}

/// A pass that is being read; reading stops when it is dropped.
pub(crate) struct Reading {
    events: mpsc::Receiver<Event>,
    _parts: JoinSet<()>,
}

/// The pauses after being throttled.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Reader {
    /// Begins a pass: every part is read by a task of its own.
    pub(crate) fn begin(self: &Arc<Self>) -> Reading {
        // One place: each part fetches its next page while the mapper works on another.
        let (sender, events) = mpsc::channel(1);
        let mut parts = JoinSet::new();
        for part in self.request.parts() {
            let (reader, sender) = (Arc::clone(self), sender.clone());
            parts.spawn(async move { reader.read(&part, &sender).await });
        }
        Reading { events, _parts: parts }
    }

    async fn read(&self, part: &Part, events: &mpsc::Sender<Event>) {
        let mut start = None;
        loop {
            let Some(mut page) = self.fetch(part, start.clone(), events).await else { return };
            let next = page.next.take().filter(|key| !key.is_empty());
            if next.is_some() && next == start {
                let key = format!("{} came twice as the key to go on from", self.request.describe_key(next.as_ref()));
                // Whoever does not listen any more needs no answer.
                let _ = events.send(Event::RepeatedKey(key)).await;
                return;
            }
            if events.send(Event::Page(page)).await.is_err() || next.is_none() {
                return;
            }
            start = next;
        }
    }

    /// One page, however often it is throttled; `None` if the pass is over.
    async fn fetch(
        &self,
        part: &Part,
        start: Option<HashMap<String, AttributeValue>>,
        events: &mpsc::Sender<Event>,
    ) -> Option<Page> {
        let mut pause = FIRST_PAUSE;
        loop {
            let grant = match &self.budget {
                Some(budget) => Some((budget, budget.take(self.request.page_size).await)),
                None => None,
            };
            let limit = grant.map_or(self.request.page_size, |(_, grant)| grant.items);
            let answer = self.request.page(part, limit, start.clone()).await;
            if let Some((budget, grant)) = grant {
                match &answer {
                    Ok(page) => budget.settle(grant, page.units, page.items.len() as u64),
                    Err(_) => budget.give_back(grant),
                }
            }
            let failure = match answer {
                Ok(page) => return Some(page),
                Err(failure) => failure,
            };
            if !matches!(failure.kind, FailureKind::Throttled { .. }) {
                let _ = events.send(Event::Failed(failure)).await;
                return None;
            }
            let wait = failure.retry_after.unwrap_or(pause).min(LONGEST_PAUSE);
            events.send(Event::Throttled(failure)).await.ok()?;
            self.clock.sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Reading {
    /// What comes next; `None` when every part has been read to its end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// A failure to read as the failure of a poll: what was read, what failed, what can be done.
pub(crate) fn poll_error(source: &str, region: &str, failure: &AwsFailure) -> PollError {
    let missing_index = failure.text.contains("does not have the specified index");
    let global_index = failure.text.contains("not supported on global secondary indexes");
    let (reason, advice) = match &failure.kind {
        FailureKind::Rejected if missing_index => {
            ("index_missing", "check `index`, and whether the index is active".to_owned())
        }
        FailureKind::Rejected if global_index => {
            ("global_index", "set `consistent_read: false`, or read the table or a local index".to_owned())
        }
        FailureKind::NotFound => (
            "table_missing",
            format!("there is no such table in {region} for this account; check `table`, `region` and the account"),
        ),
        _ => (failure.reason(), failure.advice()),
    };
    let separator = if advice.is_empty() { "" } else { "; " };
    let request = failure.request_id.as_deref().map(|id| format!(" (request {id})")).unwrap_or_default();
    PollError::new(reason, format!("cannot read {source}: {}{request}{separator}{advice}", failure.text))
}
