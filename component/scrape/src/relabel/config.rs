//! One rule as it is configured, and what can be wrong with it.
//! The checks are Prometheus': a rule that it refuses is refused here, for the same reason.

use schemars::JsonSchema;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use super::re2;
use super::rule::{Effect, Rule};
use super::template::Template;

/// One rule of `relabel_configs` or `metric_relabel_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelConfig {
    /// The labels whose values, joined by the separator, are what the rule looks at. `__name__` is the metric's name.
    pub source_labels: Vec<String>,
    /// Stands between the values of the source labels.
    pub separator: String,
    /// The label that is set. With `replace` it may hold `$1` or `${1}`.
    pub target_label: String,
    /// What must match, from beginning to end. RE2 syntax.
    pub regex: String,
    /// The modulus of `hashmod`.
    pub modulus: u64,
    /// The new value, or with `labelmap` the new name. `$1`, `${1}` and `${name}` stand for groups of the regex, `$$` for a dollar.
    pub replacement: String,
    /// What the rule does.
    #[serde(deserialize_with = "of_any_case")]
    pub action: Action,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".into(),
            target_label: String::new(),
            regex: "(.*)".into(),
            modulus: 0,
            replacement: "$1".into(),
            action: Action::default(),
        }
    }
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Sets the target label to the replacement where the regex matches.
    #[default]
    Replace,
    /// Keeps only what the regex matches.
    Keep,
    /// Refuses what the regex matches.
    Drop,
    /// Keeps only what has the target label equal to the source labels.
    KeepEqual,
    /// Refuses what has the target label equal to the source labels.
    DropEqual,
    /// Sets the target label to a hash of the source labels, modulo `modulus`.
    HashMod,
    /// Copies each label whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source labels in lower case.
    Lowercase,
    /// Sets the target label to the source labels in upper case.
    Uppercase,
}

impl Action {
    /// The spelling used in a config file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    fn needs_target(self) -> bool {
        use Action::{DropEqual, HashMod, KeepEqual, Lowercase, Replace, Uppercase};
        matches!(self, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual)
    }

    /// The keys that it takes besides `action`; one that is set to something is otherwise an error.
    ///
    /// Prometheus ignores some of the others without a word, and so are they here.
    fn refuses(self, key: &str) -> bool {
        use Action::{DropEqual, KeepEqual, LabelDrop, LabelKeep, Lowercase, Uppercase};
        match self {
            Lowercase | Uppercase => key == "replacement",
            KeepEqual | DropEqual => !matches!(key, "source_labels" | "target_label"),
            LabelDrop | LabelKeep => key != "regex",
            _ => false,
        }
    }
}

/// Prometheus takes actions in any case.
fn of_any_case<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Action, D::Error> {
    let name = String::deserialize(deserializer)?.to_lowercase();
    Action::deserialize(name.into_deserializer())
}

impl RelabelConfig {
    pub(super) fn compile(&self) -> Result<Rule, Vec<(&'static str, String)>> {
        let mut errors = self.stray_keys();
        if self.source_labels.iter().any(String::is_empty) {
            errors.push(("source_labels", "the name of a label is not empty".into()));
        }
        let action = self.action.as_str();
        if self.action.needs_target() && self.target_label.is_empty() {
            errors.push(("target_label", format!("the action `{action}` needs a target label")));
        }
        if self.action == Action::HashMod && self.modulus == 0 {
            errors.push(("modulus", "the action `hashmod` needs a modulus above 0".into()));
        }
        if self.action == Action::LabelMap && self.replacement.is_empty() {
            errors.push(("replacement", "the action `labelmap` needs the new name of the labels".into()));
        }
        let regex = match re2::anchored(&self.regex) {
            Ok(regex) => regex,
            Err(message) => {
                errors.push(("regex", message));
                return Err(errors);
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let (target, replacement) =
            (Template::new(&self.target_label, &regex), Template::new(&self.replacement, &regex));
        let target_label = self.target_label.clone();
        let effect = match self.action {
            Action::Replace => Effect::Replace { target, replacement },
            Action::Keep => Effect::Keep,
            Action::Drop => Effect::Drop,
            Action::KeepEqual => Effect::KeepEqual(target_label),
            Action::DropEqual => Effect::DropEqual(target_label),
            Action::HashMod => Effect::HashMod { target: target_label, modulus: self.modulus },
            Action::LabelMap => Effect::LabelMap(replacement),
            Action::LabelDrop => Effect::LabelDrop,
            Action::LabelKeep => Effect::LabelKeep,
            Action::Lowercase => Effect::Lowercase(target_label),
            Action::Uppercase => Effect::Uppercase(target_label),
        };
        Ok(Rule { sources: self.source_labels.clone(), separator: self.separator.clone(), regex, effect })
    }

    /// Keys that are set though the action has no use for them.
    fn stray_keys(&self) -> Vec<(&'static str, String)> {
        let plain = Self::default();
        let keys = [
            ("source_labels", self.source_labels != plain.source_labels),
            ("separator", self.separator != plain.separator),
            ("target_label", self.target_label != plain.target_label),
            ("regex", self.regex != plain.regex),
            ("modulus", self.modulus != plain.modulus),
            ("replacement", self.replacement != plain.replacement),
        ];
        let stray = keys.into_iter().filter(|(key, set)| *set && self.action.refuses(key));
        stray.map(|(key, _)| (key, format!("the action `{}` takes no `{key}`", self.action.as_str()))).collect()
    }
}
