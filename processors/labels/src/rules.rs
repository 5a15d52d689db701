//! What the config says about one attribute: whether it becomes a label, and which. Pure; called once per list of keys.

use std::collections::HashMap;
use std::sync::Arc;

use steadyline_prometheus::labels::scope_label_name;
use steadyline_prometheus::{NameError, TranslationStrategy, label_name};

use crate::config::{Collision, LabelsConfig, LongValue};

/// Where an attribute comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Point,
    Resource,
    /// Known by its label already: `job`, `instance`.
    Service,
    /// Known by its label already: `otel_scope_name` and the like.
    Scope,
    ScopeAttribute,
}

/// The config, ready to be asked.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) strategy: TranslationStrategy,
    pub(crate) namespace: String,
    permissive: bool,
    keep: Option<Names>,
    drop: Names,
    resource: Names,
    scope: bool,
    /// From either spelling of the old name to the legal new one.
    rename: HashMap<String, String>,
    /// Legal names and values, sorted by name.
    pub(crate) constants: Vec<(String, String)>,
    pub(crate) overwrite: bool,
    pub(crate) on_collision: Collision,
    /// In bytes; as large as can be for no limit.
    pub(crate) max_value: u32,
    pub(crate) on_long_value: LongValue,
    /// Without the metric's name; as large as can be for no limit.
    pub(crate) max_labels: usize,
}

impl Rules {
    /// Rules of a config whose new names are known to be legal.
    pub(crate) fn new(config: LabelsConfig) -> Rules {
        let (strategy, permissive) = (config.translation_strategy, config.permissive_label_names);
        let label = |name: &str| {
            let mut label = String::new();
            label_name(&mut label, name, strategy, permissive).ok().map(|()| label)
        };
        let mut constants: Vec<_> =
            config.set.into_iter().filter_map(|(name, value)| Some((label(&name)?, value))).collect();
        constants.sort();
        let rename = config.rename.iter().filter_map(|(from, to)| Some((from.clone(), label(to)?))).collect();
        // What is kept under one spelling is kept under the other, so that nothing is lost where labels are final already.
        let with_labels = |mut names: Vec<String>| {
            let labels: Vec<_> =
                names.iter().filter(|name| !name.ends_with('*')).filter_map(|name| label(name)).collect();
            names.extend(labels);
            names
        };
        let max_value = u32::try_from(config.max_label_value_bytes.bytes()).unwrap_or(u32::MAX);
        Rules {
            strategy,
            namespace: config.namespace,
            permissive,
            keep: config.keep.map(with_labels).map(Names::new),
            drop: Names::new(config.drop),
            resource: Names::new(with_labels(config.resource)),
            scope: config.scope,
            rename,
            constants,
            overwrite: config.overwrite,
            on_collision: config.on_collision,
            max_value: if max_value == 0 { u32::MAX } else { max_value },
            on_long_value: config.on_long_value,
            max_labels: config.max_labels.checked_sub(1).unwrap_or(usize::MAX),
        }
    }

    /// The label of an attribute; `None` if it does not become one.
    pub(crate) fn label(&self, key: &str, origin: Origin) -> Result<Option<String>, NameError> {
        let mut plain = String::new();
        let legal = match origin {
            Origin::ScopeAttribute if !scope_label_name(&mut plain, key, self.strategy) => return Ok(None),
            Origin::ScopeAttribute => Ok(()),
            _ => label_name(&mut plain, key, self.strategy, self.permissive),
        };
        let key = if origin == Origin::ScopeAttribute { plain.as_str() } else { key };
        if self.drop.has(key) || self.drop.has(&plain) {
            return Ok(None);
        }
        let renamed = self.rename.get(key).or_else(|| self.rename.get(&plain));
        let label = match renamed {
            Some(label) => label,
            None => {
                legal?;
                &plain
            }
        };
        let listed = |names: &Names| names.has(key) || names.has(&plain) || renamed.is_some_and(|name| names.has(name));
        let kept = match origin {
            Origin::Point | Origin::Service => self.keep.as_ref().is_none_or(listed),
            Origin::Resource => self.keep.as_ref().is_some_and(listed) || listed(&self.resource),
            Origin::Scope | Origin::ScopeAttribute => {
                self.keep.as_ref().map_or(self.scope, |keep| self.scope || listed(keep))
            }
        };
        Ok((kept && label != "__name__").then(|| label.clone()))
    }

    /// Whether more of a resource and its scope can become labels than `job` and `instance`.
    pub(crate) fn looks_beyond_points(&self) -> bool {
        self.keep.is_some() || !self.resource.is_empty() || self.scope
    }

    /// Identity attributes by the names of their labels. If one of them is not kept, nothing identifies an entity any
    /// more: the result is empty, and the key that was lost comes with it.
    pub(crate) fn identity(&self, keys: &[Arc<str>]) -> (Arc<[Arc<str>]>, Option<Arc<str>>) {
        let mut labels: Vec<Arc<str>> = Vec::with_capacity(keys.len());
        for key in keys {
            let found =
                [Origin::Point, Origin::Resource].iter().find_map(|origin| self.label(key, *origin).ok().flatten());
            let Some(label) = found else { return (Arc::default(), Some(Arc::clone(key))) };
            if !labels.iter().any(|known| **known == *label) {
                labels.push(label.into());
            }
        }
        (labels.into(), None)
    }
}

/// A list of names; one that ends in `*` stands for all that begin like it.
#[derive(Debug, Default)]
struct Names {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Names {
    fn new(names: Vec<String>) -> Names {
        let (prefixes, mut exact): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.ends_with('*'));
        let prefixes = prefixes.iter().map(|name| name.trim_end_matches('*').to_string()).collect();
        exact.sort();
        Names { exact, prefixes }
    }

    fn has(&self, name: &str) -> bool {
        self.exact.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }
}
