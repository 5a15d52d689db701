//! Bodies into batches without a target: for measuring, fuzzing and tests. What it does is what a scrape does between the
//! last byte that arrives and the first batch that leaves.

use steadyline_scrape::Format;
use steadyline_telemetry::Metrics;

use crate::emit::{Emitter, Place};
use crate::ingest::{Memory, Reading};
use crate::report::{Facts, Report};
use crate::series::{Origin, Rules};

/// One target's memory, and what its series are called.
#[derive(Debug)]
pub struct Offline {
    memory: Memory,
    reading: Reading,
    place: Place,
}

impl Offline {
    /// A target of this job and instance that nothing is remembered of, with timestamps honoured and nothing relabelled.
    pub fn new(job: &str, instance: &str) -> Offline {
        let target = [("instance", instance), ("job", job)];
        let target = target.map(|(name, value)| (name.to_string(), value.to_string()));
        let rules = Rules { target: target.into(), ..Rules::default() };
        let origin = Origin { job: job.to_string(), instance: instance.to_string(), scope: Vec::new() };
        Offline {
            memory: Memory::new(0),
            reading: Reading { rules, honor_timestamps: true, ..Reading::default() },
            place: Place { origin, ..Place::default() },
        }
    }

    /// The batches of one scrape at `time` (milliseconds since the epoch), the report of the scrape in the last.
    ///
    /// # Errors
    /// Why the body counts for nothing; the batches are those of a scrape that failed.
    pub fn scrape(&mut self, body: &[u8], format: Format, time: i64) -> (Vec<Metrics>, Result<(), String>) {
        let (scraped, facts, result) = match self.memory.read(body, format, time, &self.reading) {
            Ok(scraped) => {
                let counts = scraped.counts;
                let facts = Facts { up: true, scraped: counts.scraped, kept: counts.kept, ..Facts::default() };
                (scraped, facts, Ok(()))
            }
            Err((error, _)) => (self.memory.lose(), Facts::default(), Err(error.to_string())),
        };
        let mut emitter = Emitter::new(scraped, time, Report { facts: Some(facts), extra: false });
        let mut batches = Vec::new();
        while let Some(metrics) = emitter.next_batch(&mut self.memory, &self.place) {
            batches.push(metrics);
        }
        (batches, result)
    }
}
