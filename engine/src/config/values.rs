//! Values of `service.telemetry` with spellings of their own, those of OpenTelemetry's declarative configuration:
//! times in milliseconds, headers as a list of names and values. Durations and maps are read as well.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use steadyline_config::{Duration, Secret};

/// A length of time: a number counts milliseconds, a text is a duration such as `10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(StdDuration);

impl Millis {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Millis {
        Millis(StdDuration::from_secs(seconds))
    }

    /// As the standard library's type.
    pub const fn get(self) -> StdDuration {
        self.0
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("milliseconds, or a duration such as `10s`")
            }

            fn visit_u64<E: Error>(self, millis: u64) -> Result<Millis, E> {
                Ok(Millis(StdDuration::from_millis(millis)))
            }

            fn visit_i64<E: Error>(self, millis: i64) -> Result<Millis, E> {
                let millis = u64::try_from(millis).map_err(|_| E::custom("a length of time cannot be negative"))?;
                self.visit_u64(millis)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
                text.parse::<Duration>().map(|duration| Millis(duration.get())).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Duration::from(self.0).serialize(serializer)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Millis".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let duration = generator.subschema_for::<Duration>();
        json_schema!({"anyOf": [{"type": "integer", "minimum": 0}, duration]})
    }
}

/// Names and values of headers: a map, or a list of `{name, value}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeaderList(pub BTreeMap<String, Secret>);

/// One header of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedHeader {
    /// The header's name.
    name: String,
    /// Its value.
    value: Secret,
}

impl<'de> Deserialize<'de> for HeaderList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = HeaderList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers as `name: value`, or a list of `{name: ..., value: ...}`")
            }

            fn visit_unit<E: Error>(self) -> Result<HeaderList, E> {
                Ok(HeaderList::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderList, A::Error> {
                let mut headers = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    headers.insert(name, value);
                }
                Ok(HeaderList(headers))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HeaderList, A::Error> {
                let mut headers = BTreeMap::new();
                while let Some(NamedHeader { name, value }) = list.next_element()? {
                    headers.insert(name, value);
                }
                Ok(HeaderList(headers))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for HeaderList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for HeaderList {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HeaderList".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<BTreeMap<String, Secret>>();
        let list = generator.subschema_for::<Vec<NamedHeader>>();
        json_schema!({"anyOf": [map, list, {"type": "null"}]})
    }
}

/// The value of an attribute of the resource, as text; without one, the attribute is taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributeValue(pub Option<String>);

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = AttributeValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value (attributes stand directly below `resource`, each as `name: value`)")
            }

            fn visit_unit<E: Error>(self) -> Result<AttributeValue, E> {
                Ok(AttributeValue(None))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AttributeValue, E> {
                Ok(AttributeValue(Some(text.to_string())))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<AttributeValue, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<AttributeValue, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<AttributeValue, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<AttributeValue, E> {
                self.visit_str(&value.to_string())
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for AttributeValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AttributeValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean", "null"]})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Both {
        time: Millis,
        #[serde(default)]
        headers: HeaderList,
    }

    fn decode(text: &str) -> Result<Both, String> {
        steadyline_config::decode_text(text, &|_: &str| None).map_err(|diagnostics| diagnostics.to_text(false))
    }

    #[test]
    fn times_are_milliseconds_or_durations() {
        for (text, millis) in [("time: 1500", 1500), ("time: 10s", 10_000), ("time: 0", 0), ("time: 1m30s", 90_000)] {
            assert_eq!(decode(text).unwrap().time.get().as_millis(), millis, "{text}");
        }
        for wrong in ["time: -1", "time: soon", "time: [1]", "time: 1.5"] {
            decode(wrong).unwrap_err();
        }
    }

    #[test]
    fn attributes_are_single_values_or_nothing() {
        type Attributes = BTreeMap<String, AttributeValue>;
        let decode = |text: &str| steadyline_config::decode_text::<Attributes>(text, &|_: &str| None);
        let attributes = decode("{a: x, b: 5, c: true, d: null, e:}").unwrap();
        let texts: Vec<Option<&str>> = attributes.values().map(|value| value.0.as_deref()).collect();
        assert_eq!(texts, [Some("x"), Some("5"), Some("true"), None, None]);
        assert!(decode("attributes: [{name: a}]").unwrap_err().to_text(false).contains("directly below `resource`"));
    }

    #[test]
    fn headers_are_a_map_or_a_list_and_stay_secret() {
        for text in [
            "time: 0\nheaders: {a: one, b: two}",
            "time: 0\nheaders:\n- {name: a, value: one}\n- {name: b, value: two}",
        ] {
            let headers = decode(text).unwrap().headers;
            assert_eq!(headers.0.keys().collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(headers.0["b"].expose(), "two");
            assert!(!format!("{headers:?}").contains("two"));
        }
        assert!(decode("time: 0\nheaders: [{name: a}]").unwrap_err().contains("value"));
    }
}
