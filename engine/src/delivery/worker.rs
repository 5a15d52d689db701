//! One worker a shard: takes the first block, tries until it is settled, goes on with the next.
//! A retry holds back its shard and no other.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use steadyline_component::delivery::SettleError;
use steadyline_component::{Attempt, Block, Instrument, Outcome, Status};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::branch::Branch;
use crate::telemetry::Span;

/// A backend that wants to be left alone for longer is asked again all the same.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Works until the queue is closed and its shard empty.
pub(super) async fn work(branch: Arc<Branch>, shard: u32) {
    while let Some(block) = branch.queue.front(shard).await {
        let span = branch.traces.begin("export", SpanKind::Client, || {
            let (items, bytes) = (block.items as i64, block.payload.bytes().len() as i64);
            let exporter = KeyValue::new("exporter", branch.account.id.clone());
            vec![exporter, KeyValue::new("items", items), KeyValue::new("bytes", bytes)]
        });
        let verdict = span.run(settle(&branch, &block, &span)).await;
        if let Verdict::Settled(Err(error)) = &verdict {
            span.fail(&error.to_string());
        }
        drop(span);
        match verdict {
            Verdict::Replace(blocks) => branch.queue.replace_front(shard, blocks),
            Verdict::Settled(result) => {
                let Some(taken) = branch.queue.pop(shard) else { return };
                if let Err(error) = result {
                    taken.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
                }
            }
        }
    }
}

enum Verdict {
    /// The block is done with: delivered, refused or given up; all of it is counted.
    Settled(Result<(), SettleError>),
    /// The block goes on as others.
    Replace(Vec<Block>),
}

async fn settle(branch: &Branch, block: &Block, span: &Span) -> Verdict {
    let retry = &branch.delivery.retry;
    let mut backoff = Backoff::new(retry);
    let started = Instant::now();
    let budget: Duration = retry.max_elapsed_time.into();
    for number in 0.. {
        let outcome = attempt(branch, block, Attempt { number, trace: span.parent() }).await;
        let (reason, message, after) = match outcome {
            Outcome::Delivered { dropped, message } => return delivered(branch, block, dropped, &message),
            Outcome::Reject { reason, message } => return rejected(branch, block, &reason, &message),
            Outcome::TooLarge { message } => return too_large(branch, block, &message),
            Outcome::FallBack { message } => match branch.sender.recode(block) {
                Some(recoded) => {
                    tracing::warn!(component = %branch.name, "the backend does not take this protocol version, falling back: {message}");
                    return Verdict::Replace(vec![inherit(block, recoded)]);
                }
                None => return rejected(branch, block, "protocol", &message),
            },
            Outcome::Retry { reason, message, after } => (reason, message, after),
        };
        if !retry.enabled {
            return undelivered(branch, block, &reason, &message);
        }
        let left = budget.saturating_sub(started.elapsed());
        if !budget.is_zero() && left.is_zero() {
            let words = format!("given up after {:.0?}: {message}", started.elapsed());
            return undelivered(branch, block, "retries_exhausted", &words);
        }
        branch.retried(&reason, &message);
        span.retried(&reason);
        let wanted = after.unwrap_or_default().min(MAX_RETRY_AFTER);
        let pause = backoff.pause().max(wanted);
        // The last attempt is made when the budget ends, however long the backend wants to be left alone.
        let pause = if budget.is_zero() { pause } else { pause.min(left) };
        tokio::time::sleep(pause).await;
    }
    unreachable!("attempts are not bounded in number")
}

async fn attempt(branch: &Branch, block: &Block, this: Attempt) -> Outcome {
    let timeout = branch.delivery.timeout;
    let _between = branch.attempting.read().await;
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

fn rejected(branch: &Branch, block: &Block, reason: &str, message: &str) -> Verdict {
    branch.account.tally.dropped(reason.to_string(), block.items);
    branch.status.set(Status::Degraded(format!("refused by the backend ({reason}): {message}")));
    if let Some(more) = branch.reject_gate.pass() {
        let series = branch.sender.offending_series(block, message).unwrap_or_default();
        tracing::error!(component = %branch.name, reason, items = block.items, series, suppressed = more,
            "the backend refused a request for good, {} items are lost: {message}", block.items);
    }
    Verdict::Settled(Err(SettleError::Final(message.to_string())))
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

fn too_large(branch: &Branch, block: &Block, message: &str) -> Verdict {
    match branch.sender.split(block) {
        Some((first, second)) => {
            if let Some(more) = branch.retry_gate.pass() {
                tracing::warn!(component = %branch.name, bytes = block.payload.bytes().len(), suppressed = more,
                    "the backend says the request is too large, sending it in halves: {message}");
            }
            Verdict::Replace(vec![inherit(block, first), inherit(block, second)])
        }
        None => rejected(branch, block, "too_large", message),
    }
}

/// A part of a block answers to the same waiters and holds the same permit.
fn inherit(parent: &Block, mut child: Block) -> Block {
    child.receipts = parent.receipts.clone();
    child.permit = parent.permit.clone();
    child.shard = parent.shard;
    child
}
