//! The standard distribution's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    steadyline::main(steadyline::Registry::new(steadyline::standard()))
}
