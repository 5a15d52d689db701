//! Native histograms of protobuf, integer and float, checked before anybody sees them.
//! The buckets are kept in memory that the next histogram uses again.

use steadyline_prometheus::values::sample_bits;
use steadyline_prometheus::{Buckets, NativeHistogram, ResetHint, Span};
use steadyline_telemetry::wire::{FieldData, Reader};

use crate::entry::{Flavour, FloatBuckets, FloatHistogram};
use crate::error::{Fault, shown};

/// The histogram that was read last.
#[derive(Debug, Default)]
pub(crate) struct NativeScratch {
    is_float: bool,
    has_exemplars: bool,
    reset_hint: ResetHint,
    schema: i64,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    count: u64,
    count_float: f64,
    sum_bits: u64,
    positive: Half,
    negative: Half,
}

#[derive(Debug, Default)]
struct Half {
    spans: Vec<Span>,
    /// The offsets of spans without buckets, which the next span takes on.
    carried: i64,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl NativeScratch {
    pub(crate) fn value(&self) -> Flavour<'_> {
        // The schema was checked.
        let (schema, zero_threshold, sum_bits) = (self.schema as i32, self.zero_threshold, self.sum_bits);
        if self.is_float {
            return Flavour::Float(FloatHistogram {
                schema,
                zero_threshold,
                zero_count: self.zero_count_float,
                count: self.count_float,
                sum_bits,
                positive: self.positive.floats(),
                negative: self.negative.floats(),
                reset_hint: self.reset_hint,
            });
        }
        Flavour::Integer(NativeHistogram {
            schema,
            zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum_bits,
            positive: self.positive.buckets(),
            negative: self.negative.buckets(),
            custom_bounds: &[],
            reset_hint: self.reset_hint,
        })
    }

    /// Whether it has exemplars of its own.
    pub(crate) fn has_exemplars(&self) -> bool {
        self.has_exemplars
    }

    /// Becomes the histogram that a `Histogram` message holds, of the series `name`.
    pub(super) fn read(&mut self, message: &[u8], gauge: bool, name: &[u8]) -> Result<(), Fault> {
        self.reset();
        self.reset_hint = if gauge { ResetHint::Gauge } else { ResetHint::Unknown };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Varint(count)) => self.count = count,
                (4, FieldData::Fixed64(bits)) => self.count_float = f64::from_bits(bits),
                (2, FieldData::Fixed64(bits)) => self.sum_bits = sample_bits(f64::from_bits(bits)),
                (5, FieldData::Varint(schema)) => self.schema = unzigzag(schema),
                (6, FieldData::Fixed64(bits)) => self.zero_threshold = f64::from_bits(bits),
                (7, FieldData::Varint(count)) => self.zero_count = count,
                (8, FieldData::Fixed64(bits)) => self.zero_count_float = f64::from_bits(bits),
                (9, FieldData::Len(span)) => self.negative.put_span(span)?,
                (10, deltas) => put_deltas(&mut self.negative.deltas, deltas)?,
                (11, counts) => put_counts(&mut self.negative.counts, counts)?,
                (12, FieldData::Len(span)) => self.positive.put_span(span)?,
                (13, deltas) => put_deltas(&mut self.positive.deltas, deltas)?,
                (14, counts) => put_counts(&mut self.positive.counts, counts)?,
                (16, _) => self.has_exemplars = true,
                (1..=9 | 12, _) if field.number != 3 => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        self.is_float = self.count_float > 0.0 || self.zero_count_float > 0.0;
        self.check().map_err(|why| Fault::Native { name: shown(name), why })
    }

    fn reset(&mut self) {
        let (positive, negative) = (std::mem::take(&mut self.positive), std::mem::take(&mut self.negative));
        *self = Self { positive: positive.emptied(), negative: negative.emptied(), ..Self::default() };
    }

    fn check(&self) -> Result<(), &'static str> {
        if !(-4..=8).contains(&self.schema) {
            return Err("its schema is not between -4 and 8");
        }
        if self.is_float {
            let negative = |count: f64| count.is_nan() || count < 0.0;
            if negative(self.count_float) || negative(self.zero_count_float) {
                return Err("a count is negative");
            }
            self.positive.check_floats()?;
            return self.negative.check_floats();
        }
        let buckets = self.positive.count()?.checked_add(self.negative.count()?);
        let held = buckets.and_then(|sum| sum.checked_add(self.zero_count)).ok_or("its counts overflow")?;
        // Observations that are not a number are counted, and are in no bucket.
        let fits = if f64::from_bits(self.sum_bits).is_nan() { held <= self.count } else { held == self.count };
        if fits { Ok(()) } else { Err("its count is not what its buckets hold") }
    }
}

impl Half {
    fn emptied(mut self) -> Self {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
        self.carried = 0;
        self
    }

    fn buckets(&self) -> Buckets<'_> {
        Buckets { spans: &self.spans, deltas: &self.deltas }
    }

    fn floats(&self) -> FloatBuckets<'_> {
        FloatBuckets { spans: &self.spans, counts: &self.counts }
    }

    /// A span of no length says that the histogram is a native one, or bridges a gap.
    fn put_span(&mut self, mut message: Reader<'_>) -> Result<(), Fault> {
        let (mut offset, mut length) = (0, 0);
        while let Some(field) = message.field()? {
            match (field.number, field.data) {
                (1, FieldData::Varint(number)) => offset = unzigzag(number),
                (2, FieldData::Varint(number)) => length = number,
                (1..=2, _) => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        let offset = self.carried.saturating_add(offset);
        if length == 0 {
            self.carried = offset;
            return Ok(());
        }
        self.carried = 0;
        let offset = i32::try_from(offset).map_err(|_| Fault::Protobuf)?;
        let length = u32::try_from(length).map_err(|_| Fault::Protobuf)?;
        self.spans.push(Span { offset, length });
        Ok(())
    }

    fn check_spans(&self, buckets: usize) -> Result<(), &'static str> {
        if self.spans.iter().skip(1).any(|span| span.offset < 0) {
            return Err("its spans overlap");
        }
        let covered: u64 = self.spans.iter().map(|span| u64::from(span.length)).sum();
        if covered == buckets as u64 { Ok(()) } else { Err("its spans do not cover its buckets") }
    }

    fn check_floats(&self) -> Result<(), &'static str> {
        let bad = |count: &f64| count.is_nan() || *count < 0.0;
        if self.counts.iter().any(bad) {
            return Err("a count is negative");
        }
        self.check_spans(self.counts.len())
    }

    /// How many observations the buckets hold.
    fn count(&self) -> Result<u64, &'static str> {
        self.check_spans(self.deltas.len())?;
        let (mut bucket, mut total) = (0i64, 0u64);
        for delta in &self.deltas {
            bucket = bucket.checked_add(*delta).ok_or("its counts overflow")?;
            let count = u64::try_from(bucket).map_err(|_| "a count is negative")?;
            total = total.checked_add(count).ok_or("its counts overflow")?;
        }
        Ok(total)
    }
}

/// `sint64` numbers, packed or one by one.
fn put_deltas(deltas: &mut Vec<i64>, data: FieldData<'_>) -> Result<(), Fault> {
    match data {
        FieldData::Varint(number) => deltas.push(unzigzag(number)),
        FieldData::Len(mut packed) => {
            while !packed.is_empty() {
                deltas.push(unzigzag(packed.varint()?));
            }
        }
        _ => return Err(Fault::Protobuf),
    }
    Ok(())
}

/// `double` numbers, packed or one by one.
fn put_counts(counts: &mut Vec<f64>, data: FieldData<'_>) -> Result<(), Fault> {
    match data {
        FieldData::Fixed64(bits) => counts.push(f64::from_bits(bits)),
        FieldData::Len(mut packed) => {
            while !packed.is_empty() {
                counts.push(f64::from_bits(packed.fixed64()?));
            }
        }
        _ => return Err(Fault::Protobuf),
    }
    Ok(())
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
