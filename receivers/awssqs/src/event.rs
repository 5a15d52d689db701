//! From a message to an event: its type, its time, its key, and the points and the log record that it gives. Pure.

use std::borrow::Cow;

use steadyline_mapping::item::{Attribute, Item, Row, type_name};
use steadyline_mapping::mapping::{Duplicate, LabelPlan, LabelValue, Sink, Skip, SkipReason, truncate};
use steadyline_mapping::number::{self, Number};

use crate::config::{Envelope, TimeUnit};
use crate::context::{TraceContext, baggage};
use crate::envelope::{Opened, open};
use crate::logs::LogRecord;
use crate::message::Received;
use crate::plan::{ENVELOPE, EventPlan, Field, LogPlan, MESSAGE, Output, OutputKind, TypePlan};

/// An event, and what is made of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) message: Received,
    /// What tells it from others.
    pub(crate) key: String,
    /// When it happened, nanoseconds since the Unix epoch.
    pub(crate) time: u64,
    pub(crate) points: Vec<EventPoint>,
    pub(crate) log: Option<LogRecord>,
    pub(crate) trace: Option<TraceContext>,
}

/// A number with its labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventPoint {
    pub(crate) output: usize,
    pub(crate) labels: Box<[Option<Box<str>>]>,
    pub(crate) value: Number,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// An event.
    Event(Box<Event>),
    /// An event of a type that is not configured.
    Unknown(Received, String),
    /// No event, or a bad one: a reason to count it under, and what is wrong.
    Bad(Received, &'static str, String),
}

/// Events that are further ahead of the clock are taken to be of now: a clock that is wrong must not hide every later value.
const MAX_AHEAD: u64 = 300_000_000_000;

/// Reads messages.
#[derive(Debug)]
pub(crate) struct Reader {
    plan: EventPlan,
    envelope: Envelope,
    unit: TimeUnit,
    /// The value of the instance's label; `None` if there is no such label.
    instance: Option<Box<str>>,
}

impl Reader {
    pub(crate) fn new(plan: EventPlan, envelope: Envelope, unit: TimeUnit, instance: &str) -> Self {
        let instance = (!instance.is_empty()).then(|| instance.into());
        Self { plan, envelope, unit, instance }
    }

    /// The metrics that events give.
    pub(crate) fn outputs(&self) -> &std::sync::Arc<[Output]> {
        &self.plan.outputs
    }

    /// Whether any type gives log records.
    pub(crate) fn has_logs(&self) -> bool {
        self.plan.types.values().any(|kind| kind.log.is_some())
    }

    /// Reads one message at `now`, nanoseconds since the Unix epoch.
    pub(crate) fn read(&mut self, message: Received, now: u64) -> Reading {
        let mut opened = match open(&message.body, self.envelope) {
            Ok(opened) => opened,
            Err((reason, detail)) => return Reading::Bad(message, reason, detail),
        };
        let trace = TraceContext::of(&message.attributes, message.xray.as_deref())
            .or_else(|| TraceContext::of(&opened.attributes, None));
        if self.plan.wants_envelope {
            surround(&mut opened, &message);
        }
        let item = opened.fields;
        let Head { kind, time, key } = match self.head(&item, &message, now) {
            Ok(head) => head,
            Err((reason, detail)) => return Reading::Bad(message, reason, detail),
        };
        let max_label_bytes = self.plan.max_label_bytes;
        let outputs = std::sync::Arc::clone(&self.plan.outputs);
        let Some(plan) = self.plan.types.get_mut(&kind) else {
            return Reading::Unknown(message, kind);
        };
        let made = make(plan, &item, &message, now, max_label_bytes);
        let (points, log) = match made.and_then(|made| finish(made, &outputs, self.instance.as_deref())) {
            Ok(made) => made,
            Err((reason, detail)) => return Reading::Bad(message, reason, detail),
        };
        let log = log.map(|log| LogRecord { time, observed: now, kind, ..log });
        Reading::Event(Box::new(Event { message, key, time, points, log, trace }))
    }

    fn head(&self, item: &Item, message: &Received, now: u64) -> Result<Head, Wrong> {
        let plan = &self.plan;
        let mut slots = Vec::new();
        plan.names.bind(item, &mut slots);
        let row = Row { slots: &slots, item, now: seconds(now) };
        let kind = match &plan.discriminator {
            Some(discriminator) => {
                text(discriminator, &row)?.ok_or_else(|| ("no_type", "the event does not say its type".to_owned()))?
            }
            None => Cow::Borrowed(plan.types.keys().next().map_or("", String::as_str)),
        };
        let time = match &plan.event_time {
            Some(label) => {
                let said = text(label, &row)?.ok_or_else(|| ("no_event_time", "the event has no time".to_owned()))?;
                time_of(&said, self.unit)
                    .ok_or_else(|| ("bad_event_time", format!("{said:?} is no time of an event")))?
            }
            None if message.sent > 0 => message.sent,
            None => now,
        };
        let time = if time > now.saturating_add(MAX_AHEAD) { now } else { time };
        let key = match &plan.key {
            Some(label) => text(label, &row)?
                .ok_or_else(|| ("no_idempotency_key", "the event has no idempotency key".to_owned()))?
                .into_owned(),
            None => message.id.clone(),
        };
        Ok(Head { kind: kind.into_owned(), time, key })
    }
}

/// What every message says of itself.
struct Head {
    kind: String,
    time: u64,
    key: String,
}

/// A reason to count a bad message under, and what exactly is wrong with it.
type Wrong = (&'static str, String);

fn text<'a>(label: &'a LabelPlan, row: &Row<'a>) -> Result<Option<Cow<'a, str>>, Wrong> {
    label.value(row).map_err(|error| (error.reason.as_str(), format!("{}: {}", label.name, error.detail)))
}

fn seconds(nanos: u64) -> i64 {
    (nanos / 1_000_000_000) as i64
}

/// A date in a string, or a number of `unit`, as nanoseconds.
fn time_of(said: &str, unit: TimeUnit) -> Option<u64> {
    let scale = match unit {
        TimeUnit::S => 1_000_000_000_u64,
        TimeUnit::Ms => 1_000_000,
        TimeUnit::Us => 1_000,
        TimeUnit::Ns => 1,
    };
    let (number, scale) = match number::parse(said) {
        Some(parsed) => (parsed.number, scale),
        None => (steadyline_mapping::expr::parse_date(said.trim())?, 1_000_000_000),
    };
    let nanos = match number {
        Number::Int(int) => u64::try_from(int).ok()?.checked_mul(scale)?,
        Number::Float(float) => {
            let nanos = float * scale as f64;
            // Beyond this no clock of nanoseconds goes.
            (0.0..1.8e19).contains(&nanos).then_some(nanos as u64)?
        }
    };
    (nanos > 0).then_some(nanos)
}

/// Adds what is around the event to what expressions see.
fn surround(opened: &mut Opened, message: &Received) {
    let text = |text: &str| Attribute::Text(text.to_owned());
    let attributes = message.attributes.iter().chain(&opened.attributes);
    let carried = attributes.clone().find(|(name, _)| *name == "baggage").map(|(_, value)| baggage(value));
    let mut about: Vec<(String, Attribute)> = vec![
        ("message_id".to_owned(), text(&message.id)),
        ("receive_count".to_owned(), Attribute::Number(message.receive_count.to_string())),
        ("sent_ms".to_owned(), Attribute::Number((message.sent / 1_000_000).to_string())),
        (
            "attributes".to_owned(),
            Attribute::Map(attributes.map(|(name, value)| (name.clone(), text(value))).collect()),
        ),
        (
            "baggage".to_owned(),
            Attribute::Map(carried.into_iter().flatten().map(|(k, v)| (k, Attribute::Text(v))).collect()),
        ),
    ];
    about.extend(message.group.as_ref().map(|group| ("group".to_owned(), text(group))));
    opened.fields.insert(MESSAGE.to_owned(), Attribute::Map(about.into_iter().collect()));
    if let Some(envelope) = opened.envelope.take() {
        opened.fields.insert(ENVELOPE.to_owned(), Attribute::Map(envelope));
    }
}

type Made = (Vec<EventPoint>, Option<LogRecord>);

fn make(plan: &mut TypePlan, item: &Item, message: &Received, now: u64, limit: usize) -> Result<Made, Wrong> {
    let mut slots = Vec::new();
    plan.names.bind(item, &mut slots);
    let row = Row { slots: &slots, item, now: seconds(now) };
    plan.fields.iter().try_for_each(|field| check(field, &row))?;
    if let Some(filter) = &plan.filter
        && !filter.test(&row).map_err(|error| (error.reason.as_str(), format!("where: {}", error.detail)))?
    {
        return Ok((Vec::new(), None));
    }
    let mut collect = Collect { first: plan.first_output, points: Vec::new(), wrong: None };
    if let Some(mapper) = &mut plan.mapper {
        mapper.event(item, seconds(now), &mut collect);
    }
    if let Some(wrong) = collect.wrong {
        return Err(wrong);
    }
    let log = match &plan.log {
        Some(log) => Some(record(log, &row, message, limit)?),
        None => None,
    };
    Ok((collect.points, log))
}

fn check(field: &Field, row: &Row<'_>) -> Result<(), Wrong> {
    let found = field.path.resolve(row).map_err(|error| ("wrong_type", error.detail))?;
    match found {
        None if field.required => Err(("missing_field", format!("{} is missing", field.path))),
        Some(attribute) if !field.kind.admits(attribute) => {
            let (want, got) = (field.kind.name(), type_name(attribute));
            Err(("wrong_type", format!("{} is a {got}, not of type {want}", field.path)))
        }
        _ => Ok(()),
    }
}

fn record(plan: &LogPlan, row: &Row<'_>, message: &Received, limit: usize) -> Result<LogRecord, Wrong> {
    let said = |label: &Option<LabelPlan>| match label {
        Some(label) => Ok(text(label, row)?.map(Cow::into_owned)),
        None => Ok(None),
    };
    let mut attributes = Vec::with_capacity(plan.attributes.len());
    for label in &plan.attributes {
        let mut value = text(label, row)?;
        truncate(&mut value, limit);
        attributes.extend(value.map(|value| (label.name.clone(), value.into_owned())));
    }
    let body = if plan.body.is_some() { said(&plan.body)? } else { Some(message.body.clone()) };
    let (severity, event_name) = (said(&plan.severity)?, said(&plan.event_name)?);
    Ok(LogRecord { body: body.unwrap_or_default(), severity, event_name, attributes, ..LogRecord::default() })
}

/// Takes the points of one event, or the first thing that is wrong with it.
struct Collect {
    first: usize,
    points: Vec<EventPoint>,
    wrong: Option<Wrong>,
}

impl Sink for Collect {
    fn number(&mut self, output: usize, labels: &[LabelValue<'_>], value: Number) {
        let labels = labels.iter().map(|label| label.as_deref().map(Box::from)).collect();
        self.points.push(EventPoint { output: self.first + output, labels, value });
    }

    fn held(&mut self, _: usize, _: &[LabelValue<'_>]) {}

    fn skipped(&mut self, skip: &Skip<'_>) {
        if skip.reason != SkipReason::NullValue && self.wrong.is_none() {
            self.wrong = Some((skip.reason.as_str(), skip.detail.to_owned()));
        }
    }

    fn duplicate(&mut self, _: &Duplicate<'_>) {}
}

/// Adds the instance's label, and looks at what only the kind of metric can tell.
fn finish((mut points, log): Made, outputs: &[Output], instance: Option<&str>) -> Result<Made, Wrong> {
    for point in &mut points {
        let output = &outputs[point.output];
        if output.kind == (OutputKind::Sum { monotonic: true }) && point.value.as_f64() < 0.0 {
            return Err(("negative", format!("{} cannot fall by {}", output.name, point.value.as_f64())));
        }
        if let (Some(instance), false) = (instance, output.kind == OutputKind::Gauge) {
            let labels = std::mem::take(&mut point.labels).into_vec();
            point.labels = labels.into_iter().chain([Some(Box::from(instance))]).collect();
        }
    }
    Ok((points, log))
}
