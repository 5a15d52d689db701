//! One change of a script: when it happens, and what it does to the item that it names.

use std::time::Duration;

use serde::Deserialize;

use crate::database::{AttributeValue, Database, Item};
use crate::error::{Error, Fault};
use crate::plain::Plain;
use crate::schema::{TableSchema, list};
use crate::seed::Table;
use crate::template::{Draw, Template, salted};

/// A change of a script.
#[derive(Debug)]
pub(crate) struct Change {
    /// From the start of the script to the first time.
    pub(crate) first: Duration,
    /// From each time to the next.
    pub(crate) period: Option<Duration>,
    /// Position of the table in the seed.
    pub(crate) table: usize,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Put(Template),
    Delete(Template),
    Update(Box<Update>),
}

/// What an update does, in this order.
#[derive(Debug)]
struct Update {
    key: Template,
    set: Vec<(String, Template)>,
    remove: Vec<String>,
    /// Moves the attribute one value on in a list; the last value stays.
    next: Vec<(String, Vec<AttributeValue>)>,
    /// Adds the first of these elements that is not there yet.
    append_next: Vec<(String, AttributeValue)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSpec {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    every: Option<String>,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    put: Option<Plain>,
    #[serde(default)]
    delete: Option<Plain>,
    #[serde(default)]
    update: Option<UpdateSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateSpec {
    key: Plain,
    #[serde(default)]
    set: Option<Plain>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    next: Option<Plain>,
    #[serde(default)]
    append_next: Option<Plain>,
}

/// What applying a change came to.
#[derive(Debug)]
pub(crate) enum Applied {
    /// The key of the item that changed.
    Done(Item),
    /// An update of an item that is not there does nothing.
    Missing(Item),
}

impl Change {
    /// Checks a change; `index` is its position in the file. All its mistakes are returned.
    pub(crate) fn build(
        spec: ChangeSpec,
        index: usize,
        tables: &[Table],
        round: Option<Duration>,
        seed: u64,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let timing = timing(&spec, round).map_err(|fault| faults.push(fault)).ok();
        let table = table_of(spec.table.as_deref(), tables).map_err(|fault| faults.push(fault)).ok();
        let action = match (spec.put, spec.delete, spec.update) {
            (Some(item), None, None) => action_template("put", &item, index).map(Action::Put),
            (None, Some(key), None) => action_template("delete", &key, index).map(Action::Delete),
            (None, None, Some(update)) => Update::build(update, index)
                .map(|update| Action::Update(Box::new(update)))
                .map_err(|fault| fault.within("update")),
            _ => Err(Fault::new("expected exactly one of `put`, `delete` and `update`")),
        }
        .map_err(|fault| faults.push(fault))
        .ok();
        if let (Some((first, period)), Some(table), Some(action)) = (timing, table, action) {
            let change = Self { first, period, table, action };
            match change.check(&tables[table].schema, Draw { n: 0, seed }) {
                Ok(()) => return Ok(change),
                Err(fault) => faults.push(fault),
            }
        }
        Err(faults)
    }

    /// Tries the change out on paper: the key must fit the table, values must be attributes.
    fn check(&self, schema: &TableSchema, draw: Draw) -> Result<(), Fault> {
        match &self.action {
            Action::Put(_) => self.item(schema, draw).map(drop),
            Action::Delete(_) => self.key(schema, draw).map(drop),
            Action::Update(update) => {
                self.key(schema, draw)?;
                update.check(schema, draw).map_err(|fault| fault.within("update"))
            }
        }
    }

    /// The item that a `put` puts.
    fn item(&self, schema: &TableSchema, draw: Draw) -> Result<Item, Fault> {
        let Action::Put(template) = &self.action else {
            return Err(Fault::new("only `put` has an item"));
        };
        let item = template.value(draw).item();
        item.and_then(|item| schema.check(&item).map(|()| item)).map_err(|fault| fault.within("put"))
    }

    /// The key of the item that the change is about.
    pub(crate) fn key(&self, schema: &TableSchema, draw: Draw) -> Result<Item, Fault> {
        let (template, path): (_, &[&str]) = match &self.action {
            Action::Put(_) => return Ok(schema.key_of(&self.item(schema, draw)?)),
            Action::Delete(key) => (key, &["delete"]),
            Action::Update(update) => (&update.key, &["key", "update"]),
        };
        let key = template.value(draw).item();
        key.and_then(|key| schema.check_key(&key).map(|()| key))
            .map_err(|fault| path.iter().fold(fault, |fault, step| fault.within(*step)))
    }

    /// Applies the change to the database.
    pub(crate) fn apply(&self, schema: &TableSchema, draw: Draw, database: &Database) -> Result<Applied, ApplyError> {
        let key = self.key(schema, draw)?;
        match &self.action {
            Action::Put(_) => database.put(&schema.name, self.item(schema, draw)?)?,
            Action::Delete(_) => database.delete(&schema.name, &key)?,
            Action::Update(update) => {
                let Some(mut item) = database.get(&schema.name, &key)? else {
                    return Ok(Applied::Missing(key));
                };
                update.apply(&mut item, draw)?;
                database.put(&schema.name, item)?;
            }
        }
        Ok(Applied::Done(key))
    }
}

/// Why a change could not be applied.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// A value that only a later `n` brings out is wrong.
    Fault(Fault),
    Database(Error),
}

impl From<Fault> for ApplyError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

fn timing(spec: &ChangeSpec, round: Option<Duration>) -> Result<(Duration, Option<Duration>), Fault> {
    let span = |text: &Option<String>, name: &str| -> Result<Option<Duration>, Fault> {
        let parsed = text.as_deref().map(crate::seed::span).transpose();
        parsed.map_err(|message| Fault::new(message).within(name))
    };
    let after = span(&spec.after, "after")?;
    let every = span(&spec.every, "every")?;
    if every.is_some_and(|period| period < SHORTEST_PERIOD) {
        return Err(Fault::new("expected a period of at least 1ms").within("every"));
    }
    let Some(first) = after.or(every) else {
        return Err(Fault::new("expected `after`, `every` or both"));
    };
    match round {
        Some(round) if first >= round => {
            Err(Fault::new("this never happens: the script starts over before, expected a time below `loop`")
                .within(if after.is_some() { "after" } else { "every" }))
        }
        _ => Ok((first, every)),
    }
}

const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

fn table_of(name: Option<&str>, tables: &[Table]) -> Result<usize, Fault> {
    let names = || list(tables.iter().map(|table| table.schema.name.as_str()));
    match (name, tables.len()) {
        (None, 1) => Ok(0),
        (None, _) => Err(Fault::new(format!("there are several tables, expected `table`: one of {}", names()))),
        (Some(name), _) => tables
            .iter()
            .position(|table| table.schema.name == name)
            .ok_or_else(|| Fault::new(format!("no table `{name}`, expected one of {}", names())).within("table")),
    }
}

fn action_template(name: &str, plain: &Plain, index: usize) -> Result<Template, Fault> {
    Template::compile(plain, salted(index as u64, name)).map_err(|fault| fault.within(name))
}

impl Update {
    fn build(spec: UpdateSpec, index: usize) -> Result<Self, Fault> {
        let key = action_template("key", &spec.key, index)?;
        let set = entries(spec.set, "set")?
            .into_iter()
            .map(|(name, plain)| {
                let salt = salted(index as u64, &name);
                let template =
                    Template::compile(&plain, salt).map_err(|fault| fault.within(name.as_str()).within("set"))?;
                Ok((name, template))
            })
            .collect::<Result<_, Fault>>()?;
        let next = entries(spec.next, "next")?
            .into_iter()
            .map(|(name, plain)| {
                let values = stages(&plain).map_err(|fault| fault.within(name.as_str()).within("next"))?;
                Ok((name, values))
            })
            .collect::<Result<_, Fault>>()?;
        let append_next = entries(spec.append_next, "append_next")?
            .into_iter()
            .map(|(name, plain)| {
                let values = elements(&plain).map_err(|fault| fault.within(name.as_str()).within("append_next"))?;
                Ok((name, values))
            })
            .collect::<Result<_, Fault>>()?;
        Ok(Self { key, set, remove: spec.remove, next, append_next })
    }

    fn check(&self, schema: &TableSchema, draw: Draw) -> Result<(), Fault> {
        for (name, template) in &self.set {
            template.value(draw).attribute().map_err(|fault| fault.within(name.as_str()).within("set"))?;
        }
        let names = (self.set.iter().map(|(name, _)| ("set", name)))
            .chain(self.remove.iter().map(|name| ("remove", name)))
            .chain(self.next.iter().map(|(name, _)| ("next", name)))
            .chain(self.append_next.iter().map(|(name, _)| ("append_next", name)));
        for (what, name) in names {
            if schema.is_key(name) {
                return Err(Fault::new(format!("`{name}` is the table's key, expected an attribute that may change"))
                    .within(what));
            }
        }
        Ok(())
    }

    fn apply(&self, item: &mut Item, draw: Draw) -> Result<(), Fault> {
        for (name, template) in &self.set {
            match template.value(draw).attribute()? {
                Some(value) => item.insert(name.clone(), value),
                None => item.remove(name),
            };
        }
        for name in &self.remove {
            item.remove(name);
        }
        for (name, stages) in &self.next {
            let now = item.get(name).and_then(|value| stages.iter().position(|s| s == value));
            let next = now.map_or(0, |at| (at + 1).min(stages.len() - 1));
            item.insert(name.clone(), stages[next].clone());
        }
        for (name, elements) in &self.append_next {
            append_next(item, name, elements);
        }
        Ok(())
    }
}

fn entries(plain: Option<Plain>, name: &str) -> Result<Vec<(String, Plain)>, Fault> {
    match plain {
        None => Ok(Vec::new()),
        Some(Plain::Map(entries)) => Ok(entries),
        Some(other) => Err(other.unexpected("a map of attribute names to values").within(name)),
    }
}

/// The values that an attribute goes through.
fn stages(plain: &Plain) -> Result<Vec<AttributeValue>, Fault> {
    match plain.attribute()? {
        Some(AttributeValue::L(values)) if !values.is_empty() => Ok(values),
        _ => Err(plain.unexpected("a list of values to go through")),
    }
}

/// The elements that are added one by one: a list, or a set of texts.
fn elements(plain: &Plain) -> Result<AttributeValue, Fault> {
    match plain.attribute()? {
        Some(AttributeValue::L(values)) if !values.is_empty() => Ok(AttributeValue::L(values)),
        Some(AttributeValue::SS(values)) => Ok(AttributeValue::SS(values)),
        _ => Err(plain.unexpected("a list of elements, or a set `{SS: [...]}`")),
    }
}

/// Adds the first missing element. An attribute of another type, and a full one, stay as they are.
fn append_next(item: &mut Item, name: &str, elements: &AttributeValue) {
    match elements {
        AttributeValue::L(all) => {
            let entry = item.entry(name.to_owned());
            if let AttributeValue::L(values) = entry.or_insert(AttributeValue::L(Vec::new())) {
                let missing = all.iter().find(|value| !values.contains(value)).cloned();
                values.extend(missing);
            }
        }
        AttributeValue::SS(all) => {
            let entry = item.entry(name.to_owned());
            if let AttributeValue::SS(values) = entry.or_insert(AttributeValue::SS(Vec::new())) {
                let missing = all.iter().find(|value| !values.contains(value)).cloned();
                values.extend(missing);
            }
        }
        _ => {}
    }
}
