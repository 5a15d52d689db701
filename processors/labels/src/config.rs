//! The config of the `labels` processor, and what is wrong with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_component::config::{ByteSize, path_index, path_join};
use steadyline_prometheus::{TranslationStrategy, label_name};

use crate::rules::Rules;

/// Makes metric names and labels legal, stable and final: what passes looks as the backend will show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LabelsConfig {
    /// How names are translated: whether characters that classic Prometheus does not know become `_`, and whether units and
    /// types become suffixes (`_seconds`, `_total`).
    pub translation_strategy: TranslationStrategy,
    /// Put before every metric name, with a `_`.
    pub namespace: String,
    /// Leaves a leading `_` of an attribute's name alone, which otherwise gets the prefix `key` (the Collector's
    /// `PermissiveLabelSanitization`).
    pub permissive_label_names: bool,
    /// The only attributes that become labels, of the point, its resource or its scope. Absent: all of the point's, `job` and
    /// `instance`. Any spelling of a name will do: as it arrives, as a label, or as renamed; `k8s.*` matches a beginning.
    pub keep: Option<Vec<String>>,
    /// Attributes that become no labels, also if `keep` lists them. Spelled as in `keep`, but not as renamed.
    pub drop: Vec<String>,
    /// Resource attributes that become labels besides those that `keep` lists; `"*"` copies all. The resource keeps them.
    pub resource: Vec<String>,
    /// Adds `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url` and `otel_scope_<attribute>` as labels. Off,
    /// because a version among the labels forks every series at each upgrade of its source.
    pub scope: bool,
    /// New names for attributes, by the names they have: `{http.method: method}`. They are made legal like all others.
    pub rename: BTreeMap<String, String>,
    /// Labels with constant values, on every point.
    pub set: BTreeMap<String, String>,
    /// Whether a label of `set` replaces one that is there. If not, it fills in where the label is absent or empty.
    pub overwrite: bool,
    /// What happens where two attributes become one label, such as `a.b` and `a_b`.
    pub on_collision: Collision,
    /// The longest value of a label in bytes; 0: no limit. Amazon Managed Prometheus refuses longer ones than the default.
    pub max_label_value_bytes: ByteSize,
    /// What happens to longer values.
    pub on_long_value: LongValue,
    /// How many labels with a value one series may have, its name included; 0: no limit. Points with more are
    /// dropped{too_many_labels}.
    pub max_labels: usize,
}

/// What happens where two attributes of a point become one label. Equal and empty values are no collision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Collision {
    /// The values are joined with `;`, in the order of the original keys, as the Collector does.
    #[default]
    Join,
    /// The value of the first key counts, in the order of the original keys.
    First,
    /// The value of the last key counts.
    Last,
    /// The point is dropped{label_collision}.
    DropPoint,
}

/// What happens to a value that is too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LongValue {
    /// It is cut, at the end of a character. Two series whose values differ only behind the cut become one.
    #[default]
    Truncate,
    /// The point is dropped{label_value_too_long}.
    DropPoint,
}

impl Default for LabelsConfig {
    fn default() -> Self {
        LabelsConfig {
            translation_strategy: TranslationStrategy::default(),
            namespace: String::new(),
            permissive_label_names: false,
            keep: None,
            drop: Vec::new(),
            resource: Vec::new(),
            scope: false,
            rename: BTreeMap::new(),
            set: BTreeMap::new(),
            overwrite: true,
            on_collision: Collision::default(),
            max_label_value_bytes: ByteSize::new(2048),
            on_long_value: LongValue::default(),
            max_labels: 150,
        }
    }
}

impl LabelsConfig {
    /// The rules that the config asks for, unless something is wrong with it.
    pub(crate) fn check(self, context: &mut CreateContext<'_>) -> Option<Rules> {
        let mut fine = true;
        if self.keep.as_ref().is_some_and(Vec::is_empty) {
            context.warning("keep", "an empty list keeps no attribute: all series of a metric become one");
        }
        let lists =
            [("keep", self.keep.as_deref().unwrap_or_default()), ("drop", &self.drop), ("resource", &self.resource)];
        for (list, names) in lists {
            for (at, _) in names.iter().enumerate().filter(|(_, name)| name.is_empty()) {
                context.error(&path_index(list, at), "the name of an attribute is not empty");
                fine = false;
            }
        }
        for (from, to) in &self.rename {
            fine &= self.check_label(&path_join("rename", from), to, context);
        }
        let mut labels: BTreeMap<String, &str> = BTreeMap::new();
        for name in self.set.keys() {
            let path = path_join("set", name);
            if !self.check_label(&path, name, context) {
                fine = false;
                continue;
            }
            let label = self.label(name).unwrap_or_default();
            if let Some(other) = labels.insert(label.clone(), name) {
                context.error(&path, format!("`{other}` and `{name}` are both the label `{label}`"));
                fine = false;
            }
        }
        fine.then(|| Rules::new(self))
    }

    fn label(&self, name: &str) -> Option<String> {
        let mut label = String::new();
        label_name(&mut label, name, self.translation_strategy, self.permissive_label_names).ok()?;
        Some(label)
    }

    fn check_label(&self, path: &str, name: &str, context: &mut CreateContext<'_>) -> bool {
        match self.label(name) {
            None => context.error(path, format!("`{name}` cannot be a label: nothing of it is legal")),
            Some(label) if label == "__name__" => context.error(path, "`__name__` is the metric's name, not a label"),
            Some(label) if label != name => {
                context.warning(path, format!("the label will be called `{label}`, because `{name}` is not legal"));
                return true;
            }
            Some(_) => return true,
        }
        false
    }
}
