//! The config of a query: a key condition and the values in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// Reads the items of one partition, or of several, by a key condition.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct QueryConfig {
    /// The condition as DynamoDB writes it: `metrics_shard = :shard`, or `pk = :pk AND begins_with(sk, :start)`.
    pub key_condition: String,
    /// The values of the condition, by their names in it (`:shard`). A list makes one query of each element, and all of
    /// them are read at the same time: `{":shard": [0, 1, 2, 3]}`. At most one value may be a list.
    #[serde(default)]
    pub values: BTreeMap<String, QueryValue>,
    /// Attribute names that the condition cannot write out because they are reserved: `{"#status": status}`.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
}

/// A value of a key condition.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// One value: text is a string, a number a number.
    One(AttributeValue),
    /// One query for each.
    Each(Vec<AttributeValue>),
}

impl QueryConfig {
    /// The values of each query that is to be made; one without values if there are none.
    pub fn value_sets(&self) -> Vec<Vec<(String, AttributeValue)>> {
        let fixed = self.values.iter().filter_map(|(name, value)| match value {
            QueryValue::One(value) => Some((name.clone(), value.clone())),
            QueryValue::Each(_) => None,
        });
        let fixed: Vec<_> = fixed.collect();
        let list = self.values.iter().find_map(|(name, value)| match value {
            QueryValue::Each(values) => Some((name, values)),
            QueryValue::One(_) => None,
        });
        match list {
            None => vec![fixed],
            Some((name, values)) => {
                let with =
                    |value: &AttributeValue| fixed.iter().cloned().chain([(name.clone(), value.clone())]).collect();
                values.iter().map(with).collect()
            }
        }
    }

    /// What is wrong with it, as path below `query` and message.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.key_condition.trim().is_empty() {
            problems.push(("key_condition".to_owned(), "the condition is empty".to_owned()));
        }
        for name in self.values.keys().filter(|name| !name.starts_with(':') || !self.key_condition.contains(*name)) {
            problems
                .push(("values".to_owned(), format!("{name} is no value of the condition; its values begin with `:`")));
        }
        for name in self.names.keys().filter(|name| !name.starts_with('#') || !self.key_condition.contains(*name)) {
            problems
                .push(("names".to_owned(), format!("{name} is no name in the condition; such names begin with `#`")));
        }
        let lists = self.values.values().filter_map(|value| match value {
            QueryValue::Each(values) => Some(values.len()),
            QueryValue::One(_) => None,
        });
        let lists: Vec<usize> = lists.collect();
        if lists.len() > 1 {
            problems.push(("values".to_owned(), "more than one value is a list".to_owned()));
        }
        if lists.iter().any(|len| !(1..=64).contains(len)) {
            problems.push(("values".to_owned(), "a list of values needs 1 to 64 elements".to_owned()));
        }
        problems
    }
}

impl<'de> Deserialize<'de> for QueryValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = QueryValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, or a list of these")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<QueryValue, E> {
                Ok(QueryValue::One(AttributeValue::S(text.to_owned())))
            }

            fn visit_i64<E: de::Error>(self, int: i64) -> Result<QueryValue, E> {
                Ok(QueryValue::One(AttributeValue::N(int.to_string())))
            }

            fn visit_u64<E: de::Error>(self, uint: u64) -> Result<QueryValue, E> {
                Ok(QueryValue::One(AttributeValue::N(uint.to_string())))
            }

            fn visit_f64<E: de::Error>(self, float: f64) -> Result<QueryValue, E> {
                Ok(QueryValue::One(AttributeValue::N(float.to_string())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<QueryValue, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    match value {
                        QueryValue::One(value) => values.push(value),
                        QueryValue::Each(_) => return Err(de::Error::custom("a list of lists")),
                    }
                }
                Ok(QueryValue::Each(values))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl JsonSchema for QueryValue {
    fn schema_name() -> Cow<'static, str> {
        "QueryValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text, a number, or a list of these: one query for each.",
            "anyOf": [
                {"type": ["string", "number"]},
                {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1, "maxItems": 64},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> QueryConfig {
        serde_json::from_str(text).expect("a query")
    }

    #[test]
    fn a_list_makes_one_query_of_each_element() {
        let query =
            query(r#"{"key_condition": "shard = :shard AND at > :at", "values": {":shard": [0, "x"], ":at": "2026"}}"#);
        let at = (":at".to_owned(), AttributeValue::S("2026".into()));
        let expected = [AttributeValue::N("0".into()), AttributeValue::S("x".into())];
        let expected: Vec<_> =
            expected.into_iter().map(|value| vec![at.clone(), (":shard".to_owned(), value)]).collect();
        assert_eq!(query.value_sets(), expected);
        assert_eq!(query.problems(), []);
    }

    #[test]
    fn mistakes_are_found() {
        for (text, path, part) in [
            (r#"{"key_condition": " "}"#, "key_condition", "is empty"),
            (r#"{"key_condition": "a = :a", "values": {"a": 1}}"#, "values", "a is no value of the condition"),
            (r##"{"key_condition": "a = :a", "values": {":a": 1}, "names": {"#b": "b"}}"##, "names", "#b is no name"),
            (r#"{"key_condition": "a = :a", "values": {":a": []}}"#, "values", "1 to 64"),
            (r#"{"key_condition": "a = :a AND b = :b", "values": {":a": [1], ":b": [2]}}"#, "values", "more than one"),
        ] {
            let problems = query(text).problems();
            assert!(
                problems.len() == 1 && problems[0].0 == path && problems[0].1.contains(part),
                "{text}: {problems:?}"
            );
        }
    }
}
