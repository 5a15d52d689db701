//! The receiver `sqlquery`: metrics and logs from the rows of a query, with the Collector's keys, for PostgreSQL and SQLite.
//!
//! ```yaml
//! receivers:
//!   sqlquery/orders:
//!     driver: postgres
//!     host: db.example.com
//!     port: 5432
//!     database: shop
//!     username: reader
//!     password: ${env:DB_PASSWORD}
//!     collection_interval: 30s
//!     storage: file_storage
//!     queries:
//!       - sql: "select count(*) as orders, status from orders group by status"
//!         metrics:
//!           - {metric_name: shop.orders, value_column: orders, attribute_columns: [status]}
//!       - sql: "select id, at, message, severity from events where id > $$1 order by id"
//!         tracking_column: id
//!         tracking_start_value: "0"
//!         logs:
//!           - {body_column: message, attribute_columns: [severity]}
//! extensions:
//!   file_storage: {directory: /var/lib/steadyline}
//! exporters:
//!   debug: {}
//! service:
//!   extensions: [file_storage]
//!   pipelines:
//!     metrics: {receivers: [sqlquery/orders], exporters: [debug]}
//!     logs: {receivers: [sqlquery/orders], exporters: [debug]}
//! ```
//!
//! **A row** is one point of each of the query's metrics and one record of each of its logs. Values may be numbers, texts
//! that are numbers, and booleans (1 and 0). Attributes are the columns' text. A point's time is `ts_column` (nanoseconds since
//! the Unix epoch as in the Collector, or a timestamp of the database), or the tick. A row that does not fit is left out,
//! counted by `sqlquery_rows_rejected` and told; the pass is partial then.
//!
//! **NULL** is no error, as it is in the Collector: by `on_null_value` the series is there and its value not known (`hold`),
//! the point is left out (`skip`), or the row is rejected (`error`); by `on_null_attribute` the attribute is left out (`omit`)
//! or the row is rejected.
//!
//! **Tracking**: with `tracking_column` the query gets the value of that column in the last row that was sent as its first
//! parameter (`$1` in PostgreSQL, `?1` in SQLite; a dollar is written twice in a config), at first `tracking_start_value`.
//! Order the query by the column. With `storage` the value outlives the process. It is kept after the rows were sent: a
//! crash in between sends them again. Metrics may be tracked too (the Collector: only logs); their points are news, not
//! the state of the source, so no series ends because a later pass does not have it.
//!
//! **Bounds**: one connection, queries one after another; `timeout` for all of them, which PostgreSQL also gets as its
//! `statement_timeout`; `max_rows` a query. Rows go on in pages while the rest is read. SQLite is read on a thread of its
//! own, and is opened read-only for each pass.
//!
//! **TLS** for PostgreSQL: `sslmode` in `datasource` or `additional_params` is `disable`, `prefer` or `require` (the default
//! over a network; unix sockets have none). The server's certificate is always verified, also with `require` and `verify-ca`,
//! unless `tls.insecure_skip_verify` is set; files are given in `tls`.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | the keys and their checks |
//! | `database` | rows of PostgreSQL and SQLite, page by page |
//! | `map` | rows to points and records |
//! | `tracking` | where the next pass goes on |
//! | `poller` | a pass |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cell;
mod config;
mod database;
mod map;
mod poller;
#[cfg(test)]
mod tests;
mod tracking;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Polling, Spec, Stability};

pub use config::Config;

/// The factory.
pub const FACTORY: Factory = Factory::poller::<SqlQueryFactory>();

/// Makes `sqlquery` receivers.
#[derive(Debug)]
pub struct SqlQueryFactory;

impl Component for SqlQueryFactory {
    type Config = Config;
    type Made = Polling;
    const SPEC: Spec = Spec {
        name: "sqlquery",
        aliases: &["sql_query"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Logs],
        summary: "Turns rows of PostgreSQL and SQLite into metrics and logs.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Polling> {
        let database = config.check(context)?;
        let storage = match &config.storage {
            Some(id) => Some(context.storage("storage", id)?),
            None => None,
        };
        Some(Polling {
            schedule: config.schedule(),
            identity: config.identity.iter().map(|key| std::sync::Arc::from(key.as_str())).collect(),
            poller: Box::new(poller::SqlPoller::new(config, database, storage, context)),
            leadership: None,
        })
    }
}
