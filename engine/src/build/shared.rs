//! What components of one process share.

use std::sync::Arc;

use steadyline_component::{Board, Clock, Meter};

use crate::books::Books;
use crate::telemetry::{OwnData, Reading, Traces};

/// What components of one process share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Time.
    pub clock: Clock,
    /// Instruments.
    pub meter: Meter,
    /// Tallies.
    pub books: Books,
    /// Statuses.
    pub board: Board,
    /// All of these at a glance.
    pub reading: Reading,
    /// The same as data.
    pub own: Arc<OwnData>,
    /// Spans, if config wants them.
    pub traces: Traces,
}

impl Shared {
    /// Fresh ones around a clock.
    pub fn new(clock: Clock) -> Shared {
        let (board, meter, books) = (Board::new(clock.clone()), Meter::default(), Books::default());
        let reading = Reading::new(clock.clone(), meter.clone(), books.clone(), board.clone());
        let own = Arc::new(OwnData::new(reading.clone(), clock.now().unix_nanos));
        Shared { clock, meter, books, board, reading, own, traces: Traces::default() }
    }
}
