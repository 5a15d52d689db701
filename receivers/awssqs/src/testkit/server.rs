//! The socket of the fake: requests of AWS JSON 1.0 in, answers and faults out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::queue::{Sent, Stored};
use super::{Fault, Shared, State};

/// An error code and what it means.
type Refusal = (u16, String, String);

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, address: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(answer(request, &shared, address).await) }
        });
        // A client that goes away ends its connection, not the test.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared, address: SocketAddr) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("AmazonSQS.").unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    let fault = shared.lock().next_fault(&operation);
    match fault {
        Some(Fault::Error(status, code)) => {
            return refusal(&(status, code.to_owned(), "as the test wants it".to_owned()));
        }
        Some(Fault::Broken) => return response(200, "{\"Messages\": [".to_owned()),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::Silent) => {
            let _ = run(&operation, &input, shared, address).await;
            return response(200, "{}".to_owned());
        }
        None => {}
    }
    let result = run(&operation, &input, shared, address).await;
    shared.changed.notify_waiters();
    match result {
        Ok(output) => response(200, output.to_string()),
        Err(error) => refusal(&error),
    }
}

fn response(status: u16, body: String) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Full::new(Bytes::from(body))).expect("a valid response")
}

fn refusal((status, code, message): &Refusal) -> Response<Full<Bytes>> {
    response(*status, json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": message}).to_string())
}

async fn run(operation: &str, input: &Value, shared: &Shared, address: SocketAddr) -> Result<Value, Refusal> {
    let url = input["QueueUrl"].as_str().unwrap_or_default();
    let name = url.rsplit('/').next().unwrap_or_default().to_owned();
    if !shared.lock().queues.contains_key(&name) {
        return Err((400, "QueueDoesNotExist".to_owned(), format!("{url} at {address}")));
    }
    match operation {
        "ReceiveMessage" => receive(input, &name, shared).await,
        "GetQueueAttributes" => Ok(attributes(&name, &shared.lock())),
        "SendMessageBatch" => batch(operation, input, &name, &mut shared.lock(), |state, name, entry| {
            Ok(state.queues.get_mut(name).expect("the queue is there").send(sent(entry)))
        }),
        "DeleteMessageBatch" => batch(operation, input, &name, &mut shared.lock(), |state, name, entry| {
            let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
            state.queues.get_mut(name).expect("the queue is there").delete(handle).map(|()| String::new())
        }),
        "ChangeMessageVisibilityBatch" => batch(operation, input, &name, &mut shared.lock(), |state, name, entry| {
            let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
            let time = Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap_or(0));
            state.queues.get_mut(name).expect("the queue is there").change(handle, time).map(|()| String::new())
        }),
        _ => Err((400, "UnsupportedOperation".to_owned(), operation.to_owned())),
    }
}

async fn receive(input: &Value, name: &str, shared: &Shared) -> Result<Value, Refusal> {
    let most = input["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize;
    let until = Instant::now() + Duration::from_secs(input["WaitTimeSeconds"].as_u64().unwrap_or(0));
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let wake = {
            let mut state = shared.lock();
            let queue = state.queues.get_mut(name).expect("the queue is there");
            let visibility = input["VisibilityTimeout"].as_u64().map_or(queue.visibility, Duration::from_secs);
            let (messages, dead) = queue.receive(most, visibility);
            let target = queue.redrive.clone();
            let wake = queue.next_look().map_or(until, |look| look.min(until));
            if let Some((target, _)) = target {
                let target = state.queues.get_mut(&target).expect("the dead-letter queue is there");
                dead.into_iter().for_each(|stored| target.adopt(stored));
            }
            if !messages.is_empty() {
                return Ok(
                    json!({"Messages": messages.iter().map(|stored| message(stored, input)).collect::<Vec<_>>()}),
                );
            }
            wake
        };
        if Instant::now() >= until {
            return Ok(json!({}));
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(wake.into()) => {}
        }
    }
}

/// A message as it is received; attributes only as far as they were asked for.
fn message(stored: &Stored, input: &Value) -> Value {
    let asked = |list: &str, name: &str| {
        input[list].as_array().is_some_and(|names| names.iter().any(|asked| asked == name || asked == "All"))
    };
    let system = [
        ("SentTimestamp", stored.sent.sent_ms.map(|ms| ms.to_string())),
        ("ApproximateReceiveCount", Some(stored.receive_count.to_string())),
        ("AWSTraceHeader", stored.sent.xray.clone()),
    ];
    let system: Map<String, Value> = system
        .into_iter()
        .filter(|(name, _)| asked("MessageSystemAttributeNames", name))
        .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
        .collect();
    let own: Map<String, Value> = stored
        .sent
        .attributes
        .iter()
        .filter(|(name, _)| asked("MessageAttributeNames", name))
        .map(|(name, value)| (name.clone(), json!({"DataType": "String", "StringValue": value})))
        .collect();
    json!({"MessageId": stored.id, "ReceiptHandle": stored.handle(), "Body": stored.sent.body, "Attributes": system, "MessageAttributes": own})
}

fn sent(entry: &Value) -> Sent {
    let attributes = entry["MessageAttributes"].as_object().cloned().unwrap_or_default();
    let text = |(name, value): (String, Value)| Some((name, value["StringValue"].as_str()?.to_owned()));
    let xray = entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"].as_str().map(str::to_owned);
    let body = entry["MessageBody"].as_str().unwrap_or_default().to_owned();
    Sent { body, attributes: attributes.into_iter().filter_map(text).collect(), xray, sent_ms: None }
}

fn attributes(name: &str, state: &State) -> Value {
    let queue = &state.queues[name];
    let mut attributes = json!({"VisibilityTimeout": queue.visibility.as_secs().to_string()});
    if let Some((dead, most)) = &queue.redrive {
        let policy = json!({"deadLetterTargetArn": format!("arn:aws:sqs:us-east-1:000000000000:{dead}"), "maxReceiveCount": most});
        attributes["RedrivePolicy"] = Value::String(policy.to_string());
    }
    json!({ "Attributes": attributes })
}

/// A batch: each entry by itself. Sizes and ids are checked as SQS does.
fn batch(
    operation: &str,
    input: &Value,
    name: &str,
    state: &mut State,
    run: impl Fn(&mut State, &str, &Value) -> Result<String, &'static str>,
) -> Result<Value, Refusal> {
    let entries = input["Entries"].as_array().cloned().unwrap_or_default();
    let refuse = |code: &str| Err((400, code.to_owned(), String::new()));
    let mut ids: Vec<&str> = entries.iter().filter_map(|entry| entry["Id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let bytes: usize = entries.iter().filter_map(|entry| entry["MessageBody"].as_str()).map(str::len).sum();
    match entries.len() {
        0 => return refuse("EmptyBatchRequest"),
        11.. => return refuse("TooManyEntriesInBatchRequest"),
        count if ids.len() < count => return refuse("BatchEntryIdsNotDistinct"),
        _ if bytes > MAX_BATCH_BYTES => return refuse("BatchRequestTooLong"),
        _ => {}
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in &entries {
        let id = entry["Id"].clone();
        let fault = state.next_entry_fault(operation);
        let result = match fault {
            Some(fault) => Err((fault.code, fault.sender_fault)),
            None => run(state, name, entry).map_err(|code| (code, true)),
        };
        match result {
            Ok(message) => successful.push(json!({"Id": id, "MessageId": message, "MD5OfMessageBody": ""})),
            Err((code, sender_fault)) => {
                failed.push(json!({"Id": id, "Code": code, "SenderFault": sender_fault, "Message": "refused"}));
            }
        }
    }
    Ok(json!({"Successful": successful, "Failed": failed}))
}

/// What SQS takes in one batch.
const MAX_BATCH_BYTES: usize = 1_048_576;
