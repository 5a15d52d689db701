//! The seed file: tables, their items, generated items, and the script of changes. Reading checks
//! everything that can be checked without running it, and reports all mistakes at once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use crate::change::{Change, ChangeSpec};
use crate::database::{Database, Item};
use crate::error::{Error, Fault, Problem, Step, render};
use crate::locate::locate;
use crate::plain::Plain;
use crate::schema::{Index, KeyKind, KeyNames, TableSchema, list};
use crate::template::{Draw, Template, salted};

/// The path of the demo's seed. Where the file does not exist, as in a container, the copy inside
/// the binary is used.
pub const DEMO_SEED: &str = "demo/onboarding.yaml";

const DEMO: &str = include_str!("../../../demo/onboarding.yaml");

/// A seed file that was read and found good.
#[derive(Debug)]
pub struct Seed {
    file: String,
    text: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) changes: Vec<Change>,
    /// The script starts over, on the seeded tables, each time that this has passed.
    pub(crate) round: Option<std::time::Duration>,
    pub(crate) seed: u64,
}

/// A table and what is in it at the start.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) schema: TableSchema,
    items: Vec<Item>,
    generators: Vec<Generator>,
}

/// Makes `count` items from one template.
#[derive(Debug)]
struct Generator {
    count: u64,
    template: Template,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedSpec {
    #[serde(default)]
    seed: u64,
    tables: Vec<TableSpec>,
    #[serde(default)]
    changes: Vec<ChangeSpec>,
    #[serde(default, rename = "loop")]
    round: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableSpec {
    name: String,
    key: KeyNames,
    #[serde(default)]
    key_types: BTreeMap<String, KeyKind>,
    #[serde(default)]
    indexes: Vec<Index>,
    #[serde(default)]
    items: Vec<Plain>,
    #[serde(default)]
    generate: Vec<GeneratorSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GeneratorSpec {
    count: u64,
    item: Plain,
}

/// Items that are handed to the database at once, so that a large seed is never held whole.
const CHUNK: usize = 5_000;

impl Seed {
    /// Reads and checks a seed file, relative to the working directory.
    ///
    /// # Errors
    /// [`Error::Read`] if there is no such file, [`Error::Seed`] with every mistake in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&path.display().to_string(), text),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEMO_SEED) => {
                Self::parse(DEMO_SEED, DEMO.to_owned())
            }
            Err(source) => Err(Error::Read { path: path.to_owned(), source }),
        }
    }

    /// Checks the text of a seed file; `file` is its name in messages.
    ///
    /// # Errors
    /// [`Error::Seed`] with every mistake.
    pub fn parse(file: &str, text: String) -> Result<Self, Error> {
        let spec: SeedSpec = serde_yaml::from_str(&text)
            .map_err(|error| Error::Seed { problems: vec![syntax_problem(file, &error)] })?;
        let mut faults = Vec::new();
        let seed = build(spec, &mut faults);
        let mut seed = Self { file: file.to_owned(), text, ..seed };
        if faults.is_empty() {
            return Ok(seed);
        }
        let mut problems: Vec<Problem> = faults.iter().map(|fault| seed.problem(fault)).collect();
        problems.sort_by_key(|problem| problem.location);
        seed.tables.clear();
        Err(Error::Seed { problems })
    }

    /// Creates the tables and loads the items, in chunks; returns how many items were loaded.
    pub(crate) fn load(&self, database: &Database) -> Result<usize, Error> {
        let mut loaded = 0;
        for (index, table) in self.tables.iter().enumerate() {
            database.create_table(&table.schema)?;
            loaded += table.load(database, self.seed).map_err(|error| match error {
                LoadError::Database(error) => error,
                LoadError::Fault(fault) => {
                    Error::Seed { problems: vec![self.problem(&fault.within(index).within("tables"))] }
                }
            })?;
        }
        Ok(loaded)
    }

    /// Names the place of a mistake.
    pub(crate) fn problem(&self, fault: &Fault) -> Problem {
        let path: Vec<Step> = fault.path().cloned().collect();
        Problem {
            file: self.file.clone(),
            location: locate(&self.text, &path),
            path: render(path.iter()),
            message: fault.message.clone(),
        }
    }
}

/// A span of time, as everywhere in a config: `5s`, `1m30s`.
pub(crate) fn span(text: &str) -> Result<std::time::Duration, String> {
    let parsed = text.parse::<steadyline_component::config::Duration>();
    parsed.map(std::time::Duration::from).map_err(|error| error.to_string())
}

/// The parser's own error: its text without the place, which is printed in front.
fn syntax_problem(file: &str, error: &serde_yaml::Error) -> Problem {
    let location = error.location().map(|at| (at.line(), at.column()));
    let mut message = error.to_string();
    if let Some((line, column)) = location {
        message = message.replace(&format!(" at line {line} column {column}"), "");
    }
    Problem { file: file.to_owned(), location, path: String::new(), message }
}

fn build(spec: SeedSpec, faults: &mut Vec<Fault>) -> Seed {
    let mut tables = Vec::with_capacity(spec.tables.len());
    let mut names: HashMap<String, usize> = HashMap::new();
    for (index, table) in spec.tables.into_iter().enumerate() {
        if names.insert(table.name.clone(), index).is_some() {
            let fault = Fault::new(format!("two tables are called `{}`, expected one", table.name));
            faults.push(fault.within("name").within(index).within("tables"));
        }
        let mut found = Vec::new();
        tables.push(build_table(table, index, &mut found));
        faults.extend(found.into_iter().map(|f| f.within(index).within("tables")));
    }
    if tables.is_empty() {
        faults.push(Fault::new("no table, expected at least one").within("tables"));
    }
    let round = spec.round.and_then(|text| {
        let parsed = span(&text).and_then(|span| match span.is_zero() {
            true => Err("a round takes time, expected a span such as `10m`".to_owned()),
            false => Ok(span),
        });
        parsed.map_err(|message| faults.push(Fault::new(message).within("loop"))).ok()
    });
    let mut changes = Vec::with_capacity(spec.changes.len());
    for (index, change) in spec.changes.into_iter().enumerate() {
        match Change::build(change, index, &tables, round, spec.seed) {
            Ok(change) => changes.push(change),
            Err(found) => {
                faults.extend(found.into_iter().map(|f| f.within(index).within("changes")));
            }
        }
    }
    Seed { file: String::new(), text: String::new(), tables, changes, round, seed: spec.seed }
}

fn build_table(spec: TableSpec, position: usize, faults: &mut Vec<Fault>) -> Table {
    let schema = TableSchema { name: spec.name, key: spec.key, indexes: spec.indexes, key_types: spec.key_types };
    check_schema(&schema, faults);
    let mut items = Vec::with_capacity(spec.items.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, plain) in spec.items.iter().enumerate() {
        match checked(plain, &schema) {
            Ok(item) => {
                if let Some(first) = places.insert(schema.fingerprint(&item), index) {
                    let fault = Fault::new(format!("the same key as items[{first}], expected each key once"));
                    faults.push(fault.within(index).within("items"));
                }
                items.push(item);
            }
            Err(fault) => faults.push(fault.within(index).within("items")),
        }
    }
    let mut generators = Vec::with_capacity(spec.generate.len());
    for (index, generator) in spec.generate.iter().enumerate() {
        let salt = salted(position as u64, &format!("generate/{index}"));
        match Template::compile(&generator.item, salt) {
            Ok(template) => generators.push(Generator { count: generator.count, template }),
            Err(fault) => faults.push(fault.within("item").within(index).within("generate")),
        }
    }
    Table { schema, items, generators }
}

fn checked(plain: &Plain, schema: &TableSchema) -> Result<Item, Fault> {
    let item = plain.item()?;
    schema.check(&item)?;
    Ok(item)
}

fn check_schema(schema: &TableSchema, faults: &mut Vec<Fault>) {
    let legal = |name: &str| {
        (3..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    let name_rule = "expected 3 to 255 letters, digits, `_`, `-` or `.`";
    if !legal(&schema.name) {
        let fault = Fault::new(format!("\"{}\" is no table name, {name_rule}", schema.name));
        faults.push(fault.within("name"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (position, index) in schema.indexes.iter().enumerate() {
        if !legal(&index.name) || seen.contains(&index.name.as_str()) {
            let fault = Fault::new(format!("\"{}\" is no index name of its own, {name_rule}, each once", index.name));
            faults.push(fault.within("name").within(position).within("indexes"));
        }
        seen.push(&index.name);
    }
    for name in schema.key_types.keys() {
        if !schema.key_attributes().any(|(key, _)| key == name) {
            let fault = Fault::new(format!(
                "`{name}` is no key, expected one of {}",
                list(schema.key_attributes().map(|(key, _)| key))
            ));
            faults.push(fault.within(name.as_str()).within("key_types"));
        }
    }
}

enum LoadError {
    Fault(Fault),
    Database(Error),
}

impl Table {
    fn load(&self, database: &Database, seed: u64) -> Result<usize, LoadError> {
        let import = |items: Vec<Item>| database.import(&self.schema.name, items).map_err(LoadError::Database);
        let mut loaded = import(self.items.clone())?;
        let mut keys: std::collections::HashSet<String> =
            self.items.iter().map(|item| self.schema.fingerprint(item)).collect();
        for (index, generator) in self.generators.iter().enumerate() {
            let mut chunk = Vec::new();
            for n in 0..generator.count {
                let item = self
                    .generated(generator, Draw { n, seed }, &mut keys)
                    .map_err(|fault| LoadError::Fault(fault.within("item").within(index).within("generate")))?;
                chunk.push(item);
                if chunk.len() == CHUNK {
                    loaded += import(std::mem::take(&mut chunk))?;
                }
            }
            loaded += import(chunk)?;
        }
        Ok(loaded)
    }

    fn generated(
        &self,
        generator: &Generator,
        draw: Draw,
        keys: &mut std::collections::HashSet<String>,
    ) -> Result<Item, Fault> {
        let item = checked(&generator.template.value(draw), &self.schema)?;
        match keys.insert(self.schema.fingerprint(&item)) {
            true => Ok(item),
            false => Err(Fault::new(format!(
                "item n = {} has the key of an earlier item, expected a key that differs for each `n`, such as `{{n:05}}`",
                draw.n
            ))),
        }
    }
}
