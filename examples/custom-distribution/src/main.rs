//! A distribution of one's own: everything that the standard one has, and more.

mod processor;
mod receiver;

fn main() -> std::process::ExitCode {
    let mut factories = steadyline::standard();
    factories.push(processor::FACTORY);
    factories.push(receiver::FACTORY);
    steadyline::main(steadyline::Registry::new(factories))
}
