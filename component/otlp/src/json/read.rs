//! JSON -> protobuf by the tables of `schema`: serde visitors that write as they read.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use steadyline_telemetry::wire::{FIXED32, FIXED64, LEN, VARINT, put_bytes, put_tag, put_varint};

use super::schema::{Field, Kind, Message};

/// The protobuf of a whole JSON text.
pub(super) fn message(message: &'static Message, json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    Body { message, out: &mut out }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(out)
}

/// The fields of a message, appended.
struct Body<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(wrong_text(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Key(self.message))? {
            match field {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(field) if field.repeated => map.next_value_seed(List { field, out: self.out })?,
                Some(field) => drop(map.next_value_seed(One { field, tagged: true, out: self.out })?),
            }
        }
        Ok(())
    }
}

/// A key: the field that it names, if any.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.iter().find(|field| field.json == key || field.proto == key))
    }
}

/// A list; numbers are packed, as proto3 does. `null` is an empty one.
struct List<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for `{}`", self.field.json)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(wrong_text(text, &self))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let List { field, out } = self;
        let null = || A::Error::custom(format_args!("`null` is no element of `{}`", field.json));
        if matches!(field.kind, Kind::Message(_) | Kind::Text) {
            while let Some(given) = list.next_element_seed(One { field, tagged: true, out })? {
                given.then_some(()).ok_or_else(null)?;
            }
            return Ok(());
        }
        let mut packed = Vec::new();
        while let Some(given) = list.next_element_seed(One { field, tagged: false, out: &mut packed })? {
            given.then_some(()).ok_or_else(null)?;
        }
        if !packed.is_empty() {
            put_bytes(out, field.number, &packed);
        }
        Ok(())
    }
}

/// One value, written with its tag or (packed) without. Whether there was one: `null` is none.
struct One<'o> {
    field: &'static Field,
    tagged: bool,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            Kind::Text => "text",
            Kind::Base64 => "bytes in base64",
            Kind::Hex => "an id in hex",
            Kind::Bool => "`true` or `false`",
            Kind::Int | Kind::Sint | Kind::Sfixed64 => "an integer",
            Kind::Uint(_) | Kind::Fixed64 | Kind::Fixed32 => "a positive integer",
            Kind::Double => "a number",
            Kind::Enum(_) => "a number or the name of an enum value",
            Kind::Message(_) => "an object",
        };
        write!(f, "{what} for `{}`", self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        match self.field.kind {
            Kind::Bool => self.varint(u64::from(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.integer(i128::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        match self.field.kind {
            Kind::Double => self.double(value),
            // Protobuf allows an integer to be written as `1e3`; beyond 2^53 a double does not say which one is meant.
            _ if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => self.integer(value as i128),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        let wrong = |this: &Self| wrong_text(text, this);
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Hex => match hex(text) {
                Some(bytes) => self.bytes(&bytes),
                None => Err(wrong(&self)),
            },
            Kind::Base64 => match base64(text) {
                Some(bytes) => self.bytes(&bytes),
                None => Err(wrong(&self)),
            },
            Kind::Double => match number(text) {
                Some(value) => self.double(value),
                None => Err(wrong(&self)),
            },
            Kind::Enum(names) => match names.iter().position(|name| *name == text) {
                Some(value) => self.varint(value as u64),
                None => Err(wrong(&self)),
            },
            Kind::Bool | Kind::Message(_) => Err(wrong(&self)),
            Kind::Int | Kind::Uint(_) | Kind::Sint | Kind::Fixed64 | Kind::Sfixed64 | Kind::Fixed32 => {
                match text.parse::<i64>().map(i128::from).or_else(|_| text.parse::<u64>().map(i128::from)) {
                    Ok(value) => self.integer(value),
                    Err(_) => Err(wrong(&self)),
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let Kind::Message(message) = self.field.kind else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let mut inner = Vec::new();
        Body { message, out: &mut inner }.visit_map(map)?;
        put_bytes(self.out, self.field.number, &inner);
        Ok(true)
    }
}

impl One<'_> {
    fn integer<E: Error>(self, value: i128) -> Result<bool, E> {
        let wrong = |this: &Self| match i64::try_from(value) {
            Ok(value) => E::invalid_value(serde::de::Unexpected::Signed(value), this),
            Err(_) => E::custom(format_args!("{value} is out of range for `{}`", this.field.json)),
        };
        let fits = match self.field.kind {
            Kind::Double => return self.double(value as f64),
            Kind::Int | Kind::Sfixed64 => i64::try_from(value).is_ok(),
            Kind::Sint | Kind::Enum(_) => i32::try_from(value).is_ok(),
            Kind::Uint(32) | Kind::Fixed32 => u32::try_from(value).is_ok(),
            Kind::Uint(_) | Kind::Fixed64 => u64::try_from(value).is_ok(),
            Kind::Text | Kind::Base64 | Kind::Hex | Kind::Bool | Kind::Message(_) => false,
        };
        if !fits {
            return Err(wrong(&self));
        }
        match self.field.kind {
            Kind::Sint => self.varint(((value << 1) ^ (value >> 127)) as u32 as u64),
            Kind::Fixed32 => self.raw(FIXED32, &(value as u32).to_le_bytes()),
            Kind::Fixed64 | Kind::Sfixed64 => self.raw(FIXED64, &(value as u64).to_le_bytes()),
            _ => self.varint(value as u64),
        }
    }

    fn double<E>(self, value: f64) -> Result<bool, E> {
        self.raw(FIXED64, &value.to_le_bytes())
    }

    fn varint<E>(mut self, value: u64) -> Result<bool, E> {
        self.tag(VARINT);
        put_varint(self.out, value);
        Ok(true)
    }

    fn bytes<E>(mut self, bytes: &[u8]) -> Result<bool, E> {
        self.tag(LEN);
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        Ok(true)
    }

    fn raw<E>(mut self, wire_type: u32, bytes: &[u8]) -> Result<bool, E> {
        self.tag(wire_type);
        self.out.extend_from_slice(bytes);
        Ok(true)
    }

    fn tag(&mut self, wire_type: u32) {
        if self.tagged {
            put_tag(self.out, self.field.number, wire_type);
        }
    }
}

/// The error about a text in the wrong place. Shows its beginning alone: what is wrong may be as large as the body.
fn wrong_text<E: Error>(text: &str, expected: &dyn serde::de::Expected) -> E {
    E::invalid_value(serde::de::Unexpected::Str(&text[..text.floor_char_boundary(40)]), expected)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Either alphabet, padded or not, as protobuf wants readers to take it.
fn base64(text: &str) -> Option<Vec<u8>> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, padding).decode(text).ok()
}
