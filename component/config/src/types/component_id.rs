//! The id of a component: `type` or `type/name`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::InvalidValue;

const EXPECTED: &str = "a component id such as `otlp` or `otlp/name`";
const MAX_TYPE: usize = 63;

/// `type[/name]`. The type is a letter and at most 62 letters, digits and underscores; the name has no spaces, control
/// characters or symbols. (Beyond ASCII, symbols that are neither are let through.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    text: Arc<str>,
    /// Where the type ends: at the slash, or at the end.
    type_end: usize,
}

impl ComponentId {
    /// The type, such as `otlp`.
    pub fn type_name(&self) -> &str {
        &self.text[..self.type_end]
    }

    /// The name after the slash, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.text.get(self.type_end + 1..).filter(|name| !name.is_empty())
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ComponentId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let invalid = |why: &str| InvalidValue::new(format!("`{text}` is not a component id: {why}"), EXPECTED);
        let (kind, name) = match trimmed.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (trimmed, None),
        };
        if kind.is_empty() {
            return Err(invalid("it has no type"));
        }
        if kind.len() > MAX_TYPE {
            return Err(invalid("the type is longer than 63 characters"));
        }
        let in_type = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !kind.starts_with(|c: char| c.is_ascii_alphabetic()) || !kind.chars().all(in_type) {
            let error = invalid("a type is a letter followed by letters, digits and underscores");
            let meant: String = kind.chars().map(|c| if in_type(c) { c } else { '_' }).collect();
            let plausible = meant != kind && meant.starts_with(|c: char| c.is_ascii_alphabetic());
            return Err(if plausible { error.meant(trimmed.replacen(kind, &meant, 1)) } else { error });
        }
        match name {
            Some("") => Err(invalid("nothing follows the slash").meant(kind)),
            Some(name) if !name.chars().all(in_name) => {
                Err(invalid("a name holds no spaces, control characters or symbols"))
            }
            Some(name) => Ok(Self { text: format!("{kind}/{name}").into(), type_end: kind.len() }),
            None => Ok(Self { text: kind.into(), type_end: kind.len() }),
        }
    }
}

fn in_name(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !"$+<=>^`|~".contains(c)
}

super::scalar_type!(ComponentId, crate::decode::COMPONENT_ID, EXPECTED, |number: u64| number.to_string().parse());

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl JsonSchema for ComponentId {
    fn schema_name() -> Cow<'static, str> {
        "ComponentId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The id of a component: its type, or its type, a slash and a name.",
            "type": "string",
            "pattern": "^[a-zA-Z][0-9a-zA-Z_]{0,62}(/[^\\s$+<=>^`|~]+)?$",
            "examples": ["otlp", "dynamodb/onboarding"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_type_and_perhaps_a_name() {
        for (text, kind, name) in [
            ("otlp", "otlp", None),
            ("dynamodb/on-boarding.2", "dynamodb", Some("on-boarding.2")),
            ("a/b/c", "a", Some("b/c")),
            (" otlp / x ", "otlp", Some("x")),
        ] {
            let id: ComponentId = text.parse().unwrap();
            assert_eq!((id.type_name(), id.name()), (kind, name), "{text}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let long = "a".repeat(64);
        for text in ["", "/x", "otlp/", "1otlp", "ot lp", "otlp/a b", "otlp/$x", "_a", "ot-lp", "otlp/a\u{7}", &long] {
            assert!(text.parse::<ComponentId>().is_err(), "{text}");
        }
        assert_eq!("ot-lp/x".parse::<ComponentId>().unwrap_err().help.as_deref(), Some("did you mean `ot_lp/x`?"));
    }
}
