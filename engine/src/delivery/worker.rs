//! One worker a shard: takes what is first, tries until it is settled, goes on with the next. Behind a slow backend it
//! takes more and sends it in several lanes at once, each series in one of them.
//! A retry holds back its shard and no other, unless the whole backend fails: then the circuit is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use steadyline_component::delivery::SettleError;
use steadyline_component::exporter::OnReject;
use steadyline_component::leadership::Admission;
use steadyline_component::{Attempt, Block, Instrument, Outcome, Status};
use tokio::sync::RwLockReadGuard;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::branch::Branch;
use super::queue::Part;
use crate::telemetry::Span;

/// A backend that wants to be left alone for longer is asked again all the same.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How often it is looked whether a term has reserved the time of a block.
const RESERVING: Duration = Duration::from_millis(100);

/// So many requests more may be made to find out which series of a refused one it was.
const BISECT: u32 = 64;

/// The pause before each of these requests.
const BISECT_PAUSE: Duration = Duration::from_millis(20);

/// Works until the queue is closed and nothing is left in its shard.
pub(super) async fn work(branch: Arc<Branch>, shard: u32) {
    let works = || !branch.circuit.is_open();
    while let Some(lanes) = branch.queue.front(shard, &*branch.sender, works).await {
        join_all((0..lanes).map(|lane| work_off(&branch, (shard, lane)))).await;
    }
}

/// Sends what a lane has, part by part.
async fn work_off(branch: &Branch, place: (u32, usize)) {
    while let Some(part) = branch.queue.part(place) {
        let span = branch.traces.begin("export", SpanKind::Client, || {
            let (items, bytes) = (part.block.items as i64, part.block.payload.bytes().len() as i64);
            let exporter = KeyValue::new("exporter", branch.account.id.clone());
            vec![exporter, KeyValue::new("items", items), KeyValue::new("bytes", bytes)]
        });
        // Held until the queue knows of the answer: whoever halts the workers does so before or after.
        let (verdict, _answered) = span.run(settle(branch, place, &part, &span)).await;
        if let Verdict::Settled(Err(error)) = &verdict {
            span.fail(&error.to_string());
        }
        drop(span);
        match verdict {
            Verdict::Replace(parts) => branch.queue.replace(place, parts),
            Verdict::Settled(result) => {
                let Some(taken) = branch.queue.settled(place) else { return };
                if let Err(error) = result {
                    taken.block.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
                }
            }
        }
    }
}

enum Verdict {
    /// The part is done with: delivered, refused or given up; all of it is counted.
    Settled(Result<(), SettleError>),
    /// The part goes on as others.
    Replace(Vec<Part>),
}

/// The second is held while an answer has come that the queue does not know of yet.
type Answered<'a> = (Verdict, Option<RwLockReadGuard<'a, ()>>);

async fn settle<'a>(branch: &'a Branch, place: (u32, usize), part: &Part, span: &Span) -> Answered<'a> {
    let retry = &branch.delivery.retry;
    let mut backoff = Backoff::new(retry);
    let started = Instant::now();
    let budget = branch.delivery.retry_budget();
    for number in 0.. {
        reserved(&part.block).await;
        let pass = branch.circuit.admit().await;
        if let Some(verdict) = is_over(branch, place, &part.block) {
            return (verdict, None);
        }
        let between = branch.attempting.read().await;
        let outcome = attempt(branch, &part.block, Attempt { number, trace: span.parent() }).await;
        let Outcome::Retry { reason, message, after } = outcome else {
            if pass.succeeded() {
                tracing::info!(component = %branch.name, "the backend takes data again, sending goes on as before");
            }
            if matches!(outcome, Outcome::Delivered { .. }) {
                branch.queue.taken(place.0, part);
            }
            return (answered(branch, part, outcome).await, Some(between));
        };
        drop(between);
        let after = after.map(|after| after.min(MAX_RETRY_AFTER));
        if pass.failed(after) {
            tracing::warn!(component = %branch.name, reason,
                "repeated failure: the backend is asked with one request at a time until it answers: {message}");
        }
        if !retry.enabled {
            return (undelivered(branch, &part.block, &reason, &message), None);
        }
        let left = budget.saturating_sub(started.elapsed());
        if !budget.is_zero() && left.is_zero() {
            let words = format!("given up after {:.0?}: {message}", started.elapsed());
            return (undelivered(branch, &part.block, "retries_exhausted", &words), None);
        }
        branch.retried(&reason, &message);
        span.retried(&reason);
        let pause = backoff.pause().max(after.unwrap_or_default());
        // The last attempt is made when the budget ends, however long the backend wants to be left alone.
        let pause = if budget.is_zero() { pause } else { pause.min(left) };
        tokio::time::sleep(pause).await;
    }
    unreachable!("attempts are not bounded in number")
}

/// Waits until a term has reserved the block's timestamps, or is over.
async fn reserved(block: &Block) {
    let Some(term) = &block.term else { return };
    while term.admits(block.time_range.1) == Admission::Later {
        tokio::time::sleep(RESERVING).await;
    }
}

/// Whether a block must not be sent any more, however the backend fares.
fn is_over(branch: &Branch, place: (u32, usize), block: &Block) -> Option<Verdict> {
    let (reason, words) = if block.term.as_ref().is_some_and(|term| !term.holds()) {
        ("stepped_down", "another instance leads now")
    } else if branch.queue.has_aged(place) {
        ("too_old", "its samples are older than `max_age`")
    } else {
        return None;
    };
    branch.account.tally.dropped(reason, block.items);
    if let Some(more) = branch.reject_gate.pass() {
        tracing::warn!(component = %branch.name, reason, items = block.items, suppressed = more,
            "{} items are not sent any more: {words}", block.items);
    }
    Some(Verdict::Settled(Err(SettleError::Final(words.into()))))
}

/// What becomes of a part after an answer that is no "try again".
async fn answered(branch: &Branch, part: &Part, outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Delivered { dropped, message } => delivered(branch, &part.block, dropped, &message),
        Outcome::Reject { reason, message } => refused(branch, part, &reason, &message).await,
        Outcome::TooLarge { message } => too_large(branch, part, &message).await,
        Outcome::FallBack { message } => match branch.sender.recode(&part.block) {
            Some(recoded) => {
                tracing::warn!(component = %branch.name, "the backend does not take this protocol version, falling back: {message}");
                Verdict::Replace(vec![inherit(part, recoded)])
            }
            None => rejected(branch, &part.block, "protocol", &message).await,
        },
        Outcome::Retry { reason, message, .. } => undelivered(branch, &part.block, &reason, &message),
    }
}

async fn attempt(branch: &Branch, block: &Block, this: Attempt) -> Outcome {
    let timeout = branch.delivery.timeout;
    branch.attempts.add(1.0);
    let _under_way = UnderWay::begin(&branch.in_flight);
    let send = branch.sender.send(block, &this);
    if timeout.is_zero() {
        send.await
    } else {
        tokio::time::timeout(timeout, send).await.unwrap_or_else(|_| Outcome::Retry {
            reason: "timeout".into(),
            message: format!("no answer within {timeout:?}"),
            after: None,
        })
    }
}

/// Counts an attempt as in flight for as long as it lives.
struct UnderWay<'a>(&'a Instrument);

impl<'a> UnderWay<'a> {
    fn begin(in_flight: &'a Instrument) -> UnderWay<'a> {
        in_flight.add(1.0);
        UnderWay(in_flight)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}

fn delivered(branch: &Branch, block: &Block, dropped: u64, message: &str) -> Verdict {
    let dropped = dropped.min(block.items);
    let tally = &branch.account.tally;
    tally.outgoing(block.items - dropped);
    branch.sent_bytes.add(block.payload.bytes().len() as f64);
    branch.delivered();
    if dropped > 0 {
        tally.dropped("partial_success", dropped);
        if let Some(more) = branch.reject_gate.pass() {
            tracing::error!(component = %branch.name, items = dropped, suppressed = more,
                "the backend took the request and left out {dropped} of {} items: {message}", block.items);
        }
        return Verdict::Settled(Err(SettleError::Final(format!("the backend left out {dropped} items: {message}"))));
    }
    Verdict::Settled(Ok(()))
}

/// A final "no": of a replay it says that the backend has it already; else the part is cut further, by choice, or lost.
async fn refused(branch: &Branch, part: &Part, reason: &str, message: &str) -> Verdict {
    if part.replay {
        branch.account.tally.merged(part.block.items);
        branch.replayed.add(part.block.items as f64);
        tracing::info!(component = %branch.name, items = part.block.items, reason,
            "a request of before the restart was refused, most likely because it had arrived: {message}");
        return Verdict::Settled(Ok(()));
    }
    if branch.delivery.queue.on_reject == OnReject::Bisect {
        let left = part.bisect.clone().unwrap_or_else(|| Arc::new(AtomicU32::new(BISECT)));
        let may = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(2)).is_ok();
        if let Some((first, second)) = branch.sender.split(&part.block).filter(|_| may) {
            tokio::time::sleep(BISECT_PAUSE).await;
            let half = |block| Part { bisect: Some(Arc::clone(&left)), ..inherit(part, block) };
            return Verdict::Replace(vec![half(first), half(second)]);
        }
    }
    rejected(branch, &part.block, reason, message).await
}

async fn rejected(branch: &Branch, block: &Block, reason: &str, message: &str) -> Verdict {
    // First, and then no more pauses: one that is stopped in between has counted nothing.
    bury(branch, block, reason, message).await;
    branch.account.tally.dropped(reason.to_string(), block.items);
    branch.status.set(Status::Degraded(format!("refused by the backend ({reason}): {message}")));
    if let Some(more) = branch.reject_gate.pass() {
        let series = branch.sender.offending_series(block, message).unwrap_or_default();
        tracing::error!(component = %branch.name, reason, items = block.items, series, suppressed = more,
            "the backend refused a request for good, {} items are lost: {message}", block.items);
    }
    Verdict::Settled(Err(SettleError::Final(message.to_string())))
}

/// Keeps a refused request for people to look at, where config wants that.
async fn bury(branch: &Branch, block: &Block, reason: &str, message: &str) {
    let Some(letters) = branch.dead_letters.clone() else { return };
    let (name, block, reason, message) = (branch.name.clone(), block.clone(), reason.to_string(), message.to_string());
    let kept = tokio::task::spawn_blocking(move || letters.keep(&name, &block, &reason, &message)).await;
    let error = match kept {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    if let Some(more) = branch.letter_gate.pass() {
        tracing::error!(component = %branch.name, suppressed = more, "a refused request could not be kept: {error}");
    }
}

/// Given up without a final word from the backend: lost here, and whoever waits may send it again.
fn undelivered(branch: &Branch, block: &Block, reason: &str, message: &str) -> Verdict {
    branch.account.tally.dropped(reason.to_string(), block.items);
    branch.status.set(Status::Degraded(format!("not delivered ({reason}): {message}")));
    if let Some(more) = branch.reject_gate.pass() {
        tracing::error!(component = %branch.name, items = block.items, suppressed = more,
            "{} items are lost, {message}", block.items);
    }
    Verdict::Settled(Err(SettleError::Retryable(message.to_string())))
}

async fn too_large(branch: &Branch, part: &Part, message: &str) -> Verdict {
    let block = &part.block;
    match branch.sender.split(block) {
        Some((first, second)) => {
            if let Some(more) = branch.retry_gate.pass() {
                tracing::warn!(component = %branch.name, bytes = block.payload.bytes().len(), suppressed = more,
                    "the backend says the request is too large, sending it in halves: {message}");
            }
            Verdict::Replace(vec![inherit(part, first), inherit(part, second)])
        }
        None => rejected(branch, block, "too_large", message).await,
    }
}

/// A piece of a part answers to the same waiters, under the same term.
fn inherit(parent: &Part, mut child: Block) -> Part {
    child.receipts = parent.block.receipts.clone();
    child.permit = parent.block.permit.clone();
    child.term = parent.block.term.clone();
    child.shard = parent.block.shard;
    Part { block: child, replay: parent.replay, bisect: parent.bisect.clone() }
}
