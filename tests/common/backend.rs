//! A remote-write backend by script: it reads every request of version 1.0 and 2.0, holds it against the specification,
//! keeps what it took, and answers as the test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::Request;

use super::exposition::Labels;
use super::remote_write::{self, STALE, Series};
use super::server::{Reply, Server};

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
    /// What was in it, but for native histograms.
    pub samples: Vec<Arrived>,
    /// All that was in it, series by series.
    pub series: Vec<Series>,
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
                let written = remote_write::read(&request);
                remote_write::check(&written);
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                let mut reply = script(log.len());
                // Half an answer: it was written, and the sender cannot know.
                let taken = match &reply {
                    Reply::Answer(answer) | Reply::Late(_, answer) | Reply::Half(answer) => {
                        answer.status().is_success()
                    }
                    Reply::Hang => false,
                };
                if taken && remote_write::is_v2(&request) {
                    reply = said_to_be_written(reply, &written.series);
                }
                let (samples, series) = (samples(&written.series), written.series);
                log.push(Written { at: Instant::now(), request, samples, series, taken });
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

/// An answer with what a receiver of version 2.0 says in each.
pub fn said_to_be_written(mut reply: Reply, series: &[Series]) -> Reply {
    let count = |of: fn(&Series) -> usize| series.iter().map(of).sum::<usize>().to_string();
    let written = [
        ("x-prometheus-remote-write-samples-written", count(|one| one.samples.len())),
        ("x-prometheus-remote-write-histograms-written", count(|one| one.histograms.len())),
        ("x-prometheus-remote-write-exemplars-written", count(|one| one.exemplars.len())),
    ];
    for (name, value) in written {
        reply = reply.with(name, &value);
    }
    reply
}

fn samples(series: &[Series]) -> Vec<Arrived> {
    let of = |one: &Series| {
        let labels = one.by_name();
        let arrived = |s: &remote_write::Sample| Arrived { labels: labels.clone(), time: s.time, value: s.value };
        one.samples.iter().map(arrived).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

/// The samples of a request's body of version 1.0.
pub fn read_body(body: &[u8]) -> Vec<Arrived> {
    let written = remote_write::read_body(body, false);
    remote_write::check(&written);
    samples(&written.series)
}
