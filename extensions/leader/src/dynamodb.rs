//! The row in a real table, by GetItem and UpdateItem.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use steadyline_aws::{AwsFailure, FailureKind, SharedConfig, TablePlace};
use steadyline_component::{CheckRow, IamStatement, Verdict};
use tokio::sync::OnceCell;

use crate::config::LeaseConfig;
use crate::row::{LeaseTable, Row, Written};

const KEY: &str = "lease";
const HOLDER: &str = "holder";
const COUNTER: &str = "lease_counter";
const FENCE: &str = "fence";
const LINE_TIME: &str = "line_time";
const RESERVED: &str = "reserved_until";

/// A lease's row in a table.
pub(crate) struct DynamoDbTable {
    config: LeaseConfig,
    place: TablePlace,
    connection: OnceCell<Connection>,
}

struct Connection {
    shared: Arc<SharedConfig>,
    client: Client,
    region: String,
}

impl DynamoDbTable {
    /// Connects when it is first asked.
    pub(crate) fn new(config: LeaseConfig, place: TablePlace) -> DynamoDbTable {
        DynamoDbTable { config, place, connection: OnceCell::new() }
    }

    async fn connection(&self) -> Result<&Connection, AwsFailure> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connection, AwsFailure> {
        let aws = self.place.connection().await;
        let shared = SharedConfig::of(&aws.map_err(|e| AwsFailure::new(FailureKind::Connection, e.to_string()))?);
        let region = shared.region().await?.to_owned();
        // The protocol tries again by itself, with what it knows by then.
        let attempt = self.config.timing().attempt;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(attempt.min(Duration::from_secs(2)))
            .operation_attempt_timeout(attempt)
            .build();
        let config = Builder::from(shared.sdk().await?).timeout_config(timeouts).retry_config(RetryConfig::disabled());
        Ok(Connection { client: Client::from_conf(config.build()), shared, region })
    }

    async fn get(&self) -> Result<Option<Row>, AwsFailure> {
        let connection = self.connection().await?;
        let get =
            connection.client.get_item().table_name(&self.config.table).key(KEY, self.key()).consistent_read(true);
        let answer = get.send().await.map_err(|error| AwsFailure::from_sdk("dynamodb:GetItem", &error));
        let item = answer.inspect_err(|failure| connection.shared.note(failure))?.item;
        item.map(|item| self.parse(&item)).transpose()
    }

    async fn update(
        &self,
        change: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<Written, AwsFailure> {
        let connection = self.connection().await?;
        let update = connection.client.update_item().table_name(&self.config.table).key(KEY, self.key());
        match change(update).send().await {
            Ok(_) => Ok(Written::Yes),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(Written::Refused)
            }
            Err(error) => {
                let failure = AwsFailure::from_sdk("dynamodb:UpdateItem", &error);
                connection.shared.note(&failure);
                Err(failure)
            }
        }
    }

    fn key(&self) -> AttributeValue {
        AttributeValue::S(self.config.lease.clone())
    }

    fn parse(&self, item: &HashMap<String, AttributeValue>) -> Result<Row, AwsFailure> {
        let number = |name: &str| {
            let text = item.get(name).and_then(|value| value.as_n().ok());
            // Half of the range is left to count in.
            text.and_then(|text| text.parse().ok()).filter(|number| *number <= u64::MAX / 2).ok_or_else(|| {
                let (lease, table) = (&self.config.lease, &self.config.table);
                let text = format!("the row `{lease}` of table `{table}` is no lease: its `{name}` is no count");
                AwsFailure::new(FailureKind::Rejected, text)
            })
        };
        Ok(Row {
            holder: item.get(HOLDER).and_then(|holder| holder.as_s().ok()).cloned(),
            counter: number(COUNTER)?,
            fence: number(FENCE)?,
            line_time: number(LINE_TIME)?,
            reserved_until: number(RESERVED)?,
        })
    }

    /// What can be done about a failure.
    fn advice(&self, failure: &AwsFailure) -> String {
        let table = &self.config.table;
        match failure.kind {
            FailureKind::NotFound => {
                let region = self.connection.get().map_or("<region>", |connection| connection.region.as_str());
                format!(
                    "there is no table `{table}` in {region} for this account; make it: {}",
                    self.create_table(region)
                )
            }
            FailureKind::Rejected if failure.text.contains("key element") || failure.text.contains("schema") => {
                format!("the key of table `{table}` must be the string `{KEY}`, alone")
            }
            _ => failure.advice(),
        }
    }

    /// The command that makes the table.
    fn create_table(&self, region: &str) -> String {
        let name = self.config.table.rsplit_once("table/").map_or(self.config.table.as_str(), |(_, name)| name);
        format!(
            "aws dynamodb create-table --table-name {name} --attribute-definitions AttributeName={KEY},AttributeType=S \
             --key-schema AttributeName={KEY},KeyType=HASH --billing-mode PAY_PER_REQUEST --region {region}"
        )
    }

    /// The failure with what can be done about it, for the log.
    fn told(&self, mut failure: AwsFailure) -> AwsFailure {
        let advice = self.advice(&failure);
        if !advice.is_empty() {
            failure.text = format!("{}; {advice}", failure.text);
        }
        failure
    }

    /// Whether the lease could be read and written, as rows of what `check` prints. Changes nothing.
    pub(crate) async fn check(&self) -> Vec<CheckRow> {
        let (lease, table) = (&self.config.lease, &self.config.table);
        let row = |what: String, answer: Result<String, AwsFailure>| match answer {
            Ok(detail) => CheckRow { what, verdict: Verdict::Pass, detail, advice: String::new() },
            Err(failure) => CheckRow { advice: self.advice(&failure), ..failure.row(what) },
        };
        let mut rows = Vec::new();
        if self.place.is_aws() {
            match self.connection().await {
                Ok(connection) => rows.extend(connection.shared.check().await),
                Err(failure) => return vec![row(format!("reach table `{table}`"), Err(failure))],
            }
        }
        let read = self.get().await.map(|row| match row {
            None => "nobody has led yet".to_owned(),
            Some(Row { holder: Some(holder), fence, .. }) => format!("`{holder}` leads or led last, term {fence}"),
            Some(Row { fence, .. }) => format!("released after term {fence}"),
        });
        rows.push(row(format!("read lease `{lease}` in table `{table}`"), read));
        // A condition that no row can meet: it is refused for that only if it is allowed.
        let written = self.update(|update| {
            let condition = "attribute_exists(#key) AND attribute_not_exists(#key)";
            update
                .condition_expression(condition)
                .update_expression("REMOVE #holder")
                .expression_attribute_names("#key", KEY)
                .expression_attribute_names("#holder", HOLDER)
        });
        let written = written.await.map(|_| "allowed".to_owned());
        rows.push(row(format!("write lease `{lease}` in table `{table}`"), written));
        rows
    }

    /// Reads and writes of this lease's row and no other.
    pub(crate) fn permissions(&self) -> Vec<IamStatement> {
        let config = &self.config;
        let lease = IamStatement {
            sid: "HoldLease".to_owned(),
            actions: vec!["dynamodb:GetItem".to_owned(), "dynamodb:UpdateItem".to_owned()],
            resources: vec![self.place.arn(&config.table)],
            conditions: vec![(
                "ForAllValues:StringEquals".to_owned(),
                "dynamodb:LeadingKeys".to_owned(),
                config.lease.clone(),
            )],
        };
        std::iter::once(lease).chain(self.place.permissions()).collect()
    }
}

#[async_trait]
impl LeaseTable for DynamoDbTable {
    async fn read(&self) -> Result<Option<Row>, AwsFailure> {
        self.get().await.map_err(|failure| self.told(failure))
    }

    async fn write(&self, expected: Option<u64>, row: &Row) -> Result<Written, AwsFailure> {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let change = |update: UpdateItemFluentBuilder| {
            let update = [
                (COUNTER, row.counter),
                (FENCE, row.fence),
                (LINE_TIME, row.line_time),
                (RESERVED, row.reserved_until),
            ]
            .into_iter()
            .fold(update, |update, (name, value)| {
                update
                    .expression_attribute_names(format!("#{name}"), name)
                    .expression_attribute_values(format!(":{name}"), number(value))
            })
            .expression_attribute_names("#holder", HOLDER);
            let numbers = "SET #lease_counter = :lease_counter, #fence = :fence, #line_time = :line_time, \
                           #reserved_until = :reserved_until";
            let update = match &row.holder {
                Some(holder) => update
                    .update_expression(format!("{numbers}, #holder = :holder"))
                    .expression_attribute_values(":holder", AttributeValue::S(holder.clone())),
                None => update.update_expression(format!("{numbers} REMOVE #holder")),
            };
            match expected {
                Some(expected) => update
                    .condition_expression("#lease_counter = :expected")
                    .expression_attribute_values(":expected", number(expected)),
                None => {
                    update.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", KEY)
                }
            }
        };
        self.update(change).await.map_err(|failure| self.told(failure))
    }
}
