//! The built binary against real servers, one file a subject. Each test ends with balanced books and exit code 0.
//! Needs what `tests/setup.sh` installs; `tests/run.sh` does both.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod aws_endpoints;
mod backend_faults;
mod bad_config;
mod bad_items;
mod commands;
mod crash;
mod docs;
mod events;
mod exec;
mod health;
mod idle;
mod lambda;
mod leader;
mod otlp;
mod outage;
mod overload;
mod plugin;
mod progress;
mod prometheus_versions;
mod queue;
mod reload;
mod restart;
mod scraped_twice;
mod scraping;
mod scraping_v2;
mod sdks;
mod shipped;
mod sidecar;
mod signals;
mod sigv4;
mod sources;
mod steady_line;
mod table_faults;
mod tables;
