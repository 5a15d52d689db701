//! Serde's view of a node.

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

use super::access::{EnumEntry, MapEntries, SeqItems};
use super::context::{Context, Path, one_of};
use super::error::{At, DecodeError, Target, Unknown, What};
use super::flat::Asked;
use crate::diagnostic::Diagnostic;
use crate::node::{Kind, Node, Origin};

/// A node that is being decoded.
#[derive(Clone, Copy)]
pub(super) struct De<'p> {
    pub(super) node: &'p Node,
    pub(super) path: &'p Path<'p>,
    pub(super) context: &'p Context<'p>,
    /// Whether it is a field of a struct, which has a default or is missed.
    pub(super) is_field: bool,
    /// Where a struct notes its fields that shares the node with others; keys that it does not know may be theirs.
    pub(super) asked: Option<&'p Asked>,
}

impl<'p> De<'p> {
    pub(super) fn root(node: &'p Node, path: &'p Path<'p>, context: &'p Context<'p>) -> Self {
        Self { node, path, context, is_field: false, asked: None }
    }

    pub(super) fn address(node: &Node) -> usize {
        std::ptr::from_ref(node).addr()
    }

    /// Decodes a part of this node.
    pub(super) fn child<'de, S: DeserializeSeed<'de>>(
        &self,
        node: &Node,
        path: &Path<'_>,
        is_field: bool,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        seed.deserialize(De { node, path, context: self.context, is_field, asked: None })
    }

    /// Runs a step of decoding; an error that nobody further down claimed is about this node.
    fn here<T>(self, step: impl FnOnce(Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let outcome = if self.context.is_omitted(Self::address(self.node)) {
            // It failed before and whoever holds it cannot do without: so that fails, too.
            return Err(DecodeError::new(What::Silent));
        } else if matches!(self.node.kind(), Kind::Poison(_)) {
            Err(DecodeError::new(What::Poison))
        } else {
            step(self)
        };
        outcome.map_err(|error| error.located(|what| self.locate(what)))
    }

    fn locate(&self, what: &mut What) -> At {
        if self.is_field
            && self.node.is_null()
            && matches!(what, What::Type { .. } | What::Custom { .. } | What::Value { .. })
        {
            *what = What::NullField;
        }
        let target = match what {
            What::Missing(field) => Target::Missing { map: Self::address(self.node), field: (*field).to_owned() },
            _ => Target::Value(Self::address(self.node)),
        };
        At { target, diagnostic: self.diagnose(what) }
    }

    fn diagnose(&self, what: &What) -> Option<Diagnostic> {
        let error = match what {
            What::Silent | What::NullField => return None,
            What::Missing(field) => return self.missing(field),
            What::Type { expected } => {
                let error =
                    Diagnostic::error("wrong-type", format!("expected {expected}, found {}", self.node.describe()));
                let help = self.type_help(expected);
                Diagnostic { help, ..error.with_expected(expected) }
            }
            What::Value { expected, found } => {
                let found = found.clone().map_or_else(|| self.node.describe(), |found| self.discreet(&found));
                Diagnostic::error("invalid-value", format!("expected {expected}, found {found}"))
                    .with_expected(expected)
            }
            What::Custom { message, expected, help } => {
                let error = Diagnostic::error("invalid-value", self.discreet(message));
                let help = help.clone().filter(|_| *self.node.origin() == Origin::Literal);
                Diagnostic { expected: expected.clone(), help, ..error }
            }
            What::Duplicate(field) => {
                Diagnostic::error("duplicate-key", format!("`{field}` is given twice, under its old and its new name"))
            }
            What::Unknown { kind, found, expected } => self.unknown(*kind, found, expected),
            What::Poison => self.poisoned(),
        };
        let place = match (what, self.node.entries()) {
            (What::Unknown { kind: Unknown::Variant, .. }, [entry]) => &entry.key.place,
            _ => self.node.place(),
        };
        Some(error.at(self.path.render(), place))
    }

    fn unknown(&self, kind: Unknown, found: &str, expected: &[&str]) -> Diagnostic {
        let name = match kind {
            Unknown::Key => "key",
            Unknown::Variant => "value",
        };
        let rule = match kind {
            Unknown::Key => "unknown-key",
            Unknown::Variant => "unknown-value",
        };
        let shown = self.discreet(&format!("`{found}`"));
        let error = Diagnostic::error(rule, format!("unknown {name} {shown}")).with_expected(one_of(expected));
        error.with_suggestion(found, expected.iter().copied())
    }

    fn poisoned(&self) -> Diagnostic {
        match self.node.kind() {
            Kind::Poison(poison) => Diagnostic::from((**poison).clone()),
            _ => Diagnostic::error("invalid-value", "the value could not be had"),
        }
    }

    /// A field is missed where its map begins; one that is there and failed has been reported.
    fn missing(&self, field: &str) -> Option<Diagnostic> {
        let given = self.node.entry(field).map(|entry| &entry.value);
        if given.is_some_and(|value| !value.is_null() && self.context.is_omitted(Self::address(value))) {
            return None;
        }
        let place = self.node.entry(field).map_or(self.node.head(), |entry| &entry.key.place);
        let message = match given {
            Some(_) => format!("`{field}` has no value"),
            None => format!("missing field `{field}`"),
        };
        Some(Diagnostic::error("missing-field", message).at(Path::Key(self.path, field).render(), place))
    }

    fn type_help(&self, expected: &str) -> Option<String> {
        if *self.node.origin() != Origin::Literal {
            return None;
        }
        let text = self.node.text()?;
        let is_text = self.node.as_str().is_some();
        match expected {
            "`true` or `false`" => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" | "1" => Some("did you mean `true`?".to_owned()),
                "no" | "off" | "n" | "false" | "0" => Some("did you mean `false`?".to_owned()),
                _ => None,
            },
            "a list" => Some("write a list, even of one: `[...]`".to_owned()),
            "a map" if is_text && text.contains(':') => Some("is a space missing after the colon?".to_owned()),
            _ if is_text && text.parse::<f64>().is_ok() && expected.contains("number") => {
                Some(format!("write it without quotes: `{text}`"))
            }
            _ => None,
        }
    }

    /// A message without the value, if the value came from outside.
    fn discreet(&self, message: &str) -> String {
        let Origin::Expanded { written, .. } = self.node.origin() else { return message.to_owned() };
        let Some(text) = self.node.text().filter(|text| !text.is_empty()) else { return message.to_owned() };
        let shown = format!("`{written}`");
        let spellings = [format!("{text:?}"), format!("`{text}`"), format!("'{text}'")];
        let replaced = spellings.iter().fold(message.to_owned(), |message, spelling| message.replace(spelling, &shown));
        if replaced.replace(&shown, "").contains(text) {
            return format!("the value of {shown} is not valid");
        }
        replaced
    }

    /// The text for somebody who wants a text: that of any scalar, and all that a whole expansion brought.
    fn as_text(&self) -> Option<&'p str> {
        match (self.node.kind(), self.node.origin()) {
            (Kind::Null, Origin::Literal) => None,
            // A variable that is set to nothing is an empty text; one that says `null` is none.
            (Kind::Null, _) => self.node.text().filter(|text| text.is_empty()),
            _ => self.node.text(),
        }
    }

    /// A number that is written as a fraction but is whole, such as `1e5`.
    fn as_whole(&self) -> Option<i64> {
        match self.node.kind() {
            // Up to 2^53 every whole number is exact.
            Kind::Float(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => Some(*value as i64),
            _ => None,
        }
    }

    fn whole<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.as_whole() {
            Some(whole) => self.here(|_| visitor.visit_i64(whole)),
            None => self.deserialize_any(visitor),
        }
    }
}

macro_rules! forward_whole {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.whole(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.here(|de| match de.node.kind() {
            Kind::Null | Kind::Poison(_) => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(signed), _) => visitor.visit_i64(signed),
                (_, Ok(unsigned)) => visitor.visit_u64(unsigned),
                _ => visitor.visit_i128(*value),
            },
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Str(text) => visitor.visit_str(text),
            Kind::Seq(items) => visitor.visit_seq(SeqItems::new(de, items)),
            Kind::Map(entries) => visitor.visit_map(MapEntries::untyped(de, entries)),
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.as_text() {
            Some(text) => self.here(|_| visitor.visit_str(text)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.kind() {
            Kind::Null => self.here(|_| visitor.visit_none()),
            _ => self.here(|de| visitor.visit_some(de)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == super::SECRET {
            self.context.note_secret(self.path, self.node);
        }
        self.here(|de| visitor.visit_newtype_struct(de))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.kind() {
            Kind::Null if !self.is_field => self.here(|de| visitor.visit_map(MapEntries::dictionary(de, &[]))),
            Kind::Map(entries) => self.here(|de| visitor.visit_map(MapEntries::dictionary(de, entries))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.asked.into_iter().for_each(|asked| asked.borrow_mut().extend(fields));
        match self.node.kind() {
            Kind::Null => self.here(|de| visitor.visit_map(MapEntries::fields(de, &[], fields))),
            Kind::Map(entries) => self.here(|de| visitor.visit_map(MapEntries::fields(de, entries, fields))),
            // A list would be taken field by field, which nobody means.
            Kind::Seq(_) => self.here(|_| Err(DecodeError::new(What::Type { expected: "a map".to_owned() }))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            super::FLAT => super::flat::decode(self, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.here(|de| match (de.node.kind(), de.as_text()) {
            (Kind::Map(entries), _) if entries.len() == 1 => visitor.visit_enum(EnumEntry::with_value(de, &entries[0])),
            (_, Some(text)) if !de.node.is_null() => visitor.visit_enum(EnumEntry::alone(de, text)),
            (Kind::Map(_), _) => Err(DecodeError::custom(format!("expected exactly {}", one_of(variants)))),
            _ => Err(DecodeError::new(What::Type { expected: one_of(variants) })),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_whole! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    forward_to_deserialize_any! {
        bool f32 f64 bytes byte_buf unit unit_struct seq tuple
    }
}
