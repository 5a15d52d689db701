//! Remote write 1.0 and 2.0 as a receiver reads them, by structs of its own after the specifications, and what a request
//! has to be.

use bytes::Bytes;
use http::Request;
use prost::Message;

use super::exposition::Labels;

/// The content type of version 2.0.
pub const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// The bits of Prometheus' stale marker.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// What a request says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// Its series, in their order.
    pub series: Vec<Series>,
    /// Metadata by name of the family; version 1.0 only.
    pub families: Vec<(String, Metadata)>,
}

/// One series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its labels as they stand in the request.
    pub labels: Vec<(String, String)>,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Its native histograms.
    pub histograms: Vec<Native>,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
    /// What it is; version 2.0 only.
    pub metadata: Metadata,
}

impl Series {
    /// The labels by name.
    pub fn by_name(&self) -> Labels {
        self.labels.iter().cloned().collect()
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        self.labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, value)| value)
    }
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds.
    #[prost(int64, tag = "2")]
    pub time: i64,
    /// Milliseconds; version 2.0 only.
    #[prost(int64, tag = "3")]
    pub start: i64,
}

/// A measurement of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// As they stand in the request.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// Milliseconds.
    pub time: i64,
}

/// Type by its number, help and unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub kind: i32,
    pub help: String,
    pub unit: String,
}

/// A native histogram with counts that are whole numbers.
#[derive(Clone, PartialEq, Message)]
pub struct Native {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(double, tag = "3")]
    pub sum: f64,
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    pub zero_count: u64,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    pub time: i64,
}

impl Native {
    /// Buckets that are not empty, by their index: however the spans are cut.
    #[allow(dead_code, reason = "not every test binary looks into histograms")]
    pub fn positive(&self) -> Vec<(i64, i64)> {
        buckets(&self.positive_spans, &self.positive_deltas)
    }

    /// The same of those below zero.
    #[allow(dead_code, reason = "not every test binary looks into histograms")]
    pub fn negative(&self) -> Vec<(i64, i64)> {
        buckets(&self.negative_spans, &self.negative_deltas)
    }
}

#[allow(dead_code, reason = "not every test binary looks into histograms")]
fn buckets(spans: &[Span], deltas: &[i64]) -> Vec<(i64, i64)> {
    let mut deltas = deltas.iter();
    let (mut index, mut count, mut found) = (0, 0, Vec::new());
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            count += deltas.next().expect("spans cover the deltas");
            if count != 0 {
                found.push((index, count));
            }
            index += 1;
        }
    }
    assert!(deltas.next().is_none(), "spans cover the deltas");
    found
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct V1Request {
    #[prost(message, repeated, tag = "1")]
    series: Vec<V1Series>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<V1Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct V1Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<V1Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<V1Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Native>,
}

#[derive(Clone, PartialEq, Message)]
struct V1Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct V1Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<V1Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    time: i64,
}

#[derive(Clone, PartialEq, Message)]
struct V1Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, Message)]
struct V2Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    series: Vec<V2Series>,
}

#[derive(Clone, PartialEq, Message)]
struct V2Series {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Native>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<V2Exemplar>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<V2Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct V2Exemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    time: i64,
}

#[derive(Clone, PartialEq, Message)]
struct V2Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help: u32,
    #[prost(uint32, tag = "4")]
    unit: u32,
}

/// Whether a request is of version 2.0.
pub fn is_v2(request: &Request<Bytes>) -> bool {
    request.headers().get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == V2.as_bytes())
}

/// What a request says, whatever it says.
pub fn read(request: &Request<Bytes>) -> Written {
    read_body(request.body(), is_v2(request))
}

/// The same of a body.
pub fn read_body(body: &[u8], is_v2: bool) -> Written {
    let raw = snap::raw::Decoder::new().decompress_vec(body).expect("snappy's block format");
    if is_v2 { read_v2(&raw) } else { read_v1(&raw) }
}

fn read_v1(raw: &[u8]) -> Written {
    let request = V1Request::decode(raw).expect("a write request of version 1.0");
    let pairs = |labels: Vec<V1Label>| labels.into_iter().map(|label| (label.name, label.value)).collect();
    let series = request.series.into_iter().map(|one| {
        let exemplars = one.exemplars.into_iter();
        Series {
            labels: pairs(one.labels),
            samples: one.samples,
            histograms: one.histograms,
            exemplars: exemplars.map(|e| Exemplar { labels: pairs(e.labels), value: e.value, time: e.time }).collect(),
            metadata: Metadata::default(),
        }
    });
    let family = |one: V1Metadata| (one.family, Metadata { kind: one.kind, help: one.help, unit: one.unit });
    Written { series: series.collect(), families: request.metadata.into_iter().map(family).collect() }
}

fn read_v2(raw: &[u8]) -> Written {
    let request = V2Request::decode(raw).expect("a write request of version 2.0");
    let symbol = |at: u32| request.symbols.get(at as usize).expect("a reference to a symbol").clone();
    let pairs = |refs: &[u32]| {
        assert!(refs.len().is_multiple_of(2), "a name without a value");
        refs.chunks(2).map(|pair| (symbol(pair[0]), symbol(pair[1]))).collect()
    };
    let series = request.series.iter().map(|one| {
        let exemplars = one.exemplars.iter();
        let metadata = one.metadata.clone().unwrap_or_default();
        Series {
            labels: pairs(&one.labels),
            samples: one.samples.clone(),
            histograms: one.histograms.clone(),
            exemplars: exemplars.map(|e| Exemplar { labels: pairs(&e.labels), value: e.value, time: e.time }).collect(),
            metadata: Metadata { kind: metadata.kind, help: symbol(metadata.help), unit: symbol(metadata.unit) },
        }
    });
    let written = Written { series: series.collect(), families: Vec::new() };
    let mut known = request.symbols.clone();
    known.sort();
    known.dedup();
    assert!(request.symbols.first().is_some_and(String::is_empty), "the first symbol is empty");
    assert_eq!(known.len(), request.symbols.len(), "no symbol twice");
    written
}

/// Panics unless the series are what both specifications demand.
pub fn check(written: &Written) {
    for series in &written.series {
        let names: Vec<&str> = series.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "sorted, and none twice: {names:?}");
        let empty = series.labels.iter().any(|(name, value)| name.is_empty() || value.is_empty());
        assert!(!empty && names.contains(&"__name__"), "a name, and no empty text: {:?}", series.labels);
        assert!(names.iter().all(|name| *name == "__name__" || !name.starts_with("__")), "reserved: {names:?}");
        assert_ne!(series.samples.is_empty(), series.histograms.is_empty(), "samples or histograms: {series:?}");
        let samples = series.samples.iter().map(|sample| sample.time);
        let times: Vec<i64> = samples.chain(series.histograms.iter().map(|one| one.time)).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "in order of time: {:?} {times:?}", series.labels);
    }
}
