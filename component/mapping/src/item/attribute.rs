//! The values in an item. Numbers are kept as the decimal text that came, so that one that names an entity loses no digit.

/// One value of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A number, as decimal text.
    Number(String),
    /// True or false.
    Bool(bool),
    /// There, and without a value.
    Null,
    /// Binary.
    Bytes(Vec<u8>),
    /// Values in an order.
    List(Vec<Attribute>),
    /// Values by name.
    Map(Fields),
    /// A set of texts.
    Texts(Vec<String>),
    /// A set of numbers.
    Numbers(Vec<String>),
    /// A set of binaries.
    Blobs(Vec<Vec<u8>>),
    /// A value of a type that is not known here.
    Other,
}

/// Values by name, sorted by name: found by bisection, and no sender can choose names that make it slow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Attribute)>);

impl Fields {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of this name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        let found = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name));
        found.ok().map(|index| &self.0[index].1)
    }

    /// Whether there is a value of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a value; gives back the one that was there.
    pub fn insert(&mut self, name: String, value: Attribute) -> Option<Attribute> {
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.0.insert(index, (name, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Attribute> {
        let found = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name));
        found.ok().map(|index| self.0.remove(index).1)
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of values with the same name the last one counts.
impl FromIterator<(String, Attribute)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Attribute)>>(fields: I) -> Self {
        let mut sorted: Vec<_> = fields.into_iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        // `dedup_by` drops the later of two, so the values change places first.
        sorted.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            is_same
        });
        Self(sorted)
    }
}

impl IntoIterator for Fields {
    type Item = (String, Attribute);
    type IntoIter = std::vec::IntoIter<(String, Attribute)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::ops::Index<&str> for Fields {
    type Output = Attribute;

    /// # Panics
    /// If there is no such value.
    fn index(&self, name: &str) -> &Attribute {
        self.get(name).expect("no such field")
    }
}

/// What an attribute is called in messages: `string`, `number`, `string set` ...
pub fn type_name(attribute: &Attribute) -> &'static str {
    match attribute {
        Attribute::Bytes(_) => "binary",
        Attribute::Bool(_) => "bool",
        Attribute::Blobs(_) => "binary set",
        Attribute::List(_) => "list",
        Attribute::Map(_) => "map",
        Attribute::Number(_) => "number",
        Attribute::Numbers(_) => "number set",
        Attribute::Null => "null",
        Attribute::Text(_) => "string",
        Attribute::Texts(_) => "string set",
        Attribute::Other => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn number(value: u8) -> Attribute {
        Attribute::Number(value.to_string())
    }

    proptest! {
        #[test]
        fn fields_are_a_map(changes in prop::collection::vec(("[a-e]{1,2}", any::<u8>(), any::<bool>()), 0..40)) {
            let mut model = HashMap::new();
            let mut fields = Fields::new();
            for (name, value, removes) in &changes {
                if *removes {
                    prop_assert_eq!(fields.remove(name), model.remove(name).map(number));
                } else {
                    prop_assert_eq!(fields.insert(name.clone(), number(*value)), model.insert(name.clone(), *value).map(number));
                }
            }
            prop_assert_eq!(fields.len(), model.len());
            prop_assert!(model.iter().all(|(name, value)| fields.get(name) == Some(&number(*value))));
            let collected: Fields = changes.iter().map(|(name, value, _)| (name.clone(), number(*value))).collect();
            let last: HashMap<_, _> = changes.iter().map(|(name, value, _)| (name.clone(), *value)).collect();
            prop_assert_eq!(collected.len(), last.len());
            prop_assert!(last.iter().all(|(name, value)| collected.get(name) == Some(&number(*value))));
        }
    }
}
