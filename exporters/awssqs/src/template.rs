//! Templates: JSON with names in braces, compiled once, filled for each event.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A compiled template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Template {
    /// As it is.
    Fixed(Value),
    /// Nothing but a name: the value with its type.
    Name(String),
    /// Text with names in it.
    Text(Vec<Part>),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Name(String),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// A brace that is not closed, or that holds no name.
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => match parts(text)?.as_slice() {
                [] => Template::Fixed(value.clone()),
                [Part::Text(text)] => Template::Fixed(Value::String(text.clone())),
                [Part::Name(name)] => Template::Name(name.clone()),
                parts => Template::Text(parts.to_vec()),
            },
            Value::Array(elements) => Template::List(elements.iter().map(Self::compile).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| Ok((name.clone(), Self::compile(value)?));
                Template::Map(fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            other => Template::Fixed(other.clone()),
        })
    }

    /// The names in it.
    pub(crate) fn names(&self, names: &mut BTreeSet<String>) {
        match self {
            Template::Fixed(_) => {}
            Template::Name(name) => drop(names.insert(name.clone())),
            Template::Text(parts) => names.extend(parts.iter().filter_map(|part| match part {
                Part::Name(name) => Some(name.clone()),
                Part::Text(_) => None,
            })),
            Template::List(elements) => elements.iter().for_each(|element| element.names(names)),
            Template::Map(fields) => fields.iter().for_each(|(_, field)| field.names(names)),
        }
    }

    /// The event. What has no value is left out of objects and lists, and is empty in texts.
    pub(crate) fn fill(&self, value: &impl Fn(&str) -> Option<Value>) -> Option<Value> {
        match self {
            Template::Fixed(fixed) => Some(fixed.clone()),
            Template::Name(name) => value(name),
            Template::Text(parts) => {
                let text = parts.iter().map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Name(name) => value(name).map(|value| plain(&value)).unwrap_or_default(),
                });
                Some(Value::String(text.collect()))
            }
            Template::List(elements) => Some(elements.iter().filter_map(|element| element.fill(value)).collect()),
            Template::Map(fields) => {
                let filled = fields.iter().filter_map(|(name, field)| Some((name.clone(), field.fill(value)?)));
                Some(Value::Object(filled.collect::<Map<_, _>>()))
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
            return Err(format!("a brace of {text:?} has no partner; a brace by itself is written twice"));
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("{{{name}}} in {text:?} is no name"));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Name(name.to_owned()));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_types_and_what_is_not_there_is_left_out() {
        let template = json!({"type": "t", "n": "{n}", "text": "{who} has {n}", "gone": "{gone}", "deep": [{"x": "{n}"}, "{gone}", 5], "brace": "{{n}}", "empty": ""});
        let template = Template::compile(&template).unwrap();
        let value = |name: &str| match name {
            "n" => Some(json!(3)),
            "who" => Some(json!("acct")),
            _ => None,
        };
        let expected =
            json!({"type": "t", "n": 3, "text": "acct has 3", "deep": [{"x": 3}, 5], "brace": "{n}", "empty": ""});
        assert_eq!(template.fill(&value), Some(expected));
        let mut names = BTreeSet::new();
        template.names(&mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["gone", "n", "who"]);
    }

    #[test]
    fn braces_without_a_name_are_errors() {
        for text in ["{", "}", "a {b", "{}", "{a b}", "a } b"] {
            assert!(Template::compile(&json!(text)).is_err(), "{text}");
        }
    }
}
