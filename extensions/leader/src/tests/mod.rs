//! Every transition, with a table by script and clocks that stand still.

mod model;
mod support;
mod transitions;
