//! The poller: one pass reads the table, maps every page as it comes, and says how it went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use steadyline_aws::{AwsFailure, FailureKind, SharedConfig, TablePlace};
use steadyline_component::telemetry::Metrics;
use steadyline_component::{
    CheckRow, Clock, IamStatement, PassEnd, PollError, PollOutput, Poller, Tick, Verdict, async_trait,
};
use steadyline_mapping::batch::{Batcher, gauges};
use steadyline_mapping::item::parse_items;
use steadyline_mapping::mapping::{Mapper, Plan, TableKey};
use steadyline_mapping::number::Number;

use crate::config::Config;
use crate::read::{Budget, Event, Reader, Request, poll_error};
use crate::report::{ReadStats, Reporter};

/// Polls one table or index.
pub(crate) struct DynamoDbPoller {
    id: String,
    config: Config,
    resource: Vec<(String, String)>,
    place: TablePlace,
    mapper: Mapper,
    reporter: Reporter,
    clock: Clock,
    budget: Option<Arc<Budget>>,
    connection: Option<Connection>,
}

struct Connection {
    shared: Arc<SharedConfig>,
    region: String,
    reader: Arc<Reader>,
    /// Whether the table's key is known, or will not be said.
    key_is_settled: bool,
}

/// What is left of a poll's time when reading must stop, so that the failure can still be told through the pipeline.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl DynamoDbPoller {
    pub(crate) fn new(
        id: &str,
        config: Config,
        resource: BTreeMap<String, String>,
        plan: Plan,
        place: TablePlace,
        clock: &Clock,
        mut reporter: Reporter,
    ) -> Self {
        let mut mapper = Mapper::new(Arc::new(plan));
        mapper.set_key(TableKey(config.key.clone()));
        reporter.key = mapper.key().clone();
        Self {
            id: id.to_owned(),
            resource: resource.into_iter().collect(),
            budget: config.read_budget.map(|budget| Arc::new(Budget::new(budget, clock))),
            config,
            place,
            mapper,
            reporter,
            clock: clock.clone(),
            connection: None,
        }
    }

    /// Reads the whole table once.
    async fn pass(&mut self, tick: &Tick, output: &PollOutput, read: &mut ReadStats) -> Result<(), PollError> {
        self.connect().await?;
        self.learn_key().await;
        let Self { connection, mapper, reporter, resource, config, .. } = self;
        let Some(connection) = connection else {
            return Err(PollError::new("config", "not connected"));
        };
        mapper.begin((tick.time / 1_000_000_000) as i64);
        let mut reading = connection.reader.begin();
        let outputs = mapper.plan().outputs().to_vec();
        let mut batcher = Batcher::new(&outputs, resource, tick.time, reporter);
        while let Some(event) = reading.next().await {
            match event {
                Event::Page(page) => {
                    read.pages += 1;
                    read.units += page.units;
                    mapper.page(&page.items, &mut batcher);
                    output.send(batcher.take()).await?;
                }
                Event::Throttled(failure) => {
                    read.throttled += 1;
                    batcher.reporter().throttled(&failure);
                }
                Event::Failed(failure) => {
                    connection.shared.note(&failure);
                    return Err(poll_error(&config.source(), &connection.region, &failure));
                }
                Event::RepeatedKey(what) => {
                    return Err(PollError::new("repeated_key", format!("cannot read {}: {what}", config.source())));
                }
            }
        }
        mapper.end(true, &mut batcher);
        output.send(batcher.take()).await
    }

    /// Bounds a pass in time, tells of it, and sends what says that it worked or did not.
    async fn bounded(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let began = self.clock.now().mono;
        let time = tick.deadline.saturating_sub(began);
        let time = time.saturating_sub(LAST_WORDS.min(time / 5));
        let mut read = ReadStats::default();
        let clock = self.clock.clone();
        let passed = clock.timeout(time, self.pass(tick, output, &mut read)).await;
        let result = passed.unwrap_or_else(|| Err(self.too_late(time, read)));
        self.tell(tick, output, result, read, self.clock.now().mono.saturating_sub(began)).await
    }

    async fn tell(
        &mut self,
        tick: &Tick,
        output: &PollOutput,
        result: Result<(), PollError>,
        read: ReadStats,
        duration: Duration,
    ) -> Result<PassEnd, PollError> {
        let error = result.as_ref().err().map(|error| error.reason);
        self.reporter.ended(self.mapper.stats(), read, duration, error);
        let sent = output.send(self.health(tick, result.is_ok())).await;
        result.and(sent).map(|()| PassEnd::Complete)
    }

    fn too_late(&self, time: Duration, read: ReadStats) -> PollError {
        let source = self.config.source();
        if read.throttled > 0 {
            let message = format!(
                "cannot read {source}: throttled {} times, and {} pages came within {time:?}; raise its capacity, set `read_budget`, or poll more slowly",
                read.throttled, read.pages
            );
            return PollError::new("throttled", message);
        }
        let message = format!(
            "cannot read {source}: {} pages came within {time:?}; raise `timeout` or `collection_interval`, or read in `segments`",
            read.pages
        );
        PollError::new("timeout", message)
    }

    /// `<receiver>_up`, and when the last complete pass began: what tells a held line from a true one.
    fn health(&self, tick: &Tick, is_up: bool) -> Metrics {
        let prefix: String = self.id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let up = format!("{prefix}_up");
        let last = format!("{prefix}_last_complete_pass_timestamp_seconds");
        let mut numbers =
            vec![(up.as_str(), "Whether the last poll read the whole table.", Number::Int(i64::from(is_up)))];
        let complete = if is_up { Some(tick.time) } else { tick.last_complete };
        if let Some(complete) = complete {
            numbers.push((
                last.as_str(),
                "When the last complete pass began, Unix time.",
                Number::Float(complete as f64 / 1e9),
            ));
        }
        gauges(&self.resource, tick.time, &numbers)
    }

    async fn connect(&mut self) -> Result<(), PollError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let aws = self.place.connection().await;
        let aws = aws.map_err(|error| PollError::new("endpoint", error.to_string()))?;
        let shared = SharedConfig::of(&aws);
        let failed = |failure: AwsFailure| poll_error(&self.config.source(), &aws.region, &failure);
        let client = Client::from_conf(self.client_config(shared.sdk().await.map_err(failed)?).build());
        let region = shared.region().await.map_err(failed)?.to_owned();
        let key_is_settled = !self.config.key.is_empty();
        let reader = self.reader(client);
        self.connection = Some(Connection { reader, shared, region, key_is_settled });
        Ok(())
    }

    fn reader(&self, client: Client) -> Arc<Reader> {
        let request = Request::new(client, &self.config, self.mapper.plan().projection(), self.mapper.key());
        Arc::new(Reader { request, budget: self.budget.clone(), clock: self.clock.clone() })
    }

    /// The token bucket for retries is this receiver's own: one throttled table takes no retries from another.
    fn client_config(&self, sdk: &aws_types::SdkConfig) -> Builder {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(self.config.attempt_timeout.get())
            .operation_timeout(self.config.operation_timeout.get())
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(self.config.max_attempts)
            .with_initial_backoff(Duration::from_millis(100))
            .with_max_backoff(Duration::from_secs(5));
        let partition = RetryPartition::custom(format!("steadyline/{}", self.id)).build();
        Builder::from(sdk).timeout_config(timeouts).retry_config(retries).retry_partition(partition)
    }

    /// Asks for the table's key once. Without it everything works but the order of keys; the read itself will tell what else is wrong.
    async fn learn_key(&mut self) {
        let Some(connection) = self.connection.as_mut().filter(|connection| !connection.key_is_settled) else { return };
        // The read that follows needs the time more, and tells better what is wrong.
        let asked = connection.reader.request.table_key();
        let Some(answer) = self.clock.timeout(self.config.attempt_timeout.get(), asked).await else {
            return;
        };
        match answer {
            Ok(key) => {
                connection.key_is_settled = true;
                self.mapper.set_key(key.clone());
                self.reporter.key = key;
                let client = connection.reader.request.client();
                let reader = self.reader(client);
                if let Some(connection) = &mut self.connection {
                    connection.reader = reader;
                }
            }
            Err(failure) if matches!(failure.kind, FailureKind::AccessDenied { .. }) => {
                connection.key_is_settled = true;
                tracing::info!(component = %self.id, "the table may not be described ({failure}); `key` says what its key is");
            }
            Err(failure) => tracing::debug!(component = %self.id, "the table's key is not known yet: {failure}"),
        }
    }
}

#[async_trait]
impl Poller for DynamoDbPoller {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        self.bounded(tick, output).await
    }

    async fn replay(&mut self, document: &[u8], tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let text =
            std::str::from_utf8(document).map_err(|_| PollError::new("items", "the items are not UTF-8 text"))?;
        let items =
            parse_items(text).map_err(|error| PollError::new("items", format!("cannot read the items: {error}")))?;
        let began = self.clock.now().mono;
        self.mapper.begin((tick.time / 1_000_000_000) as i64);
        let outputs = self.mapper.plan().outputs().to_vec();
        let mut batcher = Batcher::new(&outputs, &self.resource, tick.time, &mut self.reporter);
        let mut read = ReadStats::default();
        for page in items.chunks(1000) {
            read.pages += 1;
            self.mapper.page(page, &mut batcher);
            output.send(batcher.take()).await?;
        }
        self.mapper.end(true, &mut batcher);
        let sent = output.send(batcher.take()).await;
        self.tell(tick, output, sent, read, self.clock.now().mono.saturating_sub(began)).await
    }

    async fn check(&mut self) -> Vec<CheckRow> {
        let what = format!("read {}", self.config.source());
        let fail = |error: PollError| CheckRow {
            what: what.clone(),
            verdict: Verdict::Fail,
            detail: error.message,
            advice: String::new(),
        };
        if let Err(error) = self.connect().await {
            return vec![fail(error)];
        }
        let Some(connection) = &self.connection else { return Vec::new() };
        let request = &connection.reader.request;
        let mut rows = Vec::new();
        if self.place.is_aws() {
            rows.extend(connection.shared.check().await);
        }
        for part in request.parts() {
            match request.page(&part, 1, None).await {
                Ok(page) => rows.push(CheckRow {
                    what: what.clone(),
                    verdict: Verdict::Pass,
                    detail: format!(
                        "in {}: {} item read, {} read units",
                        connection.region,
                        page.items.len(),
                        page.units
                    ),
                    advice: String::new(),
                }),
                Err(failure) => {
                    rows.push(fail(poll_error(&self.config.source(), &connection.region, &failure)));
                    break;
                }
            }
        }
        if self.config.key.is_empty()
            && let Err(failure) = request.table_key().await
        {
            let what = format!("describe table `{}`", self.config.table);
            rows.push(CheckRow {
                verdict: Verdict::Warn,
                advice: format!("{}, or set `key`", failure.advice()),
                ..failure.row(what)
            });
        }
        rows
    }

    fn permissions(&self) -> Vec<IamStatement> {
        let table = self.place.arn(&self.config.table);
        let read = match &self.config.index {
            Some(index) => format!("{table}/index/{index}"),
            None => table.clone(),
        };
        let action = if self.config.query.is_some() { "dynamodb:Query" } else { "dynamodb:Scan" };
        let statement = |sid: &str, action: &str, resource: String| IamStatement {
            sid: sid.to_owned(),
            actions: vec![action.to_owned()],
            resources: vec![resource],
            conditions: Vec::new(),
        };
        let mut statements = vec![statement("ReadTable", action, read)];
        if self.config.key.is_empty() {
            statements.push(statement("DescribeTable", "dynamodb:DescribeTable", table));
        }
        statements.extend(self.place.permissions());
        statements
    }
}
