//! From points to events: the points of a batch that share their attributes are one group, and a group that is whole is one event.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Number, Value};
use steadyline_component::Tally;
use steadyline_component::telemetry::metrics::{Attributes, Metric, Point, Resource};
use steadyline_component::telemetry::{Metrics, NumberKind, Value as Attribute};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::config::EventConfig;
use crate::template::Template;

/// A compiled kind of event.
#[derive(Debug)]
pub(crate) struct EventPlan {
    /// Metric name to the name in the template.
    variables: HashMap<String, String>,
    group_by: Vec<String>,
    template: Template,
    /// What a whole group has a value for.
    wanted: BTreeSet<String>,
    /// Tells the ids of one kind from those of another.
    seed: u64,
}

/// An event that is ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) body: String,
    /// The same however often the event is sent.
    pub(crate) id: String,
    /// The hash of its group.
    pub(crate) group: u64,
    /// How many points are in it.
    pub(crate) points: u64,
    /// Its time, nanoseconds since the Unix epoch.
    pub(crate) time: u64,
}

/// The names that every template may use.
const OWN: [&str; 3] = ["time", "time_ms", "event_id"];

/// The points of a batch that share their attributes.
struct Group {
    attributes: BTreeMap<String, Value>,
    values: BTreeMap<String, (u64, Value)>,
    key: String,
    points: u64,
}

impl EventPlan {
    /// Compiles one kind of event.
    ///
    /// # Errors
    /// What is wrong with it, as the key and a sentence.
    pub(crate) fn compile(config: &EventConfig) -> Result<Self, (&'static str, String)> {
        if config.metrics.is_empty() {
            return Err(("metrics", "an event needs at least one metric".to_owned()));
        }
        let template = Template::compile(&config.template).map_err(|wrong| ("template", wrong))?;
        let mut names = BTreeSet::new();
        template.names(&mut names);
        for name in config.metrics.keys() {
            if OWN.contains(&name.as_str()) {
                return Err(("metrics", format!("{{{name}}} has a meaning of its own in templates")));
            }
            if !names.contains(name) {
                return Err(("template", format!("{{{name}}}, a metric of the event, does not occur in it")));
            }
        }
        if let Some(name) = config.optional.iter().find(|name| !names.contains(*name)) {
            return Err(("optional", format!("{{{name}}} does not occur in the template")));
        }
        let wanted = names.iter().filter(|name| !config.optional.contains(name) && !OWN.contains(&name.as_str()));
        Ok(Self {
            variables: config.metrics.iter().map(|(name, metric)| (metric.clone(), name.clone())).collect(),
            group_by: config.group_by.clone(),
            wanted: wanted.cloned().collect(),
            seed: xxh3_64(config.template.to_string().as_bytes()),
            template,
        })
    }

    /// The metrics that it is made of.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// The events of a batch, in the order of their first points. Everything that is in none is counted.
    pub(crate) fn events(&self, metrics: &Metrics, tally: &Tally) -> Vec<Event> {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (resource, _, metric) in metrics.iter() {
            let Some(variable) = self.variables.get(metrics.text(metric.name)) else { continue };
            for point in metrics.points_of(metric) {
                match number(metric, point) {
                    Ok(value) => {
                        let (key, attributes) = self.key(metrics, resource, point.attributes());
                        let place = *known.entry(key).or_insert_with_key(|key| {
                            let values = BTreeMap::new();
                            groups.push(Group { attributes, values, key: key.clone(), points: 0 });
                            groups.len() - 1
                        });
                        groups[place].take(variable, point.time, value, tally);
                    }
                    Err(reason) => tally.dropped(reason, 1),
                }
            }
        }
        groups.into_iter().filter_map(|group| self.event(group, tally)).collect()
    }

    /// What tells a group from others, and the attributes that its template can use.
    fn key(&self, metrics: &Metrics, resource: &Resource, own: Attributes) -> (String, BTreeMap<String, Value>) {
        let read =
            |attributes| metrics.pairs(attributes).filter_map(|(key, value)| Some((key.to_owned(), json(value)?)));
        let of_resource: BTreeMap<String, Value> = read(resource.attributes).collect();
        let of_point: BTreeMap<String, Value> = read(own).collect();
        let mut all = of_resource.clone();
        all.extend(of_point.clone());
        let key: Vec<(&String, &Value)> = if self.group_by.is_empty() {
            of_resource.iter().chain(&of_point).collect()
        } else {
            self.group_by.iter().filter_map(|name| Some((name, all.get(name)?))).collect()
        };
        (serde_json::to_string(&key).expect("texts and values are JSON"), all)
    }

    fn event(&self, group: Group, tally: &Tally) -> Option<Event> {
        let has = |name: &String| group.values.contains_key(name) || group.attributes.contains_key(name);
        if !self.wanted.iter().all(has) {
            tally.dropped("incomplete_group", group.points);
            return None;
        }
        let time = group.values.values().map(|(time, _)| *time).max().unwrap_or(0);
        let timestamp = Timestamp::from_nanosecond(i128::from(time)).unwrap_or(Timestamp::UNIX_EPOCH);
        let values: BTreeMap<&String, &Value> = group.values.iter().map(|(name, (_, value))| (name, value)).collect();
        let said = serde_json::to_string(&(self.seed, &group.key, time, &values)).expect("texts and values are JSON");
        let id = format!("{:032x}", xxh3_128(said.as_bytes()));
        let value = |name: &str| match name {
            "time" => Some(Value::String(timestamp.to_string())),
            "time_ms" => Some(Value::from(time / 1_000_000)),
            "event_id" => Some(Value::String(id.clone())),
            _ => group.values.get(name).map(|(_, value)| value).or_else(|| group.attributes.get(name)).cloned(),
        };
        let body = self.template.fill(&value).unwrap_or_default().to_string();
        Some(Event { body, id, group: xxh3_64(group.key.as_bytes()), points: group.points, time })
    }
}

impl Group {
    /// Takes a point; of several of one metric the latest counts.
    fn take(&mut self, variable: &str, time: u64, value: Value, tally: &Tally) {
        match self.values.get_mut(variable) {
            Some(known) => {
                tally.merged(1);
                if time >= known.0 {
                    *known = (time, value);
                }
            }
            None => {
                self.points += 1;
                self.values.insert(variable.to_owned(), (time, value));
            }
        }
    }
}

/// The number of a point, or why it has none.
fn number(metric: &Metric, point: &Point) -> Result<Value, &'static str> {
    if point.held {
        return Err("confirmation");
    }
    if point.is_no_value() {
        return Err("no_recorded_value");
    }
    if !metric.kind.is_number() {
        return Err("unsupported_kind");
    }
    match point.number {
        NumberKind::Int => Ok(Value::from(point.bits as i64)),
        NumberKind::Double => Number::from_f64(f64::from_bits(point.bits)).map(Value::Number).ok_or("not_a_number"),
        NumberKind::None | NumberKind::Body => Err("no_recorded_value"),
    }
}

/// An attribute as JSON; `None` for lists, maps and binaries.
fn json(value: Attribute<'_>) -> Option<Value> {
    match value {
        Attribute::Str(bytes) => std::str::from_utf8(bytes).ok().map(|text| Value::String(text.to_owned())),
        Attribute::Bool(flag) => Some(Value::Bool(flag)),
        Attribute::Int(int) => Some(Value::from(int)),
        Attribute::Double(double) => Number::from_f64(double).map(Value::Number),
        Attribute::Empty | Attribute::Array(_) | Attribute::Map(_) | Attribute::Bytes(_) => None,
    }
}
