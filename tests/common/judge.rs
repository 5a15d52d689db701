//! A backend, remote write or OTLP over HTTP, that judges what it gets from [`super::rising`]: each series' values may come
//! again exactly as they were, and otherwise only rise. It can be slow, busy, broken, or all of that at times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;

use super::backend::{Arrived, read_body};
use super::dice::Dice;
use super::server::{Reply, Server};

/// How the backend behaves.
#[derive(Debug, Clone)]
pub enum Mood {
    /// It takes everything at once.
    Willing,
    /// It takes everything, so many points a second in all.
    Paced(f64),
    /// It says 503.
    Down,
    /// Each request: mostly taken; else refused for now, taken late, or the connection breaks before or after.
    Moody(Dice),
}

/// The judge.
pub struct Judge {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    series: HashMap<u32, Line>,
    wrong: Vec<String>,
    requests: u64,
    repeated: u64,
    refused: u64,
    free_at: Instant,
    /// When the first and the last points of a paced backend were through.
    through: Option<(Instant, Instant)>,
}

#[derive(Default)]
struct Line {
    newest: u64,
    /// A bit a value.
    arrived: Vec<u64>,
    /// What is added to a value to make its time.
    offset: Option<i64>,
}

impl Judge {
    /// At any port.
    pub async fn start(mood: Mood) -> Judge {
        Judge::start_on(0, mood).await
    }

    /// At this port.
    pub async fn start_on(port: u16, mood: Mood) -> Judge {
        let state = Arc::new(Mutex::new(State {
            mood,
            series: HashMap::new(),
            wrong: Vec::new(),
            requests: 0,
            repeated: 0,
            refused: 0,
            free_at: Instant::now(),
            through: None,
        }));
        let shared = Arc::clone(&state);
        let server = Server::start_on(port, move |request| {
            let reply = lock(&shared).answer(&request);
            async move { reply }
        })
        .await;
        Judge { server, state }
    }

    /// An exporter that sends here, with these keys besides; and its id.
    pub fn exporter(&self, id: &str, keys: &str) -> String {
        exporter(id, &self.server.url(), keys)
    }

    /// From now on it behaves so.
    pub fn set(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// Points that are acknowledged and have not arrived.
    pub fn missing(&self, acknowledged: &[(u32, u64)]) -> u64 {
        let state = lock(&self.state);
        let missing = acknowledged.iter().map(|(series, newest)| match state.series.get(series) {
            Some(line) => (1..=*newest).filter(|value| !line.has(*value)).count() as u64,
            None => *newest,
        });
        missing.sum()
    }

    /// Whether a point has arrived.
    pub fn has(&self, series: u32, value: u64) -> bool {
        lock(&self.state).series.get(&series).is_some_and(|line| line.has(value))
    }

    /// Different points that have arrived.
    pub fn points(&self) -> u64 {
        lock(&self.state).series.values().flat_map(|line| &line.arrived).map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Requests so far; points that came again; requests that were refused or broke.
    pub fn counts(&self) -> (u64, u64, u64) {
        let state = lock(&self.state);
        (state.requests, state.repeated, state.refused)
    }

    /// What was wrong with what came: out of order, or changed.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.state).wrong.clone()
    }

    /// How long a paced backend was given work, from its first points to its last.
    pub fn span(&self) -> Duration {
        lock(&self.state).through.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

/// An exporter that sends to a URL, with these keys besides.
pub fn exporter(id: &str, url: &str, keys: &str) -> String {
    let own = match id.split('/').next() {
        Some("prometheusremotewrite") => format!("endpoint: '{url}/api/v1/write', target_info: {{enabled: false}}"),
        _ => format!("endpoint: '{url}', compression: none"),
    };
    let retry = "retry_on_failure: {initial_interval: 20ms, max_interval: 200ms}";
    format!("{id}: {{{own}, {retry}, {keys}}}")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> Reply {
        self.requests += 1;
        let busy = || Reply::status(503, "busy");
        // A field that nobody knows: long enough to break off.
        let yes = || Reply::status(200, &b"\x7a\x0aanswer yes"[..]).with("content-type", "application/x-protobuf");
        // Broken off after it was taken, or before: the sender cannot tell.
        let half = |reply| if let Reply::Answer(answer) = reply { Reply::Half(answer) } else { reply };
        let reply = match &mut self.mood {
            Mood::Willing | Mood::Paced(_) => yes(),
            Mood::Down => busy(),
            Mood::Moody(dice) => match dice.below(20) {
                0 | 1 => busy(),
                2 => Reply::status(429, "slower").with("retry-after", "0"),
                3 => half(busy()),
                4 | 5 => half(yes()),
                6..10 => late(Duration::from_millis(dice.below(150)), yes()),
                _ => yes(),
            },
        };
        let (Reply::Answer(answer) | Reply::Half(answer) | Reply::Late(_, answer)) = &reply else { return reply };
        if !answer.status().is_success() {
            self.refused += 1;
            return reply;
        }
        let points = points(request);
        let count = points.len();
        points.into_iter().for_each(|point| self.take(point));
        if let Mood::Paced(rate) = self.mood {
            let now = Instant::now();
            self.free_at = self.free_at.max(now) + Duration::from_secs_f64(count as f64 / rate);
            self.through = Some((self.through.map_or(now, |(first, _)| first), self.free_at));
            return late(self.free_at - now, reply);
        }
        reply
    }

    fn take(&mut self, (series, value, time): (u32, u64, i64)) {
        let line = self.series.entry(series).or_default();
        let offset = time - value as i64;
        if *line.offset.get_or_insert(offset) != offset {
            self.wrong.push(format!("series {series}: {value} came with another time, {time}"));
        }
        if line.has(value) {
            self.repeated += 1;
            return;
        }
        if value < line.newest {
            self.wrong.push(format!("series {series}: {value} came first behind {}", line.newest));
        }
        line.newest = line.newest.max(value);
        let word = (value / 64) as usize;
        line.arrived.resize(line.arrived.len().max(word + 1), 0);
        line.arrived[word] |= 1 << (value % 64);
    }
}

impl Line {
    fn has(&self, value: u64) -> bool {
        self.arrived.get((value / 64) as usize).is_some_and(|bits| bits & (1 << (value % 64)) != 0)
    }
}

fn late(pause: Duration, reply: Reply) -> Reply {
    if let Reply::Answer(answer) = reply { Reply::Late(pause, answer) } else { reply }
}

/// Series, value and milliseconds of each point.
fn points(request: &Request<Bytes>) -> Vec<(u32, u64, i64)> {
    if request.uri().path() == "/v1/metrics" { otlp(request.body()) } else { remote_write(request.body()) }
}

/// The points of a remote-write request's body.
pub fn remote_write(body: &[u8]) -> Vec<(u32, u64, i64)> {
    let point =
        |sample: Arrived| (sample.labels["series"].parse().expect("a number"), sample.value as u64, sample.time);
    read_body(body).into_iter().map(point).collect()
}

fn otlp(body: &[u8]) -> Vec<(u32, u64, i64)> {
    let request = ExportMetricsServiceRequest::decode(body).expect("an OTLP request");
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let data = scopes.flat_map(|scope| scope.metrics).filter_map(|metric| metric.data);
    let points = data.flat_map(|data| match data {
        metric::Data::Gauge(gauge) => gauge.data_points,
        other => panic!("not what was sent: {other:?}"),
    });
    let point = |point: opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
        let value = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value as u64,
            other => panic!("not what was sent: {other:?}"),
        };
        (series(&point.attributes), value, (point.time_unix_nano / 1_000_000) as i64)
    };
    points.map(point).collect()
}

fn series(attributes: &[KeyValue]) -> u32 {
    let of =
        attributes.iter().find(|attribute| attribute.key == "series").and_then(|of| of.value.as_ref()?.value.as_ref());
    match of {
        Some(any_value::Value::StringValue(text)) => text.parse().expect("a number"),
        other => panic!("not what was sent: {other:?}"),
    }
}
