//! Rows to points and records.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use steadyline_component::PollError;
use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
use steadyline_component::telemetry::{
    Limits, MetricKind, Metrics, MetricsBuilder, Opaque, Signal, Slot, Temporality, Value,
};

use crate::cell::Cell;
use crate::config::{Aggregation, DataType, LogConfig, MetricConfig, NullAttribute, NullValue, Query, ValueType};
use crate::database::{Page, QUERY};

/// What a page became.
pub(crate) struct Mapped {
    /// Its points.
    pub(crate) metrics: Metrics,
    /// Its records, if the query has logs.
    pub(crate) logs: Option<Opaque>,
    /// Rows that do not fit, by their number in the result, from 1.
    pub(crate) rejected: Vec<(u64, String)>,
    /// The tracked column in the last row.
    pub(crate) last: Option<Cell>,
}

/// A query's metrics and logs, with the places of their columns.
pub(crate) struct Mapping<'a> {
    metrics: Vec<MetricPlan<'a>>,
    logs: Vec<LogPlan<'a>>,
    tracking: Option<usize>,
}

struct MetricPlan<'a> {
    config: &'a MetricConfig,
    value: usize,
    attributes: Vec<(usize, &'a str)>,
    time: Option<usize>,
    start: Option<usize>,
}

struct LogPlan<'a> {
    config: &'a LogConfig,
    body: usize,
    attributes: Vec<(usize, &'a str)>,
    time: Option<usize>,
}

/// Where columns are.
struct Columns<'a>(&'a Arc<[String]>);

impl Columns<'_> {
    fn find(&self, name: &str) -> Result<usize, PollError> {
        // PostgreSQL gives names in lower case unless they are quoted.
        let exact = self.0.iter().position(|column| column == name);
        exact.or_else(|| self.0.iter().position(|column| column.eq_ignore_ascii_case(name))).ok_or_else(|| {
            let known = self.0.join(", ");
            PollError::new(QUERY, format!("the query's result has no column `{name}`; it has: {known}"))
        })
    }

    fn if_given(&self, name: &str) -> Result<Option<usize>, PollError> {
        if name.is_empty() { Ok(None) } else { self.find(name).map(Some) }
    }

    fn all<'n>(&self, names: &'n [String]) -> Result<Vec<(usize, &'n str)>, PollError> {
        names.iter().map(|name| Ok((self.find(name)?, name.as_str()))).collect()
    }
}

impl<'a> Mapping<'a> {
    /// Finds the columns.
    ///
    /// # Errors
    /// One that the result does not have.
    pub(crate) fn new(query: &'a Query, columns: &Arc<[String]>) -> Result<Mapping<'a>, PollError> {
        let columns = Columns(columns);
        let metric = |config: &'a MetricConfig| {
            Ok(MetricPlan {
                value: columns.find(&config.value_column)?,
                attributes: columns.all(&config.attribute_columns)?,
                time: columns.if_given(&config.ts_column)?,
                start: columns.if_given(&config.start_ts_column)?,
                config,
            })
        };
        let log = |config: &'a LogConfig| {
            Ok(LogPlan {
                body: columns.find(&config.body_column)?,
                attributes: columns.all(&config.attribute_columns)?,
                time: columns.if_given(&config.ts_column)?,
                config,
            })
        };
        Ok(Mapping {
            metrics: query.metrics.iter().map(metric).collect::<Result<_, PollError>>()?,
            logs: query.logs.iter().map(log).collect::<Result<_, PollError>>()?,
            tracking: columns.if_given(&query.tracking_column)?,
        })
    }

    /// Maps a page whose first row is number `first`. Points that have no time of their own get `time`.
    pub(crate) fn page(&self, page: &Page, first: u64, time: u64) -> Mapped {
        let mut builder = MetricsBuilder::new();
        let mut rejected = Vec::new();
        for plan in &self.metrics {
            let metric = builder.metric(plan.def());
            for (number, row) in (first..).zip(&page.rows) {
                match plan.point(row, time) {
                    Ok(Some(point)) => {
                        let shape = builder.shape(point.attributes.iter().map(|(key, _)| *key));
                        let values: Vec<Slot> =
                            point.attributes.iter().map(|(_, text)| builder.value(Value::text(text))).collect();
                        builder.number(metric, shape, &values, point.time, point.start, point.value);
                    }
                    Ok(None) => {}
                    Err(why) => rejected.push((number, format!("metric `{}`: {why}", plan.config.metric_name))),
                }
            }
        }
        let logs = self.records(page, first, time, &mut rejected);
        let last = self.tracking.and_then(|at| Some(page.rows.last()?[at].clone()));
        Mapped { metrics: builder.finish(), logs, rejected, last }
    }

    fn records(&self, page: &Page, first: u64, time: u64, rejected: &mut Vec<(u64, String)>) -> Option<Opaque> {
        let mut log_records = Vec::new();
        for plan in &self.logs {
            for (number, row) in (first..).zip(&page.rows) {
                match plan.record(row, time) {
                    Ok(record) => log_records.push(record),
                    Err(why) => rejected.push((number, format!("log of `{}`: {why}", plan.config.body_column))),
                }
            }
        }
        if log_records.is_empty() {
            return None;
        }
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        let request = Bytes::from(ExportLogsServiceRequest { resource_logs }.encode_to_vec());
        let limits = Limits { max_bytes: usize::MAX, ..Limits::default() };
        Opaque::count(Signal::Logs, request, &limits).ok()
    }
}

struct Point<'a> {
    attributes: Vec<(&'a str, std::borrow::Cow<'a, str>)>,
    time: u64,
    start: u64,
    value: NumberValue,
}

impl<'a> MetricPlan<'a> {
    fn def(&self) -> MetricDef<'a> {
        let config = self.config;
        let kind = match (config.data_type, config.aggregation) {
            (DataType::Gauge, _) => MetricKind::Gauge,
            (DataType::Sum, Some(Aggregation::Delta)) => {
                MetricKind::Sum { temporality: Temporality::Delta, monotonic: config.monotonic }
            }
            (DataType::Sum, _) => MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: config.monotonic },
        };
        MetricDef { name: &config.metric_name, description: &config.description, unit: &config.unit, kind }
    }

    fn point<'r>(&'r self, row: &'r [Cell], time: u64) -> Result<Option<Point<'r>>, String> {
        let config = self.config;
        let value = match (&row[self.value], config.on_null_value) {
            (Cell::Null, NullValue::Hold) => NumberValue::Held,
            (Cell::Null, NullValue::Skip) => return Ok(None),
            (Cell::Null, NullValue::Error) => return Err(format!("`{}` is NULL", config.value_column)),
            (cell, _) => number(cell, config.value_type).map_err(|why| format!("`{}` {why}", config.value_column))?,
        };
        let mut attributes: Vec<_> =
            config.static_attributes.iter().map(|(key, value)| (key.as_str(), value.as_str().into())).collect();
        for (at, name) in &self.attributes {
            match (row[*at].text(), config.on_null_attribute) {
                (Some(text), _) => attributes.push((name, text)),
                (None, NullAttribute::Omit) => {}
                (None, NullAttribute::Error) => return Err(format!("the attribute `{name}` is NULL")),
            }
        }
        let time = self.time.map(|at| moment(&row[at], &config.ts_column)).transpose()?.unwrap_or(time);
        let start = self.start.map(|at| moment(&row[at], &config.start_ts_column)).transpose()?.unwrap_or(0);
        Ok(Some(Point { attributes, time, start, value }))
    }
}

fn number(cell: &Cell, kind: ValueType) -> Result<NumberValue, String> {
    let number = match kind {
        ValueType::Int => cell.int().map(NumberValue::Int),
        ValueType::Double => cell.double().map(NumberValue::Double),
    };
    number.ok_or_else(|| {
        let text: String = cell.text().unwrap_or_default().chars().take(60).collect();
        match (kind, cell.double()) {
            (ValueType::Int, Some(_)) => format!("is `{text}`, no whole number; set `value_type: double`"),
            _ => format!("is `{text}`, no number"),
        }
    })
}

fn moment(cell: &Cell, column: &str) -> Result<u64, String> {
    cell.nanos().ok_or_else(|| {
        let text: String = cell.text().unwrap_or("NULL".into()).chars().take(60).collect();
        format!("`{column}` is `{text}`; expected nanoseconds since the Unix epoch, or a timestamp")
    })
}

impl LogPlan<'_> {
    fn record(&self, row: &[Cell], time: u64) -> Result<LogRecord, String> {
        let text = |text: &str| AnyValue { value: Some(Any::StringValue(text.to_string())) };
        let body = row[self.body].text().ok_or_else(|| format!("`{}` is NULL", self.config.body_column))?;
        let mut attributes = Vec::new();
        for (at, name) in &self.attributes {
            match (row[*at].text(), self.config.on_null_attribute) {
                (Some(value), _) => {
                    attributes.push(KeyValue {
                        key: name.to_string(),
                        value: Some(text(&value)),
                        ..KeyValue::default()
                    });
                }
                (None, NullAttribute::Omit) => {}
                (None, NullAttribute::Error) => return Err(format!("the attribute `{name}` is NULL")),
            }
        }
        let own = self.time.map(|at| moment(&row[at], &self.config.ts_column)).transpose()?;
        Ok(LogRecord {
            time_unix_nano: own.unwrap_or(0),
            observed_time_unix_nano: time,
            body: Some(text(&body)),
            attributes,
            ..LogRecord::default()
        })
    }
}
