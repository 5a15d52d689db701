//! Where credentials come from, against servers that say what a test wants: roles, providers, proxies, failures.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod shared_config;
mod standard_chain;
mod support;
