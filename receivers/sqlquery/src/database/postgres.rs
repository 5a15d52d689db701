//! PostgreSQL: one connection, kept from pass to pass. Parameters go as text, so that the server decides what they are, and
//! nothing is prepared, so that poolers in between are no obstacle.

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use steadyline_component::PollError;
use steadyline_http::TlsConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls, RowStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::decode::Decoded;
use super::{CONNECT, Page, Paging, QUERY, Rows, Stop};
use crate::cell::Cell;
use crate::config::Config;

/// A server and the connection to it.
#[derive(Debug)]
pub(crate) struct Postgres {
    config: tokio_postgres::Config,
    tls: TlsConfig,
    words: String,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    /// What the server was told about the time of statements.
    timeout: Duration,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connecting takes no longer, unless `connect_timeout` says so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Postgres {
    pub(crate) fn new(config: &Config) -> Result<Postgres, (&'static str, String)> {
        let text = datasource(config)?;
        let key = if config.datasource.is_empty() { "additional_params" } else { "datasource" };
        let mut parsed: tokio_postgres::Config =
            known_modes(&text).parse().map_err(|error: tokio_postgres::Error| {
                let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                let advice = if text.contains("sslroot") || text.contains("sslcert") || text.contains("sslkey") {
                    "; give certificates in `tls`"
                } else {
                    ""
                };
                (key, format!("it does not read: {cause}{advice}"))
            })?;
        let sockets = parsed.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)));
        if parsed.get_hosts().is_empty() && parsed.get_hostaddrs().is_empty() {
            return Err(("host", "it must be set".into()));
        }
        if sockets && parsed.get_hostaddrs().is_empty() {
            parsed.ssl_mode(SslMode::Disable);
        } else if !text.contains("sslmode") {
            parsed.ssl_mode(if config.tls.insecure { SslMode::Disable } else { SslMode::Require });
        }
        if parsed.get_connect_timeout().is_none() {
            parsed.connect_timeout(CONNECT_TIMEOUT);
        }
        if parsed.get_application_name().is_none() {
            parsed.application_name("steadyline");
        }
        let words = words(&parsed);
        Ok(Postgres { config: parsed, tls: config.tls.clone(), words, connection: None })
    }

    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    pub(crate) fn reset(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn query(
        &mut self,
        sql: &str,
        tracked: Option<Cell>,
        max_rows: u64,
        timeout: Duration,
    ) -> Result<Rows, PollError> {
        // The server may have closed the connection since; that shows only when it is used.
        for is_last in [false, true] {
            let is_fresh = self.connect(timeout).await?;
            let Some(connection) = &self.connection else { break };
            let parameters = tracked.iter().map(|cell| (Parameter(cell), Type::UNKNOWN));
            match connection.client.query_typed_raw(sql, parameters).await {
                Ok(stream) => return Ok(rows(stream, self.words.clone(), max_rows)),
                Err(error) if connection.client.is_closed() || says_farewell(&error) => {
                    self.connection = None;
                    if is_fresh || is_last {
                        let words = format!("the connection to {} was lost: {}", self.words, told(&error));
                        return Err(PollError::new(CONNECT, words));
                    }
                }
                Err(error) => return Err(refused(&self.words, &error)),
            }
        }
        Err(PollError::new(CONNECT, format!("there is no connection to {}", self.words)))
    }

    /// Connects if there is no connection. Whether it did.
    async fn connect(&mut self, timeout: Duration) -> Result<bool, PollError> {
        let usable = |connection: &Connection| !connection.client.is_closed() && connection.timeout == timeout;
        if self.connection.as_ref().is_some_and(usable) {
            return Ok(false);
        }
        self.connection = None;
        let words = self.words.clone();
        let failed = |error: tokio_postgres::Error| {
            PollError::new(CONNECT, format!("cannot connect to {words}: {}", told(&error)))
        };
        let (client, task) = if self.config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = self.config.connect(NoTls).await.map_err(&failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            // Files are read anew at every connection.
            let tls = self.tls.client_config().map_err(|error| PollError::new(CONNECT, error.to_string()))?;
            let name = self.tls.server_name_override.clone();
            let tls = NamedTls { inner: MakeRustlsConnect::new((*tls).clone()), name };
            let (client, connection) = self.config.connect(tls).await.map_err(&failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        let connection = Connection { client, timeout, task };
        let milliseconds = timeout.as_millis().clamp(1, i32::MAX as u128);
        let set = format!("set statement_timeout = {milliseconds}");
        connection.client.batch_execute(&set).await.map_err(&failed)?;
        self.connection = Some(connection);
        Ok(true)
    }
}

/// Whether the server ends the session: its last words may come as the answer to a query.
fn says_farewell(error: &tokio_postgres::Error) -> bool {
    let farewells = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    error.code().is_some_and(|code| farewells.contains(code))
}

fn rows(stream: RowStream, words: String, max_rows: u64) -> Rows {
    let (sender, pages) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        if let Err(error) = read(stream, &words, max_rows, &sender).await {
            // If nobody wants it any more there is nobody to tell.
            let _ = sender.send(Err(error)).await;
        }
    });
    Rows { pages, _stop: Stop::Task(task) }
}

async fn read(
    stream: RowStream,
    words: &str,
    max_rows: u64,
    sender: &mpsc::Sender<Result<Page, PollError>>,
) -> Result<(), PollError> {
    let mut stream = std::pin::pin!(stream);
    let mut paging: Option<Paging> = None;
    while let Some(row) = stream.next().await {
        let row = row.map_err(|error| refused(words, &error))?;
        let paging = paging.get_or_insert_with(|| {
            let columns: Vec<String> = row.columns().iter().map(|column| column.name().to_string()).collect();
            Paging::new(columns.into(), max_rows)
        });
        let cells = (0..row.len()).map(|at| row.try_get::<_, Decoded>(at).map(|decoded| decoded.0));
        let cells: Result<Vec<Cell>, _> = cells.collect();
        let cells = cells.map_err(|error| refused(words, &error))?;
        if let Some(page) = paging.add(cells)?
            && sender.send(Ok(page)).await.is_err()
        {
            return Ok(());
        }
    }
    if let Some(mut paging) = paging {
        let _ = sender.send(Ok(paging.take())).await;
    }
    Ok(())
}

fn refused(words: &str, error: &tokio_postgres::Error) -> PollError {
    PollError::new(QUERY, format!("{words} refuses the query: {}", told(error)))
}

/// An error with its causes, which say more than it does itself.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        let hint = database.hint().map_or(String::new(), |hint| format!("; {hint}"));
        return format!("{} ({}){hint}", database.message(), database.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Who and where, without the password.
fn words(config: &tokio_postgres::Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        })
        .chain(config.get_hostaddrs().iter().map(ToString::to_string))
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(ToString::to_string).collect();
    let port = if ports.is_empty() { String::new() } else { format!(":{}", ports.join(",")) };
    let user = config.get_user().unwrap_or("the default user");
    let database = config.get_dbname().unwrap_or(user);
    format!("PostgreSQL at `{}{port}`, database `{database}`, as `{user}`", hosts.join(","))
}

/// What the driver takes, from either way of saying it.
fn datasource(config: &Config) -> Result<String, (&'static str, String)> {
    if !config.datasource.is_empty() {
        return Ok(config.datasource.expose().to_string());
    }
    if config.host.is_empty() {
        return Err(("host", "it must be set, or `datasource`".into()));
    }
    let port = config.port.map(|port| port.to_string()).unwrap_or_default();
    let parts = [
        ("host", config.host.as_str()),
        ("port", &port),
        ("dbname", &config.database),
        ("user", &config.username),
        ("password", config.password.expose()),
    ];
    let more = config.additional_params.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    let all = parts.into_iter().filter(|(_, value)| !value.is_empty()).chain(more);
    Ok(all.map(|(key, value)| format!("{key}='{}'", quoted(value))).collect::<Vec<_>>().join(" "))
}

/// Modes that libpq knows and the driver does not: certificates are always verified here, names included.
fn known_modes(text: &str) -> String {
    let mut text = text.to_string();
    for (mode, same) in [("verify-full", "require"), ("verify-ca", "require"), ("allow", "prefer")] {
        for quote in ["", "'"] {
            text = text.replace(&format!("sslmode={quote}{mode}"), &format!("sslmode={quote}{same}"));
        }
    }
    text
}

/// TLS with the name of the server that config gives.
#[derive(Clone)]
struct NamedTls {
    inner: MakeRustlsConnect,
    name: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for NamedTls {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let name = if self.name.is_empty() { host } else { &self.name };
        <MakeRustlsConnect as MakeTlsConnect<S>>::make_tls_connect(&mut self.inner, name)
    }
}

/// A cell as text; what it is, the server finds out from the query.
#[derive(Debug)]
struct Parameter<'a>(&'a Cell);

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = self.0.text() else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(config: Config) -> Result<Postgres, (&'static str, String)> {
        Postgres::new(&config)
    }

    #[test]
    fn parts_and_datasources_are_the_same() {
        let config = Config {
            host: "db".into(),
            port: Some(5433),
            database: "shop".into(),
            username: "reader".into(),
            password: steadyline_config::Secret::new("it's \\ secret"),
            ..Config::default()
        };
        let parts = made(config).unwrap();
        assert_eq!(parts.words(), "PostgreSQL at `db:5433`, database `shop`, as `reader`");
        assert_eq!(parts.config.get_password(), Some(&b"it's \\ secret"[..]));
        assert_eq!(parts.config.get_ssl_mode(), SslMode::Require);
        let url = "postgres://reader:x@db:5433/shop?sslmode=verify-full";
        let url = made(Config { datasource: steadyline_config::Secret::new(url), ..Config::default() }).unwrap();
        assert_eq!((url.words(), url.config.get_ssl_mode()), (parts.words(), SslMode::Require));
    }

    #[test]
    fn modes_of_tls() {
        for (text, expected) in [
            ("host=a", SslMode::Require),
            ("host=a sslmode=disable", SslMode::Disable),
            ("host=a sslmode='verify-ca'", SslMode::Require),
            ("host=a sslmode=allow", SslMode::Prefer),
            ("host=/run/postgresql", SslMode::Disable),
        ] {
            let datasource = steadyline_config::Secret::new(text);
            assert_eq!(
                made(Config { datasource, ..Config::default() }).unwrap().config.get_ssl_mode(),
                expected,
                "{text}"
            );
        }
        let datasource = steadyline_config::Secret::new("host=a sslrootcert=/ca.pem");
        assert!(made(Config { datasource, ..Config::default() }).unwrap_err().1.contains("`tls`"));
    }
}
