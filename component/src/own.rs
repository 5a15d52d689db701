//! What the process knows about itself, for components that pass it on: its own metrics as data, and the place of a
//! piece of work in the process's own traces. The engine implements both; with tracing off there is no place.

use std::fmt;

use steadyline_telemetry::Metrics;

/// Reads the process's own metrics.
pub trait OwnMetrics: Send + Sync {
    /// Every number that the process counts now, as gauges and cumulative sums at `time` (nanoseconds since the Unix
    /// epoch). Sums count from the start of the process and say so. Names and labels are the same at every reading.
    fn read(&self, time: u64) -> Metrics;
}

/// Where a piece of work stands in the process's own traces, for requests that carry it on.
/// Prints as the value of W3C's `traceparent` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that the request belongs to.
    pub span_id: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = u128::from_be_bytes(self.trace_id);
        let span = u64::from_be_bytes(self.span_id);
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_prints_as_w3c_writes_it() {
        let mut parent = TraceParent { trace_id: [0; 16], span_id: [0; 8], sampled: true };
        (parent.trace_id[15], parent.span_id[0]) = (1, 0xab);
        assert_eq!(parent.to_string(), "00-00000000000000000000000000000001-ab00000000000000-01");
        parent.sampled = false;
        assert!(parent.to_string().ends_with("-00"));
    }
}
