//! Label sets: which names attributes get, what happens when two get the same one, and what a resource becomes.

use crate::names::{NameError, TranslationStrategy, label_name};

/// The resource attributes that `job` and `instance` are made of.
pub const SERVICE_NAMESPACE: &str = "service.namespace";
/// See [`SERVICE_NAMESPACE`].
pub const SERVICE_NAME: &str = "service.name";
/// See [`SERVICE_NAMESPACE`].
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";

/// Whether a resource attribute identifies its source: it is in `job` or `instance`, and so not in `target_info`.
pub fn is_identifying(key: &str) -> bool {
    matches!(key, SERVICE_NAMESPACE | SERVICE_NAME | SERVICE_INSTANCE_ID)
}

/// Whether a label name belongs to the format itself, so that an attribute of that name must give way: `__name__`
/// always, `le` on a histogram, `quantile` on a summary.
pub fn is_taken_by_format(name: &str, on_histogram: bool, on_summary: bool) -> bool {
    match name {
        "__name__" => true,
        "le" => on_histogram,
        "quantile" => on_summary,
        _ => false,
    }
}

/// Appends the value of `job` to `out`: `namespace/name`, or the name alone. Without a name there is no job: appends
/// nothing and returns false. Attributes that are empty count as absent.
pub fn job(out: &mut String, resource: &[(&str, &str)]) -> bool {
    let Some(name) = value(resource, SERVICE_NAME) else {
        return false;
    };
    if let Some(namespace) = value(resource, SERVICE_NAMESPACE) {
        out.push_str(namespace);
        out.push('/');
    }
    out.push_str(name);
    true
}

/// The value of `instance`.
pub fn instance<'a>(resource: &[(&'a str, &'a str)]) -> Option<&'a str> {
    value(resource, SERVICE_INSTANCE_ID)
}

fn value<'a>(attributes: &[(&'a str, &'a str)], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| *value).filter(|value| !value.is_empty())
}

/// The labels of an instrumentation scope.
pub const SCOPE_NAME: &str = "otel_scope_name";
/// See [`SCOPE_NAME`].
pub const SCOPE_VERSION: &str = "otel_scope_version";
/// See [`SCOPE_NAME`].
pub const SCOPE_SCHEMA_URL: &str = "otel_scope_schema_url";

/// Appends the label name of a scope's attribute: `otel_scope_<key>`. Returns false, and appends nothing, for the keys
/// whose label is the scope's own name, version or schema URL, and for an empty one: such attributes are dropped.
pub fn scope_label_name(out: &mut String, key: &str, strategy: TranslationStrategy) -> bool {
    let start = out.len();
    let whole = format!("otel_scope_{key}");
    let named = !key.is_empty() && label_name(out, &whole, strategy, true).is_ok();
    if !named || matches!(&out[start..], SCOPE_NAME | SCOPE_VERSION | SCOPE_SCHEMA_URL) {
        out.truncate(start);
        return false;
    }
    true
}

/// Joins the values of attributes whose names became one, as the Collector does: call it for each value in the order of
/// the original keys. A value that equals all that has been joined so far adds nothing: `a`, `a` is `a`; `a`, `b`, `a` is `a;b;a`.
pub fn join(joined: &mut String, value: &str) {
    if joined.is_empty() {
        joined.push_str(value);
    } else if joined != value {
        joined.push(';');
        joined.push_str(value);
    }
}

/// A label and the attributes that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLabel {
    /// The label's name.
    pub name: String,
    /// Positions of the attributes in the order of their keys; more than one is a collision.
    pub sources: Vec<usize>,
}

/// What the attribute keys of a shape become: made once, used for every point of the shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelPlan {
    /// Labels, sorted by name in byte order.
    pub labels: Vec<PlannedLabel>,
    /// Positions of attributes that cannot be labels, and why.
    pub refused: Vec<(usize, NameError)>,
}

impl LabelPlan {
    /// Plans labels for `keys`. `permissive` as for [`label_name`].
    pub fn new(keys: &[&str], strategy: TranslationStrategy, permissive: bool) -> Self {
        let mut plan = Self::default();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|at| keys[*at]);
        for at in order {
            let mut name = String::new();
            match label_name(&mut name, keys[at], strategy, permissive) {
                Ok(()) => plan.add(name, at),
                Err(error) => plan.refused.push((at, error)),
            }
        }
        plan
    }

    fn add(&mut self, name: String, at: usize) {
        match self.labels.binary_search_by(|label| label.name.as_str().cmp(&name)) {
            Ok(found) => self.labels[found].sources.push(at),
            Err(place) => self.labels.insert(place, PlannedLabel { name, sources: vec![at] }),
        }
    }

    /// The labels that more than one attribute wants.
    pub fn collisions(&self) -> impl Iterator<Item = &PlannedLabel> {
        self.labels.iter().filter(|label| label.sources.len() > 1)
    }

    /// The labels of one point, colliding values joined, empty values left out. `values` are those of the planned keys.
    pub fn labels(&self, values: &[&str]) -> Vec<(String, String)> {
        let joined = |label: &PlannedLabel| {
            let mut text = String::new();
            for at in &label.sources {
                let value = values.get(*at).copied().unwrap_or_default();
                if !value.is_empty() {
                    join(&mut text, value);
                }
            }
            (label.name.clone(), text)
        };
        self.labels.iter().map(joined).filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The label set of a resource's `target_info`, sorted by name, without `__name__`.
///
/// `None` if there is nothing to say: no attribute besides the identifying ones, or neither `job` nor `instance`. Those
/// two win over attributes that get their names. Label names are those of every other series; attributes that cannot be
/// labels are left out.
pub fn target_info(
    resource: &[(&str, &str)],
    strategy: TranslationStrategy,
    permissive: bool,
) -> Option<Vec<(String, String)>> {
    let mut job_value = String::new();
    job(&mut job_value, resource);
    let instance = instance(resource).unwrap_or_default();
    if job_value.is_empty() && instance.is_empty() {
        return None;
    }
    let told = resource.iter().filter(|(key, _)| !is_identifying(key));
    let (keys, values): (Vec<&str>, Vec<&str>) = told.copied().unzip();
    let mut labels = LabelPlan::new(&keys, strategy, permissive).labels(&values);
    labels.retain(|(name, _)| !matches!(name.as_str(), "job" | "instance" | "__name__"));
    if labels.is_empty() {
        return None;
    }
    for (name, value) in [("job", job_value.as_str()), ("instance", instance)] {
        if !value.is_empty() {
            let at = labels.partition_point(|(other, _)| other.as_str() < name);
            labels.insert(at, (name.to_owned(), value.to_owned()));
        }
    }
    Some(labels)
}

/// The first name that stands twice in a label set that is sorted by name.
pub fn duplicate<'a>(sorted: &[(&'a str, &str)]) -> Option<&'a str> {
    sorted.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TranslationStrategy::UnderscoreEscapingWithSuffixes as Full;

    #[test]
    fn jobs_and_instances() {
        type Row<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Option<&'a str>);
        let rows: &[Row<'_>] = &[
            (&[], None, None),
            (&[("service.name", "api")], Some("api"), None),
            (&[("service.name", "api"), ("service.namespace", "shop")], Some("shop/api"), None),
            (&[("service.name", "api"), ("service.namespace", "")], Some("api"), None),
            (&[("service.namespace", "shop"), ("service.instance.id", "i-1")], None, Some("i-1")),
            (&[("service.name", ""), ("service.instance.id", "")], None, None),
        ];
        for (resource, expected_job, expected_instance) in rows {
            let mut out = String::new();
            let found = job(&mut out, resource);
            assert_eq!(found.then_some(out.as_str()), *expected_job, "{resource:?}");
            assert_eq!(instance(resource), *expected_instance, "{resource:?}");
        }
    }

    #[test]
    fn colliding_values_are_joined_in_the_order_of_their_keys() {
        let rows: &[(&[&str], &str)] = &[
            (&["a"], "a"),
            (&["a", "a"], "a"),
            (&["a", "b"], "a;b"),
            (&["a", "b", "a"], "a;b;a"),
            (&["a", "b", "a;b"], "a;b"),
        ];
        for (values, expected) in rows {
            let mut joined = String::new();
            values.iter().for_each(|value| join(&mut joined, value));
            assert_eq!(joined, *expected, "{values:?}");
        }
        let plan = LabelPlan::new(&["a_b", "z", "a.b", "a-b"], Full, false);
        let labels = plan.labels(&["under", "last", "dot", ""]);
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(labels, [text("a_b", "dot;under"), text("z", "last")]);
        let collisions: Vec<_> = plan.collisions().collect();
        assert_eq!(collisions, [&PlannedLabel { name: "a_b".into(), sources: vec![3, 2, 0] }]);
    }

    #[test]
    fn keys_that_cannot_be_labels_are_named_with_the_reason() {
        let plan = LabelPlan::new(&["ok", "", "____"], Full, false);
        assert_eq!(plan.labels.len(), 1);
        assert_eq!(plan.refused, [(1, NameError::Empty), (2, NameError::NothingLegal)]);
    }

    #[test]
    fn target_info_of_a_resource() {
        let text = |labels: &[(&str, &str)]| -> Vec<(String, String)> {
            labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let name = ("service.name", "api");
        let id = ("service.instance.id", "i-1");
        let host = ("host.name", "h");
        let full = target_info(&[host, id, name, ("zone", "z"), ("empty", "")], Full, false);
        let expected = [("host_name", "h"), ("instance", "i-1"), ("job", "api"), ("zone", "z")];
        assert_eq!(full, Some(text(&expected)));
        assert_eq!(target_info(&[name, id], Full, false), None);
        assert_eq!(target_info(&[host], Full, false), None);
        assert_eq!(target_info(&[name, ("____", "x")], Full, false), None);
        let contested = target_info(&[name, host, ("job", "other")], Full, false);
        assert_eq!(contested, Some(text(&[("host_name", "h"), ("job", "api")])));
    }

    #[test]
    fn scope_attributes_give_way_to_the_scope_itself() {
        for (key, expected) in [
            ("build.id", Some("otel_scope_build_id")),
            ("_x", Some("otel_scope_x")),
            ("name", None),
            ("version", None),
            ("schema.url", None),
            ("", None),
        ] {
            let mut out = String::new();
            let named = scope_label_name(&mut out, key, Full);
            assert_eq!(named.then_some(out.as_str()), expected, "{key:?}");
            assert!(named || out.is_empty());
        }
    }

    #[test]
    fn names_that_the_format_needs_for_itself() {
        assert!(is_taken_by_format("__name__", false, false));
        assert!(is_taken_by_format("le", true, false) && !is_taken_by_format("le", false, true));
        assert!(is_taken_by_format("quantile", false, true) && !is_taken_by_format("quantile", true, false));
        assert_eq!(duplicate(&[("a", "1"), ("b", "2"), ("b", "3")]), Some("b"));
        assert_eq!(duplicate(&[("a", "1"), ("b", "2")]), None);
    }
}
