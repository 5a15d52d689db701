//! Throughput, memory and scale, with the work asserted.
