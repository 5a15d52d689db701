//! Programs that are not ours beside ours: the Go Collector, fed and scraping the same, and Prometheus 3 as a receiver.
//! Every difference is a case in the folder `on_purpose` and a row of `docs/from-the-collector.md`.
//! Slow to set up: `tests/peers/run.sh` builds both and runs this.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../common/mod.rs"]
mod common;

mod collector;
mod data;
mod on_purpose;
mod pair;
mod prometheus3;
mod receiver;
mod scraped;
