//! Lists, maps and enums, element by element: what failed before is left out, what is missing is made up.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::context::{Path, one_of};
use super::error::{At, DecodeError, Target, Unknown, What};
use super::node::De;
use super::wild::Wild;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, Origin};

/// The elements of a list.
pub(super) struct SeqItems<'p> {
    de: De<'p>,
    items: std::iter::Enumerate<std::slice::Iter<'p, Node>>,
}

impl<'p> SeqItems<'p> {
    pub(super) fn new(de: De<'p>, items: &'p [Node]) -> Self {
        Self { de, items: items.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for SeqItems<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let context = self.de.context;
        let Some((at, item)) = self.items.find(|(_, item)| !context.is_omitted(De::address(item))) else {
            return Ok(None);
        };
        let path = Path::Index(self.de.path, at);
        self.de.child(item, &path, false, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a map.
pub(super) struct MapEntries<'p> {
    de: De<'p>,
    entries: std::slice::Iter<'p, Entry>,
    /// The keys that there may be, if that is known.
    fields: Option<&'static [&'static str]>,
    /// Whether the values are fields of a struct, rather than entries of a dictionary.
    are_fields: bool,
    made_up: Vec<String>,
    current: Option<&'p Entry>,
}

impl<'p> MapEntries<'p> {
    /// Any keys, each a value of its own right.
    pub(super) fn dictionary(de: De<'p>, entries: &'p [Entry]) -> Self {
        let made_up = de.context.made_up(De::address(de.node));
        Self { de, entries: entries.iter(), fields: None, are_fields: false, made_up, current: None }
    }

    /// Any keys; what asks for them may be a struct.
    pub(super) fn untyped(de: De<'p>, entries: &'p [Entry]) -> Self {
        Self { are_fields: true, ..Self::dictionary(de, entries) }
    }

    /// The fields of a struct; other keys are reported.
    pub(super) fn fields(de: De<'p>, entries: &'p [Entry], fields: &'static [&'static str]) -> Self {
        let mut all = Self { fields: Some(fields), are_fields: true, ..Self::dictionary(de, entries) };
        // Of several structs that share a map, each is given what it has missed itself.
        all.made_up.retain(|field| fields.contains(&field.as_str()));
        all
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        if self.de.context.is_omitted(De::address(&entry.value)) {
            return false;
        }
        let Some(fields) = self.fields else { return true };
        let is_known = fields.contains(&&*entry.key.text);
        if !is_known && self.de.asked.is_none() {
            self.de.context.unknown_key(self.de.path, entry, fields);
        }
        is_known
    }

    /// An error about a key is told at the key, and leaves its entry out.
    fn blame_key(&self, error: DecodeError, entry: &Entry) -> DecodeError {
        error.located(|what| At {
            target: Target::Value(De::address(&entry.value)),
            diagnostic: Some(self.key_diagnostic(what, entry)),
        })
    }

    fn key_diagnostic(&self, what: &What, entry: &Entry) -> Diagnostic {
        let key = &entry.key.text;
        let diagnostic = match (what, self.de.node.origin()) {
            (What::Unknown { kind: Unknown::Key, expected, .. }, _) => {
                return self.de.context.unknown_key_diagnostic(self.de.path, entry, expected);
            }
            (_, Origin::Expanded { written, .. }) => {
                let message = format!("a key in the value of `{written}` is not valid");
                return Diagnostic::error("invalid-key", message).at(self.de.path.render(), &entry.key.place);
            }
            (What::Unknown { found, expected, .. }, _) => {
                Diagnostic::error("unknown-key", format!("unknown key `{found}`"))
                    .with_expected(one_of(expected))
                    .with_suggestion(found, expected.iter().copied())
            }
            (What::Custom { message, expected, help }, _) => {
                let error = Diagnostic::error("invalid-key", message.clone());
                Diagnostic { expected: expected.clone(), help: help.clone(), ..error }
            }
            (What::Type { expected } | What::Value { expected, .. }, _) => {
                Diagnostic::error("invalid-key", format!("expected {expected}, found the key `{key}`"))
                    .with_expected(expected.clone())
            }
            _ => Diagnostic::error("invalid-key", format!("the key `{key}` is not valid")),
        };
        diagnostic.at(Path::Key(self.de.path, key).render(), &entry.key.place)
    }
}

impl<'de> MapAccess<'de> for MapEntries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        while let Some(entry) = self.entries.next() {
            if self.is_wanted(entry) {
                self.current = Some(entry);
                return seed
                    .deserialize(KeyDe(&entry.key.text))
                    .map(Some)
                    .map_err(|error| self.blame_key(error, entry));
            }
        }
        self.current = None;
        match self.made_up.pop() {
            Some(field) => seed.deserialize(KeyDe(&field)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        match self.current {
            Some(entry) => {
                let path = Path::Key(self.de.path, &entry.key.text);
                self.de.child(&entry.value, &path, self.are_fields, seed)
            }
            None => seed.deserialize(Wild::new()),
        }
    }
}

/// A key: text, or a number or boolean written as a key.
struct KeyDe<'p>(&'p str);

macro_rules! forward_parsed {
    ($($method:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_str(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for KeyDe<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        StrDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    forward_parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i64 deserialize_i16 visit_i64 deserialize_i32 visit_i64 deserialize_i64 visit_i64
        deserialize_u8 visit_u64 deserialize_u16 visit_u64 deserialize_u32 visit_u64 deserialize_u64 visit_u64
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant: alone, or as the one key of a map, with its value.
pub(super) struct EnumEntry<'p> {
    de: De<'p>,
    variant: &'p str,
    entry: Option<&'p Entry>,
}

impl<'p> EnumEntry<'p> {
    pub(super) fn alone(de: De<'p>, variant: &'p str) -> Self {
        Self { de, variant, entry: None }
    }

    pub(super) fn with_value(de: De<'p>, entry: &'p Entry) -> Self {
        Self { de, variant: &entry.key.text, entry: Some(entry) }
    }

    fn value<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        let Some(entry) = self.entry else {
            return Err(DecodeError::custom(format!("`{0}` needs a value: `{0}: ...`", self.variant)));
        };
        let path = Path::Key(self.de.path, &entry.key.text);
        self.de.child(&entry.value, &path, false, seed)
    }
}

impl<'de> EnumAccess<'de> for EnumEntry<'_> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let variant = seed.deserialize(StrDeserializer::<DecodeError>::new(self.variant))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for EnumEntry<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.entry {
            Some(entry) if !entry.value.is_null() => {
                Err(DecodeError::custom(format!("`{}` takes no value", self.variant)))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.value(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.value(Visit { visitor, fields: None })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.value(Visit { visitor, fields: Some(fields) })
    }
}

/// A visitor as a seed: of a struct if it has fields, else of a list.
struct Visit<V> {
    visitor: V,
    fields: Option<&'static [&'static str]>,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Visit<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.fields {
            Some(fields) => deserializer.deserialize_struct("", fields, self.visitor),
            None => deserializer.deserialize_seq(self.visitor),
        }
    }
}
