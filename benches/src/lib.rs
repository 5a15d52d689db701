//! Throughput, memory and scale, with the work asserted: a benchmark that did not do its work panics.
//! Figures are CPU time of one thread, beside the limit of the same run (copying, reading once, snappy), because a ratio
//! to the limit ages better than microseconds.

pub mod alloc;
pub mod args;
pub mod load;
pub mod meter;
pub mod remote_write;
