//! What is known about each source: its passes, how they ended, how long its series may be silent or unconfirmed.

use std::collections::VecDeque;
use std::sync::Arc;

use steadyline_component::{Header, Pass, PassEnd};

use crate::clock::{Ticks, ticks};
use crate::config::Config;
use crate::sweep::GRACE;

/// One source of points. Sources come from config, so there are few and they stay.
#[derive(Debug)]
pub(crate) struct Source {
    /// The header for what is sent on for the source: its newest one, without receipts, permit and end of pass.
    pub header: Header,
    /// How long a series may be silent.
    pub silence: Ticks,
    /// How long a series may be unconfirmed.
    pub hold: Ticks,
    /// Counts the passes by their epochs, which may begin anew when a reload changes the source.
    number: u32,
    epoch: Option<u64>,
    /// When it last confirmed its series, and when the processes before did, for storage.
    pub heard: Heard,
    /// When each recent pass last said something; empty for sources without passes.
    epochs: VecDeque<(u32, Ticks)>,
    /// The newest complete passes, as many as a series may miss.
    complete: VecDeque<u32>,
    /// Series confirmed in this or an earlier pass are another instance's now.
    stepped_down: Option<u32>,
    /// A reload took the source away: what it confirmed up to here ends.
    removed: Option<u32>,
}

/// When a source last confirmed its series, nanoseconds since the epoch: what a restart counts their hold from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Heard {
    /// In this process; 0: not yet.
    pub now: u64,
    /// In earlier ones, by their generation; only what may still matter.
    pub before: Vec<(u32, u64)>,
    /// Whether a pass was complete: then only complete ones count.
    pub complete: bool,
    /// Whether the source was read under a lease before the restart.
    pub led: bool,
}

/// What a series deserves, by its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Confirmed until this tick, unless it is confirmed again.
    Alive {
        /// When the hold ends.
        until: Ticks,
    },
    /// Absent or unconfirmed for too long.
    Gone,
    /// Another instance's.
    Ceded,
}

impl Source {
    fn new(header: &Header, config: &Config) -> Source {
        let mut source = Source {
            header: Header::default(),
            silence: 0,
            hold: 0,
            number: 0,
            epoch: None,
            heard: Heard::default(),
            epochs: VecDeque::new(),
            complete: VecDeque::new(),
            stepped_down: None,
            removed: None,
        };
        source.update(header, config);
        source
    }

    fn update(&mut self, header: &Header, config: &Config) {
        let pass = header.pass.as_ref();
        self.silence = ticks(config.silence(pass.map(|pass| (pass.interval, pass.timeout)))).max(1);
        self.hold = ticks(config.hold(pass.map(|pass| (pass.interval, pass.timeout)))).max(1);
        self.header = Header {
            source: Arc::clone(&header.source),
            pass: pass.map(|pass| Pass { end: None, ..pass.clone() }),
            identity: Arc::clone(&header.identity),
            labels_final: header.labels_final,
            term: header.term.clone(),
            ..Header::default()
        };
    }

    /// The mark of a confirmation now: the number of the pass, or the tick for sources without passes.
    fn confirm(&mut self, pass: Option<&Pass>, tick: Ticks) -> u32 {
        let Some(pass) = pass else { return self.removed.map_or(tick, |removed| tick.max(removed + 1)) };
        if self.epoch != Some(pass.epoch) {
            self.epoch = Some(pass.epoch);
            self.number += 1;
        }
        let epoch = self.number;
        match self.epochs.back_mut() {
            Some((last, at)) if *last == epoch => *at = tick,
            _ => self.epochs.push_back((epoch, tick)),
        }
        let hold = self.hold;
        while self.epochs.front().is_some_and(|(_, at)| tick.saturating_sub(*at) > hold) {
            self.epochs.pop_front();
        }
        epoch
    }

    /// Notes that data came at this time, nanoseconds since the epoch.
    fn hear(&mut self, now: u64) {
        if !self.heard.complete {
            self.heard.now = now;
        }
    }

    /// Notes how the pass at hand ended, at this time; whether that may end series.
    pub(crate) fn pass_ended(&mut self, end: PassEnd, missing_polls: u32, now: u64) -> bool {
        let epoch = self.number;
        match end {
            PassEnd::Complete => {
                (self.heard.now, self.heard.complete) = (now, true);
                self.complete.push_back(epoch);
                if self.complete.len() > missing_polls as usize {
                    self.complete.pop_front();
                }
                self.complete.len() == missing_polls as usize
            }
            PassEnd::Partial => false,
            // A reload says it by a batch of its own, see `Sources::remove`.
            PassEnd::Removed => false,
            PassEnd::SteppedDown => {
                self.stepped_down = Some(epoch);
                self.complete.clear();
                true
            }
        }
    }

    /// Whether it was read under a lease and this process has not held it since it started.
    pub(crate) fn awaits_term(&self) -> bool {
        self.heard.led && self.header.term.is_none()
    }

    /// What becomes of a series with this mark of its last confirmation; of one that comes from storage and is not
    /// confirmed yet, the mark is the tick until which it is held.
    pub(crate) fn standing(&self, seen: u32, restored: bool, tick: Ticks, missing_polls: u32) -> Standing {
        let alive = |until| if until > tick { Standing::Alive { until } } else { Standing::Gone };
        if self.removed.is_some_and(|removed| restored || seen <= removed) {
            return Standing::Gone;
        }
        if restored {
            return match (self.stepped_down, self.complete.len() == missing_polls as usize) {
                (Some(_), _) => Standing::Ceded,
                (None, true) => Standing::Gone,
                (None, false) => alive(seen),
            };
        }
        if self.header.pass.is_none() {
            return alive(seen.saturating_add(self.hold));
        }
        if self.stepped_down.is_some_and(|epoch| seen <= epoch) {
            return Standing::Ceded;
        }
        let missed = self.complete.len() == missing_polls as usize && self.complete.front().is_some_and(|e| seen < *e);
        let at = self.epochs.binary_search_by_key(&seen, |(epoch, _)| *epoch).ok().map(|index| self.epochs[index].1);
        match at.map(|at| at.saturating_add(self.hold)) {
            Some(until) if until > tick && !missed => Standing::Alive { until },
            _ => Standing::Gone,
        }
    }
}

/// All sources, by small numbers.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// The source of a header, with the mark of a confirmation now. `data`: whether there is any.
    pub(crate) fn arrive(&mut self, header: &Header, config: &Config, tick: Ticks, data: Option<u64>) -> (u16, u32) {
        let number = self.find(header).unwrap_or_else(|| self.add(header, config));
        let source = &mut self.0[number];
        if let Some(now) = data {
            source.hear(now);
        }
        if header.term.is_some() {
            source.heard.led = true;
        }
        if header.pass != source.header.pass
            || header.term != source.header.term
            || header.labels_final != source.header.labels_final
            || !Arc::ptr_eq(&header.identity, &source.header.identity)
        {
            source.update(header, config);
        }
        (number as u16, source.confirm(header.pass.as_ref(), tick))
    }

    fn find(&self, header: &Header) -> Option<usize> {
        let same = |s: &Source| s.header.source == header.source && s.header.pass.is_some() == header.pass.is_some();
        self.0.iter().position(same)
    }

    fn add(&mut self, header: &Header, config: &Config) -> usize {
        // Sources are components of the config: far fewer than 65,536. Beyond that they share the last place.
        if self.0.len() <= usize::from(u16::MAX) {
            self.0.push(Source::new(header, config));
        }
        self.0.len() - 1
    }

    /// A source as storage remembers it, without passes yet; its number.
    pub(crate) fn restore(&mut self, header: &Header, heard: Heard, config: &Config) -> u16 {
        let number = self.find(header).unwrap_or_else(|| self.add(header, config));
        self.0[number].heard = heard;
        number as u16
    }

    /// Whether data of this header is read under another term than what waits of its source.
    pub(crate) fn changes_term(&self, header: &Header) -> bool {
        self.find(header).is_some_and(|number| self.0[number].header.term != header.term)
    }

    /// A reload took a source away, polled or not: what it confirmed so far is gone. Whether there was such a source.
    pub(crate) fn remove(&mut self, name: &str, tick: Ticks) -> bool {
        let mut found = false;
        for source in self.0.iter_mut().filter(|source| *source.header.source == *name) {
            source.removed = Some(if source.header.pass.is_some() { source.number } else { tick });
            source.complete.clear();
            // Whoever has its name next is another one, whatever its passes are counted by.
            source.epoch = None;
            found = true;
        }
        found
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// A source by its number.
    pub(crate) fn get(&self, number: u16) -> &Source {
        &self.0[usize::from(number)]
    }

    /// A source by its number, to be changed.
    pub(crate) fn get_mut(&mut self, number: u16) -> &mut Source {
        &mut self.0[usize::from(number)]
    }

    /// The shortest time after which any series may need something.
    pub(crate) fn shortest(&self) -> Option<Ticks> {
        self.0.iter().map(|source| source.silence.min(source.hold).min(GRACE)).min()
    }
}
