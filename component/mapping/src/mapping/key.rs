//! The table's key: how an item is called in messages, and how two items compare in the order of their keys.

use std::fmt::Write as _;

use crate::expr::shorten;
use crate::item::{Attribute, Item, type_name};

/// The names of the table's key attributes, partition key first. Empty: not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableKey(pub Vec<String>);

impl TableKey {
    /// Whether the key attributes are known.
    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// The item's key for people: `account_id="a1", sort=7`. Where the key is not known, or not in the item, its scalar attributes stand in.
    pub fn describe(&self, item: &Item) -> String {
        let mut text = String::new();
        for (name, attribute) in self.attributes(item).into_iter().take(MAX_STAND_INS) {
            let separator = if text.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = match attribute {
                Attribute::Text(value) => write!(text, "{separator}{name}={:?}", shorten(value)),
                Attribute::Number(value) => write!(text, "{separator}{name}={}", shorten(value)),
                Attribute::Bytes(value) => write!(text, "{separator}{name}=<{} bytes>", value.len()),
                Attribute::Bool(value) => write!(text, "{separator}{name}={value}"),
                other => write!(text, "{separator}{name}=<{}>", type_name(other)),
            };
        }
        if text.is_empty() { "an item without key".to_owned() } else { text }
    }

    /// Appends bytes that sort as the item's key does: strings and binaries by their bytes, numbers by value.
    pub(super) fn write_sortable(&self, item: &Item, out: &mut Vec<u8>) {
        for (name, attribute) in self.attributes(item) {
            if !self.is_known() {
                out.extend_from_slice(name.as_bytes());
                out.push(0);
            }
            write_sortable(attribute, out);
        }
    }

    fn attributes<'a>(&'a self, item: &'a Item) -> Vec<(&'a str, &'a Attribute)> {
        let key: Vec<_> =
            self.0.iter().filter_map(|name| item.get(name).map(|attribute| (name.as_str(), attribute))).collect();
        if !key.is_empty() {
            return key;
        }
        let scalar = |attribute: &Attribute| {
            matches!(attribute, Attribute::Text(_) | Attribute::Number(_) | Attribute::Bytes(_) | Attribute::Bool(_))
        };
        // In the order of their names, as an item keeps them.
        item.iter().filter(|(_, value)| scalar(value)).collect()
    }
}

/// How many attributes stand in for an unknown key in messages.
const MAX_STAND_INS: usize = 6;

/// Appends bytes that sort as the attribute does: null, bool, number, string, binary, in this order.
pub(super) fn write_sortable(attribute: &Attribute, out: &mut Vec<u8>) {
    match attribute {
        Attribute::Bool(flag) => out.extend([1, u8::from(*flag)]),
        Attribute::Number(text) => {
            out.push(2);
            write_float(text.parse().unwrap_or(f64::NAN), out);
            // Numbers that round to the same float are told apart by their digits, which tables normalise.
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
        Attribute::Text(text) => {
            out.push(3);
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
        Attribute::Bytes(blob) => {
            out.push(4);
            out.extend_from_slice(blob);
            out.push(0);
        }
        _ => out.push(0),
    }
}

/// Appends eight bytes that sort as the float does.
pub(super) fn write_float(float: f64, out: &mut Vec<u8>) {
    let bits = float.to_bits();
    let sortable = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.extend_from_slice(&sortable.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::parse_items;

    #[test]
    fn keys_sort_by_value() {
        let rising = ["-1e20", "-3", "-2.5", "0", "0.001", "9", "10", "9007199254740992", "9007199254740993"];
        let sortable = |text: &str| {
            let mut out = Vec::new();
            write_sortable(&Attribute::Number(text.to_owned()), &mut out);
            out
        };
        for pair in rising.windows(2) {
            assert!(sortable(pair[0]) < sortable(pair[1]), "{pair:?}");
        }
        let key = TableKey(vec!["pk".into(), "sk".into()]);
        let items = parse_items(r#"[{"pk": {"S": "a"}, "sk": {"N": "9"}}, {"pk": {"S": "a"}, "sk": {"N": "10"}}, {"pk": {"S": "ab"}, "sk": {"N": "1"}}]"#).expect("items");
        let keys: Vec<Vec<u8>> = items
            .iter()
            .map(|item| {
                let mut out = Vec::new();
                key.write_sortable(item, &mut out);
                out
            })
            .collect();
        assert!(keys[0] < keys[1] && keys[1] < keys[2]);
    }

    #[test]
    fn items_are_described_by_key_or_by_what_they_hold() {
        let item = parse_items(r#"{"pk": {"S": "a"}, "sk": {"N": "9"}, "steps": {"L": []}}"#).expect("items").remove(0);
        assert_eq!(TableKey(vec!["pk".into(), "sk".into()]).describe(&item), "pk=\"a\", sk=9");
        assert_eq!(TableKey::default().describe(&item), "pk=\"a\", sk=9");
        assert_eq!(TableKey::default().describe(&Item::new()), "an item without key");
    }
}
