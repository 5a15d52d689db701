//! Values with a spelling of their own. Each reads, prints, describes itself in the schema, and says what it expects.

mod byte_size;
mod component_id;
mod duration;
mod secret;

pub use byte_size::ByteSize;
pub use component_id::ComponentId;
pub use duration::Duration;
pub use secret::Secret;

/// Why a text is not one of these values: what is wrong, what is expected, and how it was probably meant.
///
/// A `Deserialize` of one's own hands it over with `Error::custom`; [`crate::decode`] then reports its three parts apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue {
    /// What is wrong.
    pub message: String,
    /// What is expected.
    pub expected: &'static str,
    /// How it was probably meant, such as ``did you mean `30s`?``.
    pub help: Option<String>,
}

/// Separates the parts in the alternate form, in which `decode` asks for an error's text.
pub(crate) const SEPARATOR: char = '\u{1f}';

impl std::error::Error for InvalidValue {}

impl std::fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let help = self.help.as_deref();
        if f.alternate() {
            return write!(f, "{}{SEPARATOR}{}{SEPARATOR}{}", self.message, self.expected, help.unwrap_or_default());
        }
        write!(f, "{}, expected {}", self.message, self.expected)?;
        help.map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl InvalidValue {
    pub(crate) fn new(message: impl Into<String>, expected: &'static str) -> Self {
        Self { message: message.into(), expected, help: None }
    }

    pub(crate) fn meant(mut self, spelling: impl std::fmt::Display) -> Self {
        self.help = Some(format!("did you mean `{spelling}`?"));
        self
    }
}

/// Implements `Deserialize` for a type that is written as one scalar: from text by `FromStr`, from a whole number by
/// `from_number`.
macro_rules! scalar_type {
    ($type:ty, $name:expr, $expected:expr, $from_number:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, inner: D) -> Result<$type, D::Error> {
                        inner.deserialize_any(self)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        $from_number(number).map_err(E::custom)
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        match u64::try_from(number) {
                            Ok(number) => self.visit_u64(number),
                            Err(_) => number.to_string().parse().map_err(E::custom),
                        }
                    }
                }

                deserializer.deserialize_newtype_struct($name, Visitor)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
use scalar_type;
