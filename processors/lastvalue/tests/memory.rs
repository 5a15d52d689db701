//! What a million series cost, measured on the process itself: one test, so that it is a process of its own.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::Duration;

use steadyline_component::testkit::create;
use steadyline_component::{Batch, Clock, Processor, Tally, Work};
use steadyline_processor_lastvalue::LastValueFactory;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{MetricsBuilder, Value};

const SERIES: u64 = 1_000_000;
const PAGE: u64 = 1000;
/// The whole process may take so many bytes.
const MOST: u64 = 140_000_000;

/// A field of this process's status, in bytes.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kilobytes: u64 = line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().unwrap();
    kilobytes * 1024
}

/// One page of gauges, each with one id of 36 bytes.
fn page(from: u64, value: i64, time: u64) -> Batch {
    let mut builder = MetricsBuilder::new();
    builder.resource([]);
    let metric = builder.metric(MetricDef::gauge("onboarding_completed_steps"));
    let shape = builder.shape(["account_id"]);
    let mut id = String::new();
    for n in from..from + PAGE {
        id.clear();
        let _ = write!(id, "{:08x}-0000-4000-8000-{n:012x}", n.wrapping_mul(0x9e37_79b9) as u32);
        assert_eq!(id.len(), 36);
        let values = [builder.value(Value::text(&id))];
        builder.number(metric, shape, &values, time, 0, NumberValue::Int(value));
    }
    Batch::metrics(builder.finish())
}

struct Driver {
    processor: Box<dyn Processor>,
    clock: Clock,
    tally: Tally,
    sent: u64,
    /// The number of the first series of a pass.
    first: u64,
}

impl Driver {
    /// One call; what comes out is counted and let go, as an exporter that keeps up would.
    fn call(&mut self, call: impl FnOnce(&mut dyn Processor, &mut Work<'_>)) {
        let mut out = Vec::new();
        call(&mut *self.processor, &mut Work { now: self.clock.now(), tally: &self.tally, out: &mut out });
        self.sent += out.iter().map(Batch::items).sum::<u64>();
    }

    fn pass(&mut self, value: i64) {
        let time = self.clock.now().unix_nanos;
        for from in (self.first..self.first + SERIES).step_by(PAGE as usize) {
            self.call(|processor, work| processor.process(page(from, value, time), work));
        }
        self.advance(Duration::from_secs(1));
    }

    fn advance(&mut self, by: Duration) {
        let target = self.clock.now().mono + by;
        while let Some(at) = self.processor.wake_at().filter(|at| *at <= target) {
            self.clock.advance(at.saturating_sub(self.clock.now().mono));
            self.call(|processor, work| processor.wake(work));
        }
        self.clock.advance(target.saturating_sub(self.clock.now().mono));
    }
}

#[test]
fn a_million_series_fit_and_their_memory_is_used_again() {
    let clock = Clock::manual(1_700_000_000_000_000_000);
    let processor = create::<LastValueFactory>("").unwrap();
    let mut driver = Driver { processor, clock, tally: Tally::default(), sent: 0, first: 0 };
    driver.pass(1);
    assert_eq!((driver.processor.series(), driver.sent), (SERIES, SERIES));
    driver.pass(2);
    assert_eq!((driver.processor.series(), driver.sent), (SERIES, 2 * SERIES));
    // Every one is re-published once before the hold ends, then ends with one marker and is forgotten.
    driver.advance(Duration::from_secs(90));
    assert_eq!(driver.sent, 3 * SERIES);
    let (now, peak) = (status("VmRSS"), status("VmHWM"));
    assert!(now <= MOST, "{now} bytes resident for {SERIES} series");
    assert!(peak <= MOST, "{peak} bytes at the peak for {SERIES} series");
    driver.advance(Duration::from_secs(600));
    assert_eq!((driver.processor.series(), driver.tally.balance().created["stale"]), (0, SERIES));
    // What was given back is enough for as many others.
    driver.first = SERIES;
    driver.pass(3);
    assert_eq!(driver.processor.series(), SERIES);
    let again = status("VmHWM");
    assert!(again <= MOST, "{again} bytes at the peak after a million series were forgotten and a million came");
}
