//! The emulator behind a few calls of ours: everything that names `dynoxide` items, tables and
//! operations is here, so that it can be replaced.

use std::collections::HashMap;
use std::future::Future;

use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::types::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
pub(crate) use dynoxide::{AttributeValue, Item};

use crate::error::Error;
use crate::schema::{IndexProjection, KeyKind, KeyNames, TableSchema};

/// An in-memory DynamoDB. Calls block the thread for as long as SQLite takes.
#[derive(Clone)]
pub(crate) struct Database(dynoxide::Database);

impl Database {
    pub(crate) fn memory() -> Result<Self, Error> {
        Ok(Self(dynoxide::Database::memory().map_err(failed)?))
    }

    pub(crate) fn create_table(&self, schema: &TableSchema) -> Result<(), Error> {
        self.0.create_table(request(schema)).map_err(failed)?;
        Ok(())
    }

    /// Loads items without stream records; one that has the key of an earlier one replaces it.
    pub(crate) fn import(&self, table: &str, items: Vec<Item>) -> Result<usize, Error> {
        let imported = self.0.import_items(table, items, dynoxide::ImportOptions::default()).map_err(failed)?;
        Ok(imported.items_imported)
    }

    pub(crate) fn get(&self, table: &str, key: &Item) -> Result<Option<Item>, Error> {
        let request = GetItemRequest {
            table_name: table.to_owned(),
            key: key.clone(),
            consistent_read: Some(true),
            ..GetItemRequest::default()
        };
        Ok(self.0.get_item(request).map_err(failed)?.item)
    }

    pub(crate) fn put(&self, table: &str, item: Item) -> Result<(), Error> {
        let request = PutItemRequest { table_name: table.to_owned(), item, ..PutItemRequest::default() };
        self.0.put_item(request).map_err(failed)?;
        Ok(())
    }

    pub(crate) fn delete(&self, table: &str, key: &Item) -> Result<(), Error> {
        let request =
            DeleteItemRequest { table_name: table.to_owned(), key: key.clone(), ..DeleteItemRequest::default() };
        self.0.delete_item(request).map_err(failed)?;
        Ok(())
    }

    /// Answers HTTP requests until `shutdown` resolves and the open requests are done.
    pub(crate) async fn serve(
        self,
        listener: tokio::net::TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        dynoxide::server::serve_with_shutdown(listener, self.0, shutdown).await.map_err(Error::Database)
    }
}

fn failed(error: dynoxide::DynoxideError) -> Error {
    Error::Database(error.to_string())
}

fn request(schema: &TableSchema) -> CreateTableRequest {
    let mut kinds: HashMap<&str, KeyKind> = HashMap::new();
    kinds.extend(schema.key_attributes());
    let mut attribute_definitions: Vec<AttributeDefinition> = kinds
        .into_iter()
        .map(|(name, kind)| AttributeDefinition {
            attribute_name: name.to_owned(),
            attribute_type: match kind {
                KeyKind::Text => ScalarAttributeType::S,
                KeyKind::Number => ScalarAttributeType::N,
            },
        })
        .collect();
    attribute_definitions.sort_by(|a, b| a.attribute_name.cmp(&b.attribute_name));
    let indexes: Vec<GlobalSecondaryIndex> = schema
        .indexes
        .iter()
        .map(|index| GlobalSecondaryIndex {
            index_name: index.name.clone(),
            key_schema: key_schema(&index.key),
            projection: projection(&index.projection),
            ..GlobalSecondaryIndex::default()
        })
        .collect();
    CreateTableRequest {
        table_name: schema.name.clone(),
        key_schema: key_schema(&schema.key),
        attribute_definitions,
        global_secondary_indexes: (!indexes.is_empty()).then_some(indexes),
        billing_mode: Some("PAY_PER_REQUEST".to_owned()),
        ..CreateTableRequest::default()
    }
}

fn key_schema(key: &KeyNames) -> Vec<KeySchemaElement> {
    let element = |name: &String, key_type| KeySchemaElement { attribute_name: name.clone(), key_type };
    let hash = element(&key.hash, KeyType::HASH);
    let range = key.range.as_ref().map(|name| element(name, KeyType::RANGE));
    std::iter::once(hash).chain(range).collect()
}

fn projection(projection: &IndexProjection) -> Projection {
    let (kind, names) = match projection {
        IndexProjection::All => (ProjectionType::ALL, None),
        IndexProjection::KeysOnly => (ProjectionType::KEYS_ONLY, None),
        IndexProjection::Include(names) => (ProjectionType::INCLUDE, Some(names.clone())),
    };
    Projection { projection_type: Some(kind), non_key_attributes: names }
}
