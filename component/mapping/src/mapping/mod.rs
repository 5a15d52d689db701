//! From items to numbers with labels. Pure: items go in, points go to a [`Sink`], nothing else happens.
//!
//! | room | what lives there |
//! |---|---|
//! | [`plan`] | config to a checked, compiled plan |
//! | [`mapper`] | the plan over the items of a pass |
//! | [`duplicates`] | two items with one identity |
//! | [`aggregate`] | results over all items of a pass |
//! | [`key`] | what the table's key is, and how items compare by it |

mod aggregate;
mod duplicates;
mod key;
mod label;
mod mapper;
mod plan;
mod sink;
#[cfg(test)]
mod tests;
mod value;

pub use key::TableKey;
pub use label::{LabelPlan, LabelValue, truncate};
pub use mapper::{Mapper, PassStats};
pub use plan::{Output, OutputKind, Plan, PlanError};
pub use sink::{Duplicate, Sink, Skip, SkipReason};
