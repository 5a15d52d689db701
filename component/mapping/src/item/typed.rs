//! JSON that names its types, as DynamoDB writes it (`{"status": {"S": "visited"}}`): what `aws dynamodb scan` prints, what an export to S3
//! holds, or a plain array. The only text form that holds every type of the model; for trying a mapping offline, never on the path of a poll.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Attribute, Item};

/// Why a text could not be read as items.
#[derive(Debug, Error)]
pub enum ItemsError {
    /// The text is not JSON.
    #[error("line {line}, column {column}: {message}")]
    Json {
        /// 1-based line in the text.
        line: usize,
        /// 1-based column in that line.
        column: usize,
        /// What the JSON parser says.
        message: String,
    },
    /// The JSON is not DynamoDB JSON.
    #[error("item {item}{path}: {message}")]
    Shape {
        /// 0-based number of the item.
        item: usize,
        /// Where in the item, as `.attribute.field[0]`.
        path: String,
        /// What was expected.
        message: String,
    },
}

/// Reads items from `text`: one JSON value `{"Items": [...]}` or `[...]` or a single item, or a sequence of values, one item each (bare or as
/// `{"Item": {...}}`, the form of an export).
///
/// # Errors
/// The first thing that is not DynamoDB JSON, with its place.
pub fn parse_items(text: &str) -> Result<Vec<Item>, ItemsError> {
    let mut items = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        add_items(value.map_err(|error| json_error(&error))?, &mut items)?;
    }
    Ok(items)
}

fn json_error(error: &serde_json::Error) -> ItemsError {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default().to_owned();
    ItemsError::Json { line: error.line(), column: error.column(), message }
}

fn add_items(value: Value, items: &mut Vec<Item>) -> Result<(), ItemsError> {
    match value {
        Value::Array(values) => values.into_iter().try_for_each(|value| add_item(value, items)),
        Value::Object(mut object) => match object.remove("Items") {
            Some(Value::Array(values)) => values.into_iter().try_for_each(|value| add_item(value, items)),
            Some(other) => {
                object.insert("Items".to_owned(), other);
                add_item(Value::Object(object), items)
            }
            None => add_item(Value::Object(object), items),
        },
        other => add_item(other, items),
    }
}

fn add_item(value: Value, items: &mut Vec<Item>) -> Result<(), ItemsError> {
    let place = Place { item: items.len(), path: String::new() };
    let Value::Object(mut object) = value else {
        return Err(place.expected("an item, which is an object of attributes"));
    };
    if let (1, Some(Value::Object(inner))) = (object.len(), object.get_mut("Item"))
        && !is_attribute(inner)
    {
        object = std::mem::take(inner);
    }
    items.push(attributes(object, &place)?);
    Ok(())
}

/// Whether an object is one attribute (`{"S": "x"}`) rather than an item: tells an item whose only attribute is called `Item` from an export line.
fn is_attribute(object: &Map<String, Value>) -> bool {
    const TYPES: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"];
    object.len() == 1 && object.iter().all(|(key, value)| TYPES.contains(&key.as_str()) && !is_attribute_value(value))
}

fn is_attribute_value(value: &Value) -> bool {
    matches!(value, Value::Object(inner) if is_attribute(inner))
}

fn attributes(object: Map<String, Value>, place: &Place) -> Result<Item, ItemsError> {
    object
        .into_iter()
        .map(|(name, value)| {
            let attribute = attribute(value, &place.field(&name))?;
            Ok((name, attribute))
        })
        .collect()
}

fn attribute(value: Value, place: &Place) -> Result<Attribute, ItemsError> {
    let Value::Object(object) = value else {
        return Err(place.expected("a typed value such as {\"S\": \"text\"} (DynamoDB JSON)"));
    };
    let mut entries = object.into_iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return Err(place.expected("exactly one type, such as {\"S\": \"text\"}"));
    };
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => Ok(Attribute::Text(text)),
        ("N", Value::String(text)) => number(text, place).map(Attribute::Number),
        ("B", Value::String(text)) => blob(&text, place).map(Attribute::Bytes),
        ("BOOL", Value::Bool(flag)) => Ok(Attribute::Bool(flag)),
        ("NULL", Value::Bool(_)) => Ok(Attribute::Null),
        ("SS", Value::Array(values)) => Ok(Attribute::Texts(strings(values, place)?)),
        ("NS", Value::Array(values)) => {
            let texts = strings(values, place)?;
            texts.into_iter().map(|text| number(text, place)).collect::<Result<_, _>>().map(Attribute::Numbers)
        }
        ("BS", Value::Array(values)) => {
            let texts = strings(values, place)?;
            texts.iter().map(|text| blob(text, place)).collect::<Result<_, _>>().map(Attribute::Blobs)
        }
        ("L", Value::Array(values)) => {
            let elements = values.into_iter().enumerate();
            elements
                .map(|(index, value)| attribute(value, &place.element(index)))
                .collect::<Result<_, _>>()
                .map(Attribute::List)
        }
        ("M", Value::Object(object)) => attributes(object, place).map(Attribute::Map),
        ("S" | "N" | "B", _) => Err(place.expected(&format!("a string under {kind:?}"))),
        ("BOOL" | "NULL", _) => Err(place.expected(&format!("true or false under {kind:?}"))),
        ("SS" | "NS" | "BS" | "L", _) => Err(place.expected(&format!("an array under {kind:?}"))),
        ("M", _) => Err(place.expected("an object under \"M\"")),
        _ => {
            Err(place.expected(&format!("a DynamoDB type (S, N, B, BOOL, NULL, SS, NS, BS, L, M) instead of {kind:?}")))
        }
    }
}

fn strings(values: Vec<Value>, place: &Place) -> Result<Vec<String>, ItemsError> {
    let text = |(index, value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(place.element(index).expected("a string")),
    };
    values.into_iter().enumerate().map(text).collect()
}

fn number(text: String, place: &Place) -> Result<String, ItemsError> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(text),
        _ => Err(place.expected("a decimal number in a string")),
    }
}

fn blob(text: &str, place: &Place) -> Result<Vec<u8>, ItemsError> {
    STANDARD.decode(text).map_err(|_| place.expected("base64"))
}

/// Where in the input a value stands.
struct Place {
    item: usize,
    path: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        Self { item: self.item, path: format!("{}.{name}", self.path) }
    }

    fn element(&self, index: usize) -> Self {
        Self { item: self.item, path: format!("{}[{index}]", self.path) }
    }

    fn expected(&self, what: &str) -> ItemsError {
        ItemsError::Shape { item: self.item, path: self.path.clone(), message: format!("expected {what}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrapping_of_items_is_read() {
        let item = r#"{"id": {"S": "a"}, "n": {"N": "1.5"}}"#;
        for text in [
            format!("[{item}, {item}]"),
            format!(r#"{{"Items": [{item}, {item}], "Count": 2, "ScannedCount": 2}}"#),
            format!("{item}\n{item}\n"),
            format!("{{\"Item\": {item}}}\n{{\"Item\": {item}}}"),
        ] {
            let items = parse_items(&text).expect("items");
            assert_eq!(items.len(), 2, "{text}");
            assert_eq!(items[1]["id"], Attribute::Text("a".into()), "{text}");
        }
        assert_eq!(parse_items("").expect("nothing"), Vec::<Item>::new());
        let only = parse_items(r#"{"Item": {"S": "its name is Item"}}"#).expect("one item");
        assert_eq!(only[0]["Item"], Attribute::Text("its name is Item".into()));
    }

    #[test]
    fn every_type_is_read() {
        let text = r#"{"s": {"S": "x"}, "n": {"N": "-12345678901234567890123456789012345678"}, "b": {"B": "aGk="}, "t": {"BOOL": true}, "z": {"NULL": true},
            "ss": {"SS": ["a"]}, "ns": {"NS": ["1"]}, "bs": {"BS": ["aGk="]}, "l": {"L": [{"N": "1"}]}, "m": {"M": {"k": {"S": "v"}}}}"#;
        let items = parse_items(text).expect("items");
        assert_eq!(items[0].len(), 10);
        assert_eq!(items[0]["b"], Attribute::Bytes(b"hi".to_vec()));
        assert_eq!(items[0]["l"], Attribute::List(vec![Attribute::Number("1".into())]));
    }

    #[test]
    fn errors_name_the_place() {
        for (text, expected) in [
            (
                "[{\"a\": {\"S\": \"x\"}}, {\"a\": \"plain\"}]",
                "item 1.a: expected a typed value such as {\"S\": \"text\"} (DynamoDB JSON)",
            ),
            ("[{\"a\": {\"N\": 5}}]", "item 0.a: expected a string under \"N\""),
            ("[{\"a\": {\"N\": \"five\"}}]", "item 0.a: expected a decimal number in a string"),
            (
                "[{\"a\": {\"L\": [{\"S\": \"x\"}, {\"Q\": 1}]}}]",
                "item 0.a[1]: expected a DynamoDB type (S, N, B, BOOL, NULL, SS, NS, BS, L, M) instead of \"Q\"",
            ),
            (
                "[{\"a\": {\"S\": \"x\", \"N\": \"1\"}}]",
                "item 0.a: expected exactly one type, such as {\"S\": \"text\"}",
            ),
            ("[{\"a\": {\"B\": \"%%\"}}]", "item 0.a: expected base64"),
            ("[3]", "item 0: expected an item, which is an object of attributes"),
            ("[{\"a\": \n {\"S\": }}]", "line 2, column 8: expected value"),
        ] {
            assert_eq!(parse_items(text).expect_err(text).to_string(), expected, "{text}");
        }
    }
}
