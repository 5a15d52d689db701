//! A remote-write backend by script: it reads every request with structs of its own, keeps what it took, and answers as
//! the test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use prost::Message;

use super::exposition::Labels;
use super::server::{Reply, Server};

/// Remote write 1.0, from its specification.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<WireSample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireSample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// The bits of Prometheus' stale marker.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// One sample as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// All labels, the name as `__name__`.
    pub labels: Labels,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// The value.
    pub value: f64,
}

impl Arrived {
    /// Whether it ends its series.
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Written {
    /// When it had arrived.
    pub at: Instant,
    /// The request, with its body as it was.
    pub request: Request<Bytes>,
    /// What was in it.
    pub samples: Vec<Arrived>,
    /// Whether it was answered with success.
    pub taken: bool,
}

/// The backend.
pub struct Backend {
    server: Server,
    requests: Arc<Mutex<Vec<Written>>>,
}

impl Backend {
    /// Takes everything.
    pub async fn willing() -> Backend {
        Backend::start(|_| Reply::status(204, "")).await
    }

    /// Answers by `script`, which gets the number of the request, from 0.
    pub async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Backend {
        Backend::start_on(0, script).await
    }

    /// The same on a given port.
    pub async fn start_on(port: u16, script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Backend {
        let requests: Arc<Mutex<Vec<Written>>> = Arc::default();
        let log = Arc::clone(&requests);
        let script = Arc::new(script);
        let server = Server::start_on(port, move |request| {
            let (log, script) = (Arc::clone(&log), Arc::clone(&script));
            async move {
                let samples = read(&request);
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                let reply = script(log.len());
                // Half an answer: it was written, and the sender cannot know.
                let taken = match &reply {
                    Reply::Answer(answer) | Reply::Late(_, answer) | Reply::Half(answer) => {
                        answer.status().is_success()
                    }
                    Reply::Hang => false,
                };
                log.push(Written { at: Instant::now(), request, samples, taken });
                reply
            }
        })
        .await;
        Backend { server, requests }
    }

    /// Where to write to.
    pub fn url(&self) -> String {
        format!("{}/api/v1/write", self.server.url())
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Written> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All samples that were taken so far, by series, in order of arrival.
    pub fn taken(&self) -> BTreeMap<Labels, Vec<Arrived>> {
        let mut series: BTreeMap<Labels, Vec<Arrived>> = BTreeMap::new();
        for sample in self.requests().into_iter().filter(|one| one.taken).flat_map(|one| one.samples) {
            series.entry(sample.labels.clone()).or_default().push(sample);
        }
        series
    }

    /// How many samples were taken so far.
    pub fn count(&self) -> usize {
        self.requests().iter().filter(|one| one.taken).map(|one| one.samples.len()).sum()
    }

    /// The taken samples of one account's line, in order of arrival.
    pub fn line(&self, metric: &str, account: &str) -> Vec<Arrived> {
        let taken = self.taken().into_iter().filter(|(labels, _)| {
            let is = |name: &str, value: &str| labels.get(name).is_some_and(|found| found == value);
            is("__name__", metric) && is("account_id", account)
        });
        taken.flat_map(|(_, samples)| samples).collect()
    }
}

fn read(request: &Request<Bytes>) -> Vec<Arrived> {
    read_body(request.body())
}

/// The samples of a request's body.
pub fn read_body(body: &[u8]) -> Vec<Arrived> {
    let raw = snap::raw::Decoder::new().decompress_vec(body).expect("snappy's block format");
    let write = WriteRequest::decode(raw.as_slice()).expect("a write request of version 1.0");
    let mut samples = Vec::new();
    for series in write.timeseries {
        let names: Vec<&str> = series.labels.iter().map(|label| label.name.as_str()).collect();
        assert!(
            names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]),
            "sorted, and none twice: {names:?}"
        );
        let labels: Labels = series.labels.into_iter().map(|label| (label.name, label.value)).collect();
        samples.extend(series.samples.iter().map(|sample| Arrived {
            labels: labels.clone(),
            time: sample.timestamp,
            value: sample.value,
        }));
    }
    samples
}
