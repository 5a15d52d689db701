//! DynamoDB's attribute values as the items of the mapping language. Texts move, nothing is copied.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use steadyline_mapping::item::{Attribute, Fields, Item};

/// An item as the SDK hands it over, as one of ours.
pub(crate) fn item(attributes: HashMap<String, AttributeValue>) -> Item {
    attributes.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: AttributeValue) -> Attribute {
    match value {
        AttributeValue::S(text) => Attribute::Text(text),
        AttributeValue::N(text) => Attribute::Number(text),
        AttributeValue::Bool(flag) => Attribute::Bool(flag),
        AttributeValue::Null(_) => Attribute::Null,
        AttributeValue::B(blob) => Attribute::Bytes(blob.into_inner()),
        AttributeValue::L(list) => Attribute::List(list.into_iter().map(attribute).collect()),
        AttributeValue::M(map) => Attribute::Map(map.into_iter().map(|(k, v)| (k, attribute(v))).collect::<Fields>()),
        AttributeValue::Ss(set) => Attribute::Texts(set),
        AttributeValue::Ns(set) => Attribute::Numbers(set),
        AttributeValue::Bs(set) => Attribute::Blobs(set.into_iter().map(|blob| blob.into_inner()).collect()),
        _ => Attribute::Other,
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::Blob;
    use steadyline_mapping::item::parse_items;

    use super::*;

    #[test]
    fn every_type_arrives() {
        let n = |text: &str| AttributeValue::N(text.to_owned());
        let s = |text: &str| AttributeValue::S(text.to_owned());
        let attributes = HashMap::from([
            ("s".to_owned(), s("x")),
            ("n".to_owned(), n("12345678901234567890123456789012345678")),
            ("b".to_owned(), AttributeValue::B(Blob::new("hi"))),
            ("t".to_owned(), AttributeValue::Bool(true)),
            ("z".to_owned(), AttributeValue::Null(true)),
            ("ss".to_owned(), AttributeValue::Ss(vec!["a".to_owned()])),
            ("ns".to_owned(), AttributeValue::Ns(vec!["1".to_owned()])),
            ("bs".to_owned(), AttributeValue::Bs(vec![Blob::new("hi")])),
            ("l".to_owned(), AttributeValue::L(vec![n("1"), s("y")])),
            ("m".to_owned(), AttributeValue::M(HashMap::from([("k".to_owned(), s("v"))]))),
        ]);
        let text = r#"{"s": {"S": "x"}, "n": {"N": "12345678901234567890123456789012345678"}, "b": {"B": "aGk="}, "t": {"BOOL": true}, "z": {"NULL": true},
            "ss": {"SS": ["a"]}, "ns": {"NS": ["1"]}, "bs": {"BS": ["aGk="]}, "l": {"L": [{"N": "1"}, {"S": "y"}]}, "m": {"M": {"k": {"S": "v"}}}}"#;
        assert_eq!(item(attributes), parse_items(text).unwrap().remove(0));
    }
}
