//! The config of actions, and what is wrong with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::config::{path_index, path_join};

use super::{Actions, Source, Step, What, When};
use crate::Problems;
use crate::value::{Constant, ConvertedType};

/// One thing that is done to the attributes of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// The attribute acted upon. `delete` and `hash` may have a `pattern` instead, or as well.
    #[serde(default)]
    pub key: String,
    /// What is done.
    pub action: ActionKind,
    /// For `insert`, `update` and `upsert`: the value. Text, a number, a bool, or a list or map of these.
    #[serde(default)]
    pub value: Option<Constant>,
    /// For `insert`, `update` and `upsert`: the attribute whose value is copied. Where it is absent, nothing is done.
    #[serde(default)]
    pub from_attribute: String,
    /// With `from_attribute`: the value where that attribute is absent.
    #[serde(default)]
    pub default_value: Option<Constant>,
    /// For `delete` and `hash`: the attributes whose keys match this regular expression anywhere. For `extract`: a regular
    /// expression on the value of `key`, all of whose groups have names: `(?P<region>\w+)-(?P<zone>\w)`.
    #[serde(default)]
    pub pattern: String,
    /// For `convert`: the type.
    #[serde(default)]
    pub converted_type: Option<ConvertedType>,
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Adds the attribute where it is absent.
    #[serde(alias = "INSERT")]
    Insert,
    /// Replaces the value where the attribute is there.
    #[serde(alias = "UPDATE")]
    Update,
    /// Adds or replaces.
    #[serde(alias = "UPSERT")]
    Upsert,
    /// Removes the attribute.
    #[serde(alias = "DELETE")]
    Delete,
    /// Replaces the value by its SHA-256 in hexadecimal digits.
    #[serde(alias = "HASH")]
    Hash,
    /// Writes the groups of `pattern` to the attributes that they are named after, where it matches the value of `key`
    /// and that is text.
    #[serde(alias = "EXTRACT")]
    Extract,
    /// Gives the value another type. What cannot be converted stays as it is.
    #[serde(alias = "CONVERT")]
    Convert,
}

impl ActionKind {
    fn name(self) -> &'static str {
        match self {
            ActionKind::Insert => "insert",
            ActionKind::Update => "update",
            ActionKind::Upsert => "upsert",
            ActionKind::Delete => "delete",
            ActionKind::Hash => "hash",
            ActionKind::Extract => "extract",
            ActionKind::Convert => "convert",
        }
    }
}

impl Actions {
    /// Compiles the actions at `path`. What is wrong is noted; the result counts only if nothing is.
    pub fn new(configs: &[ActionConfig], path: &str, problems: &mut Problems) -> Actions {
        let mut actions = Actions::default();
        if configs.is_empty() {
            problems.error(path, "there is nothing to do: the list of actions is empty");
        }
        for (at, config) in configs.iter().enumerate() {
            if let Some(step) = actions.step(config, &path_index(path, at), problems) {
                actions.steps.push(step);
            }
        }
        actions
    }

    fn step(&mut self, config: &ActionConfig, path: &str, problems: &mut Problems) -> Option<Step> {
        use ActionKind::{Convert, Delete, Extract, Hash, Insert, Update, Upsert};
        let kind = config.action;
        let by_pattern = matches!(kind, Delete | Hash);
        config.check_unused(path, problems);
        if config.key.is_empty() && (config.pattern.is_empty() || !by_pattern) {
            let or = if by_pattern { " or a `pattern`" } else { "" };
            problems.error(path, format!("`{}` needs a `key`{or}", kind.name()));
        }
        let pattern = match config.pattern.is_empty() || !matches!(kind, Delete | Hash | Extract) {
            true => None,
            false => Some(problems.regex(&path_join(path, "pattern"), &config.pattern)?),
        };
        let put = |actions: &mut Actions, present, absent, problems: &mut Problems| {
            let source = actions.source(config, path, problems)?;
            Some(What::Put { when: When { present, absent }, source })
        };
        let what = match kind {
            Insert => put(self, false, true, problems)?,
            Update => put(self, true, false, problems)?,
            Upsert => put(self, true, true, problems)?,
            Delete => What::Delete { pattern },
            Hash => What::Hash { pattern },
            Extract => What::Extract { pattern: extraction(pattern, path, problems)? },
            Convert => {
                let Some(to) = config.converted_type else {
                    problems.error(path, "`convert` needs a `converted_type`: int, double or string");
                    return None;
                };
                What::Convert { to }
            }
        };
        Some(Step { key: config.key.clone(), what })
    }

    fn source(&mut self, config: &ActionConfig, path: &str, problems: &mut Problems) -> Option<Source> {
        match (&config.value, config.from_attribute.is_empty()) {
            (Some(value), true) => Some(Source::Constant(self.constant(value))),
            (None, false) => {
                let fallback = config.default_value.as_ref().map(|value| self.constant(value));
                Some(Source::Attribute { key: config.from_attribute.clone(), fallback })
            }
            (None, true) => {
                let name = config.action.name();
                problems
                    .error(path, format!("`{name}` needs a `value` or the `from_attribute` that it is copied from"));
                None
            }
            (Some(_), false) => {
                problems.error(path, "`value` and `from_attribute` exclude each other");
                None
            }
        }
    }

    fn constant(&mut self, value: &Constant) -> usize {
        self.constants.push(value.fixed());
        self.constants.len() - 1
    }
}

fn extraction(pattern: Option<regex::Regex>, path: &str, problems: &mut Problems) -> Option<regex::Regex> {
    let Some(pattern) = pattern else {
        problems.error(path, "`extract` needs a `pattern` with named groups");
        return None;
    };
    let mut names = pattern.capture_names().skip(1);
    if pattern.captures_len() == 1 || names.any(|name| name.is_none()) {
        let what =
            "every group needs a name, and there must be one: `(?P<name>...)`, or `(?:...)` where nothing is extracted";
        problems.error(path_join(path, "pattern"), what);
        return None;
    }
    Some(pattern)
}

impl ActionConfig {
    /// Notes the keys that the action has no use for.
    fn check_unused(&self, path: &str, problems: &mut Problems) {
        use ActionKind::{Convert, Delete, Extract, Hash, Insert, Update, Upsert};
        let puts = matches!(self.action, Insert | Update | Upsert);
        let given = [
            ("value", self.value.is_some(), puts),
            ("from_attribute", !self.from_attribute.is_empty(), puts),
            ("default_value", self.default_value.is_some(), puts && !self.from_attribute.is_empty()),
            ("pattern", !self.pattern.is_empty(), matches!(self.action, Delete | Hash | Extract)),
            ("converted_type", self.converted_type.is_some(), self.action == Convert),
        ];
        for (key, _, _) in given.into_iter().filter(|(_, given, used)| *given && !used) {
            let message = match (key, puts) {
                ("default_value", true) => "`default_value` goes with `from_attribute`".to_owned(),
                _ => format!("`{}` does not use `{key}`", self.action.name()),
            };
            problems.error(path_join(path, key), message);
        }
    }
}
