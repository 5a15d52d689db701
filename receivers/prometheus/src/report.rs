//! What a scraper says about a scrape: `up` and its kin. They have the target's labels and are never relabelled.

use std::time::Duration;

/// The series about one scrape, or their end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// What is said; `None` marks the series as ended.
    pub(crate) facts: Option<Facts>,
    /// Also the three that have to be asked for.
    pub(crate) extra: bool,
}

/// What there is to say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Facts {
    /// Whether the scrape counts.
    pub(crate) up: bool,
    /// How long it took.
    pub(crate) duration: Duration,
    /// Samples that the target exposed.
    pub(crate) scraped: u64,
    /// Those that relabelling left.
    pub(crate) kept: u64,
    /// Series that are new.
    pub(crate) added: u64,
    /// How long it might have taken.
    pub(crate) timeout: Duration,
    /// The most series; 0 = any number.
    pub(crate) sample_limit: u64,
    /// The body's size, uncompressed; -1 if it was too large to be read.
    pub(crate) body_bytes: i64,
}

/// One series of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it means.
    pub(crate) help: &'static str,
    /// Its unit, in UCUM.
    pub(crate) unit: &'static str,
    /// Its value; `None` ends it.
    pub(crate) value: Option<f64>,
}

impl Report {
    /// The series.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        let facts = self.facts.unwrap_or_default();
        let has_facts = self.facts.is_some();
        let line = move |name, help, unit, value: f64| Line { name, help, unit, value: has_facts.then_some(value) };
        let usual = [
            line("up", "The scraping was successful", "", f64::from(u8::from(facts.up))),
            line("scrape_duration_seconds", "Duration of the scrape", "s", facts.duration.as_secs_f64()),
            line("scrape_samples_scraped", "The number of samples the target exposed", "", facts.scraped as f64),
            line(
                "scrape_samples_post_metric_relabeling",
                "The number of samples remaining after metric relabeling was applied",
                "",
                facts.kept as f64,
            ),
            line("scrape_series_added", "The approximate number of new series in this scrape", "", facts.added as f64),
        ];
        let extra = [
            line("scrape_timeout_seconds", "The configured timeout of the scrape", "s", facts.timeout.as_secs_f64()),
            line("scrape_sample_limit", "The configured limit of samples", "", facts.sample_limit as f64),
            line("scrape_body_size_bytes", "The size of the body, uncompressed", "By", facts.body_bytes as f64),
        ];
        usual.into_iter().chain(extra.into_iter().filter(move |_| self.extra))
    }
}
