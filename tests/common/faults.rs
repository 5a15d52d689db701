//! A proxy in front of a table that makes reads fail in every way that AWS can.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::dynamodb::Api;
use super::server::{Reply, Server};

/// How a read fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// Throttled, with the reasons that the service gives since 2025.
    Throttled,
    /// 500 from the service.
    InternalError,
    /// No answer at all.
    Hung,
    /// Half of the answer, and the connection breaks.
    BrokenOff,
    /// A whole answer whose JSON is not whole.
    TruncatedJson,
    /// The first page is empty and says that there is more.
    EmptyPageWithKey,
    /// The last page says that there is more, and there is nothing.
    KeyAfterLast,
    /// Every page says that it goes on at the same key.
    RepeatedKey,
    /// The first page comes, the second fails.
    SecondPageFails,
    /// The caller may not.
    AccessDenied,
    /// The token is too old.
    ExpiredToken,
    /// There is no such table here.
    NoTable,
    /// The request is signed for another region.
    WrongRegion,
}

/// The proxy. Everything but reads passes.
pub struct FaultProxy {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    fault: Fault,
    reads: u64,
}

impl FaultProxy {
    /// In front of an API.
    pub async fn start(api: &Api) -> FaultProxy {
        let state = Arc::new(Mutex::new(State { fault: Fault::None, reads: 0 }));
        let (target, shared) = (api.url.clone(), Arc::clone(&state));
        let server = Server::start(move |request| {
            let (target, shared) = (target.clone(), Arc::clone(&shared));
            async move { handle(request, &target, &shared).await }
        })
        .await;
        FaultProxy { server, state }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on reads fail so.
    pub fn set(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// How many reads were asked for so far.
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handle(request: Request<Bytes>, target: &str, state: &Mutex<State>) -> Reply {
    let (head, body) = request.into_parts();
    let operation = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_read = operation.ends_with(".Scan") || operation.ends_with(".Query");
    if !is_read {
        return forward(target, &head.headers, body).await;
    }
    let fault = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reads += 1;
        state.fault
    };
    read(fault, target, &head.headers, body).await
}

async fn read(fault: Fault, target: &str, headers: &HeaderMap, body: Bytes) -> Reply {
    match fault {
        Fault::None => forward(target, headers, body).await,
        Fault::Throttled => error(
            400,
            "ThrottlingException",
            THROTTLED,
            json!({"throttlingReasons": [
                {"reason": "IndexReadKeyRangeThroughputExceeded", "resource": "arn:aws:dynamodb:us-east-1:123456789012:table/onboarding/index/gsi1"}
            ]}),
        ),
        Fault::InternalError => error(500, "InternalServerError", "The request processing has failed.", json!({})),
        Fault::Hung => Reply::Hang,
        Fault::BrokenOff => match forward(target, headers, body).await {
            Reply::Answer(response) => Reply::Half(response),
            other => other,
        },
        Fault::TruncatedJson => match forward(target, headers, body).await {
            Reply::Answer(response) => {
                // Without the checksum, which would tell of it earlier.
                let half = response.body().slice(..response.body().len() / 2);
                Reply::status(200, half).with("content-type", "application/x-amz-json-1.0")
            }
            other => other,
        },
        Fault::AccessDenied => error(400, "AccessDeniedException", DENIED, json!({})),
        Fault::ExpiredToken => {
            error(403, "ExpiredTokenException", "The security token included in the request is expired", json!({}))
        }
        Fault::NoTable => error(400, "ResourceNotFoundException", "Requested resource not found", json!({})),
        Fault::WrongRegion => {
            let message = "Credential should be scoped to a valid region, not 'us-east-1'.";
            error(400, "InvalidSignatureException", message, json!({}))
        }
        Fault::EmptyPageWithKey | Fault::KeyAfterLast | Fault::RepeatedKey | Fault::SecondPageFails => {
            paged(fault, target, headers, body).await
        }
    }
}

const THROTTLED: &str = "Throughput exceeds the current capacity of your table or index.";
const DENIED: &str = "User: arn:aws:sts::123456789012:assumed-role/poller/session is not authorized to perform: dynamodb:Scan on resource: arn:aws:dynamodb:us-east-1:123456789012:table/onboarding/index/gsi1 because no identity-based policy allows the dynamodb:Scan action";

fn made_up_key() -> Value {
    json!({"system_account_id": {"S": "~"}, "gsi1pk": {"S": "ACCOUNT"}, "gsi1sk": {"S": "~"}})
}

/// The faults that are about where a page ends.
async fn paged(fault: Fault, target: &str, headers: &HeaderMap, body: Bytes) -> Reply {
    let mut asked: Value = serde_json::from_slice(&body).expect("a read is JSON");
    let resumed = asked.get("ExclusiveStartKey") == Some(&made_up_key());
    let empty = json!({"Items": [], "Count": 0, "ScannedCount": 500, "LastEvaluatedKey": made_up_key()});
    match (fault, resumed) {
        (Fault::EmptyPageWithKey, false) => page(&empty),
        (Fault::EmptyPageWithKey, true) => {
            asked.as_object_mut().expect("a read is an object").remove("ExclusiveStartKey");
            forward(target, headers, asked.to_string().into()).await
        }
        (Fault::KeyAfterLast, true) => page(&json!({"Items": [], "Count": 0, "ScannedCount": 0})),
        (Fault::RepeatedKey, true) => page(&empty),
        (Fault::SecondPageFails, true) => {
            error(500, "InternalServerError", "The request processing has failed.", json!({}))
        }
        _ => match forward(target, headers, body).await {
            Reply::Answer(response) => {
                let mut answer: Value = serde_json::from_slice(response.body()).expect("an answer is JSON");
                answer["LastEvaluatedKey"] = made_up_key();
                page(&answer)
            }
            other => other,
        },
    }
}

fn page(answer: &Value) -> Reply {
    Reply::status(200, answer.to_string()).with("content-type", "application/x-amz-json-1.0")
}

fn error(status: u16, kind: &str, message: &str, more: Value) -> Reply {
    let mut body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": message});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    Reply::status(status, body.to_string()).with("content-type", "application/x-amz-json-1.0")
}

async fn forward(target: &str, headers: &HeaderMap, body: Bytes) -> Reply {
    let wanted = ["x-amz-target", "content-type", "authorization", "x-amz-date", "x-amz-security-token"];
    let headers: Vec<(&str, &str)> =
        wanted.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?))).collect();
    match super::http::post(target, &headers, body).await {
        Some(answer) => Reply::status(answer.status, answer.body).with("content-type", "application/x-amz-json-1.0"),
        None => Reply::status(502, "the table does not answer"),
    }
}
