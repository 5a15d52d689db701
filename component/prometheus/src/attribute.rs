//! Attribute values as label text. One text for one value, so that the same attribute is the same label in every exporter.

use steadyline_telemetry::Value;
use steadyline_telemetry::text::put_text;

use crate::values::put_double;

/// Appends a value as text, doubles by [`put_double`]; nothing for an empty one.
pub fn put_attribute(out: &mut Vec<u8>, value: Value<'_>) {
    put_text(out, value, put_double);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars() {
        let rows = [
            (Value::Empty, ""),
            (Value::text("a\"b"), "a\"b"),
            (Value::Bool(true), "true"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Double(0.1), "0.1"),
            (Value::Double(3.0), "3"),
            (Value::Double(1e21), "1e+21"),
            (Value::Double(f64::NAN), "NaN"),
            (Value::Bytes(b"fo"), "Zm8="),
        ];
        for (value, expected) in rows {
            let mut out = Vec::new();
            put_attribute(&mut out, value);
            assert_eq!(out, expected.as_bytes(), "{value:?}");
        }
    }
}
