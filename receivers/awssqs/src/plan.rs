//! From config to a plan: what is asked of every message, and a mapping for each type of event.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_mapping::config::{Labels, MappingConfig, OnNull, Subject};
use steadyline_mapping::expr::{Compiler, Expr, ExprError};
use steadyline_mapping::item::{Attribute, Names, Path};
use steadyline_mapping::mapping::{LabelPlan, Mapper, Plan, PlanError};

use crate::config::{Config, EventLog, EventMetricType, EventTemporality, EventType, FieldType};

/// A compiled config.
#[derive(Debug)]
pub(crate) struct EventPlan {
    /// The names that the expressions of every message use.
    pub(crate) names: Names,
    pub(crate) discriminator: Option<LabelPlan>,
    pub(crate) event_time: Option<LabelPlan>,
    pub(crate) key: Option<LabelPlan>,
    pub(crate) types: BTreeMap<String, TypePlan>,
    pub(crate) outputs: Arc<[Output]>,
    /// Whether any expression looks at what is not in the event itself.
    pub(crate) wants_envelope: bool,
    pub(crate) max_label_bytes: usize,
}

/// A compiled type.
#[derive(Debug)]
pub(crate) struct TypePlan {
    /// The names that `fields`, `filter` and `log` use.
    pub(crate) names: Names,
    pub(crate) fields: Vec<Field>,
    pub(crate) filter: Option<Expr>,
    pub(crate) log: Option<LogPlan>,
    pub(crate) mapper: Option<Mapper>,
    /// Where the type's metrics begin among the outputs.
    pub(crate) first_output: usize,
}

/// A field that is checked.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) path: Path,
    pub(crate) kind: FieldType,
    pub(crate) required: bool,
}

/// A compiled log record.
#[derive(Debug)]
pub(crate) struct LogPlan {
    pub(crate) body: Option<LabelPlan>,
    pub(crate) severity: Option<LabelPlan>,
    pub(crate) event_name: Option<LabelPlan>,
    pub(crate) attributes: Vec<LabelPlan>,
}

/// A metric that the receiver gives out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) description: String,
    pub(crate) kind: OutputKind,
    pub(crate) labels: Vec<String>,
}

/// What a metric's points are made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OutputKind {
    Gauge,
    Sum { monotonic: bool },
    Histogram { bounds: Arc<[f64]> },
}

/// The names under which expressions see what is around the event.
pub(crate) const MESSAGE: &str = "_sqs";
pub(crate) const ENVELOPE: &str = "_envelope";

/// How many labels a metric may have.
const MAX_LABELS: usize = 64;

impl EventPlan {
    /// Compiles `config`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn compile(config: &Config) -> Result<Self, Vec<PlanError>> {
        let mut errors = Errors(Vec::new());
        let mut names = Names::default();
        let mut compiler = Compiler { names: &mut names, lists: &config.lists };
        let discriminator = errors.label("discriminator", &config.discriminator, &mut compiler);
        let event_time = errors.label("event_time", &config.event_time, &mut compiler);
        let key = errors.label("idempotency_key", &config.idempotency_key, &mut compiler);
        let mut outputs = Vec::new();
        let mut types = BTreeMap::new();
        for (name, kind) in &config.types {
            if let Some(plan) = type_plan(name, kind, config, &mut outputs, &mut errors) {
                types.insert(name.clone(), plan);
            }
        }
        check_outputs(config, &outputs, &mut errors);
        if !errors.0.is_empty() {
            return Err(errors.0);
        }
        let looks = |names: &Names| {
            names.projection().is_none_or(|names| names.iter().any(|name| name == MESSAGE || name == ENVELOPE))
        };
        let wants_envelope = looks(&names) || types.values().any(|kind| kind.looks(&looks));
        let outputs = outputs.into();
        let max_label_bytes = config.max_label_bytes;
        Ok(Self { names, discriminator, event_time, key, types, outputs, wants_envelope, max_label_bytes })
    }
}

impl TypePlan {
    fn looks(&self, looks: &impl Fn(&Names) -> bool) -> bool {
        let in_mapper = |mapper: &Mapper| {
            mapper.plan().projection().is_none_or(|names| names.iter().any(|name| name == MESSAGE || name == ENVELOPE))
        };
        looks(&self.names) || self.mapper.as_ref().is_some_and(in_mapper)
    }
}

fn type_plan(
    name: &str,
    kind: &EventType,
    config: &Config,
    outputs: &mut Vec<Output>,
    errors: &mut Errors,
) -> Option<TypePlan> {
    let path = format!("types.{name}");
    if kind.metrics.is_empty() && kind.log.is_none() {
        errors.add(path.clone(), "nothing is made of these events", Some("list `metrics`, or a `log`"));
    }
    let mut names = Names::default();
    let mut fields = Vec::new();
    for (declared, required, key) in [(&kind.required, true, "required"), (&kind.optional, false, "optional")] {
        for (field, kind) in declared {
            match Path::parse(field, &mut names) {
                Ok(path) => fields.push(Field { path, kind: *kind, required }),
                Err(error) => errors.add(format!("{path}.{key}.{field}"), &error.to_string(), None),
            }
        }
    }
    let mut compiler = Compiler { names: &mut names, lists: &config.lists };
    let filter = errors.filter(&format!("{path}.where"), kind.filter.as_deref(), &mut compiler);
    let log = kind.log.as_ref().map(|log| log_plan(log, &path, &mut compiler, errors));
    let first_output = outputs.len();
    outputs.extend(kind.metrics.iter().map(|metric| output(metric, kind, config)));
    check_metrics(kind, &path, errors);
    let mapper = if kind.metrics.is_empty() { None } else { mapper(kind, config, &path, errors) };
    Some(TypePlan { names, fields, filter, log, mapper, first_output })
}

fn mapper(kind: &EventType, config: &Config, path: &str, errors: &mut Errors) -> Option<Mapper> {
    let mapping = MappingConfig {
        subject: Subject::Events,
        resource: config.resource.clone(),
        attributes: kind.attributes.clone(),
        metrics: kind.metrics.iter().map(crate::config::EventMetric::mapping).collect(),
        on_null: OnNull::Skip,
        lists: config.lists.clone(),
        max_label_bytes: config.max_label_bytes,
        ..MappingConfig::default()
    };
    match Plan::compile(&mapping) {
        Ok(plan) => Some(Mapper::new(Arc::new(plan))),
        Err(found) => {
            errors
                .0
                .extend(found.into_iter().map(|error| PlanError { path: format!("{path}.{}", error.path), ..error }));
            None
        }
    }
}

fn output(metric: &crate::config::EventMetric, kind: &EventType, config: &Config) -> Output {
    let mut labels: Vec<String> = kind.attributes.keys().chain(metric.attributes.keys()).cloned().collect();
    if metric.kind != EventMetricType::Gauge && !config.instance.is_empty() {
        labels.push(config.instance_label.clone());
    }
    Output {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        description: metric.description.clone(),
        kind: match metric.kind {
            EventMetricType::Gauge => OutputKind::Gauge,
            EventMetricType::Sum => OutputKind::Sum { monotonic: metric.monotonic },
            EventMetricType::Histogram => OutputKind::Histogram { bounds: metric.buckets.clone().into() },
        },
        labels,
    }
}

fn check_metrics(kind: &EventType, path: &str, errors: &mut Errors) {
    for (index, metric) in kind.metrics.iter().enumerate() {
        let path = format!("{path}.metrics[{index}]");
        let is_histogram = metric.kind == EventMetricType::Histogram;
        if is_histogram && metric.buckets.is_empty() {
            errors.add(
                format!("{path}.buckets"),
                "a histogram needs the upper bounds of its buckets",
                Some("such as buckets: [0.01, 0.1, 1, 10]"),
            );
        }
        if !is_histogram && !metric.buckets.is_empty() {
            errors.add(format!("{path}.buckets"), "only a histogram has buckets", None);
        }
        let rising = metric.buckets.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || metric.buckets.iter().any(|bound| !bound.is_finite()) {
            errors.add(format!("{path}.buckets"), "bounds must be finite and rise; +Inf is added", None);
        }
        if is_histogram && metric.value.is_none() {
            errors.add(path, "a histogram needs a `value` to observe", Some("such as value: duration_ms"));
        }
    }
}

/// What concerns the metrics of several types.
fn check_outputs(config: &Config, outputs: &[Output], errors: &mut Errors) {
    for (index, output) in outputs.iter().enumerate() {
        if output.labels.len() > MAX_LABELS {
            errors.add("types".to_owned(), &format!("{} has more than {MAX_LABELS} labels", output.name), None);
        }
        if output.kind != OutputKind::Gauge && !config.instance.is_empty() {
            let label = &config.instance_label;
            if output.labels.iter().filter(|known| *known == label).count() > 1 {
                errors.add(
                    "instance_label".to_owned(),
                    &format!("{} has a label {label} of its own", output.name),
                    None,
                );
            }
        }
        let same =
            |other: &&Output| other.name == output.name && (&other.kind, &other.unit) != (&output.kind, &output.unit);
        if outputs[..index].iter().any(|other| same(&other)) {
            let message = format!("another metric is called {} and has another type, unit or buckets", output.name);
            errors.add("types".to_owned(), &message, None);
        }
    }
    if config.temporality == EventTemporality::Delta && config.storage.is_none() {
        return;
    }
    if config.instance_label.is_empty() && !config.instance.is_empty() {
        errors.add("instance_label".to_owned(), "the label's name is empty", None);
    }
}

fn log_plan(log: &EventLog, path: &str, compiler: &mut Compiler<'_>, errors: &mut Errors) -> LogPlan {
    LogPlan {
        body: errors.label(&format!("{path}.log.body"), &log.body, compiler),
        severity: errors.label(&format!("{path}.log.severity"), &log.severity, compiler),
        event_name: errors.label(&format!("{path}.log.event_name"), &log.event_name, compiler),
        attributes: errors.labels(&format!("{path}.log.attributes"), &log.attributes, compiler),
    }
}

struct Errors(Vec<PlanError>);

impl Errors {
    fn add(&mut self, path: String, message: &str, help: Option<&str>) {
        self.0.push(PlanError { path, message: message.to_owned(), help: help.map(str::to_owned) });
    }

    fn label(&mut self, path: &str, text: &str, compiler: &mut Compiler<'_>) -> Option<LabelPlan> {
        if text.is_empty() {
            return None;
        }
        let compiled = LabelPlan::compile(path, text, compiler);
        self.compiled(path, compiled)
    }

    fn filter(&mut self, path: &str, text: Option<&str>, compiler: &mut Compiler<'_>) -> Option<Expr> {
        text.and_then(|text| self.compiled(path, compiler.expression(text)))
    }

    fn compiled<T>(&mut self, path: &str, compiled: Result<T, ExprError>) -> Option<T> {
        match compiled {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let help = error.help.clone();
                let message = ExprError { help: None, ..error }.to_string();
                self.add(path.to_owned(), &message, help.as_deref());
                None
            }
        }
    }

    fn labels(&mut self, path: &str, labels: &Labels, compiler: &mut Compiler<'_>) -> Vec<LabelPlan> {
        let plan = |(name, text): (&String, &String)| {
            let mut label = self.label(&format!("{path}.{name}"), text, compiler)?;
            label.name.clone_from(name);
            Some(label)
        };
        labels.iter().filter_map(plan).collect()
    }
}

impl FieldType {
    /// Whether an attribute is of this type.
    pub(crate) fn admits(self, attribute: &Attribute) -> bool {
        match (self, attribute) {
            (FieldType::Any, _)
            | (FieldType::String, Attribute::Text(_))
            | (FieldType::Number, Attribute::Number(_))
            | (FieldType::Bool, Attribute::Bool(_))
            | (FieldType::List, Attribute::List(_))
            | (FieldType::Map, Attribute::Map(_)) => true,
            // 5.0 is a whole number to JSON, which has no other.
            (FieldType::Int, Attribute::Number(text)) => text.parse::<f64>().is_ok_and(|number| number.fract() == 0.0),
            _ => false,
        }
    }

    /// Its name, as config has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FieldType::String => "string",
            FieldType::Int => "int",
            FieldType::Number => "number",
            FieldType::Bool => "bool",
            FieldType::List => "list",
            FieldType::Map => "map",
            FieldType::Any => "any",
        }
    }
}
