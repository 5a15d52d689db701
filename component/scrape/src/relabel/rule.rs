//! One compiled rule at work.
//! An empty value is no label: setting one removes it, and a source label that is absent is empty.

use std::borrow::Cow;

use md5::{Digest, Md5};
use regex::Regex;

use super::template::Template;
use crate::labels::Labels;

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) sources: Vec<String>,
    pub(super) separator: String,
    /// Matches from beginning to end.
    pub(super) regex: Regex,
    pub(super) effect: Effect,
}

/// What a rule does. The names are those of labels.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Replace { target: Template, replacement: Template },
    Keep,
    Drop,
    KeepEqual(String),
    DropEqual(String),
    HashMod { target: String, modulus: u64 },
    LabelMap(Template),
    LabelDrop,
    LabelKeep,
    Lowercase(String),
    Uppercase(String),
}

impl Rule {
    /// Changes the labels, or says that they are refused.
    pub(super) fn apply(&self, labels: &mut Labels) -> bool {
        match &self.effect {
            Effect::Keep => return self.regex.is_match(&self.value(labels)),
            Effect::Drop => return !self.regex.is_match(&self.value(labels)),
            Effect::KeepEqual(target) => return self.value(labels) == labels.get(target).unwrap_or_default(),
            Effect::DropEqual(target) => return self.value(labels) != labels.get(target).unwrap_or_default(),
            Effect::Replace { target, replacement } => self.replace(target, replacement, labels),
            Effect::HashMod { target, modulus } => {
                let hash = hash(self.value(labels).as_bytes()) % modulus;
                labels.set(target, &hash.to_string());
            }
            Effect::Lowercase(target) => {
                let value = self.value(labels).to_lowercase();
                labels.set(target, &value);
            }
            Effect::Uppercase(target) => {
                let value = self.value(labels).to_uppercase();
                labels.set(target, &value);
            }
            Effect::LabelMap(name) => self.map(name, labels),
            Effect::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Effect::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    /// The values of the source labels, joined.
    fn value<'l>(&self, labels: &'l Labels) -> Cow<'l, str> {
        let value = |name: &String| labels.get(name).unwrap_or_default();
        match self.sources.as_slice() {
            [] => Cow::Borrowed(""),
            [name] => Cow::Borrowed(value(name)),
            names => Cow::Owned(names.iter().map(value).collect::<Vec<_>>().join(&self.separator)),
        }
    }

    fn replace(&self, target: &Template, replacement: &Template, labels: &mut Labels) {
        let source = self.value(labels);
        let Some(captures) = self.regex.captures(&source) else { return };
        let (target, value) = (target.expand(&captures), replacement.expand(&captures));
        drop(captures);
        drop(source);
        // A name that is filled in may turn out to be empty: then there is nothing to set.
        if !target.is_empty() {
            labels.set(&target, &value);
        }
    }

    fn map(&self, name: &Template, labels: &mut Labels) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(label, value)| Some((name.expand(&self.regex.captures(label)?), value.to_owned())))
            .collect();
        for (name, value) in mapped.iter().filter(|(name, _)| !name.is_empty()) {
            labels.set(name, value);
        }
    }
}

/// The last eight bytes of the MD5 sum as a number, as Prometheus has always computed it.
fn hash(value: &[u8]) -> u64 {
    let sum: [u8; 16] = Md5::digest(value).into();
    sum[8..].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_hash_is_the_lower_half_of_md5() {
        // RFC 1321, A.5: the sums of these texts are known.
        for (text, sum) in
            [("", 0xe980_0998_ecf8_427e_u64), ("abc", 0xd696_3f7d_28e1_7f72), ("a", 0x31c3_99e2_6977_2661)]
        {
            assert_eq!(hash(text.as_bytes()), sum, "{text}");
        }
    }
}
