//! Where in a YAML text a path stands. The parser knows places only for errors, so the text is read
//! once more with a visitor that fails at the wanted node; nothing is paid for files without errors.

use std::fmt;

use serde::de::DeserializeSeed;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Step;

/// Line and column (from 1) of the node at `path`, or of the deepest ancestor that exists.
pub(crate) fn locate(text: &str, path: &[Step]) -> Option<(usize, usize)> {
    let error = Seek(path).deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.location().map(|at| (at.line(), at.column()))
}

/// Walks down one path and fails where it ends.
struct Seek<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, node: D) -> Result<(), D::Error> {
        node.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node that is sought")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((Step::Key(wanted), rest)) = self.0.split_first() {
            while let Some(key) = map.next_key::<String>()? {
                if key == *wanted {
                    return map.next_value_seed(Seek(rest));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(found())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some((Step::Index(wanted), rest)) = self.0.split_first() {
            for _ in 0..*wanted {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Err(found());
                }
            }
            if seq.next_element_seed(Seek(rest))?.is_some() {
                return Ok(());
            }
        }
        Err(found())
    }
}

/// The error that carries the place; every scalar ends in one too, by the visitor's defaults.
fn found<E: de::Error>() -> E {
    E::custom("here")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nlist:\n  - x: one\n  - x: two\n    y: {z: three}\n";

    fn at(path: &[Step]) -> Option<(usize, usize)> {
        locate(TEXT, path)
    }

    #[test]
    fn finds_scalars_maps_and_list_entries() {
        assert_eq!(at(&["a".into()]), Some((1, 4)));
        assert_eq!(at(&["list".into(), 1.into()]), Some((4, 5)));
        assert_eq!(at(&["list".into(), 1.into(), "x".into()]), Some((4, 8)));
        assert_eq!(at(&["list".into(), 1.into(), "y".into(), "z".into()]), Some((5, 12)));
    }

    #[test]
    fn a_missing_child_is_shown_at_its_parent() {
        assert_eq!(at(&["list".into(), 0.into(), "absent".into()]), Some((3, 5)));
    }
}
