//! Steadyline as a library: build a distribution of your own from the standard list and your components.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     let mut factories = steadyline::standard();
//!     // factories.push(my_receiver::FACTORY);
//!     steadyline::main(steadyline::Registry::new(factories))
//! }
//! ```

mod command;
mod distribution;
mod elsewhere;
mod exposition;
mod logging;
pub mod reference;

pub use command::{Cli, main};
pub use distribution::standard;
pub use steadyline_engine::Registry;

// The example in the docs compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/writing-a-component.md")]
struct WritingAComponent;
