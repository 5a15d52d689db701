//! Driving pollers: a pass is what a test asks for, its points are what it gets.

use std::time::Duration;

use steadyline_telemetry::Signal;

use super::harness::{TestExtensions, create_with};
use super::intake::TestIntake;
use super::notation;
use crate::batch::{Batch, Header, PassEnd};
use crate::clock::Clock;
use crate::factory::Component;
use crate::meter::{Instrument, Meter};
use crate::poller::{PollError, PollOutput, Polling, Tick};
use crate::receiver::Shutdown;

/// Drives one poller.
pub struct PollHarness {
    /// What the factory made.
    pub polling: Polling,
    /// What came out of the last pass, whole.
    pub batches: Vec<Batch>,
    clock: Clock,
    instruments: Vec<std::sync::Arc<Instrument>>,
    epoch: u64,
    last_complete: Option<u64>,
}

/// The time of every pass, in seconds since the Unix epoch.
const TIME: u64 = 60;

impl PollHarness {
    /// A poller from the YAML of its body. Its clock is the machine's; every pass is at second 60 all the same, so that
    /// points can be told by heart.
    ///
    /// # Panics
    /// If the config has an error.
    pub fn new<C: Component<Made = Polling>>(yaml: &str) -> Self {
        let (clock, meter) = (Clock::system(), Meter::default());
        let polling = create_with::<C>(yaml, &mut TestExtensions::default(), &clock, &meter)
            .unwrap_or_else(|text| panic!("{text}"));
        let instruments = meter.read();
        PollHarness { polling, batches: Vec::new(), clock, instruments, epoch: 0, last_complete: None }
    }

    /// One pass, which may take a minute.
    ///
    /// # Errors
    /// As the poller says; what it sent before is kept.
    pub async fn poll(&mut self) -> Result<PassEnd, PollError> {
        self.epoch += 1;
        let intake = TestIntake::new(1 << 30);
        let output =
            PollOutput::of(intake.outputs(&[Signal::Metrics, Signal::Logs, Signal::Traces]), Header::default());
        // Kept until the pass is over: dropping it would be a stop.
        let (_trigger, shutdown) = Shutdown::new();
        let deadline = self.clock.now().mono + Duration::from_secs(60);
        let time = TIME * 1_000_000_000;
        let tick = Tick { epoch: self.epoch, time, deadline, last_complete: self.last_complete, shutdown };
        let end = self.polling.poller.poll(&tick, &output).await;
        if matches!(end, Ok(PassEnd::Complete)) {
            self.last_complete = Some(time);
        }
        self.batches = intake.take();
        end
    }

    /// The points of the last pass, one a line, in the notation of [`super::metrics`].
    pub fn points(&self) -> Vec<String> {
        self.batches.iter().filter_map(Batch::as_metrics).flat_map(notation::render).collect()
    }

    /// The value of an instrument that the poller had when it was made; of several with this name the sum.
    pub fn measured(&self, name: &str) -> f64 {
        self.instruments.iter().filter(|one| one.name == name).map(|one| one.value()).sum()
    }
}
