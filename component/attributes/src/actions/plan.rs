//! What the actions do to all points of one shape: worked out on its keys alone, as far as keys decide it.

use regex::Regex;

use super::{Actions, Subject};
use crate::value::ConvertedType;

/// What becomes of the attributes of one shape.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing.
    Same,
    /// These keys, each with what its value is made of.
    Fixed { keys: Vec<PlannedKey>, cells: Vec<Cell> },
    /// The values decide, point by point.
    ByValue,
}

/// A key of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlannedKey {
    /// The one at this place of the shape.
    Old(usize),
    /// A new one.
    New(String),
}

/// What a value is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// The point's value at this place of the shape.
    Old(usize),
    /// A constant.
    Constant(usize),
    /// The hash of another.
    Hashed(Box<Cell>),
    /// Another, converted.
    Converted(ConvertedType, Box<Cell>),
}

impl Plan {
    pub(super) fn new(actions: &Actions, keys: &[&str]) -> Plan {
        let cells = (0..keys.len()).map(Cell::Old).collect();
        let planned = (0..keys.len()).map(PlannedKey::Old).collect();
        let mut draft = Draft { old: keys, keys: planned, cells, by_value: false };
        actions.run(&mut draft);
        let same =
            |(at, (key, cell)): (usize, (&PlannedKey, &Cell))| *key == PlannedKey::Old(at) && *cell == Cell::Old(at);
        if draft.by_value {
            return Plan::ByValue;
        }
        if draft.keys.len() == keys.len() && draft.keys.iter().zip(&draft.cells).enumerate().all(same) {
            return Plan::Same;
        }
        Plan::Fixed { keys: draft.keys, cells: draft.cells }
    }
}

struct Draft<'a> {
    old: &'a [&'a str],
    keys: Vec<PlannedKey>,
    cells: Vec<Cell>,
    by_value: bool,
}

impl Subject for Draft<'_> {
    type Value = Cell;

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn key(&self, at: usize) -> &str {
        match &self.keys[at] {
            PlannedKey::Old(at) => self.old[*at],
            PlannedKey::New(key) => key,
        }
    }

    fn get(&self, at: usize) -> Cell {
        self.cells[at].clone()
    }

    fn set(&mut self, at: usize, value: Cell) {
        self.cells[at] = value;
    }

    fn push(&mut self, key: &str, value: Cell) {
        self.keys.push(PlannedKey::New(key.to_owned()));
        self.cells.push(value);
    }

    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.cells.remove(at);
    }

    fn constant(&mut self, index: usize) -> Cell {
        Cell::Constant(index)
    }

    fn hash(&mut self, at: usize) {
        self.cells[at] = Cell::Hashed(Box::new(self.get(at)));
    }

    fn convert(&mut self, at: usize, to: ConvertedType) {
        self.cells[at] = Cell::Converted(to, Box::new(self.get(at)));
    }

    /// Which attributes there are afterwards depends on the value.
    fn extract(&mut self, _: usize, _: &Regex) -> Option<Vec<Cell>> {
        self.by_value = true;
        None
    }
}
