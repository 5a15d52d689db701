//! Single tests: text against a list, an attribute against a value, a scope, a severity.

use std::collections::BTreeSet;

use regex::{Regex, RegexSet};
use steadyline_telemetry::Value;

use crate::lookup::Lookup;
use crate::value::{Fixed, text};

/// A list of texts, one of which must fit.
#[derive(Debug)]
pub enum Texts {
    /// Exactly one of these.
    Strict(BTreeSet<String>),
    /// One of these regular expressions matches somewhere in it.
    Regexp(RegexSet),
}

impl Texts {
    /// Whether a text fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Texts::Strict(set) => set.contains(text),
            Texts::Regexp(set) => set.is_match(text),
        }
    }
}

/// An attribute that must be there, perhaps with a value.
#[derive(Debug)]
pub struct AttributeTest {
    /// Its key.
    pub key: String,
    /// What its value must be; `None`: anything.
    pub value: Option<ValueTest>,
}

/// What a value must be.
#[derive(Debug)]
pub enum ValueTest {
    /// Of this type and equal.
    Equals(Fixed),
    /// As text, the regular expression matches somewhere in it.
    Matches(Regex),
}

impl AttributeTest {
    /// Whether all tests hold.
    pub fn all(tests: &[AttributeTest], attributes: &(impl Lookup + ?Sized)) -> bool {
        tests.iter().all(|test| match (attributes.read(&test.key), &test.value) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(read), Some(value)) => value.holds(read.value()),
        })
    }
}

impl ValueTest {
    /// Whether a value is what it must be.
    pub fn holds(&self, value: Value<'_>) -> bool {
        match self {
            ValueTest::Equals(expected) => expected.value() == value,
            ValueTest::Matches(regex) => regex.is_match(&text(value)),
        }
    }
}

/// An instrumentation scope.
#[derive(Debug)]
pub struct LibraryTest {
    /// Its name.
    pub name: Texts,
    /// Its version; `None`: any.
    pub version: Option<Texts>,
}

impl LibraryTest {
    /// Whether one of the tests holds, or there is none.
    pub fn any(tests: &[LibraryTest], name: &str, version: &str) -> bool {
        let fits = |test: &LibraryTest| test.name.fits(name) && test.version.as_ref().is_none_or(|v| v.fits(version));
        tests.is_empty() || tests.iter().any(fits)
    }
}

/// A least severity.
#[derive(Debug, Clone, Copy)]
pub struct SeverityTest {
    /// The least number.
    pub min: i32,
    /// Whether a record without one fits.
    pub match_undefined: bool,
}

impl SeverityTest {
    /// Whether a record's number fits.
    pub fn fits(self, number: i32) -> bool {
        if number == 0 { self.match_undefined } else { number >= self.min }
    }
}
