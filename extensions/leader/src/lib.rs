//! The `leader` extension: of several equal processes one polls, by a lease in a DynamoDB table.
//!
//! ```yaml
//! extensions:
//!   leader/onboarding:
//!     dynamodb: {table: steadyline-leases, lease: onboarding, region: us-east-1}
//! receivers:
//!   dynamodb/onboarding: {table: onboarding, leader: leader/onboarding}
//! ```
//!
//! # The table
//!
//! Its key is the string `lease`, alone; there is no index and nothing else to set. One table serves any number of leases:
//!
//! | attribute | type | meaning |
//! |---|---|---|
//! | `lease` | S | the key: the lease's name |
//! | `holder` | S | who leads: `instance`, and an id that is random per start; absent when the lease was released |
//! | `lease_counter` | N | one more with every write; what a write depends on |
//! | `fence` | N | one more with every term |
//! | `line_time` | N | what the leader's samples were stamped with at that write, ms since the Unix epoch |
//! | `reserved_until` | N | the highest timestamp that the leader may send before its next write, ms |
//!
//! # The protocol
//!
//! - A row is read consistently, and written only if its counter is the one that was read. So every write knows the row that
//!   it replaces, and of several writers one wins.
//! - A process that leads writes every `renew_interval`. It leads until `lease_duration` less a fifth after the *sending* of
//!   its last write that took effect, by its own monotonic clock, which counts while a machine sleeps. A write whose answer
//!   was lost is looked for in the row: it counts if holder and counter are as it left them.
//! - A process that stands by reads every `renew_interval`. It takes a row that nobody holds, one that it holds itself from
//!   an earlier term, and one whose counter has stood still for a whole `lease_duration` by its own monotonic clock, counted
//!   from the answer in which it first saw that counter. No clocks of two machines are compared.
//! - `reserved_until` is raised by a write that took effect *before* anything above it may be sent, and every timestamp of
//!   a term is above what the terms before reserved. So even a leader that slept through its own end (a paused machine whose
//!   clocks stood still too) can only add timestamps that are older than those of its successor, and never another value at
//!   one of them.
//! - A process that stops releases the lease, and whoever stands by takes it at its next read.
//!
//! # Time
//!
//! Wall clocks differ. A new leader that has seen its predecessor renew knows how far the predecessor's clock was from its
//! own and goes on from there, so that the lines have neither gap nor fold; from then on its time runs a tenth slower or
//! faster until it agrees with its own wall clock. Nobody was seen (both were down), the clocks agree to a `lease_duration`,
//! or they differ by more than 10 minutes: its own wall clock, and never below what is reserved.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod dynamodb;
mod elector;
mod extension;
mod line;
mod office;
mod report;
mod row;
mod term;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::{CreateContext, Extension, Factory, Spec, Stability};

pub use config::{Config, LeaseConfig};
pub use extension::Leader;

/// The factory of the `leader` extension.
pub const FACTORY: Factory = Factory::extension::<LeaderFactory>();

/// Makes leases.
#[derive(Debug)]
pub struct LeaderFactory;

impl Component for LeaderFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;

    const SPEC: Spec = Spec {
        name: "leader",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "Of several equal processes one polls, by a lease in a DynamoDB table.",
        unsupported: &[
            ("auth_type", "there is no lease in Kubernetes; keep it in a DynamoDB table, under `dynamodb`"),
            ("lease_name", "it is called `dynamodb.lease` here"),
            (
                "lease_namespace",
                "leases of several environments are told apart by `dynamodb.lease`, or have tables of their own",
            ),
            ("lease_duration", "write it under `dynamodb`"),
            ("retry_period", "write `dynamodb: {renew_interval: ...}`"),
            ("renew_deadline", "a leader steps down four fifths of `dynamodb.lease_duration` after its last renewal"),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let lease = config.dynamodb.clone().or_else(|| {
            context.error("dynamodb", "no table is named; write `dynamodb: {table: ..., lease: ...}`");
            None
        })?;
        let is_sound = lease.check(context);
        let place = lease.shared.place(context, "dynamodb").filter(|_| is_sound)?;
        Some(Arc::new(Leader::new(context, lease.own, place)))
    }
}
