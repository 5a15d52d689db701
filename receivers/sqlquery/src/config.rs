//! The keys of the receiver, and what is checked of them at load.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::{CreateContext, Schedule};
use steadyline_config::{ComponentId, Duration, Secret};
use steadyline_http::{ConfigProblem, TlsConfig};

use crate::database::{Database, Postgres, Sqlite};

/// What the receiver can be told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The kind of database: `postgres` or `sqlite`.
    pub driver: String,
    /// Where the database is, in its driver's own words: `host=... port=... user=... password=... dbname=...` or
    /// `postgres://user:password@host:port/name`; for SQLite the path of the file, or `file:...` with parameters.
    pub datasource: Secret,
    /// The host, or the folder of a unix socket. Instead of `datasource`, as the keys that follow.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
    /// The name of the database; for SQLite the path of the file.
    pub database: String,
    /// Who logs in.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// More of what `datasource` takes, such as `sslmode`.
    pub additional_params: BTreeMap<String, String>,
    /// How connections are secured (PostgreSQL).
    pub tls: TlsConfig,
    /// From pass to pass.
    pub collection_interval: Duration,
    /// Before the first pass.
    pub initial_delay: Duration,
    /// How long one pass may take, all queries together; 0: the interval.
    pub timeout: Duration,
    /// The most connections; 0: as many as are needed. One is needed: queries run one after another.
    pub max_open_conn: u32,
    /// The extension that keeps the tracked values, so that they outlive the process.
    pub storage: Option<ComponentId>,
    /// What is told of the queries.
    pub telemetry: QueryTelemetry,
    /// A query that yields more rows fails.
    pub max_rows: u64,
    /// Attributes that identify an entity of the source; see `lastvalue`.
    pub identity: Vec<String>,
    /// What is asked; at least one.
    pub queries: Vec<Query>,
}

/// What is told of the queries.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryTelemetry {
    /// What is logged.
    pub logs: QueryLogs,
}

/// What is logged of the queries.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLogs {
    /// Logs the text of each query, at level debug.
    pub query: bool,
}

/// A query and what becomes of its rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// The query.
    pub sql: String,
    /// The column whose value in the last row is the first parameter of the next pass.
    pub tracking_column: String,
    /// The parameter of the first pass.
    pub tracking_start_value: String,
    /// Metrics of each row.
    pub metrics: Vec<MetricConfig>,
    /// Log records of each row.
    pub logs: Vec<LogConfig>,
}

/// A metric of which each row is a point.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricConfig {
    /// Its name.
    pub metric_name: String,
    /// The column with the value.
    pub value_column: String,
    /// Columns that become attributes of the same name.
    pub attribute_columns: Vec<String>,
    /// What it is.
    pub data_type: DataType,
    /// What its numbers are.
    pub value_type: ValueType,
    /// Whether a sum only grows.
    pub monotonic: bool,
    /// What a sum counts from; cumulative unless given.
    pub aggregation: Option<Aggregation>,
    /// The unit.
    pub unit: String,
    /// What it means.
    pub description: String,
    /// Attributes of every point.
    pub static_attributes: BTreeMap<String, String>,
    /// The column with the time of the point: nanoseconds since the Unix epoch, or a timestamp.
    pub ts_column: String,
    /// The column with the time since which a sum counts.
    pub start_ts_column: String,
    /// What happens to a row whose value is NULL.
    pub on_null_value: NullValue,
    /// What happens to a row with an attribute that is NULL.
    pub on_null_attribute: NullAttribute,
}

/// A log record of each row.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The column with the body.
    pub body_column: String,
    /// Columns that become attributes of the same name.
    pub attribute_columns: Vec<String>,
    /// The column with the time of the record: nanoseconds since the Unix epoch, or a timestamp. Unless given, a record
    /// says only when it was read.
    pub ts_column: String,
    /// What happens to a row with an attribute that is NULL.
    pub on_null_attribute: NullAttribute,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// A value now.
    #[default]
    Gauge,
    /// A sum.
    Sum,
}

/// What numbers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Whole numbers.
    #[default]
    Int,
    /// Any numbers.
    Double,
}

/// What a sum counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// From the start.
    Cumulative,
    /// From the last report.
    Delta,
}

/// What happens to a row whose value is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullValue {
    /// The series is there and its value is not known now: `lastvalue` keeps it.
    #[default]
    Hold,
    /// There is no point.
    Skip,
    /// The row is rejected.
    Error,
}

/// What happens to a row with an attribute that is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullAttribute {
    /// The attribute is left out.
    #[default]
    Omit,
    /// The row is rejected.
    Error,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            driver: String::new(),
            datasource: Secret::default(),
            host: String::new(),
            port: None,
            database: String::new(),
            username: String::new(),
            password: Secret::default(),
            additional_params: BTreeMap::new(),
            tls: TlsConfig::default(),
            collection_interval: Duration::from_secs(10),
            initial_delay: Duration::from_secs(1),
            timeout: Duration::ZERO,
            max_open_conn: 0,
            storage: None,
            telemetry: QueryTelemetry::default(),
            max_rows: 100_000,
            identity: Vec::new(),
            queries: Vec::new(),
        }
    }
}

/// What is wrong, at a path below the receiver.
type Problems = Vec<(String, String)>;

impl Config {
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            interval: self.collection_interval.get(),
            initial_delay: self.initial_delay.get(),
            timeout: self.timeout.get(),
        }
    }

    /// The database; `None` after having reported everything that is wrong.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Database> {
        let mut problems = Problems::new();
        let database = self.make_database(&mut problems);
        self.check_general(&mut problems);
        self.queries.iter().enumerate().for_each(|(row, query)| query.check(&format!("queries.{row}"), &mut problems));
        if self.storage.is_some() && self.queries.iter().all(|query| query.tracking_column.is_empty()) {
            context.warning("storage", "no query has a `tracking_column`, so there is nothing to keep");
        }
        let tls = if self.driver == "sqlite" { Vec::new() } else { self.tls.problems() };
        let is_good = problems.is_empty() && tls.is_empty();
        problems.iter().for_each(|(path, message)| context.error(path, message.as_str()));
        ConfigProblem::report(tls, context);
        database.filter(|_| is_good)
    }

    fn make_database(&self, problems: &mut Problems) -> Option<Database> {
        let mut wrong = |path: &str, message: String| problems.push((path.to_string(), message));
        let parts = [&self.host, &self.database, &self.username].iter().any(|part| !part.is_empty());
        if parts && !self.datasource.is_empty() {
            wrong("datasource", "`host`, `database` and `username` are given too; give one or the other".into());
            return None;
        }
        let made = match self.driver.as_str() {
            "postgres" => Postgres::new(self).map(|postgres| Database::Postgres(Box::new(postgres))),
            "sqlite" => Sqlite::new(self).map(Database::Sqlite),
            "" => Err(("driver", "expected `postgres` or `sqlite`".into())),
            other @ ("mysql" | "snowflake" | "sqlserver" | "hdb" | "oracle" | "tds" | "azuresql") => {
                let words = format!(
                    "the driver `{other}` is not supported; there are `postgres` and `sqlite`. A program that asks the database can be run by the receiver `exec`"
                );
                Err(("driver", words))
            }
            other => Err(("driver", format!("there is no driver `{other}`; expected `postgres` or `sqlite`"))),
        };
        made.map_err(|(path, message)| wrong(path, message)).ok()
    }

    fn check_general(&self, problems: &mut Problems) {
        let mut wrong = |path: &str, message: &str| problems.push((path.to_string(), message.to_string()));
        if self.collection_interval < Duration::from_secs(1) {
            wrong("collection_interval", "expected at least 1s");
        }
        if self.timeout > self.collection_interval {
            wrong("timeout", "expected at most `collection_interval`");
        }
        if self.max_rows == 0 {
            wrong("max_rows", "expected at least 1");
        }
        if self.queries.is_empty() {
            wrong("queries", "expected at least one query");
        }
    }
}

impl Query {
    fn check(&self, path: &str, problems: &mut Problems) {
        let mut wrong = |key: &str, message: &str| problems.push((format!("{path}.{key}"), message.to_string()));
        if self.sql.trim().is_empty() {
            wrong("sql", "it must be set");
        }
        if self.metrics.is_empty() && self.logs.is_empty() {
            wrong("metrics", "expected at least one metric or one of `logs`");
        }
        if self.tracking_column.is_empty() && !self.tracking_start_value.is_empty() {
            wrong("tracking_start_value", "there is no `tracking_column`");
        }
        for (row, log) in self.logs.iter().enumerate() {
            if log.body_column.is_empty() {
                wrong(&format!("logs.{row}.body_column"), "it must be set");
            }
        }
        for (row, metric) in self.metrics.iter().enumerate() {
            let mut wrong = |key: &str, message: &str| wrong(&format!("metrics.{row}.{key}"), message);
            metric.check(&mut wrong);
        }
    }
}

impl MetricConfig {
    fn check(&self, wrong: &mut dyn FnMut(&str, &str)) {
        if self.metric_name.is_empty() {
            wrong("metric_name", "it must be set");
        }
        if self.value_column.is_empty() {
            wrong("value_column", "it must be set");
        }
        if self.data_type == DataType::Gauge {
            for (is_set, key) in [
                (self.monotonic, "monotonic"),
                (self.aggregation.is_some(), "aggregation"),
                (!self.start_ts_column.is_empty(), "start_ts_column"),
            ] {
                if is_set {
                    wrong(key, "only a sum has it: `data_type: sum`");
                }
            }
        }
        if let Some(name) = self.attribute_columns.iter().find(|name| self.static_attributes.contains_key(*name)) {
            wrong("static_attributes", &format!("`{name}` is one of `attribute_columns` too"));
        }
    }
}
