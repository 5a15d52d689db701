//! What arrived, read by an independent model of remote write 1.0, to assert that the work was done.

use std::collections::HashSet;

use prost::Message;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// The label's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The label's value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// Checks the snappy blocks of one round: each series once, with this value, and labels that are legal and sorted.
///
/// # Panics
/// If anything is not as it should be.
pub fn check<'a>(blocks: impl Iterator<Item = &'a [u8]>, series: usize, value: f64, labels: &[&str]) {
    let mut seen = HashSet::new();
    for block in blocks {
        let bytes = snap::raw::Decoder::new().decompress_vec(block).expect("blocks are snappy");
        for one in WriteRequest::decode(&bytes[..]).expect("blocks are write requests").timeseries {
            let names: Vec<&str> = one.labels.iter().map(|label| label.name.as_str()).collect();
            assert_eq!(names, labels, "labels are translated, complete and sorted");
            assert_eq!(one.samples.len(), 1, "one value for each series");
            assert_eq!(one.samples[0].value, value, "the value of this round");
            let fresh = seen.insert(one.labels.into_iter().map(|label| label.value).collect::<Vec<_>>());
            assert!(fresh, "no series comes twice");
        }
    }
    assert_eq!(seen.len(), series, "every series arrived");
}
