//! Families: their types, helps and units as far as the target has told them, and which of them a series belongs to.

use std::collections::HashMap;

use steadyline_prometheus::MetricKind;
use steadyline_scrape::{Member, member};

/// A family as the target describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Family {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) kind: MetricKind,
    /// Its help.
    pub(crate) help: String,
    /// Its unit, as the target spells it.
    pub(crate) unit: String,
}

/// What kind of value a sample has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// A number.
    Float = 0,
    /// A native histogram.
    Exponential = 1,
    /// A native histogram with custom bounds.
    Custom = 2,
}

/// The families of a target.
#[derive(Debug, Default)]
pub(crate) struct Families {
    rows: Vec<Family>,
    by_name: HashMap<String, u32>,
    /// The family that was described last.
    current: Option<u32>,
    /// Rises when the description of a family changes.
    epoch: u32,
}

impl Families {
    /// A body begins: no family is described yet.
    pub(super) fn begin(&mut self) {
        self.current = None;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The family in a row.
    pub(crate) fn get(&self, row: u32) -> &Family {
        &self.rows[row as usize]
    }

    /// The target tells a type.
    pub(crate) fn set_kind(&mut self, family: &str, kind: MetricKind) {
        let row = self.describe(family);
        if self.rows[row].kind != kind {
            self.rows[row].kind = kind;
            self.epoch += 1;
        }
    }

    /// The target tells a help text. It is looked up when a batch is made, so no series needs to know.
    pub(crate) fn set_help(&mut self, family: &str, help: &str) {
        let row = self.describe(family);
        if self.rows[row].help != help {
            self.rows[row].help = help.to_string();
        }
    }

    /// The target tells a unit.
    pub(crate) fn set_unit(&mut self, family: &str, unit: &str) {
        let row = self.describe(family);
        if self.rows[row].unit != unit {
            self.rows[row].unit = unit.to_string();
        }
    }

    fn describe(&mut self, name: &str) -> usize {
        if let Some(row) = self.current
            && self.rows[row as usize].name == name
        {
            return row as usize;
        }
        let row = match self.by_name.get(name) {
            Some(row) => *row,
            None => {
                let row = self.rows.len() as u32;
                self.rows.push(Family { name: name.to_string(), ..Family::default() });
                self.by_name.insert(name.to_string(), row);
                // Series that came before their family was told belong to it from now on.
                self.epoch += 1;
                row
            }
        };
        self.current = Some(row);
        row as usize
    }

    /// All that the role of a series depends on besides itself, as one number; never 0.
    #[inline]
    pub(super) fn context(&self, variant: Variant) -> u64 {
        let current = self.current.map_or(0, |row| u64::from(row) + 1);
        (u64::from(self.epoch) << 34) + (current << 2) + variant as u64 + 1
    }

    /// The family that a series belongs to, and what it is there. The one described last goes first; then the others by
    /// their names, for targets that mix families up.
    pub(super) fn find(&self, name: &str) -> Option<(u32, Member)> {
        let of = |row: u32| {
            let family = &self.rows[row as usize];
            member(&family.name, family.kind, name).map(|member| (row, member))
        };
        if let Some(found) = self.current.and_then(of) {
            return Some(found);
        }
        let suffixes = ["_total", "_info", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_created"];
        let stems = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
        std::iter::once(name).chain(stems).find_map(|stem| self.by_name.get(stem).copied().and_then(of))
    }
}
