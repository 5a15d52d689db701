//! What is counted: definitions compiled from the config, and the walk over the items of a batch.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use steadyline_attributes::ottl::{
    Above, Condition, Context, EventSource, MetricSource, PointSource, RecordSource, Source, SpanSource,
};
use steadyline_attributes::tree::{Branch, Item, ItemRef, Root};
use steadyline_attributes::{Constant, Fixed, Lookup, Problems, Set, Tree};
use steadyline_component::config::{path_index, path_join};
use steadyline_component::telemetry::{Metrics, Signal};

use crate::config::{CountConfig, MetricConfig};
use crate::counter::{Counter, Group};

/// A metric that is made.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) description: String,
    conditions: Vec<Condition>,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    default: Option<Fixed>,
}

/// All metrics that are made, by what they count.
#[derive(Debug)]
pub(crate) struct Definitions {
    spans: Vec<Definition>,
    spanevents: Vec<Definition>,
    metrics: Vec<Definition>,
    datapoints: Vec<Definition>,
    logs: Vec<Definition>,
}

impl Definitions {
    pub(crate) fn new(config: &CountConfig, problems: &mut Problems) -> Definitions {
        let mut section = |path: &str, configs: &Option<_>, context, default: (&str, &str)| match configs {
            Some(configs) => section(path, configs, context, problems),
            None => vec![Definition::all(default)],
        };
        let definitions = Definitions {
            spans: section(
                "spans",
                &config.spans,
                Context::Span,
                ("trace.span.count", "The number of spans observed."),
            ),
            spanevents: section(
                "spanevents",
                &config.spanevents,
                Context::SpanEvent,
                ("trace.span.event.count", "The number of span events observed."),
            ),
            metrics: section(
                "metrics",
                &config.metrics,
                Context::Metric,
                ("metric.count", "The number of metrics observed."),
            ),
            datapoints: section(
                "datapoints",
                &config.datapoints,
                Context::Datapoint,
                ("metric.datapoint.count", "The number of data points observed."),
            ),
            logs: section(
                "logs",
                &config.logs,
                Context::Log,
                ("log.record.count", "The number of log records observed."),
            ),
        };
        definitions.check_names(problems);
        definitions
    }

    /// Whether nothing is counted of a signal.
    pub(crate) fn is_idle(&self, signal: Signal) -> bool {
        match signal {
            Signal::Traces => self.spans.is_empty() && self.spanevents.is_empty(),
            Signal::Metrics => self.metrics.is_empty() && self.datapoints.is_empty(),
            Signal::Logs => self.logs.is_empty(),
        }
    }

    /// One batch makes one metric of one name.
    fn check_names(&self, problems: &mut Problems) {
        let pairs = [
            ("spanevents", &self.spanevents, "spans", &self.spans),
            ("datapoints", &self.datapoints, "metrics", &self.metrics),
        ];
        for (section, definitions, other, others) in pairs {
            for Definition { name, .. } in definitions.iter().filter(|d| others.iter().any(|o| o.name == d.name)) {
                problems.error(path_join(section, name), format!("`{name}` is made under `{other}`, too"));
            }
        }
    }

    pub(crate) fn count_metrics<'a>(&'a self, metrics: &Metrics, counter: &mut Counter<'a>) {
        for (resource, scope, metric) in metrics.iter() {
            let set = |attributes| Set { metrics, attributes };
            let [resource, scope] = [resource.attributes, scope.attributes].map(set);
            let group = counter.group(metrics.pairs(resource.attributes));
            let source = MetricSource { metrics, metric };
            for definition in &self.metrics {
                definition.count(&source, &[&scope, &resource], group);
            }
            if self.datapoints.is_empty() {
                continue;
            }
            for point in metrics.points_of(metric).iter().filter(|point| !point.held) {
                let item = set(point.attributes());
                let source = PointSource { metric: source, point };
                for definition in &self.datapoints {
                    definition.count(&source, &[&item, &scope, &resource], group);
                }
            }
        }
    }

    pub(crate) fn count_tree<'a>(&'a self, tree: &Tree, counter: &mut Counter<'a>) {
        match tree {
            Tree::Traces(data) => data.resource_spans.iter().for_each(|root| self.root(root, counter)),
            Tree::Logs(data) => data.resource_logs.iter().for_each(|root| self.root(root, counter)),
        }
    }

    fn root<'a>(&'a self, root: &impl Root, counter: &mut Counter<'a>) {
        let reads: Vec<_> = root
            .attributes()
            .iter()
            .map(|pair| (&*pair.key, steadyline_attributes::Read::any(pair.value.as_ref())))
            .collect();
        let group = counter.group(reads.iter().map(|(key, read)| (*key, read.value())));
        let resource = List(root.attributes());
        for branch in root.branches() {
            let above = Above { resource: root.resource(), scope: branch.scope() };
            let scope = List(branch.scope().map_or(&[], |scope| &scope.attributes));
            for item in branch.items() {
                let own = List(item.attributes());
                match item.kind() {
                    ItemRef::Log(record) => {
                        let source = RecordSource { above, record };
                        for definition in &self.logs {
                            definition.count(&source, &[&own, &scope, &resource], group);
                        }
                    }
                    ItemRef::Span(span) => {
                        let source = SpanSource { above, span };
                        for definition in &self.spans {
                            definition.count(&source, &[&own, &scope, &resource], group);
                        }
                        for event in &span.events {
                            let own = List(&event.attributes);
                            let source = EventSource { span: source, event };
                            for definition in &self.spanevents {
                                definition.count(&source, &[&own, &scope, &resource], group);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Attributes of a tree, as something that can stand in a row of places to look.
struct List<'a>(&'a [KeyValue]);

impl Lookup for List<'_> {
    fn read(&self, key: &str) -> Option<steadyline_attributes::Read<'_>> {
        self.0.read(key)
    }
}

impl Definition {
    /// Everything, under a name and a description.
    fn all((name, description): (&str, &str)) -> Definition {
        let (name, description) = (name.to_owned(), description.to_owned());
        Definition { name, description, conditions: Vec::new(), attributes: Vec::new() }
    }

    /// Counts an item, if it is meant and has what it is counted by in one of the places.
    fn count<'a>(&'a self, source: &impl Source, places: &[&dyn Lookup], group: &mut Group<'a>) {
        if !self.conditions.is_empty() && !self.conditions.iter().any(|condition| condition.holds(source)) {
            return;
        }
        let value = |attribute: &Attribute| {
            let found = places.iter().find_map(|place| place.read(&attribute.key));
            found.map(|read| Fixed::new(read.value())).or_else(|| attribute.default.clone())
        };
        if let Some(values) = self.attributes.iter().map(value).collect() {
            group.add(self, values);
        }
    }
}

fn section(
    path: &str,
    configs: &std::collections::BTreeMap<String, MetricConfig>,
    context: Context,
    problems: &mut Problems,
) -> Vec<Definition> {
    let compile = |(name, config): (&String, &MetricConfig)| {
        let path = path_join(path, name);
        if name.is_empty() {
            problems.error(&path, "the name of a metric is not empty");
        }
        let mut conditions = Vec::new();
        for (at, text) in config.conditions.iter().enumerate() {
            match Condition::parse(text, context) {
                Ok(condition) => conditions.push(condition),
                Err(error) => problems.error(path_index(&path_join(&path, "conditions"), at), error.to_string()),
            }
        }
        let mut attributes: Vec<Attribute> = Vec::new();
        for (at, attribute) in config.attributes.iter().enumerate() {
            let path = path_join(&path_index(&path_join(&path, "attributes"), at), "key");
            if attribute.key.is_empty() {
                problems.error(&path, "the key of an attribute is not empty");
            } else if attributes.iter().any(|known| known.key == attribute.key) {
                problems.error(&path, format!("`{}` is listed twice", attribute.key));
            }
            let default = attribute.default_value.as_ref().filter(|value| **value != Constant::Text(String::new()));
            attributes.push(Attribute { key: attribute.key.clone(), default: default.map(Constant::fixed) });
        }
        Definition { name: name.clone(), description: config.description.clone(), conditions, attributes }
    };
    configs.iter().map(compile).collect()
}
