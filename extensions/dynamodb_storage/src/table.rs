//! The requests: heads, values and parts in the table.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, ReturnValue, TransactWriteItem};
use aws_smithy_types::Blob;
use bytes::Bytes;
use steadyline_aws::{AwsFailure, FailureKind, SharedConfig, TablePlace};
use steadyline_component::{Change, StorageError};

const OWNER: &str = "owner";
const KEY: &str = "key";
const VALUE: &str = "value";
const HOLDER: &str = "holder";
const JOURNAL: &str = "journal";
const AUTHOR: &str = "author";

/// A table that can be reached.
pub(crate) struct Table {
    pub(crate) shared: Arc<SharedConfig>,
    client: Client,
    name: String,
}

/// What the head of an owner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Who wrote the journal.
    pub author: String,
    /// How many parts it has.
    pub parts: u32,
}

/// Why a write was not made.
pub(crate) enum WriteError {
    /// Somebody else opened the state since.
    Taken,
    /// Anything else.
    Failed(StorageError),
}

type Item = HashMap<String, AttributeValue>;

fn blob(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn value_key(key: &[u8]) -> Vec<u8> {
    [b"k", key].concat()
}

fn part_key(author: &str, number: u32) -> Vec<u8> {
    [b"j", author.as_bytes(), &number.to_be_bytes()].concat()
}

impl Table {
    /// Connects: finds region and credentials, and asks nobody yet.
    pub(crate) async fn connect(name: &str, place: &TablePlace) -> Result<Table, StorageError> {
        let aws = place.connection().await;
        let aws = aws.map_err(|e| StorageError { message: e.to_string(), retryable: true })?;
        let (shared, name) = (SharedConfig::of(&aws), name.to_owned());
        let sdk = shared.sdk().await.map_err(|failure| said(&name, "reach", &failure))?;
        let sdk = Builder::from(sdk).retry_config(RetryConfig::standard().with_max_attempts(4));
        let client = Client::from_conf(sdk.build());
        Ok(Table { shared, client, name })
    }

    /// Takes the state of an owner from whoever had it; says what waits to be applied.
    pub(crate) async fn take(&self, owner: &str, holder: &str) -> Result<Option<Waiting>, StorageError> {
        let update = self.client.update_item().table_name(&self.name).set_key(Some(key(owner, b"h")));
        let update = update.update_expression("SET #holder = :me").expression_attribute_names("#holder", HOLDER);
        let answer =
            update.expression_attribute_values(":me", text(holder)).return_values(ReturnValue::AllNew).send().await;
        let answer =
            answer.map_err(|error| self.failed("open", &AwsFailure::from_sdk("dynamodb:UpdateItem", &error)))?;
        let item = answer.attributes.unwrap_or_default();
        let number = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
        let author = |name: &str| item.get(name)?.as_s().ok().cloned();
        Ok(number(JOURNAL).zip(author(AUTHOR)).map(|(parts, author)| Waiting { author, parts }))
    }

    /// Every value of an owner, in the order of the keys.
    pub(crate) async fn values(&self, owner: &str) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let items = self.query(owner, b"k", None).await?;
        let pair = |mut item: Item| {
            let key = take_blob(&mut item, KEY)?.slice(1..);
            Some((key, take_blob(&mut item, VALUE)?))
        };
        items.into_iter().map(|item| pair(item).ok_or_else(|| self.foreign(owner))).collect()
    }

    /// One value of an owner.
    pub(crate) async fn value(&self, owner: &str, wanted: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let item = self.item(owner, &value_key(wanted)).await?;
        item.map(|mut item| take_blob(&mut item, VALUE).ok_or_else(|| self.foreign(owner))).transpose()
    }

    /// One part of a journal.
    pub(crate) async fn part(&self, owner: &str, author: &str, number: u32) -> Result<Option<Vec<u8>>, StorageError> {
        let item = self.item(owner, &part_key(author, number)).await?;
        Ok(item.and_then(|mut item| take_blob(&mut item, VALUE)).map(|bytes| bytes.to_vec()))
    }

    /// Writes one part of a journal, of which nobody knows yet.
    pub(crate) async fn put_part(
        &self,
        owner: &str,
        author: &str,
        number: u32,
        part: &[u8],
    ) -> Result<(), StorageError> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(key(owner, &part_key(author, number))));
        let answer = put.item(VALUE, blob(part)).send().await;
        answer.map(drop).map_err(|error| self.failed("write", &AwsFailure::from_sdk("dynamodb:PutItem", &error)))
    }

    /// Says in the head that a journal is whole, or (`None`) that none waits.
    pub(crate) async fn set_journal(&self, owner: &str, holder: &str, parts: Option<u32>) -> Result<(), WriteError> {
        let update = self.client.update_item().table_name(&self.name).set_key(Some(key(owner, b"h")));
        let update = update.condition_expression("#holder = :me").expression_attribute_names("#holder", HOLDER);
        let update =
            update.expression_attribute_names("#journal", JOURNAL).expression_attribute_names("#author", AUTHOR);
        let update = update.expression_attribute_values(":me", text(holder));
        let update = match parts {
            Some(parts) => update
                .update_expression("SET #journal = :parts, #author = :me")
                .expression_attribute_values(":parts", AttributeValue::N(parts.to_string())),
            None => update.update_expression("REMOVE #journal, #author"),
        };
        update.send().await.map(drop).map_err(|error| {
            if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) {
                return WriteError::Taken;
            }
            WriteError::Failed(self.failed("write", &AwsFailure::from_sdk("dynamodb:UpdateItem", &error)))
        })
    }

    /// Makes a few changes, all or none, if nobody took the state since.
    pub(crate) async fn transact(&self, owner: &str, holder: &str, changes: &[Change]) -> Result<(), WriteError> {
        let mut call = self.client.transact_write_items();
        let mine = ConditionCheck::builder()
            .table_name(&self.name)
            .set_key(Some(key(owner, b"h")))
            .condition_expression("#holder = :me")
            .expression_attribute_names("#holder", HOLDER)
            .expression_attribute_values(":me", text(holder));
        let built = |error: aws_smithy_types::error::operation::BuildError| {
            WriteError::Failed(StorageError { message: error.to_string(), retryable: false })
        };
        call = call.transact_items(TransactWriteItem::builder().condition_check(mine.build().map_err(built)?).build());
        for change in changes {
            let item = TransactWriteItem::builder();
            call = call.transact_items(match change {
                Change::Put(name, value) => {
                    let mut whole = key(owner, &value_key(name));
                    whole.insert(VALUE.to_owned(), blob(value));
                    let put = Put::builder().table_name(&self.name).set_item(Some(whole)).build().map_err(built)?;
                    item.put(put).build()
                }
                Change::Delete(name) => {
                    let delete = Delete::builder().table_name(&self.name).set_key(Some(key(owner, &value_key(name))));
                    item.delete(delete.build().map_err(built)?).build()
                }
            });
        }
        call.send().await.map(drop).map_err(|error| self.refused(&error))
    }

    fn refused(
        &self,
        error: &aws_sdk_dynamodb::error::SdkError<
            aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError,
        >,
    ) -> WriteError {
        use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError as E;
        let Some(E::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return WriteError::Failed(
                self.failed("write", &AwsFailure::from_sdk("dynamodb:TransactWriteItems", error)),
            );
        };
        let codes: Vec<&str> = canceled
            .cancellation_reasons()
            .iter()
            .filter_map(|reason| reason.code())
            .filter(|code| *code != "None")
            .collect();
        if codes.contains(&"ConditionalCheckFailed") {
            return WriteError::Taken;
        }
        // What is wrong with the changes themselves stays wrong.
        let retryable =
            !codes.iter().any(|code| matches!(*code, "ValidationError" | "ItemCollectionSizeLimitExceeded"));
        let why = canceled.message().unwrap_or_default();
        let message =
            format!("cannot write to table `{}`: dynamodb:TransactWriteItems: {} ({why})", self.name, codes.join(", "));
        WriteError::Failed(StorageError { message, retryable })
    }

    /// Removes all parts of journals, whosever they are.
    pub(crate) async fn remove_parts(&self, owner: &str) -> Result<(), StorageError> {
        for item in self.query(owner, b"j", Some(KEY)).await? {
            let Some(AttributeValue::B(part)) = item.get(KEY) else { continue };
            let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key(owner, part.as_ref())));
            let answer = delete.send().await;
            answer.map_err(|error| self.failed("write", &AwsFailure::from_sdk("dynamodb:DeleteItem", &error)))?;
        }
        Ok(())
    }

    /// Whether the table is there and has the right key: one read.
    pub(crate) async fn try_read(&self) -> Result<(), AwsFailure> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("#owner = :owner and begins_with(#key, :start)");
        let query = query.expression_attribute_names("#owner", OWNER).expression_attribute_names("#key", KEY);
        let query =
            query.expression_attribute_values(":owner", text("-")).expression_attribute_values(":start", blob(b"h"));
        let answer = query.limit(1).send().await;
        answer.map(drop).map_err(|error| AwsFailure::from_sdk("dynamodb:Query", &error))
    }

    async fn item(&self, owner: &str, wanted: &[u8]) -> Result<Option<Item>, StorageError> {
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key(owner, wanted))).consistent_read(true);
        let answer = get.send().await;
        answer
            .map(|answer| answer.item)
            .map_err(|error| self.failed("read", &AwsFailure::from_sdk("dynamodb:GetItem", &error)))
    }

    async fn query(&self, owner: &str, start: &[u8], only: Option<&str>) -> Result<Vec<Item>, StorageError> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let mut query = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("#owner = :owner and begins_with(#key, :start)")
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_names("#key", KEY)
                .expression_attribute_values(":owner", text(owner))
                .expression_attribute_values(":start", blob(start))
                .set_exclusive_start_key(from.take());
            if only.is_some() {
                query = query.projection_expression("#key");
            }
            let answer = query.send().await;
            let page = answer.map_err(|error| self.failed("read", &AwsFailure::from_sdk("dynamodb:Query", &error)))?;
            items.extend(page.items.unwrap_or_default());
            match page.last_evaluated_key {
                Some(next) if !next.is_empty() => from = Some(next),
                _ => return Ok(items),
            }
        }
    }

    fn failed(&self, what: &str, failure: &AwsFailure) -> StorageError {
        self.shared.note(failure);
        said(&self.name, what, failure)
    }

    fn foreign(&self, owner: &str) -> StorageError {
        let message =
            format!("table `{}` has an item of `{owner}` that is not from here: it has no binary `value`", self.name);
        StorageError { message, retryable: false }
    }
}

fn key(owner: &str, sort: &[u8]) -> Item {
    HashMap::from([(OWNER.to_owned(), text(owner)), (KEY.to_owned(), blob(sort))])
}

fn take_blob(item: &mut Item, name: &str) -> Option<Bytes> {
    match item.remove(name)? {
        AttributeValue::B(blob) => Some(Bytes::from(blob.into_inner())),
        _ => None,
    }
}

fn said(table: &str, what: &str, failure: &AwsFailure) -> StorageError {
    let advice = match failure.kind {
        FailureKind::NotFound => {
            format!("; table `{table}` must exist, with the string key `owner` and the binary sort key `key`")
        }
        _ if failure.advice().is_empty() => String::new(),
        _ => format!("; {}", failure.advice()),
    };
    StorageError {
        message: format!("cannot {what} table `{table}`: {failure}{advice}"),
        retryable: failure.retryable(),
    }
}
