//! What depends on keys only: which labels the points of a shape have, in which order, and where their values come from.
//! Made once per scope and shape, used for each of its points.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use steadyline_prometheus::labels::{
    SCOPE_NAME, SCOPE_SCHEMA_URL, SCOPE_VERSION, instance, is_identifying, is_taken_by_format, job, scope_label_name,
};
use steadyline_prometheus::{MetricKind, label_name, put_attribute};
use steadyline_telemetry::metrics::{Resource, Scope};
use steadyline_telemetry::{Metrics, ShapeId, Slot};

use crate::config::Rules;
use crate::labels::put_label;
use crate::losses::Loss;

/// Labels that are the same for every point of a scope. Of several that want one name the first has it.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    /// Over attributes of their names: `job` and `instance`.
    over: Vec<(String, String)>,
    /// Where attributes of their names are absent or empty: scope, resource and the config's constants.
    under: Vec<(String, String)>,
}

/// The labels of one shape, sorted by name.
#[derive(Debug)]
pub(crate) struct Plan(Vec<Label>);

#[derive(Debug, Default)]
struct Label {
    name: String,
    /// Places of the attributes, in the order of their keys; the values of several are joined.
    sources: Vec<usize>,
    /// The value where the attributes have none.
    otherwise: String,
}

impl Fixed {
    /// For points whose labels are final: nothing but the config's constants.
    pub(crate) fn of_final(rules: &Rules) -> Fixed {
        Fixed { over: Vec::new(), under: rules.const_labels.clone() }
    }

    /// For points that are translated.
    pub(crate) fn new(batch: &Metrics, resource: &[(&str, &str)], scope: &Scope, rules: &Rules) -> Fixed {
        let mut fixed = Fixed::default();
        let mut job_value = String::new();
        if job(&mut job_value, resource) {
            fixed.over.push(("job".to_owned(), job_value));
        }
        if let Some(instance) = instance(resource) {
            fixed.over.push(("instance".to_owned(), instance.to_owned()));
        }
        if rules.scope {
            fixed.add_scope(batch, scope, rules);
        }
        if rules.resource.enabled {
            let kept = |key: &str| !(rules.resource.exclude_service_attributes && is_identifying(key));
            for (key, value) in resource.iter().filter(|(key, _)| kept(key)) {
                let mut name = String::new();
                if label_name(&mut name, key, rules.strategy, false).is_ok() {
                    fixed.under.push((name, (*value).to_owned()));
                }
            }
        }
        fixed.under.extend(rules.const_labels.iter().cloned());
        fixed
    }

    fn add_scope(&mut self, batch: &Metrics, scope: &Scope, rules: &Rules) {
        let own = [(SCOPE_NAME, scope.name), (SCOPE_VERSION, scope.version), (SCOPE_SCHEMA_URL, scope.schema_url)];
        self.under.extend(own.map(|(name, slot)| (name.to_owned(), batch.text(slot).to_owned())));
        for (key, value) in batch.pairs(scope.attributes) {
            let mut name = String::new();
            if scope_label_name(&mut name, key, rules.strategy) {
                let mut text = Vec::new();
                put_attribute(&mut text, value);
                self.under.push((name, String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
}

impl Plan {
    /// The plan of a shape for metrics of this kind. `rules` are given where names are to be translated.
    ///
    /// # Errors
    /// A key cannot be a label's name.
    pub(crate) fn new(
        batch: &Metrics,
        shape: ShapeId,
        kind: MetricKind,
        fixed: &Fixed,
        rules: Option<&Rules>,
    ) -> Result<Plan, Loss> {
        let mut labels: BTreeMap<String, Label> = BTreeMap::new();
        let keys = batch.keys(shape);
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|at| batch.bytes(keys[*at]));
        for at in order {
            let key = batch.text(keys[at]);
            let mut name = String::new();
            match rules {
                Some(rules) => label_name(&mut name, key, rules.strategy, false).map_err(|_| Loss::IllegalLabelName)?,
                None if key.is_empty() => return Err(Loss::IllegalLabelName),
                None => name.push_str(key),
            }
            labels.entry(name).or_default().sources.push(at);
        }
        let histogram = matches!(kind, MetricKind::Histogram | MetricKind::GaugeHistogram);
        labels.retain(|name, _| !is_taken_by_format(name, histogram, kind == MetricKind::Summary));
        for (name, value) in fixed.under.iter().filter(|(_, value)| !value.is_empty()) {
            match labels.entry(name.clone()) {
                Entry::Vacant(free) => drop(free.insert(Label::constant(value))),
                Entry::Occupied(mut taken) if taken.get().otherwise.is_empty() => {
                    taken.get_mut().otherwise.clone_from(value);
                }
                Entry::Occupied(_) => {}
            }
        }
        labels.extend(fixed.over.iter().map(|(name, value)| (name.clone(), Label::constant(value))));
        Ok(Plan(labels.into_iter().map(|(name, label)| Label { name, ..label }).collect()))
    }

    /// Appends the labels of a point to the key of its series. Labels without a value are left out: Prometheus does not
    /// tell an empty label from none.
    pub(crate) fn put_labels(&self, batch: &Metrics, values: &[Slot], text: &mut Vec<u8>, key: &mut Vec<u8>) {
        for label in &self.0 {
            text.clear();
            for (nth, at) in label.sources.iter().enumerate() {
                if nth == 0 {
                    put_attribute(text, batch.value(values[*at]));
                } else {
                    join(text, batch, values[*at]);
                }
            }
            let value = if text.is_empty() { label.otherwise.as_bytes() } else { text.as_slice() };
            if !value.is_empty() {
                put_label(key, label.name.as_bytes(), value);
            }
        }
    }
}

impl Label {
    fn constant(value: &str) -> Label {
        Label { otherwise: value.to_owned(), ..Label::default() }
    }
}

/// Adds the value of one more attribute of a name, as the Collector does.
fn join(text: &mut Vec<u8>, batch: &Metrics, slot: Slot) {
    let mut value = Vec::new();
    put_attribute(&mut value, batch.value(slot));
    if !value.is_empty() && value != *text {
        if !text.is_empty() {
            text.push(b';');
        }
        text.extend_from_slice(&value);
    }
}

/// The attributes of a resource as text.
pub(crate) fn resource_texts<'b>(batch: &'b Metrics, resource: &Resource) -> Vec<(&'b str, String)> {
    let as_text = |(key, value)| {
        let mut text = Vec::new();
        put_attribute(&mut text, value);
        (key, String::from_utf8_lossy(&text).into_owned())
    };
    batch.pairs(resource.attributes).map(as_text).collect()
}
