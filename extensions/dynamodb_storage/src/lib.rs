//! The `dynamodb_storage` extension: state of components in a DynamoDB table, for processes that have no disk of their own to
//! come back to: Lambdas, containers.
//!
//! ```yaml
//! extensions:
//!   dynamodb_storage: {table: steadyline-state}
//!   dynamodb_storage/elsewhere:
//!     table: steadyline-state
//!     region: eu-central-2
//!     assume_role: {arn: "${env:STATE_ROLE_ARN:-}"}
//! processors:
//!   lastvalue: {storage: dynamodb_storage}
//! ```
//!
//! The table has the partition key `owner` (a string) and the sort key `key` (binary); one table serves any number of
//! components:
//!
//! ```sh
//! aws dynamodb create-table --table-name steadyline-state --billing-mode PAY_PER_REQUEST \
//!   --attribute-definitions AttributeName=owner,AttributeType=S AttributeName=key,AttributeType=B \
//!   --key-schema AttributeName=owner,KeyType=HASH AttributeName=key,KeyType=RANGE
//! ```
//!
//! | item | sort key | attributes |
//! |---|---|---|
//! | head, one for each owner | `h` | `holder`: who opened it last; `journal`: how many parts of a large commit wait to be applied, and `author`: whose |
//! | value | `k` + key | `value` |
//! | part of a large commit | `j` + holder + number | `value` |
//!
//! A commit of up to 99 changes is one transaction. A larger one is written as a journal first; it is made at the moment at which the head
//! says that the journal is whole, and then applied, 99 changes at a time. Who opens the state finishes what is left to apply. So
//! every commit is all or nothing, whenever the process ends. A request whose answer is lost may have been made; making it again
//! changes nothing.
//!
//! Who opens the state of an owner takes it from whoever had it: every write is made on condition that nobody did since.
//! A Lambda that keeps state runs with a reserved concurrency of 1, or its invocations take the state from each other.
//!
//! A value has at most 256 KiB, a key 1,000 bytes. Each change costs two write units a kilobyte, a large commit three. Queues need a
//! folder and do not work with this storage.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod area;
mod config;
mod extension;
mod journal;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::{CreateContext, Extension, Factory, Spec, Stability};

pub use config::{Config, StorageConfig};
pub use extension::DynamoDbStorage;

/// The factory of the `dynamodb_storage` extension.
pub const FACTORY: Factory = Factory::extension::<DynamoDbStorageFactory>();

/// Makes storages in tables.
#[derive(Debug)]
pub struct DynamoDbStorageFactory;

impl Component for DynamoDbStorageFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;

    const SPEC: Spec = Spec {
        name: "dynamodb_storage",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "Keeps the state of components in a DynamoDB table, across restarts and invocations.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let place = config::check(&config, context)?;
        Some(Arc::new(DynamoDbStorage::new(config.own, place, context.id.to_string(), context.meter)))
    }
}
