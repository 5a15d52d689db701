//! Delimited `io.prometheus.client.MetricFamily` messages (client_model, metrics.proto), as the entries of a text.
//! Their series have no text, so the parser writes one, the same at every scrape.

mod exemplar;
mod metric;
mod native;

use steadyline_prometheus::values::put_bound;
use steadyline_prometheus::{MetricKind, is_legal_metric_name};
use steadyline_telemetry::DecodeError;
use steadyline_telemetry::wire::{FieldData, Reader};

use crate::entry::{Entry, Exemplar, HistogramSample, Sample};
use crate::error::{Fault, ParseError, Place, shown};
use crate::parser::Histograms;
use crate::syntax::utf8;

pub(crate) use exemplar::{exemplar_of_bucket, read_exemplar, read_exemplar_labels};
use metric::{Metric, put_escaped};
pub(crate) use native::NativeScratch;

impl From<DecodeError> for Fault {
    fn from(_: DecodeError) -> Self {
        Fault::Protobuf
    }
}

/// Walks over the families of a body.
#[derive(Debug)]
pub(crate) struct Families<'b> {
    pub(crate) histograms: Histograms,
    /// What is left of the body.
    body: Reader<'b>,
    /// Where the message begins that was read last.
    start: usize,
    ended: bool,
    family: Option<Family<'b>>,
    /// What of the family comes next.
    step: Step,
    metric: Metric<'b>,
    native: NativeScratch,
    /// The text of the series.
    series: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Family<'b> {
    name: &'b str,
    help: &'b str,
    unit: &'b str,
    kind: MetricKind,
    /// What is left of the message.
    rest: Reader<'b>,
}

/// One entry of a family, in the order in which they are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Type,
    Help,
    Unit,
    Metric,
    Native,
    Value,
    Count,
    Sum,
    /// A bucket or a quantile, by its place.
    Item(usize),
}

/// What was read; names and series are in the parser.
enum Ready<'b> {
    Type(Family<'b>),
    Help(Family<'b>),
    Unit(Family<'b>),
    Native(&'b [u8]),
    Value(f64, Option<Exemplar<'b>>),
}

impl<'b> Families<'b> {
    pub(crate) fn new(body: &'b [u8]) -> Self {
        Self {
            histograms: Histograms::default(),
            body: Reader::new(body),
            start: 0,
            ended: false,
            family: None,
            step: Step::Type,
            metric: Metric::default(),
            native: NativeScratch::default(),
            series: Vec::new(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::Byte(self.start)
    }

    pub(crate) fn next_entry(&mut self) -> Option<Result<Entry<'_>, ParseError>> {
        let ready = match self.next_ready()? {
            Ok(ready) => ready,
            Err(fault) => {
                self.ended = true;
                return Some(Err(ParseError { place: self.place(), fault }));
            }
        };
        let (timestamp, created) = (self.metric.timestamp, self.metric.created);
        Some(Ok(match ready {
            Ready::Type(family) => Entry::Type { family: family.name, kind: family.kind },
            Ready::Help(family) => Entry::Help { family: family.name, text: family.help },
            Ready::Unit(family) => Entry::Unit { family: family.name, unit: family.unit },
            Ready::Native(message) => {
                let (series, scratch) = (self.series.as_slice(), &self.native);
                Entry::Histogram(HistogramSample { series, timestamp, created, scratch, message })
            }
            Ready::Value(value, exemplar) => {
                Entry::Sample(Sample { series: &self.series, value, timestamp, created, exemplar })
            }
        }))
    }

    fn next_ready(&mut self) -> Option<Result<Ready<'b>, Fault>> {
        while !self.ended {
            let ready = match self.family {
                Some(family) => self.advance(family),
                None if self.body.is_empty() => {
                    self.ended = true;
                    return None;
                }
                None => self.next_family().map(|()| None),
            };
            if let Some(ready) = ready.transpose() {
                return Some(ready);
            }
        }
        None
    }

    fn next_family(&mut self) -> Result<(), Fault> {
        self.start = self.body.position();
        let family = Family::read(self.body.delimited()?)?;
        // One without metrics leaves no trace.
        self.family = if family.has_metrics()? { Some(family.check()?) } else { None };
        self.step = Step::Type;
        Ok(())
    }

    fn advance(&mut self, family: Family<'b>) -> Result<Option<Ready<'b>>, Fault> {
        Ok(match self.step {
            Step::Type => {
                self.step = Step::Help;
                Some(Ready::Type(family))
            }
            Step::Help => {
                self.step = Step::Unit;
                (!family.help.is_empty()).then_some(Ready::Help(family))
            }
            Step::Unit => {
                self.step = Step::Metric;
                (!family.unit.is_empty()).then_some(Ready::Unit(family))
            }
            Step::Metric => {
                self.next_metric(family)?;
                None
            }
            Step::Native => {
                self.write_series(&family, "", None);
                self.native.read(self.metric.content, family.kind == MetricKind::GaugeHistogram, &self.series)?;
                let again = self.histograms == Histograms::Both && self.metric.has_buckets;
                self.step = if again { Step::Count } else { Step::Metric };
                Some(Ready::Native(self.metric.content))
            }
            Step::Value => {
                self.write_series(&family, "", None);
                self.step = Step::Metric;
                Some(Ready::Value(self.metric.value, self.metric.exemplar))
            }
            Step::Count => {
                self.write_series(&family, "_count", None);
                self.step = Step::Sum;
                Some(Ready::Value(self.metric.count, None))
            }
            Step::Sum => {
                self.write_series(&family, "_sum", None);
                self.step = Step::Item(0);
                Some(Ready::Value(self.metric.value, None))
            }
            Step::Item(at) => self.next_item(&family, at),
        })
    }

    /// Reads the next metric of the family, if there is one.
    fn next_metric(&mut self, family: Family<'b>) -> Result<(), Fault> {
        let mut rest = family.rest;
        while let Some(field) = rest.field()? {
            if let (4, FieldData::Len(message)) = (field.number, field.data) {
                self.start = field.at;
                self.family = Some(Family { rest, ..family });
                self.metric.read(message, family.name, family.kind)?;
                self.step = match family.kind {
                    MetricKind::Summary => Step::Count,
                    MetricKind::Histogram | MetricKind::GaugeHistogram => {
                        let native = self.metric.is_native && self.histograms != Histograms::Classic;
                        if native { Step::Native } else { Step::Count }
                    }
                    _ => Step::Value,
                };
                return Ok(());
            }
        }
        self.family = None;
        Ok(())
    }

    fn next_item(&mut self, family: &Family<'b>, at: usize) -> Option<Ready<'b>> {
        let Some(item) = self.metric.items.get(at).copied() else {
            self.step = Step::Metric;
            return None;
        };
        self.step = Step::Item(at + 1);
        let (suffix, label) = if family.kind == MetricKind::Summary { ("", "quantile") } else { ("_bucket", "le") };
        self.write_series(family, suffix, Some((label, item.bound)));
        Some(Ready::Value(item.value, item.exemplar))
    }

    fn write_series(&mut self, family: &Family<'_>, suffix: &str, bound: Option<(&str, f64)>) {
        let out = &mut self.series;
        out.clear();
        let quoted = !is_legal_metric_name(family.name);
        if quoted {
            out.extend_from_slice(b"{\"");
            put_escaped(out, family.name.as_bytes());
        } else {
            out.extend_from_slice(family.name.as_bytes());
        }
        out.extend_from_slice(suffix.as_bytes());
        if quoted {
            out.push(b'"');
        }
        let mut separator = if quoted { b',' } else { b'{' };
        if !self.metric.labels.is_empty() {
            out.push(separator);
            out.extend_from_slice(&self.metric.labels);
            separator = b',';
        }
        if let Some((name, bound)) = bound {
            out.push(separator);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            put_bound(out, bound);
            out.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            out.push(b'}');
        }
    }
}

impl<'b> Family<'b> {
    fn read(message: Reader<'b>) -> Result<Self, Fault> {
        let mut family = Self { name: "", help: "", unit: "", kind: MetricKind::Counter, rest: message };
        let mut reader = message;
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(text)) => family.name = utf8(text.rest())?,
                (2, FieldData::Len(text)) => family.help = utf8(text.rest())?,
                (3, FieldData::Varint(number)) => family.kind = kind(number)?,
                (5, FieldData::Len(text)) => family.unit = utf8(text.rest())?,
                (4, FieldData::Len(_)) => {}
                (1..=5, _) => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        Ok(family)
    }

    fn check(self) -> Result<Self, Fault> {
        if self.name.is_empty() {
            return Err(Fault::NoName(String::new()));
        }
        let name = match self.kind {
            MetricKind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        };
        let fits = self.unit.is_empty() || name.strip_suffix(self.unit).is_some_and(|stem| stem.ends_with('_'));
        let excerpt = |text: &str| shown(text.as_bytes());
        if fits { Ok(self) } else { Err(Fault::Unit { family: excerpt(self.name), unit: excerpt(self.unit) }) }
    }

    fn has_metrics(&self) -> Result<bool, Fault> {
        let mut rest = self.rest;
        while let Some(field) = rest.field()? {
            if field.number == 4 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn kind(number: u64) -> Result<MetricKind, Fault> {
    Ok(match number {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Summary,
        3 => MetricKind::Unknown,
        4 => MetricKind::Histogram,
        5 => MetricKind::GaugeHistogram,
        other => return Err(Fault::Type(other.to_string())),
    })
}
