//! The elements of whatever has elements, one after the other.

use std::borrow::Cow;

use super::value::Val;
use crate::item::Attribute;

/// The elements of any kind of list, as values.
pub(super) enum Elements<'a> {
    List(std::slice::Iter<'a, Val<'static>>),
    Attributes(std::slice::Iter<'a, Attribute>),
    Strings(std::slice::Iter<'a, String>),
    Numbers(std::slice::Iter<'a, String>),
    Blobs(std::slice::Iter<'a, Vec<u8>>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = Val<'a>;

    fn next(&mut self) -> Option<Val<'a>> {
        match self {
            Elements::List(list) => list.next().map(Val::borrowed),
            Elements::Attributes(list) => list.next().map(Val::from_attribute),
            Elements::Strings(set) => set.next().map(|text| Val::Str(Cow::Borrowed(text.as_str()))),
            Elements::Numbers(set) => set.next().map(|text| Val::from_number_text(text)),
            Elements::Blobs(set) => set.next().map(|blob| Val::Bytes(Cow::Borrowed(blob))),
        }
    }
}
