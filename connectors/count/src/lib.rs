//! Counts what passes.
//! Into metrics.
