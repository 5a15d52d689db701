//! As a Lambda: the batch that SQS handed over passes the same desk; the answer names the messages that are to come again.

use std::sync::Arc;

use serde_json::json;
use steadyline_component::{Host, Outputs, Receiver, StartError};

use crate::config::EventTemporality;
use crate::desk::{Fate, Verdict};
use crate::message::{LambdaEvent, LambdaRecord, Received};
use crate::receiver::{SqsReceiver, desk};

/// Takes in the event of a Lambda; `None` if it is not for this queue.
pub(crate) async fn invoke(
    receiver: &mut SqsReceiver,
    event: &[u8],
    outputs: &Outputs,
    host: &Host,
) -> Result<Option<Vec<u8>>, StartError> {
    let Ok(event) = serde_json::from_slice::<LambdaEvent>(event) else { return Ok(None) };
    let queue = receiver.config.shared.name();
    let is_ours = |record: &LambdaRecord| record.queue_arn.rsplit(':').next() == Some(queue);
    if event.records.is_empty() || !event.records.iter().all(is_ours) {
        return Ok(None);
    }
    if receiver.status.is_none() {
        check(receiver)?;
        receiver.start(host).await?;
    }
    let parts = (Arc::clone(&receiver.ledger), Arc::clone(&receiver.report), receiver.clock.clone());
    let desk = desk(&receiver.id, &receiver.config, &receiver.reader, parts, outputs.clone());
    let messages: Vec<Received> = event.records.into_iter().map(Received::from).collect();
    desk.ledger.lock().sweep(desk.clock.now());
    let work = desk.take_in(&mut receiver.reader, messages, None, None);
    let (verdicts, mut summary) = desk.send(work).await;
    summary.deleted = verdicts.iter().filter(|verdict| verdict.fate == Fate::Delete).count() as u64;
    desk.report.batch(summary);
    let kept = desk.ledger.keep().await;
    kept.map_err(|error| StartError(format!("`storage`: {error}")))?;
    Ok(Some(answer(&verdicts)))
}

/// The answer to Lambda: what is not in it, Lambda deletes.
fn answer(verdicts: &[Verdict]) -> Vec<u8> {
    let back = verdicts.iter().filter(|verdict| verdict.fate == Fate::Return);
    let failures: Vec<_> = back.map(|verdict| json!({"itemIdentifier": verdict.id})).collect();
    json!({ "batchItemFailures": failures }).to_string().into_bytes()
}

/// A Lambda runs in many copies and forgets everything: sums that go on need both to be ruled out.
fn check(receiver: &SqsReceiver) -> Result<(), StartError> {
    let config = &receiver.config;
    if !config.counts() || config.temporality == EventTemporality::Delta {
        return Ok(());
    }
    if config.storage.is_none() || !config.single_consumer {
        return Err(StartError(
            "as a Lambda, sums are told as deltas (`temporality: delta`); or the function runs alone (reserved concurrency 1, `single_consumer: true`) and has a `storage` that outlives it"
                .to_owned(),
        ));
    }
    Ok(())
}
