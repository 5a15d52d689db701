//! The counts of one batch, by resource, metric and values.
//! Everything stands in the order in which it was first seen.

use std::collections::HashMap;

use steadyline_attributes::Fixed;
use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
use steadyline_component::telemetry::{MetricKind, Metrics, MetricsBuilder, Temporality, Value};

use crate::items::Definition;

/// The scope of the Collector's connector, as it stands in the labels of those who come from there.
const SCOPE: &str = "github.com/open-telemetry/opentelemetry-collector-contrib/connector/countconnector";

/// The counts of one batch.
#[derive(Default)]
pub(crate) struct Counter<'a> {
    groups: Vec<Group<'a>>,
    index: HashMap<Vec<(String, Fixed)>, usize>,
}

/// The counts of one resource.
pub(crate) struct Group<'a> {
    resource: Vec<(String, Fixed)>,
    metrics: Vec<Counted<'a>>,
}

/// The counts of one metric.
struct Counted<'a> {
    definition: &'a Definition,
    counts: Vec<(Vec<Fixed>, i64)>,
    index: HashMap<Vec<Fixed>, usize>,
}

impl<'a> Counter<'a> {
    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.metrics.is_empty())
    }

    /// The counts of the resource with these attributes, in whatever order.
    pub(crate) fn group<'v>(&mut self, attributes: impl Iterator<Item = (&'v str, Value<'v>)>) -> &mut Group<'a> {
        let resource: Vec<(String, Fixed)> =
            attributes.map(|(key, value)| (key.to_owned(), Fixed::new(value))).collect();
        let mut sorted = resource.clone();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        let next = self.groups.len();
        let at = *self.index.entry(sorted).or_insert(next);
        if at == next {
            self.groups.push(Group { resource, metrics: Vec::new() });
        }
        &mut self.groups[at]
    }

    /// The counts as a batch of monotonic delta sums at a time.
    pub(crate) fn metrics(self, time: u64) -> Metrics {
        let mut builder = MetricsBuilder::new();
        for group in self.groups.into_iter().filter(|group| !group.metrics.is_empty()) {
            builder.resource(group.resource.iter().map(|(key, value)| (key.as_str(), value.value())));
            builder.scope(SCOPE, "");
            for Counted { definition, counts, .. } in group.metrics {
                let metric = builder.metric(MetricDef {
                    name: &definition.name,
                    description: &definition.description,
                    unit: "",
                    kind: MetricKind::Sum { temporality: Temporality::Delta, monotonic: true },
                });
                let shape = builder.shape(definition.attributes.iter().map(|attribute| attribute.key.as_str()));
                for (values, count) in counts {
                    let values: Vec<_> = values.iter().map(|value| builder.value(value.value())).collect();
                    builder.number(metric, shape, &values, time, 0, NumberValue::Int(count));
                }
            }
        }
        builder.finish()
    }
}

impl<'a> Group<'a> {
    /// Counts one item.
    pub(crate) fn add(&mut self, definition: &'a Definition, values: Vec<Fixed>) {
        let at = self.metrics.iter().position(|counted| std::ptr::eq(counted.definition, definition));
        let at = at.unwrap_or_else(|| {
            self.metrics.push(Counted { definition, counts: Vec::new(), index: HashMap::new() });
            self.metrics.len() - 1
        });
        let Counted { counts, index, .. } = &mut self.metrics[at];
        if let Some(&at) = index.get(&values) {
            counts[at].1 += 1;
            return;
        }
        index.insert(values.clone(), counts.len());
        counts.push((values, 1));
    }
}
