//! Attribute values as label text, by OpenTelemetry's rules: numbers in their shortest form, arrays and maps as JSON, bytes
//! as base64. One text for one value, so that the same attribute is the same label in every exporter.

use crate::values::{put_bool, put_double, put_int};
use steadyline_telemetry::Value;
use steadyline_telemetry::wire::{FieldData, Reader};

/// Appends a value as text; nothing for an empty one.
pub fn put_attribute(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Empty => {}
        Value::Str(text) => out.extend_from_slice(text),
        Value::Bool(value) => put_bool(out, value),
        Value::Int(value) => put_int(out, value),
        Value::Double(value) => put_double(out, value),
        Value::Array(message) => put_array(out, Reader::new(message)),
        Value::Map(message) => put_map(out, Reader::new(message)),
        Value::Bytes(bytes) => put_base64(out, bytes),
    }
}

/// Appends an `AnyValue` message as JSON. A message that does not read is `null`; it was checked when the batch was made.
fn put_any(out: &mut Vec<u8>, mut message: Reader<'_>) {
    let at = out.len();
    while let Ok(Some(field)) = message.field() {
        out.truncate(at);
        match (field.number, field.data) {
            (1, FieldData::Len(text)) => put_string(out, text.rest()),
            (2, FieldData::Varint(value)) => put_bool(out, value != 0),
            (3, FieldData::Varint(value)) => put_int(out, value as i64),
            (4, FieldData::Fixed64(bits)) => put_json_double(out, f64::from_bits(bits)),
            (5, FieldData::Len(inner)) => put_array(out, inner),
            (6, FieldData::Len(inner)) => put_map(out, inner),
            (7, FieldData::Len(bytes)) => {
                out.push(b'"');
                put_base64(out, bytes.rest());
                out.push(b'"');
            }
            _ => {}
        }
    }
    if out.len() == at {
        out.extend_from_slice(b"null");
    }
}

fn put_array(out: &mut Vec<u8>, mut message: Reader<'_>) {
    out.push(b'[');
    let start = out.len();
    while let Ok(Some(field)) = message.field() {
        if let (1, FieldData::Len(item)) = (field.number, field.data) {
            if out.len() > start {
                out.push(b',');
            }
            put_any(out, item);
        }
    }
    out.push(b']');
}

/// Keys are sorted, so that one map is one text; of equal keys the last one counts.
fn put_map(out: &mut Vec<u8>, mut message: Reader<'_>) {
    let mut pairs = Vec::new();
    while let Ok(Some(field)) = message.field() {
        if let (1, FieldData::Len(pair)) = (field.number, field.data) {
            pairs.push(key_and_value(pair));
        }
    }
    pairs.sort_by_key(|(key, _)| *key);
    out.push(b'{');
    let start = out.len();
    for same in pairs.chunk_by(|a, b| a.0 == b.0) {
        let Some((key, value)) = same.last() else { continue };
        if out.len() > start {
            out.push(b',');
        }
        put_string(out, key);
        out.push(b':');
        put_any(out, *value);
    }
    out.push(b'}');
}

fn key_and_value(mut pair: Reader<'_>) -> (&[u8], Reader<'_>) {
    let (mut key, mut value) = (&[][..], Reader::new(&[]));
    while let Ok(Some(field)) = pair.field() {
        match (field.number, field.data) {
            (1, FieldData::Len(text)) => key = text.rest(),
            (2, FieldData::Len(message)) => value = message,
            _ => {}
        }
    }
    (key, value)
}

/// JSON has no "not a number" and no infinities: they are written as text.
fn put_json_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        return put_double(out, value);
    }
    out.push(b'"');
    put_double(out, value);
    out.push(b'"');
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { digit } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadyline_telemetry::wire::{put_bytes, put_fixed64, put_uint};

    fn text(value: Value<'_>) -> String {
        let mut out = Vec::new();
        put_attribute(&mut out, value);
        String::from_utf8(out).expect("text")
    }

    fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn scalars() {
        assert_eq!(text(Value::Empty), "");
        assert_eq!(text(Value::text("a\"b")), "a\"b");
        assert_eq!(text(Value::Bool(true)), "true");
        assert_eq!(text(Value::Int(i64::MIN)), "-9223372036854775808");
        assert_eq!(text(Value::Double(0.1)), "0.1");
        assert_eq!(text(Value::Double(3.0)), "3");
        assert_eq!(text(Value::Double(f64::NAN)), "NaN");
        for (bytes, encoded) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            assert_eq!(text(Value::Bytes(bytes)), encoded);
        }
    }

    #[test]
    fn arrays_and_maps_are_json_with_sorted_keys() {
        let string = |text: &str| message(|out| put_bytes(out, 1, text.as_bytes()));
        let array = message(|out| {
            put_bytes(out, 1, &string("a\n\"\u{1}"));
            put_bytes(out, 1, &message(|out| put_uint(out, 3, 7)));
            put_bytes(out, 1, &message(|out| put_fixed64(out, 4, f64::INFINITY.to_bits())));
            put_bytes(out, 1, &[]);
        });
        assert_eq!(text(Value::Array(&array)), r#"["a\n\"\u0001",7,"Infinity",null]"#);
        let pair = |key: &str, value: &[u8]| {
            message(|out| {
                put_bytes(out, 1, key.as_bytes());
                put_bytes(out, 2, value);
            })
        };
        let map = message(|out| {
            put_bytes(out, 1, &pair("z", &message(|out| put_uint(out, 2, 1))));
            put_bytes(out, 1, &pair("a", &message(|out| put_bytes(out, 5, &array))));
            put_bytes(out, 1, &pair("z", &message(|out| put_bytes(out, 7, b"f"))));
        });
        assert_eq!(text(Value::Map(&map)), r#"{"a":["a\n\"\u0001",7,"Infinity",null],"z":"Zg=="}"#);
    }
}
