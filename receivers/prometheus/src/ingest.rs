//! One body, read: samples by their series, what vanished since the last scrape, and why a body counts for nothing.
//! A body counts as a whole or not at all, so nothing is sent before its last line has been read.

mod taking;

use steadyline_scrape::{Format, Histograms, Labels, ParseError, Place, parse};
use thiserror::Error;

use crate::series::{Cache, Refused, Rules};
use taking::Taking;

/// How bodies of a target are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// What is done to series.
    pub(crate) rules: Rules,
    /// Whether timestamps of the target count.
    pub(crate) honor_timestamps: bool,
    /// Whether series with such timestamps are marked when they vanish.
    pub(crate) track_timestamps: bool,
    /// The most series; 0 = any number.
    pub(crate) sample_limit: u64,
    /// How native histograms are taken.
    pub(crate) histograms: Histograms,
}

/// Why a body counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    /// It does not parse.
    #[error("{0}")]
    Parse(ParseError),
    /// A series is refused.
    #[error("{place}: {refused}")]
    Series {
        /// Where.
        place: Place,
        /// Why.
        refused: Refused,
    },
    /// Too many series.
    #[error("the target has more series than `sample_limit` allows ({0})")]
    SampleLimit(u64),
}

impl BodyError {
    /// A short word for counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            BodyError::SampleLimit(_) => "sample_limit",
            BodyError::Series { refused, .. } if refused.is_limit() => "label_limit",
            BodyError::Parse(_) | BodyError::Series { .. } => "parse",
        }
    }
}

/// What a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// A series with one number.
    Number(u32),
    /// A series with a native histogram, encoded in the scrape's bodies.
    Native(u32),
    /// A group, whose parts are all known when the body has been read.
    Group(u32),
}

/// One point to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Of what.
    pub(crate) item: Item,
    /// The number's bits.
    pub(crate) bits: u64,
    /// The target's own timestamp, milliseconds.
    pub(crate) time: Option<i64>,
    /// Where exemplars or the histogram lie in [`Scraped::bodies`].
    pub(crate) body: (u32, u32),
}

/// What one scrape found.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    /// The points, in the target's order.
    pub(crate) samples: Vec<Sample>,
    /// Encoded exemplars and native histograms.
    pub(crate) bodies: Vec<u8>,
    /// Series that describe the target.
    pub(crate) infos: Vec<u32>,
    /// Series that were there before and are not any more.
    pub(crate) ended: Vec<u32>,
    /// The same, by the memory that was given up.
    pub(crate) ended_before: Vec<u32>,
    /// Whether nothing is there any more.
    pub(crate) is_lost: bool,
    /// Numbers about the scrape.
    pub(crate) counts: Counts,
    fresh: Vec<u32>,
    untracked: Vec<u32>,
    kept: usize,
}

/// Numbers about one scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Samples that the target exposed.
    pub(crate) scraped: u64,
    /// Those that relabelling left.
    pub(crate) kept: u64,
    /// Series that the scrape before did not have.
    pub(crate) added: u64,
    /// Samples of a series that was there already, at the same time.
    pub(crate) duplicates: u64,
    /// Native histograms that OTLP has no form for: float and gauge ones, and ones with too many buckets.
    pub(crate) unsupported: u64,
}

/// A target's memory and what the scrape at hand makes of it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// What is remembered.
    pub(crate) cache: Cache,
    /// What was remembered before the cache was emptied; for one scrape.
    pub(crate) before: Option<Box<Cache>>,
    seed: u64,
    scrape: u32,
    last_good: u32,
    live: usize,
    /// Lines of the last body that counted.
    usual: usize,
    exemplar: Labels,
    stamp: Vec<u8>,
}

impl Memory {
    /// Nothing remembered.
    pub(crate) fn new(seed: u64) -> Memory {
        Memory {
            cache: Cache::new(seed),
            before: None,
            seed,
            scrape: 0,
            last_good: 0,
            live: 0,
            usual: 0,
            exemplar: Labels::new(),
            stamp: Vec::new(),
        }
    }

    /// Reads a body that was scraped at `now` (milliseconds).
    ///
    /// # Errors
    /// The body counts for nothing; [`Memory::lose`] is to follow.
    pub(crate) fn read(
        &mut self,
        body: &[u8],
        format: Format,
        now: i64,
        reading: &Reading,
    ) -> Result<Scraped, (BodyError, Counts)> {
        self.forget_if_stuffed();
        self.scrape += 1;
        self.cache.begin();
        let mut scraped = Scraped { samples: Vec::with_capacity(self.usual), ..Scraped::default() };
        let mut parser = parse(body, format).histograms(reading.histograms);
        while let Some(entry) = parser.next_entry() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Err((BodyError::Parse(error), scraped.counts)),
            };
            let taken = Taking { memory: self, scraped: &mut scraped, format, now, reading }.take(entry);
            if let Err(refused) = taken {
                return Err((located(parser.place(), refused), scraped.counts));
            }
        }
        if reading.sample_limit > 0 && scraped.counts.kept > reading.sample_limit {
            return Err((BodyError::SampleLimit(reading.sample_limit), scraped.counts));
        }
        self.commit(&mut scraped);
        Ok(scraped)
    }

    /// The scrape failed, or the target is gone: every series that was there is not any more.
    pub(crate) fn lose(&mut self) -> Scraped {
        let mut scraped = Scraped { is_lost: true, ..Scraped::default() };
        self.scrape += 1;
        self.end_unseen(&mut scraped);
        scraped
    }

    fn commit(&mut self, scraped: &mut Scraped) {
        if scraped.kept != self.live {
            self.end_unseen(scraped);
        }
        self.end_before(scraped);
        for id in &scraped.fresh {
            self.cache.series[*id as usize].live = true;
        }
        for id in &scraped.untracked {
            self.cache.series[*id as usize].live = false;
        }
        self.live = scraped.kept + scraped.fresh.len() - scraped.untracked.len();
        self.last_good = self.scrape;
        self.usual = scraped.counts.scraped as usize;
    }

    fn end_unseen(&mut self, scraped: &mut Scraped) {
        let scrape = self.scrape;
        for (id, series) in (0u32..).zip(&mut self.cache.series) {
            if series.live && series.seen != scrape {
                series.live = false;
                scraped.ended.push(id);
            }
        }
        self.end_before(scraped);
        self.live = scraped.kept;
    }

    /// What is still there in the memory that was given up, the scrape at hand did not have.
    fn end_before(&mut self, scraped: &mut Scraped) {
        let Some(before) = &mut self.before else { return };
        for (id, series) in (0u32..).zip(&mut before.series) {
            if std::mem::take(&mut series.live) {
                scraped.ended_before.push(id);
            }
        }
    }

    /// A target that shows ever new series must not fill the memory: what is remembered is given up when most of it is
    /// of no use any more. What was there stays known for one more scrape, so that its end is noticed.
    fn forget_if_stuffed(&mut self) {
        if self.before.take().is_some() || self.cache.size() <= self.usual * 2 + SPARE {
            return;
        }
        let old = std::mem::replace(&mut self.cache, Cache::new(self.seed));
        self.before = Some(Box::new(old));
        self.live = 0;
    }
}

/// So many lines are remembered of any target.
const SPARE: usize = 10_000;

fn located(place: Place, refused: Refused) -> BodyError {
    match refused {
        Refused::Fault(fault) => BodyError::Parse(ParseError { place, fault }),
        refused => BodyError::Series { place, refused },
    }
}

/// Milliseconds as nanoseconds; `None` for times that OTLP cannot say. The epoch itself, which would mean "no time",
/// moves by a nanosecond.
pub(crate) fn nanos(millis: i64) -> Option<u64> {
    u64::try_from(millis).ok()?.checked_mul(1_000_000).map(|nanos| nanos.max(1))
}
