//! Where points go, and why some do not.

use std::borrow::Cow;

use crate::expr::Reason;
use crate::item::Item;
use crate::number::Number;

/// Takes what a mapping makes. `output` indexes [`super::Plan::outputs`]; `labels` has one value for each of that output's label names, `None` where
/// the item has none.
pub trait Sink {
    /// A point.
    fn number(&mut self, output: usize, labels: &[Option<Cow<'_, str>>], value: Number);
    /// No point, but the series is still there and keeps its last value.
    fn held(&mut self, output: usize, labels: &[Option<Cow<'_, str>>]);
    /// An item, or one point of it, was skipped. Called for each; whoever logs limits the rate.
    fn skipped(&mut self, skip: &Skip<'_>);
    /// Two items of one pass have the same identity.
    fn duplicate(&mut self, duplicate: &Duplicate<'_>);
}

/// What was skipped and why.
#[derive(Clone, Copy, Debug)]
pub struct Skip<'a> {
    /// The reason to count it under.
    pub reason: SkipReason,
    /// The metric whose point it would have been; `None` for the whole item.
    pub metric: Option<&'a str>,
    /// The item.
    pub item: &'a Item,
    /// What exactly is wrong with it.
    pub detail: &'a str,
}

/// Two items with one identity, and which of them counts.
#[derive(Clone, Debug)]
pub struct Duplicate<'a> {
    /// The identity's values, in the order of its labels.
    pub identity: &'a [Option<Cow<'a, str>>],
    /// The key of the item that counts.
    pub winner: String,
    /// The key of the item that does not.
    pub loser: String,
    /// Whether `prefer` decided, rather than the order of the keys.
    pub preferred: bool,
}

/// The reasons for skipping an item or a point.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SkipReason {
    /// An identity label has no value.
    MissingIdentity,
    /// An identity label is longer than labels may be.
    IdentityTooLong,
    /// The value is null.
    NullValue,
    /// Another item of the same identity counts.
    DuplicateIdentity,
    /// The aggregate knows as many groups as it may.
    GroupLimit,
    /// An expression or attribute failed.
    Failed(Reason),
}

impl SkipReason {
    /// How many reasons there are.
    pub const COUNT: usize = 5 + Reason::ALL.len();

    /// Every reason; [`SkipReason::index`] is the place in it.
    pub fn all() -> impl Iterator<Item = SkipReason> {
        use SkipReason::{DuplicateIdentity, Failed, GroupLimit, IdentityTooLong, MissingIdentity, NullValue};
        [MissingIdentity, IdentityTooLong, NullValue, DuplicateIdentity, GroupLimit]
            .into_iter()
            .chain(Reason::ALL.into_iter().map(Failed))
    }

    /// A number below [`SkipReason::COUNT`].
    pub fn index(self) -> usize {
        match self {
            SkipReason::MissingIdentity => 0,
            SkipReason::IdentityTooLong => 1,
            SkipReason::NullValue => 2,
            SkipReason::DuplicateIdentity => 3,
            SkipReason::GroupLimit => 4,
            SkipReason::Failed(reason) => 5 + reason as usize,
        }
    }

    /// The label value of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            SkipReason::MissingIdentity => "missing_identity",
            SkipReason::IdentityTooLong => "identity_too_long",
            SkipReason::NullValue => "null_value",
            SkipReason::DuplicateIdentity => "duplicate_identity",
            SkipReason::GroupLimit => "group_limit",
            SkipReason::Failed(reason) => reason.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_index_and_name() {
        let all: Vec<SkipReason> = SkipReason::all().collect();
        assert_eq!(all.len(), SkipReason::COUNT);
        for (place, reason) in all.iter().enumerate() {
            assert_eq!(reason.index(), place, "{reason:?}");
            assert_eq!(all.iter().filter(|other| other.as_str() == reason.as_str()).count(), 1, "{reason:?}");
        }
    }
}
