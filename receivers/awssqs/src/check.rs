//! What `check` asks of the queue, and what `iam-policy` says that reading it takes. No message is received: that would
//! count as one of its attempts.

use steadyline_aws::{AwsFailure, FailureKind, SharedConfig};
use steadyline_component::{CheckRow, Clock, IamStatement, Verdict};

use crate::config::Settings;
use crate::queue::{Queue, Undone, advice};

/// A handle that no message ever had.
const NOBODYS: &str = "steadyline-check";

/// Whether the queue can be asked, and messages be deleted.
pub(crate) async fn check(config: &Settings, id: &str, clock: &Clock) -> Vec<CheckRow> {
    let name = config.shared.name();
    let what = format!("read queue `{name}`");
    let failed = |what: String, failure: &AwsFailure| CheckRow { advice: advice(failure), ..failure.row(what) };
    let queue = match Queue::connect(config, id, clock).await {
        Ok(queue) => queue,
        Err(failure) => return vec![failed(what, &failure)],
    };
    let aws = config.shared.aws();
    let mut rows = if aws.endpoint.is_empty() { SharedConfig::of(&aws).check().await } else { Vec::new() };
    match queue.facts().await {
        Ok(facts) => {
            let detail = format!("it hides messages for {:?}", facts.visibility);
            rows.push(CheckRow { what, verdict: Verdict::Pass, detail, advice: String::new() });
            if !facts.has_redrive {
                rows.push(CheckRow {
                    what: format!("redrive policy of queue `{name}`"),
                    verdict: Verdict::Warn,
                    detail: "it has none: a message that can never be read comes again until its retention is over"
                        .into(),
                    advice: "give the queue a dead-letter queue".into(),
                });
            }
        }
        // It runs without, and takes 30s for what the queue would say.
        Err(failure) if matches!(failure.kind, FailureKind::AccessDenied { .. }) => {
            rows.push(CheckRow { verdict: Verdict::Warn, ..failed(what, &failure) });
        }
        Err(failure) => {
            rows.push(failed(what, &failure));
            return rows;
        }
    }
    if config.delete_messages {
        rows.push(deletes(name, queue.delete(&[NOBODYS.to_owned()]).await));
    }
    rows
}

/// Who may delete is told that there is no such message; who may not is told that.
fn deletes(name: &str, undone: Vec<Undone>) -> CheckRow {
    let what = format!("delete from queue `{name}`");
    let row = |verdict, detail, advice| CheckRow { what, verdict, detail, advice };
    match undone.into_iter().next() {
        Some(undone) if !matches!(undone.reason, "receipt_handle_is_invalid" | "rejected") => {
            let advice = match undone.reason {
                "access_denied" => {
                    "allow `sqs:DeleteMessage` on the queue: what cannot be deleted comes again and again"
                }
                _ => "",
            };
            row(Verdict::Fail, undone.detail, advice.to_owned())
        }
        _ => row(Verdict::Pass, "allowed".to_owned(), String::new()),
    }
}

/// What reading the queue as configured takes.
pub(crate) fn permissions(config: &Settings) -> Vec<IamStatement> {
    let mut actions = vec!["ChangeMessageVisibility", "GetQueueAttributes", "ReceiveMessage"];
    if config.delete_messages {
        actions.push("DeleteMessage");
    }
    config.shared.permissions("ReceiveEvents", &actions, &["Decrypt"])
}
