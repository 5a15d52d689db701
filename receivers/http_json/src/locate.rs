//! Where something is in a document: names with dots, or a JSON pointer (RFC 6901).

use steadyline_mapping::item::{Attribute, Item};

/// A way into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    names: Vec<String>,
    text: String,
}

impl Place {
    /// Reads a place.
    ///
    /// # Errors
    /// An empty name between dots, or a tilde that escapes nothing.
    pub(crate) fn parse(text: &str) -> Result<Place, String> {
        let names = match text.strip_prefix('/') {
            _ if text.is_empty() => Vec::new(),
            Some(pointer) => {
                pointer.split('/').map(unescape).collect::<Option<_>>().ok_or("`~` must be `~0` and `/` `~1`")?
            }
            None => text.split('.').map(str::to_string).collect(),
        };
        if !text.starts_with('/') && names.iter().any(String::is_empty) {
            return Err("a name is empty; names with dots in them are reached by a JSON pointer, `/a.b/c`".into());
        }
        Ok(Place { names, text: text.to_string() })
    }

    /// What is there; `None` if nothing is.
    pub(crate) fn find<'a>(&self, document: &'a Attribute) -> Option<&'a Attribute> {
        self.names.iter().try_fold(document, |at, name| match at {
            Attribute::Map(fields) => fields.get(name),
            Attribute::List(elements) => elements.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The text that is there, as the last page has it or not: null and the empty text are none.
    pub(crate) fn text_in<'a>(&self, document: &'a Attribute) -> Result<Option<&'a str>, String> {
        match self.find(document) {
            None | Some(Attribute::Null) | Some(Attribute::Bool(false)) => Ok(None),
            Some(Attribute::Text(text) | Attribute::Number(text)) => {
                Ok(Some(text.as_str()).filter(|text| !text.is_empty()))
            }
            Some(_) => Err(format!("`{}` is neither a text nor null", self.text)),
        }
    }

    /// The items that are there.
    pub(crate) fn items(&self, document: Attribute, key_attribute: &str) -> Result<Vec<Item>, String> {
        let found = self.take(document).ok_or_else(|| format!("there is nothing at `{}`", self.text))?;
        match found {
            Attribute::List(elements) => Ok(elements.into_iter().map(item).collect()),
            Attribute::Map(entries) if !key_attribute.is_empty() => Ok(entries
                .into_iter()
                .map(|(name, value)| {
                    let mut item = item(value);
                    item.insert(key_attribute.to_string(), Attribute::Text(name));
                    item
                })
                .collect()),
            Attribute::Map(fields) => Ok(vec![fields]),
            // "Nothing" is how some say "no items".
            Attribute::Null => Ok(Vec::new()),
            _ if self.names.is_empty() => Err("the document is neither a list nor an object".into()),
            _ => Err(format!("`{}` is neither a list nor an object", self.text)),
        }
    }

    fn take(&self, document: Attribute) -> Option<Attribute> {
        self.names.iter().try_fold(document, |at, name| match at {
            Attribute::Map(mut fields) => fields.remove(name),
            Attribute::List(mut elements) => {
                let at = name.parse::<usize>().ok().filter(|at| *at < elements.len())?;
                Some(elements.swap_remove(at))
            }
            _ => None,
        })
    }
}

fn item(element: Attribute) -> Item {
    match element {
        Attribute::Map(fields) => fields,
        other => {
            let mut fields = Item::new();
            fields.insert("value".to_string(), other);
            fields
        }
    }
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let mut text = parts.next()?.to_string();
    for part in parts {
        match part.split_at_checked(1)? {
            ("0", rest) => text = text + "~" + rest,
            ("1", rest) => text = text + "/" + rest,
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use steadyline_mapping::item::parse_json;

    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text).unwrap()
    }

    #[test]
    fn places() {
        let document = parse_json(br#"{"a": {"b.c": [10, {"d/e": "x"}]}, "n": null, "t": "", "f": {}}"#).unwrap();
        let text = |text: &str| place(text).text_in(&document).map(|found| found.map(str::to_string));
        assert_eq!(text("/a/b.c/1/d~1e"), Ok(Some("x".into())));
        assert_eq!(text("/a/b.c/0"), Ok(Some("10".into())));
        for nothing in ["n", "t", "missing.further", "/a/b.c/7"] {
            assert_eq!(text(nothing), Ok(None), "{nothing}");
        }
        assert!(text("f").is_err());
        assert!(Place::parse("a..b").is_err() && Place::parse("/a~2").is_err() && Place::parse("/a~").is_err());
    }

    #[test]
    fn items_of_every_shape() {
        let items = |path: &str, key: &str, json: &str| {
            place(path).items(parse_json(json.as_bytes()).unwrap(), key).map(|items| {
                items
                    .iter()
                    .map(|item| item.iter().map(|(name, _)| name.to_string()).collect())
                    .collect::<Vec<Vec<_>>>()
            })
        };
        assert_eq!(items("", "", r#"[{"a": 1}, 5]"#).unwrap(), [["a"], ["value"]]);
        assert_eq!(items("", "", r#"{"a": 1, "b": 2}"#).unwrap(), [["a", "b"]]);
        assert_eq!(items("x", "id", r#"{"x": {"p": {"a": 1}, "q": 2}}"#).unwrap(), [["a", "id"], ["id", "value"]]);
        assert_eq!(items("x.1", "", r#"{"x": [[], [{"a": 1}]]}"#).unwrap(), [["a"]]);
        assert!(items("x", "", r#"{"x": null}"#).unwrap().is_empty());
        for (path, json) in [("x", "{}"), ("x", r#"{"x": 5}"#), ("", "5"), ("x.y", "[]")] {
            assert!(items(path, "", json).is_err(), "{path} {json}");
        }
    }
}
