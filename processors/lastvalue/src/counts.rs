//! What one call counted, written to the books once at its end.

use steadyline_component::Tally;

/// Points by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Absorbed by a newer or equal one.
    pub merged: u64,
    /// Older than what was sent.
    pub older: u64,
    /// Of a series for which there is no room.
    pub limited: u64,
    /// Of a series that would fork another.
    pub forked: u64,
    /// With labels that are too long to keep.
    pub too_long: u64,
    /// Without a number, and not saying that there is none.
    pub no_number: u64,
    /// Sent again.
    pub republished: u64,
    /// Sent again from storage, and not confirmed since the restart.
    pub restored: u64,
    /// Markers made here.
    pub stale: u64,
}

impl Counts {
    /// Writes everything to the books and starts from zero.
    pub(crate) fn settle(&mut self, tally: &Tally) {
        let counts = std::mem::take(self);
        let Counts { merged, older, limited, forked, too_long, no_number, republished, restored, stale } = counts;
        tally.merged(merged);
        tally.created("republished", republished);
        tally.created("restored", restored);
        tally.created("stale", stale);
        for (reason, count) in [
            ("older", older),
            ("series_limit", limited),
            ("fork", forked),
            ("labels_too_long", too_long),
            ("no_number", no_number),
        ] {
            tally.dropped(reason, count);
        }
    }
}
