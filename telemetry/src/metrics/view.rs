//! Looking inside a point's message: histograms, exponential histograms, summaries, exemplars.
//! The messages were checked when the batch was made; views read them on demand and copy nothing.

use super::decode::{any_value, check_key_value};
use crate::limits::{DecodeError, Limits};
use crate::slot::{Value, ValueKind};
use crate::wire::{Field, FieldData, Reader};

type Result<T> = std::result::Result<T, DecodeError>;

/// An explicit-bounds histogram point.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistogramView<'a> {
    /// Number of observations.
    pub count: u64,
    /// Their sum, if the source could tell.
    pub sum: Option<f64>,
    /// The smallest observation.
    pub min: Option<f64>,
    /// The largest observation.
    pub max: Option<f64>,
    body: &'a [u8],
}

impl<'a> HistogramView<'a> {
    /// Reads an OTLP `HistogramDataPoint`.
    pub fn new(body: &'a [u8]) -> Self {
        let mut view = HistogramView { body, ..HistogramView::default() };
        for field in fields(body) {
            match (field.number, field.data) {
                (4, FieldData::Fixed64(value)) => view.count = value,
                (5, FieldData::Fixed64(value)) => view.sum = Some(f64::from_bits(value)),
                (11, FieldData::Fixed64(value)) => view.min = Some(f64::from_bits(value)),
                (12, FieldData::Fixed64(value)) => view.max = Some(f64::from_bits(value)),
                _ => {}
            }
        }
        view
    }

    /// The counts of the buckets, not cumulative; one more than there are bounds, or none.
    pub fn bucket_counts(&self) -> impl Iterator<Item = u64> + use<'a> {
        packed_fixed64(self.body, 6)
    }

    /// The upper bounds of the buckets, the last (+Inf) left out.
    pub fn bounds(&self) -> impl Iterator<Item = f64> + use<'a> {
        packed_fixed64(self.body, 7).map(f64::from_bits)
    }

    /// The exemplars.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + use<'a> {
        exemplars(self.body, 8)
    }
}

/// The positive or negative buckets of an exponential histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// The index of the first count.
    pub offset: i32,
    /// Counts of consecutive buckets.
    pub counts: Vec<u64>,
}

/// An exponential histogram point.
#[derive(Debug, Clone, Default)]
pub struct ExponentialHistogramView<'a> {
    /// Number of observations.
    pub count: u64,
    /// Their sum, if the source could tell.
    pub sum: Option<f64>,
    /// The base is 2^(2^-scale).
    pub scale: i32,
    /// Observations within the zero threshold.
    pub zero_count: u64,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// The smallest observation.
    pub min: Option<f64>,
    /// The largest observation.
    pub max: Option<f64>,
    /// Buckets of positive observations.
    pub positive: Buckets,
    /// Buckets of negative observations.
    pub negative: Buckets,
    body: &'a [u8],
}

impl<'a> ExponentialHistogramView<'a> {
    /// Reads an OTLP `ExponentialHistogramDataPoint`.
    pub fn new(body: &'a [u8]) -> Self {
        let mut view = ExponentialHistogramView { body, ..ExponentialHistogramView::default() };
        for field in fields(body) {
            match (field.number, field.data) {
                (4, FieldData::Fixed64(value)) => view.count = value,
                (5, FieldData::Fixed64(value)) => view.sum = Some(f64::from_bits(value)),
                (6, FieldData::Varint(value)) => view.scale = zigzag(value),
                (7, FieldData::Fixed64(value)) => view.zero_count = value,
                (8, FieldData::Len(inner)) => view.positive = buckets(inner),
                (9, FieldData::Len(inner)) => view.negative = buckets(inner),
                (12, FieldData::Fixed64(value)) => view.min = Some(f64::from_bits(value)),
                (13, FieldData::Fixed64(value)) => view.max = Some(f64::from_bits(value)),
                (14, FieldData::Fixed64(value)) => view.zero_threshold = f64::from_bits(value),
                _ => {}
            }
        }
        view
    }

    /// The exemplars.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + use<'a> {
        exemplars(self.body, 11)
    }
}

/// A summary point.
#[derive(Debug, Clone, Copy, Default)]
pub struct SummaryView<'a> {
    /// Number of observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    body: &'a [u8],
}

impl<'a> SummaryView<'a> {
    /// Reads an OTLP `SummaryDataPoint`.
    pub fn new(body: &'a [u8]) -> Self {
        let mut view = SummaryView { body, ..SummaryView::default() };
        for field in fields(body) {
            match (field.number, field.data) {
                (4, FieldData::Fixed64(value)) => view.count = value,
                (5, FieldData::Fixed64(value)) => view.sum = f64::from_bits(value),
                _ => {}
            }
        }
        view
    }

    /// Pairs of (quantile, value).
    pub fn quantiles(&self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        fields(self.body).filter_map(|field| match (field.number, field.data) {
            (6, FieldData::Len(inner)) => {
                let mut pair = (0.0, 0.0);
                for field in fields(inner.rest()) {
                    match (field.number, field.data) {
                        (1, FieldData::Fixed64(value)) => pair.0 = f64::from_bits(value),
                        (2, FieldData::Fixed64(value)) => pair.1 = f64::from_bits(value),
                        _ => {}
                    }
                }
                Some(pair)
            }
            _ => None,
        })
    }
}

/// One exemplar.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'a> {
    /// Event time, nanoseconds since the epoch.
    pub time: u64,
    /// The observed value; an integer reads as a double.
    pub value: f64,
    /// The trace it was seen in: 16 bytes, or none.
    pub trace_id: &'a [u8],
    /// The span it was seen in: 8 bytes, or none.
    pub span_id: &'a [u8],
    message: &'a [u8],
}

impl<'a> Exemplar<'a> {
    /// The attributes that are on the measurement and not on the series.
    pub fn filtered_attributes(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        fields(self.message).filter_map(|field| match (field.number, field.data) {
            (7, FieldData::Len(inner)) => Some(pair(inner.rest())),
            _ => None,
        })
    }
}

/// The exemplars in a point's message: field 5 of number points, 8 of histograms, 11 of exponential histograms.
pub fn exemplars(body: &[u8], number: u32) -> impl Iterator<Item = Exemplar<'_>> {
    fields(body).filter_map(move |field| match field.data {
        FieldData::Len(inner) if field.number == number => Some(exemplar(inner.rest())),
        _ => None,
    })
}

fn exemplar(message: &[u8]) -> Exemplar<'_> {
    let mut exemplar = Exemplar { time: 0, value: 0.0, trace_id: &[], span_id: &[], message };
    for field in fields(message) {
        match (field.number, field.data) {
            (2, FieldData::Fixed64(value)) => exemplar.time = value,
            (3, FieldData::Fixed64(value)) => exemplar.value = f64::from_bits(value),
            (4, FieldData::Len(inner)) => exemplar.span_id = inner.rest(),
            (5, FieldData::Len(inner)) => exemplar.trace_id = inner.rest(),
            (6, FieldData::Fixed64(value)) => exemplar.value = value as i64 as f64,
            _ => {}
        }
    }
    exemplar
}

pub(crate) fn pair(message: &[u8]) -> (&str, Value<'_>) {
    let mut pair = ("", Value::Empty);
    for field in fields(message) {
        match (field.number, field.data) {
            (1, FieldData::Len(inner)) => pair.0 = std::str::from_utf8(inner.rest()).unwrap_or_default(),
            (2, FieldData::Len(inner)) => pair.1 = read_any(inner.rest()),
            _ => {}
        }
    }
    pair
}

/// Reads an `AnyValue` message that was checked before.
pub(crate) fn read_any(message: &[u8]) -> Value<'_> {
    let limits = Limits::default();
    match any_value(Reader::new(message), &limits, limits.max_depth) {
        Ok(slot) if slot.kind() == ValueKind::Empty => Value::Empty,
        Ok(slot) => slot.value(message, &[]),
        Err(_) => Value::Empty,
    }
}

/// The fields of a checked message; stops at the first that does not read.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut reader = Reader::new(message);
    std::iter::from_fn(move || reader.field().ok().flatten())
}

fn packed_fixed64(body: &[u8], number: u32) -> impl Iterator<Item = u64> + use<'_> {
    let mut body = Reader::new(body);
    let mut run: &[u8] = &[];
    std::iter::from_fn(move || {
        loop {
            if let Some((chunk, rest)) = run.split_first_chunk::<8>() {
                run = rest;
                return Some(u64::from_le_bytes(*chunk));
            }
            match body.field().ok().flatten()? {
                Field { number: n, data: FieldData::Len(inner), .. } if n == number => run = inner.rest(),
                Field { number: n, data: FieldData::Fixed64(value), .. } if n == number => return Some(value),
                _ => {}
            }
        }
    })
}

fn buckets(reader: Reader<'_>) -> Buckets {
    let mut buckets = Buckets::default();
    for field in fields(reader.rest()) {
        match (field.number, field.data) {
            (1, FieldData::Varint(value)) => buckets.offset = zigzag(value),
            (2, FieldData::Varint(value)) => buckets.counts.push(value),
            (2, FieldData::Len(mut inner)) => {
                while let (false, Ok(value)) = (inner.is_empty(), inner.varint()) {
                    buckets.counts.push(value);
                }
            }
            _ => {}
        }
    }
    buckets
}

fn zigzag(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

fn malformed<T>(field: Field<'_>) -> Result<T> {
    Err(DecodeError::Malformed(field.at))
}

pub(super) fn check_histogram(field: Field<'_>, limits: &Limits) -> Result<()> {
    match (field.number, field.data) {
        (4 | 5 | 11 | 12, FieldData::Fixed64(_)) | (6 | 7, FieldData::Fixed64(_)) => Ok(()),
        (6 | 7, FieldData::Len(inner)) if inner.len() % 8 == 0 => Ok(()),
        (8, FieldData::Len(inner)) => check_exemplar(inner, limits),
        (4..=8 | 11 | 12, _) => malformed(field),
        _ => Ok(()),
    }
}

pub(super) fn check_exponential(field: Field<'_>, limits: &Limits) -> Result<()> {
    match (field.number, field.data) {
        (4 | 5 | 7 | 12..=14, FieldData::Fixed64(_)) | (6, FieldData::Varint(_)) => Ok(()),
        (8 | 9, FieldData::Len(inner)) => check_buckets(inner),
        (11, FieldData::Len(inner)) => check_exemplar(inner, limits),
        (4..=9 | 11..=14, _) => malformed(field),
        _ => Ok(()),
    }
}

fn check_buckets(mut reader: Reader<'_>) -> Result<()> {
    while let Some(field) = reader.field()? {
        match (field.number, field.data) {
            (1 | 2, FieldData::Varint(_)) => {}
            (2, FieldData::Len(mut inner)) => {
                while !inner.is_empty() {
                    inner.varint()?;
                }
            }
            (1 | 2, _) => return malformed(field),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn check_summary(field: Field<'_>, _: &Limits) -> Result<()> {
    match (field.number, field.data) {
        (4 | 5, FieldData::Fixed64(_)) => Ok(()),
        (6, FieldData::Len(mut inner)) => {
            while let Some(field) = inner.field()? {
                match (field.number, field.data) {
                    (1 | 2, FieldData::Fixed64(_)) => {}
                    (1 | 2, _) => return malformed(field),
                    _ => {}
                }
            }
            Ok(())
        }
        (4..=6, _) => malformed(field),
        _ => Ok(()),
    }
}

pub(super) fn check_exemplar(mut reader: Reader<'_>, limits: &Limits) -> Result<()> {
    while let Some(field) = reader.field()? {
        match (field.number, field.data) {
            (2 | 3 | 6, FieldData::Fixed64(_)) | (4 | 5, FieldData::Len(_)) => {}
            (7, FieldData::Len(inner)) => check_key_value(inner, limits, limits.max_depth)?,
            (2..=7, _) => return malformed(field),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn check_entity(mut reader: Reader<'_>) -> Result<()> {
    while let Some(field) = reader.field()? {
        match (field.number, field.data) {
            (1..=4, FieldData::Len(inner)) => super::decode::check_text(inner)?,
            (1..=4, _) => return malformed(field),
            _ => {}
        }
    }
    Ok(())
}
