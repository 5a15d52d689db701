//! Senders of series whose values rise by one a request, as an application's SDK sends: each request is repeated, the same
//! bytes, until it is acknowledged, and only then comes the next. What was acknowledged is noted.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::dice::Dice;
use super::grpc::Grpc;
use super::http;
use super::steadyline::unix_seconds;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Senders, each with series of its own and one request under way.
    pub senders: u32,
    /// Series of each sender; each request has one point of each.
    pub series: u32,
    /// From one request of a sender, new or repeated, to its next.
    pub every: Duration,
    /// Bytes of a label that do not compress.
    pub padding: usize,
}

/// Where it is sent.
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// OTLP over HTTP at this port.
    Http(u16),
    /// OTLP over gRPC at this port.
    Grpc(u16),
}

/// A request that was answered with "no".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// HTTP's status, or gRPC's code.
    pub status: u32,
    /// Whether the answer says when to try again.
    pub says_when: bool,
}

/// The running senders.
pub struct Rising {
    load: Load,
    first: u32,
    noted: Arc<Noted>,
    tasks: JoinSet<()>,
}

struct Noted {
    /// Up to which value each sender's series are acknowledged; 0: nothing.
    acknowledged: Vec<AtomicU64>,
    attempts: AtomicU64,
    denials: Mutex<Vec<Denial>>,
    stop: AtomicBool,
}

impl Rising {
    /// Starts them; their series are numbered from `first`.
    pub fn start(to: To, load: Load, first: u32) -> Rising {
        let acknowledged = (0..load.senders).map(|_| AtomicU64::new(0)).collect();
        let noted = Arc::new(Noted {
            acknowledged,
            attempts: AtomicU64::new(0),
            denials: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        // One millisecond a value; none lies in the future as long as a request takes longer.
        let base = (unix_seconds() * 1000.0) as u64;
        let mut tasks = JoinSet::new();
        for sender in 0..load.senders {
            let from = first + sender * load.series;
            let make = Maker { series: from..from + load.series, base, padding: load.padding };
            tasks.spawn(send(to, make, load.every, sender as usize, Arc::clone(&noted)));
        }
        Rising { load, first, noted, tasks }
    }

    /// Each series with the value up to which it is acknowledged.
    pub fn acknowledged(&self) -> Vec<(u32, u64)> {
        let senders = (0..self.load.senders).zip(&self.noted.acknowledged);
        let values = senders.flat_map(|(sender, value)| {
            let from = self.first + sender * self.load.series;
            (from..from + self.load.series).map(|series| (series, value.load(Ordering::SeqCst)))
        });
        values.collect()
    }

    /// Points that are acknowledged.
    pub fn points(&self) -> u64 {
        let values = self.noted.acknowledged.iter().map(|value| value.load(Ordering::SeqCst));
        values.sum::<u64>() * u64::from(self.load.series)
    }

    /// Points that were offered so far, each time that they were.
    pub fn offered(&self) -> u64 {
        self.noted.attempts.load(Ordering::SeqCst) * u64::from(self.load.series)
    }

    /// What was answered that was no "yes".
    pub fn denials(&self) -> Vec<Denial> {
        self.noted.denials.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends them, each after the answer to what it has under way. What has no answer may have been taken.
    pub async fn stop(&mut self) {
        self.noted.stop.store(true, Ordering::SeqCst);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn send(to: To, make: Maker, every: Duration, sender: usize, noted: Arc<Noted>) {
    let url = |port| format!("http://127.0.0.1:{port}/v1/metrics");
    let grpc = if let To::Grpc(port) = to { Some(Grpc::metrics(port)) } else { None };
    let mut ticks = tokio::time::interval_at(Instant::now(), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for value in 1.. {
        let body = make.request(value);
        loop {
            ticks.tick().await;
            if noted.stop.load(Ordering::SeqCst) {
                return;
            }
            noted.attempts.fetch_add(1, Ordering::SeqCst);
            let answer = match (&to, &grpc) {
                (To::Http(port), _) => over_http(&url(port), body.clone()).await,
                (_, Some(grpc)) => over_grpc(grpc, &body).await,
                (To::Grpc(_), None) => unreachable!("there is a client for it"),
            };
            match answer {
                Some(Ok(())) => break,
                Some(Err(denial)) => noted.denials.lock().unwrap_or_else(PoisonError::into_inner).push(denial),
                None => {}
            }
        }
        noted.acknowledged[sender].store(value, Ordering::SeqCst);
    }
}

async fn over_http(url: &str, body: Vec<u8>) -> Option<Result<(), Denial>> {
    let answer = http::post(url, &[("content-type", "application/x-protobuf")], body).await?;
    let denial = Denial { status: answer.status.into(), says_when: answer.headers.contains_key("retry-after") };
    Some(if answer.status == 200 { Ok(()) } else { Err(denial) })
}

async fn over_grpc(grpc: &Grpc, body: &[u8]) -> Option<Result<(), Denial>> {
    let status = grpc.send(body).await?;
    let denial = Denial { status: status.code, says_when: status.has_retry_info() };
    Some(if status.code == 0 { Ok(()) } else { Err(denial) })
}

struct Maker {
    series: Range<u32>,
    base: u64,
    padding: usize,
}

impl Maker {
    /// The request in which every series has this value.
    fn request(&self, value: u64) -> Vec<u8> {
        let text = |text: String| Some(AnyValue { value: Some(any_value::Value::StringValue(text)) });
        let attribute = |key: &str, value| KeyValue { key: key.into(), value: text(value), ..KeyValue::default() };
        let point = |series: u32| {
            let mut attributes = vec![attribute("series", series.to_string())];
            if self.padding > 0 {
                attributes.push(attribute("padding", noise(series, self.padding)));
            }
            NumberDataPoint {
                attributes,
                time_unix_nano: (self.base + value) * 1_000_000,
                value: Some(number_data_point::Value::AsDouble(value as f64)),
                ..NumberDataPoint::default()
            }
        };
        let gauge = Gauge { data_points: self.series.clone().map(point).collect() };
        let metric = Metric { name: "rising".into(), data: Some(metric::Data::Gauge(gauge)), ..Metric::default() };
        let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
        ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
    }
}

/// Text of a series that does not compress, always the same.
fn noise(series: u32, length: usize) -> String {
    let mut dice = Dice::of(series.into());
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        text += &format!("{:016x}", dice.next());
    }
    text.truncate(length);
    text
}
