//! Attribute values as text, for backends whose labels know nothing else: what the Collector's `AsString` gives.
//! Arrays and maps become JSON, bytes base64, nothing the empty text. How a double looks is the caller's choice.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::metrics::view::{fields, pair, read_any};
use crate::metrics::{Attributes, Metric, Metrics};
use crate::slot::Value;
use crate::wire::FieldData;

/// How a double is written.
pub type PutDouble = fn(&mut Vec<u8>, f64);

/// Appends a value as text.
///
/// JSON has its keys in byte order and escapes `<`, `>` and `&`, as Go's encoder does; of a key that occurs twice the last
/// value counts; bytes inside are base64; `"NaN"`, `"Infinity"` and `"-Infinity"` stand for doubles that JSON cannot say,
/// for which the Collector makes the whole text empty.
pub fn put_text(out: &mut Vec<u8>, value: Value<'_>, put_double: PutDouble) {
    match value {
        Value::Empty => {}
        Value::Str(text) => out.extend_from_slice(text),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Value::Double(value) => put_double(out, value),
        Value::Bytes(bytes) => put_base64(out, bytes),
        Value::Array(_) | Value::Map(_) => put_json(out, value, put_double),
    }
}

/// A series as people write it, for messages: `name{key="value"}`, cut at about 500 bytes.
pub fn series(metrics: &Metrics, metric: &Metric, attributes: Attributes) -> String {
    let mut text = metrics.text(metric.name).to_owned();
    for (at, (key, value)) in metrics.pairs(attributes).enumerate() {
        if text.len() > 500 {
            text.push_str(", ...");
            break;
        }
        let mut shown = Vec::new();
        put_text(&mut shown, value, |out, double| out.extend_from_slice(double.to_string().as_bytes()));
        let shown: String = String::from_utf8_lossy(&shown).chars().take(100).collect();
        text.push_str(if at == 0 { "{" } else { "," });
        text.push_str(&format!("{key}={shown:?}"));
    }
    if metrics.keys(attributes.shape).is_empty() {
        return text;
    }
    text + "}"
}

fn put_json(out: &mut Vec<u8>, value: Value<'_>, put_double: PutDouble) {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Str(text) => put_json_text(out, text),
        Value::Double(value) if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
        Value::Double(f64::INFINITY) => out.extend_from_slice(b"\"Infinity\""),
        Value::Double(f64::NEG_INFINITY) => out.extend_from_slice(b"\"-Infinity\""),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => put_text(out, value, put_double),
        Value::Bytes(bytes) => {
            out.push(b'"');
            put_base64(out, bytes);
            out.push(b'"');
        }
        Value::Array(message) => {
            out.push(b'[');
            for (at, element) in lengths(message).enumerate() {
                put_comma(out, at);
                put_json(out, read_any(element), put_double);
            }
            out.push(b']');
        }
        Value::Map(message) => {
            let mut pairs: Vec<(&str, Value<'_>)> = lengths(message).map(pair).collect();
            // The sort is stable; reversed before and after, the last of equal keys stands first and stays.
            pairs.reverse();
            pairs.sort_by_key(|(key, _)| *key);
            pairs.dedup_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, value)) in pairs.into_iter().enumerate() {
                put_comma(out, at);
                put_json_text(out, key.as_bytes());
                out.push(b':');
                put_json(out, value, put_double);
            }
            out.push(b'}');
        }
    }
}

fn put_comma(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

/// The messages in field 1 of an `ArrayValue` or `KeyValueList`.
fn lengths(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(|field| match field.data {
        FieldData::Len(inner) if field.number == 1 => Some(inner.rest()),
        _ => None,
    })
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

fn put_json_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let text = String::from_utf8_lossy(text);
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    fn text(value: Value<'_>) -> String {
        let mut out = Vec::new();
        put_text(&mut out, value, |out, double| out.extend_from_slice(double.to_string().as_bytes()));
        String::from_utf8(out).expect("text")
    }

    /// An `AnyValue` message with one field.
    fn any(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, number, bytes);
        out
    }

    fn double(value: f64) -> Vec<u8> {
        let mut out = vec![4 << 3 | 1];
        out.extend(value.to_le_bytes());
        out
    }

    fn list(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        elements.iter().for_each(|element| put_bytes(&mut out, 1, element));
        out
    }

    fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| [any(1, key.as_bytes()), any(2, value)].concat()).collect();
        list(&pairs)
    }

    #[test]
    fn plain_values() {
        let rows = [
            (Value::Empty, ""),
            (Value::text("a\"b"), "a\"b"),
            (Value::Bool(true), "true"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Double(1.5), "1.5"),
            (Value::Bytes(b"\x00\xff"), "AP8="),
            (Value::Array(&[]), "[]"),
            (Value::Map(&[]), "{}"),
        ];
        for (value, expected) in rows {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn arrays_and_maps_are_json() {
        let inner = map(&[("z", any(1, b"last")), ("a", Vec::new()), ("z", vec![3 << 3, 7])]);
        let array = list(&[any(1, "q\"\\\n<\u{1}ä".as_bytes()), any(7, &[0, 255]), any(6, &inner), double(0.5)]);
        let expected = r#"["q\"\\\n\u003c\u0001ä","AP8=",{"a":null,"z":7},0.5]"#;
        assert_eq!(text(Value::Array(&array)), expected);
    }

    #[test]
    fn what_json_cannot_say_stands_in_quotes() {
        let numbers = list(&[double(1.0), double(f64::NAN), double(f64::INFINITY), double(f64::NEG_INFINITY)]);
        assert_eq!(text(Value::Array(&numbers)), r#"[1,"NaN","Infinity","-Infinity"]"#);
        assert_eq!(text(Value::Double(f64::NAN)), "NaN");
    }
}
