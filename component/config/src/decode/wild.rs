//! A value made up for a field that is missing, only to find out what else is wrong. It never leaves `decode`.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::error::{DecodeError, What};

/// Becomes whatever it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wild {
    depth: usize,
    text: &'static str,
}

/// Types that contain themselves must end somewhere.
const MAX_DEPTH: usize = 16;

impl Wild {
    pub(super) fn new() -> Self {
        Self { depth: 0, text: "" }
    }

    fn deeper(self) -> Result<Self, DecodeError> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::new(What::Silent));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

/// Whatever a visitor says to a made-up value has no place in a report.
fn quiet<T>(result: Result<T, DecodeError>) -> Result<T, DecodeError> {
    result.map_err(|_| DecodeError::new(What::Silent))
}

macro_rules! made_up {
    ($($method:ident => $visit:ident($($value:expr)?),)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            quiet(visitor.$visit($($value)?))
        })*
    };
}

impl<'de> Deserializer<'de> for Wild {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        quiet(visitor.visit_str(self.text))
    }

    made_up! {
        deserialize_bool => visit_bool(false),
        deserialize_i8 => visit_i64(1),
        deserialize_i16 => visit_i64(1),
        deserialize_i32 => visit_i64(1),
        deserialize_i64 => visit_i64(1),
        deserialize_i128 => visit_i64(1),
        deserialize_u8 => visit_u64(1),
        deserialize_u16 => visit_u64(1),
        deserialize_u32 => visit_u64(1),
        deserialize_u64 => visit_u64(1),
        deserialize_u128 => visit_u64(1),
        deserialize_f32 => visit_f64(1.0),
        deserialize_f64 => visit_f64(1.0),
        deserialize_char => visit_char('x'),
        deserialize_bytes => visit_bytes(&[]),
        deserialize_byte_buf => visit_bytes(&[]),
        deserialize_unit => visit_unit(),
        deserialize_ignored_any => visit_unit(),
        deserialize_option => visit_none(),
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        quiet(visitor.visit_unit())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let text = match name {
            super::DURATION | super::BYTE_SIZE => "1s",
            super::COMPONENT_ID => "x",
            _ => "",
        };
        let text = if name == super::BYTE_SIZE { "1" } else { text };
        quiet(visitor.visit_newtype_struct(Wild { text, ..self.deeper()? }))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        quiet(visitor.visit_seq(WildItems { wild: self, left: 0 }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        quiet(visitor.visit_seq(WildItems { wild: self.deeper()?, left: len }))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        quiet(visitor.visit_map(WildFields { wild: self, fields: [].iter() }))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        quiet(visitor.visit_map(WildFields { wild: self.deeper()?, fields: fields.iter() }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let Some(first) = variants.first() else { return Err(DecodeError::new(What::Silent)) };
        quiet(visitor.visit_enum(WildVariant { wild: self.deeper()?, variant: first }))
    }
}

struct WildItems {
    wild: Wild,
    left: usize,
}

impl<'de> SeqAccess<'de> for WildItems {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.wild).map(Some)
    }
}

struct WildFields {
    wild: Wild,
    fields: std::slice::Iter<'static, &'static str>,
}

impl<'de> MapAccess<'de> for WildFields {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        match self.fields.next() {
            Some(field) => seed.deserialize(StrDeserializer::<DecodeError>::new(field)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(self.wild)
    }
}

struct WildVariant {
    wild: Wild,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for WildVariant {
    type Error = DecodeError;
    type Variant = Wild;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Wild), DecodeError> {
        Ok((seed.deserialize(StrDeserializer::<DecodeError>::new(self.variant))?, self.wild))
    }
}

impl<'de> VariantAccess<'de> for Wild {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_struct("", fields, visitor)
    }
}
