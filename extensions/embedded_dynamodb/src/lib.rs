//! An embedded DynamoDB for demos and tests, seeded from a file, with a script of changes.
//!
//! ```yaml
//! seed: 1                        # of the draws; the same seed gives the same tables
//! tables:
//!   - name: onboarding
//!     key: {hash: account}                       # and `range`
//!     key_types: {created: number}               # keys that are not text
//!     indexes: [{name: gsi1, key: {hash: shard, range: created}, projection: {include: [status]}}]   # all, keys_only
//!     items:
//!       - {account: acct-1, status: pending, steps: {SS: [a, b]}}    # plain YAML, or DynamoDB JSON for a type
//!     generate:
//!       - {count: 1000, item: {account: "acct-{n:05}", status: {choose: [pending, visited]}}}
//! changes:
//!   - {after: 5s, put: {account: acct-2, status: visited}}
//!   - {every: 7s, update: {key: {account: acct-1}, next: {status: [pending, visited]}, append_next: {steps: {SS: [a, b, c]}}}}
//!   - {after: 1m, delete: {account: acct-2}}
//! loop: 10m                      # then the tables are as seeded again, and the script starts over
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod change;
mod database;
mod error;
mod extension;
mod locate;
mod plain;
mod schema;
mod script;
mod seed;
mod server;
mod template;

pub use error::{Error, Problem};
pub use extension::{Config, EmbeddedDynamoDb, FACTORY};
pub use seed::{DEMO_SEED, Seed};
pub use server::{EmbeddedTable, Options, Pace};
