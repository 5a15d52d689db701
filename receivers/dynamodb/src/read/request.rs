//! One page from DynamoDB: what is asked, by Scan or by Query.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use steadyline_aws::AwsFailure;
use steadyline_mapping::mapping::TableKey;

use super::Page;
use crate::config::{Config, QueryConfig};
use crate::item::item;

/// What is asked for, page after page.
#[derive(Debug)]
pub(crate) struct Request {
    client: Client,
    table: String,
    index: Option<String>,
    query: Option<QueryConfig>,
    segments: u32,
    consistent_read: bool,
    projection: Option<Projection>,
    /// The most items a page may have; 0: no bound.
    pub(crate) page_size: u32,
}

/// A part of the table with pages of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// One segment of a scan.
    Segment(i32),
    /// One query, with the values of its condition.
    Query(Vec<(String, AttributeValue)>),
}

/// The attributes to read. Saves no read units, only bytes and parsing.
#[derive(Debug)]
struct Projection {
    expression: String,
    names: Vec<(String, String)>,
}

impl Projection {
    fn new(attributes: &[String]) -> Self {
        let names: Vec<_> =
            attributes.iter().enumerate().map(|(index, name)| (format!("#steadyline{index}"), name.clone())).collect();
        let expression = names.iter().map(|(placeholder, _)| placeholder.as_str()).collect::<Vec<_>>().join(", ");
        Self { expression, names }
    }
}

impl Request {
    /// What `config` asks for. `attributes` are those that the mapping needs; `None`: all.
    pub(crate) fn new(client: Client, config: &Config, attributes: Option<&[String]>, key: &TableKey) -> Self {
        // An index holds what it was given and refuses to project what it has not; only tables are worth a projection.
        let projection = attributes.filter(|_| config.index.is_none() && key.is_known()).map(|attributes| {
            let mut wanted = attributes.to_vec();
            wanted.extend(key.0.iter().filter(|name| !attributes.contains(name)).cloned());
            Projection::new(&wanted)
        });
        Self {
            client,
            table: config.table.clone(),
            index: config.index.clone(),
            query: config.query.clone(),
            segments: config.segments,
            consistent_read: config.consistent_read,
            projection,
            page_size: config.page_size,
        }
    }

    /// The parts that are read side by side.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match &self.query {
            Some(query) => query.value_sets().into_iter().map(Part::Query).collect(),
            None => (0..self.segments as i32).map(Part::Segment).collect(),
        }
    }

    /// One page.
    pub(crate) async fn page(
        &self,
        part: &Part,
        limit: u32,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<Page, AwsFailure> {
        let limit = (limit > 0).then(|| i32::try_from(limit).unwrap_or(i32::MAX));
        match part {
            Part::Segment(segment) => self.scan(*segment, limit, start).await,
            Part::Query(values) => self.query(values, limit, start).await,
        }
    }

    /// The table's key attributes, partition key first.
    pub(crate) async fn table_key(&self) -> Result<TableKey, AwsFailure> {
        let answer = self.client.describe_table().table_name(&self.table).send().await;
        let answer = answer.map_err(|error| AwsFailure::from_sdk("dynamodb:DescribeTable", &error))?;
        let elements = answer.table.and_then(|table| table.key_schema).unwrap_or_default();
        Ok(TableKey(elements.into_iter().map(|element| element.attribute_name).collect()))
    }

    /// The client.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A key for people.
    pub(super) fn describe_key(&self, key: Option<&HashMap<String, AttributeValue>>) -> String {
        key.map(|key| TableKey::default().describe(&item(key.clone()))).unwrap_or_default()
    }

    async fn scan(
        &self,
        segment: i32,
        limit: Option<i32>,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<Page, AwsFailure> {
        let is_parallel = self.segments > 1;
        let mut scan = self
            .client
            .scan()
            .table_name(&self.table)
            .set_index_name(self.index.clone())
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .set_segment(is_parallel.then_some(segment))
            .set_total_segments(is_parallel.then_some(self.segments as i32))
            .set_consistent_read(self.consistent_read.then_some(true))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(projection) = &self.projection {
            scan = scan.projection_expression(&projection.expression);
            for (placeholder, name) in &projection.names {
                scan = scan.expression_attribute_names(placeholder, name);
            }
        }
        let answer = scan.send().await.map_err(|error| AwsFailure::from_sdk("dynamodb:Scan", &error))?;
        Ok(Page {
            items: answer.items.unwrap_or_default().into_iter().map(item).collect(),
            units: units(answer.consumed_capacity.as_ref()),
            next: answer.last_evaluated_key,
        })
    }

    async fn query(
        &self,
        values: &[(String, AttributeValue)],
        limit: Option<i32>,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<Page, AwsFailure> {
        let config = self.query.as_ref();
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .set_index_name(self.index.clone())
            .set_key_condition_expression(config.map(|query| query.key_condition.clone()))
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .set_consistent_read(self.consistent_read.then_some(true))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        for (name, value) in values {
            query = query.expression_attribute_values(name, value.clone());
        }
        for (placeholder, name) in config.into_iter().flat_map(|query| &query.names) {
            query = query.expression_attribute_names(placeholder, name);
        }
        if let Some(projection) = &self.projection {
            query = query.projection_expression(&projection.expression);
            for (placeholder, name) in &projection.names {
                query = query.expression_attribute_names(placeholder, name);
            }
        }
        let answer = query.send().await.map_err(|error| AwsFailure::from_sdk("dynamodb:Query", &error))?;
        Ok(Page {
            items: answer.items.unwrap_or_default().into_iter().map(item).collect(),
            units: units(answer.consumed_capacity.as_ref()),
            next: answer.last_evaluated_key,
        })
    }
}

fn units(consumed: Option<&ConsumedCapacity>) -> f64 {
    consumed
        .and_then(|capacity| capacity.capacity_units)
        .filter(|units| units.is_finite() && *units >= 0.0)
        .unwrap_or(0.0)
}
