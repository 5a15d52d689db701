//! What is measured of a poller.

use std::sync::Arc;

use steadyline_component::{Instrument, Meter};

/// The instruments of one poller.
pub(super) struct PollMetrics {
    pub(super) complete: Arc<Instrument>,
    pub(super) partial: Arc<Instrument>,
    pub(super) failed: Arc<Instrument>,
    pub(super) stepped_down: Arc<Instrument>,
    pub(super) overruns: Arc<Instrument>,
    pub(super) duration: Arc<Instrument>,
    pub(super) last_complete: Arc<Instrument>,
}

impl PollMetrics {
    /// Those of this meter.
    pub(super) fn new(meter: &Meter) -> PollMetrics {
        let polls = |outcome| meter.counter("receiver_polls", "Passes over the source.", &[("outcome", outcome)]);
        PollMetrics {
            complete: polls("complete"),
            partial: polls("partial"),
            failed: polls("failed"),
            stepped_down: polls("stepped_down"),
            overruns: meter.counter("receiver_poll_overruns", "Ticks skipped because a pass took too long.", &[]),
            duration: meter.gauge("receiver_poll_duration_seconds", "How long the last pass took.", &[]),
            last_complete: meter.gauge(
                "receiver_last_complete_timestamp_seconds",
                "When the last complete pass began, Unix time; 0 if there was none.",
                &[],
            ),
        }
    }
}
