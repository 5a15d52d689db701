//! Values as a person writes them in YAML, and how they become DynamoDB attributes: plain text,
//! numbers, booleans and lists as they are; `{SS: [...]}` and the other type letters where it matters.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::database::{AttributeValue, Item};
use crate::error::Fault;

/// A YAML value. A map keeps the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    /// Decimal text, as DynamoDB keeps it.
    Number(String),
    Text(String),
    List(Vec<Plain>),
    Map(Vec<(String, Plain)>),
}

impl Plain {
    /// The attribute that this value stands for; `None` for a set that came out empty, which
    /// DynamoDB does not store.
    ///
    /// A map whose only key is a type letter (`S`, `N`, `BOOL`, `NULL`, `SS`, `NS`, `L`, `M`) is
    /// DynamoDB JSON; a map that only looks like it is written as `{M: {S: ...}}`.
    pub(crate) fn attribute(&self) -> Result<Option<AttributeValue>, Fault> {
        Ok(Some(match self {
            Self::Null => AttributeValue::NULL(true),
            Self::Bool(value) => AttributeValue::BOOL(*value),
            Self::Number(text) => AttributeValue::N(number(text)?),
            Self::Text(text) => AttributeValue::S(text.clone()),
            Self::List(values) => AttributeValue::L(list(values)?),
            Self::Map(entries) => match entries.as_slice() {
                [(letter, value)] if TYPE_LETTERS.contains(&letter.as_str()) => {
                    return typed(letter, value).map_err(|fault| fault.within(letter.as_str()));
                }
                entries => AttributeValue::M(map(entries)?),
            },
        }))
    }

    /// A whole item: a map of attributes.
    pub(crate) fn item(&self) -> Result<Item, Fault> {
        match self {
            Self::Map(entries) => map(entries),
            other => Err(other.unexpected("an item: a map of attribute names to values")),
        }
    }

    pub(crate) fn unexpected(&self, expected: &str) -> Fault {
        Fault::new(format!("found {}, expected {expected}", self.describe()))
    }

    fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Number(text) => format!("the number {text}"),
            Self::Text(text) => format!("the text \"{text}\""),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

/// Binary types are left out: a seed file has no need of them.
const TYPE_LETTERS: [&str; 8] = ["S", "N", "BOOL", "NULL", "SS", "NS", "L", "M"];

fn typed(letter: &str, value: &Plain) -> Result<Option<AttributeValue>, Fault> {
    Ok(Some(match (letter, value) {
        ("S", Plain::Text(text)) => AttributeValue::S(text.clone()),
        ("N", Plain::Text(text) | Plain::Number(text)) => AttributeValue::N(number(text)?),
        ("BOOL", Plain::Bool(value)) => AttributeValue::BOOL(*value),
        ("NULL", Plain::Bool(true)) => AttributeValue::NULL(true),
        ("L", Plain::List(values)) => AttributeValue::L(list(values)?),
        ("M", Plain::Map(entries)) => AttributeValue::M(map(entries)?),
        ("SS" | "NS", Plain::List(values)) if values.is_empty() => return Ok(None),
        ("SS", Plain::List(values)) => AttributeValue::SS(set(values, text_element)?),
        ("NS", Plain::List(values)) => AttributeValue::NS(set(values, number_element)?),
        (letter, other) => return Err(other.unexpected(expected_of(letter))),
    }))
}

fn expected_of(letter: &str) -> &'static str {
    match letter {
        "S" => "text for `S` (write `{M: {S: ...}}` for a map that has this one key)",
        "N" => "a number for `N`, best quoted: `{N: \"1.50\"}`",
        "BOOL" => "true or false for `BOOL`",
        "NULL" => "`true` for `NULL`",
        "L" => "a list for `L`",
        "M" => "a map for `M`",
        "SS" => "a list of texts for the set `SS`",
        _ => "a list of numbers for the set `NS`",
    }
}

fn list(values: &[Plain]) -> Result<Vec<AttributeValue>, Fault> {
    let mut attributes = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        attributes.extend(value.attribute().map_err(|fault| fault.within(index))?);
    }
    Ok(attributes)
}

fn map(entries: &[(String, Plain)]) -> Result<Item, Fault> {
    let mut attributes = Item::with_capacity(entries.len());
    for (name, value) in entries {
        let attribute = value.attribute().map_err(|fault| fault.within(name.as_str()))?;
        if let Some(attribute) = attribute {
            attributes.insert(name.clone(), attribute);
        }
    }
    Ok(attributes)
}

fn set(values: &[Plain], element: fn(&Plain) -> Result<String, Fault>) -> Result<Vec<String>, Fault> {
    let mut elements: Vec<String> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let text = element(value).map_err(|fault| fault.within(index))?;
        if elements.contains(&text) {
            let fault = Fault::new(format!("`{text}` stands twice in a set, expected distinct elements"));
            return Err(fault.within(index));
        }
        elements.push(text);
    }
    Ok(elements)
}

fn text_element(value: &Plain) -> Result<String, Fault> {
    match value {
        Plain::Text(text) => Ok(text.clone()),
        other => Err(other.unexpected("a text (quote it)")),
    }
}

fn number_element(value: &Plain) -> Result<String, Fault> {
    match value {
        Plain::Number(text) | Plain::Text(text) => number(text),
        other => Err(other.unexpected("a number")),
    }
}

/// Checks decimal text against what DynamoDB takes: up to 38 significant digits.
fn number(text: &str) -> Result<String, Fault> {
    let bad = || {
        Fault::new(format!(
            "\"{text}\" is no number, expected decimal digits such as 12, -0.5 or 1E+20 with at most 38 significant digits"
        ))
    };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| bad())?;
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let well_formed =
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && mantissa.matches('.').count() <= 1;
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    if !well_formed || significant > 38 || !(-130..=125).contains(&exponent) {
        return Err(bad());
    }
    Ok(text.to_owned())
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(node: D) -> Result<Self, D::Error> {
        node.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, number, boolean, list or map without a YAML tag")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
        Ok(Plain::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Plain, E> {
        Ok(Plain::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Plain, E> {
        Ok(Plain::Number(value.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Plain, E> {
        if !value.is_finite() {
            return Err(E::custom("DynamoDB has no infinite number and no NaN, expected a finite number"));
        }
        // Exponents keep a large or tiny number within 38 digits; others stay readable.
        let plain = value == 0.0 || (1e-7..1e16).contains(&value.abs());
        Ok(Plain::Number(if plain { value.to_string() } else { format!("{value:E}") }))
    }

    fn visit_str<E>(self, text: &str) -> Result<Plain, E> {
        Ok(Plain::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plain, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Plain::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut entries: Vec<(String, Plain)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.iter().any(|(name, _)| *name == key) {
                return Err(A::Error::custom(format!("`{key}` stands twice in one map, expected each key once")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Plain::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(yaml: &str) -> Option<AttributeValue> {
        let plain: Plain = serde_yaml::from_str(yaml).unwrap();
        plain.attribute().unwrap()
    }

    fn fault(yaml: &str) -> String {
        let plain: Plain = serde_yaml::from_str(yaml).unwrap();
        plain.attribute().unwrap_err().message
    }

    #[test]
    fn plain_yaml_becomes_the_obvious_type() {
        assert_eq!(attribute("text"), Some(AttributeValue::S("text".into())));
        assert_eq!(attribute("12"), Some(AttributeValue::N("12".into())));
        assert_eq!(attribute("\"12\""), Some(AttributeValue::S("12".into())));
        assert_eq!(attribute("-0.5"), Some(AttributeValue::N("-0.5".into())));
        assert_eq!(attribute("true"), Some(AttributeValue::BOOL(true)));
        assert_eq!(attribute("~"), Some(AttributeValue::NULL(true)));
        assert_eq!(
            attribute("[a, 1]"),
            Some(AttributeValue::L(vec![AttributeValue::S("a".into()), AttributeValue::N("1".into())]))
        );
    }

    #[test]
    fn a_single_type_letter_is_dynamodb_json() {
        assert_eq!(attribute("{SS: [a, b]}"), Some(AttributeValue::SS(vec!["a".into(), "b".into()])));
        assert_eq!(attribute("{NS: [1, \"2.50\"]}"), Some(AttributeValue::NS(vec!["1".into(), "2.50".into()])));
        assert_eq!(
            attribute("{N: \"12345678901234567890123456789012345678\"}"),
            Some(AttributeValue::N("12345678901234567890123456789012345678".into()))
        );
        assert_eq!(
            attribute("{M: {S: x}}"),
            Some(AttributeValue::M(Item::from([("S".to_owned(), AttributeValue::S("x".into()))])))
        );
    }

    #[test]
    fn an_empty_set_is_no_attribute_and_an_empty_list_is_one() {
        assert_eq!(attribute("{SS: []}"), None);
        assert_eq!(attribute("[]"), Some(AttributeValue::L(vec![])));
    }

    #[test]
    fn wrong_values_say_what_was_expected() {
        assert!(fault("{SS: [a, a]}").contains("stands twice"));
        assert!(fault("{SS: [1]}").contains("expected a text"));
        assert!(fault("{N: twelve}").contains("expected decimal digits"));
        assert!(fault("{N: \"123456789012345678901234567890123456789\"}").contains("38"));
        assert!(fault("{BOOL: 1}").contains("true or false"));
        let twice = serde_yaml::from_str::<Plain>("{a: 1, a: 2}").unwrap_err();
        assert!(twice.to_string().contains("stands twice"));
        let nan = serde_yaml::from_str::<Plain>(".nan").unwrap_err();
        assert!(nan.to_string().contains("finite"));
    }

    #[test]
    fn large_and_tiny_numbers_keep_to_38_digits() {
        assert_eq!(attribute("1e30"), Some(AttributeValue::N("1E30".into())));
        assert_eq!(attribute("1e-20"), Some(AttributeValue::N("1E-20".into())));
    }
}
