//! One entry of a body, taken in: its series found, its time and start set, its histogram and exemplars written.

use steadyline_prometheus::NativeHistogram;
use steadyline_scrape::{Created, Entry, Exemplar, Fault, Flavour, Format, HistogramSample};

use super::{Item, Memory, Reading, Sample, Scraped, nanos};
use crate::points::{self, CUSTOM_BOUNDS, IN_EXPONENTIAL, IN_HISTOGRAM, IN_NUMBER};
use crate::series::{DROPPED, NONE, Refused, Role, Variant};

/// What it takes to take one entry in.
pub(super) struct Taking<'a> {
    pub(super) memory: &'a mut Memory,
    pub(super) scraped: &'a mut Scraped,
    pub(super) format: Format,
    pub(super) now: i64,
    pub(super) reading: &'a Reading,
}

/// What a series is given.
struct Given {
    role: Role,
    time: Option<i64>,
}

impl Taking<'_> {
    #[inline]
    pub(super) fn take(mut self, entry: Entry<'_>) -> Result<(), Refused> {
        match entry {
            Entry::Sample(sample) => self.sample(&sample),
            Entry::Type { family, kind } => {
                self.memory.cache.families.set_kind(family, kind);
                Ok(())
            }
            Entry::Help { family, text } => {
                self.memory.cache.families.set_help(family, text);
                Ok(())
            }
            Entry::Unit { family, unit } => {
                self.memory.cache.families.set_unit(family, unit);
                Ok(())
            }
            Entry::Created(created) => self.created(&created),
            Entry::Histogram(histogram) => self.histogram(&histogram),
        }
    }

    #[inline]
    fn sample(&mut self, sample: &steadyline_scrape::Sample<'_>) -> Result<(), Refused> {
        let id = self.series(sample.series)?;
        self.scraped.counts.scraped += 1;
        if id == DROPPED {
            return Ok(());
        }
        self.scraped.counts.kept += 1;
        let Some(Given { role, time }) = self.see(id, Variant::Float, sample.timestamp) else { return Ok(()) };
        if let Some(created) = sample.created {
            self.set_start(id, created);
        }
        match role {
            Role::Number(_) => {
                let body = match &sample.exemplar {
                    Some(exemplar) => self.exemplar(exemplar, IN_NUMBER).map_err(Refused::Fault)?,
                    None => (0, 0),
                };
                self.scraped.samples.push(Sample { item: Item::Number(id), bits: sample.value.to_bits(), time, body });
            }
            Role::TargetInfo => self.scraped.infos.push(id),
            _ => {
                if let Some(group) = role.group() {
                    self.part(group, id, time, sample)?;
                }
            }
        }
        Ok(())
    }

    fn part(
        &mut self,
        row: u32,
        id: u32,
        time: Option<i64>,
        sample: &steadyline_scrape::Sample<'_>,
    ) -> Result<(), Refused> {
        let scrape = self.memory.scrape;
        let group = &mut self.memory.cache.groups[row as usize];
        if group.seen != scrape {
            group.seen = scrape;
            group.time = time;
            group.parts.clear();
            group.exemplars.clear();
            self.scraped.samples.push(Sample { item: Item::Group(row), bits: 0, time, body: (0, 0) });
        }
        group.parts.push((id, sample.value));
        if let Some(exemplar) = &sample.exemplar {
            exemplar.labels(&mut self.memory.exemplar).map_err(Refused::Fault)?;
            let (labels, out) = (&self.memory.exemplar, &mut group.exemplars);
            points::put_exemplar(out, IN_HISTOGRAM, exemplar.value, exemplar_time(exemplar, self.now), labels);
        }
        Ok(())
    }

    fn histogram(&mut self, histogram: &HistogramSample<'_>) -> Result<(), Refused> {
        let id = self.series(histogram.series)?;
        self.scraped.counts.scraped += 1;
        if id == DROPPED {
            return Ok(());
        }
        self.scraped.counts.kept += 1;
        let Flavour::Integer(native) = histogram.value() else {
            self.scraped.counts.unsupported += 1;
            return Ok(());
        };
        let is_custom = native.schema == CUSTOM_BOUNDS;
        let variant = if is_custom { Variant::Custom } else { Variant::Exponential };
        let Some(Given { time, .. }) = self.see(id, variant, histogram.timestamp) else { return Ok(()) };
        if let Some(created) = histogram.created {
            self.set_start(id, created);
        }
        let at = self.scraped.bodies.len();
        if is_gauge(&native) || !points::put_native(&mut self.scraped.bodies, &native) {
            self.scraped.counts.unsupported += 1;
            return Ok(());
        }
        let field = if is_custom { IN_HISTOGRAM } else { IN_EXPONENTIAL };
        for exemplar in histogram.exemplars() {
            self.exemplar(&exemplar, field).map_err(Refused::Fault)?;
        }
        let body = (at as u32, (self.scraped.bodies.len() - at) as u32);
        self.scraped.samples.push(Sample { item: Item::Native(id), bits: 0, time, body });
        Ok(())
    }

    fn created(&mut self, created: &Created<'_>) -> Result<(), Refused> {
        let Memory { cache, stamp, .. } = &mut *self.memory;
        // Another format shows the same text as a sample, so the line is remembered with a mark that no text begins with.
        stamp.clear();
        stamp.push(0);
        stamp.extend_from_slice(created.series);
        let line = cache.find_line(stamp);
        let known = if line == NONE { NONE } else { cache.series_of(line) };
        if known != NONE {
            self.set_start(known, created.created);
            return Ok(());
        }
        let found = cache.prepare_created(created.series, self.format, &self.reading.rules)?;
        match line {
            NONE => drop(cache.add_line(stamp, found)),
            line => cache.set_series(line, found),
        }
        if found != NONE {
            self.set_start(found, created.created);
        }
        Ok(())
    }

    fn set_start(&mut self, id: u32, created: i64) {
        let Memory { cache, scrape, .. } = &mut *self.memory;
        let series = &mut cache.series[id as usize];
        match series.role.group() {
            Some(group) => {
                let group = &mut cache.groups[group as usize];
                (group.start, group.started) = (created, *scrape);
            }
            None => (series.start, series.started) = (created, *scrape),
        }
    }

    /// The series of a text, or [`DROPPED`].
    #[inline]
    fn series(&mut self, text: &[u8]) -> Result<u32, Refused> {
        let cache = &mut self.memory.cache;
        let line = cache.find_line(text);
        if line != NONE {
            return Ok(cache.series_of(line));
        }
        let id = cache.prepare(text, self.format, &self.reading.rules)?;
        cache.add_line(text, id);
        self.inherit(id);
        Ok(id)
    }

    /// A series that was there before the memory was given up is no new one.
    fn inherit(&mut self, id: u32) {
        let Memory { cache, before: Some(before), live, last_good, .. } = &mut *self.memory else { return };
        let Some(old) = (id != DROPPED).then(|| before.same_series(cache, id)).flatten() else { return };
        let old = &mut before.series[old as usize];
        let series = &mut cache.series[id as usize];
        if old.live && !series.live {
            *live += 1;
            series.live = true;
            old.live = false;
        }
        series.seen = series.seen.max(*last_good);
    }

    /// Notes that a series is there. `None` if this scrape has had it at this time already.
    #[inline]
    fn see(&mut self, id: u32, variant: Variant, timestamp: Option<i64>) -> Option<Given> {
        let time = timestamp.filter(|_| self.reading.honor_timestamps);
        let Memory { cache, scrape, last_good, .. } = &mut *self.memory;
        let role = cache.settle_role(id, variant, &self.reading.rules);
        let series = &mut cache.series[id as usize];
        let scraped = &mut *self.scraped;
        if series.seen == *scrape {
            // Several timestamps of one series are several samples; a histogram has one.
            if time.is_none() || series.time == time || role.group().is_some() {
                scraped.counts.duplicates += 1;
                return None;
            }
            series.time = time;
            return Some(Given { role, time });
        }
        scraped.counts.added += u64::from(!series.live && series.seen != *last_good || series.seen == 0);
        (series.seen, series.time) = (*scrape, time);
        let is_tracked = (time.is_none() || self.reading.track_timestamps) && role != Role::TargetInfo;
        scraped.kept += usize::from(series.live);
        match (series.live, is_tracked) {
            (false, true) => scraped.fresh.push(id),
            (true, false) => scraped.untracked.push(id),
            _ => {}
        }
        Some(Given { role, time })
    }

    /// Appends an exemplar to the scrape's bodies.
    fn exemplar(&mut self, exemplar: &Exemplar<'_>, field: u32) -> Result<(u32, u32), Fault> {
        exemplar.labels(&mut self.memory.exemplar)?;
        let at = self.scraped.bodies.len();
        let (labels, out) = (&self.memory.exemplar, &mut self.scraped.bodies);
        points::put_exemplar(out, field, exemplar.value, exemplar_time(exemplar, self.now), labels);
        Ok((at as u32, (self.scraped.bodies.len() - at) as u32))
    }
}

/// When an exemplar was seen, in nanoseconds; at the scrape if it does not say.
fn exemplar_time(exemplar: &Exemplar<'_>, now: i64) -> u64 {
    nanos(exemplar.timestamp.unwrap_or(now)).unwrap_or_default()
}

fn is_gauge(native: &NativeHistogram<'_>) -> bool {
    native.reset_hint == steadyline_prometheus::ResetHint::Gauge
}
