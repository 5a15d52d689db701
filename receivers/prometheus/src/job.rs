//! A job as it runs: what its targets have in common.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use steadyline_component::{Clock, Instrument, Meter};
use steadyline_scrape::ScrapeProtocol;

use crate::discovery::Provider;
use crate::http::HttpClient;
use crate::ingest::Reading;
use crate::target::TargetDefaults;

/// What all targets of a job have in common.
#[derive(Debug)]
pub(crate) struct Job {
    /// What their labels begin with.
    pub(crate) defaults: TargetDefaults,
    /// How they are spoken to.
    pub(crate) client: HttpClient,
    /// What they are asked for.
    pub(crate) headers: HeaderMap,
    /// How a body of unknown type is read.
    pub(crate) fallback: Option<ScrapeProtocol>,
    /// How bodies are read; the target's labels are still to come.
    pub(crate) reading: Reading,
    /// The largest body; 0 = as the memory budget allows.
    pub(crate) body_size_limit: u64,
    /// The most targets; 0 = any number.
    pub(crate) target_limit: u64,
    /// Whether the report has the three that must be asked for.
    pub(crate) extra_metrics: bool,
    /// What is counted.
    pub(crate) meters: Meters,
}

/// A job and where its targets come from.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The job.
    pub(crate) job: Arc<Job>,
    /// Where its targets come from.
    pub(crate) providers: Vec<Provider>,
    /// Counts failures of providers.
    pub(crate) discovery_failures: Arc<Instrument>,
}

/// What a job counts.
#[derive(Debug)]
pub(crate) struct Meters {
    meter: Meter,
    job: String,
    failed: Mutex<BTreeMap<&'static str, Arc<Instrument>>>,
    /// Targets that are scraped.
    pub(crate) targets: Arc<Instrument>,
    /// Scrapes that counted.
    pub(crate) scrapes: Arc<Instrument>,
    /// Scrapes that were due while the one before was still going on.
    pub(crate) late: Arc<Instrument>,
    /// Samples that stood twice in a body.
    pub(crate) duplicates: Arc<Instrument>,
    /// Native histograms without a form in OTLP.
    pub(crate) unsupported: Arc<Instrument>,
    /// Samples with timestamps before 1970.
    pub(crate) untimely: Arc<Instrument>,
}

impl Meters {
    /// The instruments of a job.
    pub(crate) fn new(meter: &Meter, job: &str) -> Meters {
        let labels = [("job", job)];
        let counter = |name: &str, help: &'static str| meter.counter(name, help, &labels);
        Meters {
            targets: meter.gauge("prometheus_targets", "Targets that are scraped.", &labels),
            scrapes: counter("prometheus_scrapes", "Scrapes that counted."),
            late: counter("prometheus_scrapes_skipped", "Scrapes that were due while the one before still went on."),
            duplicates: counter(
                "prometheus_samples_duplicate",
                "Samples left out because their series stood in the same body before, at the same time.",
            ),
            unsupported: counter(
                "prometheus_histograms_unsupported",
                "Native histograms left out because OTLP has no form for them: float and gauge ones, and ones with too many buckets.",
            ),
            untimely: counter(
                "prometheus_samples_untimely",
                "Samples left out because their timestamp lies before 1970 or after 2554.",
            ),
            meter: meter.clone(),
            failed: Mutex::default(),
            job: job.to_string(),
        }
    }

    /// Counts a scrape that failed.
    pub(crate) fn failed(&self, reason: &'static str) {
        let help = "Scrapes that did not count, by reason.";
        let labels = [("job", self.job.as_str()), ("reason", reason)];
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = failed.entry(reason);
        counter.or_insert_with(|| self.meter.counter("prometheus_scrapes_failed", help, &labels)).add(1.0);
    }
}

/// A seed for hashes of what targets send: other in each process, so that no target can make them collide.
pub(crate) fn seed(clock: &Clock) -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(clock.now().unix_nanos)
}
