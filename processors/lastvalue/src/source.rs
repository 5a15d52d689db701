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
    /// When each recent pass last said something; empty for sources without passes.
    epochs: VecDeque<(u32, Ticks)>,
    /// The newest complete passes, as many as a series may miss.
    complete: VecDeque<u32>,
    /// Series confirmed in this or an earlier pass are another instance's now.
    stepped_down: Option<u32>,
    /// A reload took the source away: series confirmed at this mark or an earlier one are gone.
    removed: Option<u32>,
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

    /// The mark of a confirmation now: the pass's epoch, or the tick for sources without passes.
    fn confirm(&mut self, pass: Option<&Pass>, tick: Ticks) -> u32 {
        let Some(pass) = pass else { return tick };
        let epoch = pass.epoch as u32;
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

    /// Notes how a pass ended; whether that may end series.
    pub(crate) fn pass_ended(&mut self, epoch: u64, end: PassEnd, missing_polls: u32) -> bool {
        let epoch = epoch as u32;
        match end {
            PassEnd::Complete => {
                self.complete.push_back(epoch);
                if self.complete.len() > missing_polls as usize {
                    self.complete.pop_front();
                }
                self.complete.len() == missing_polls as usize
            }
            PassEnd::Partial => false,
            // See `Sources::remove`.
            PassEnd::Removed => false,
            PassEnd::SteppedDown => {
                self.stepped_down = Some(epoch);
                self.complete.clear();
                true
            }
        }
    }

    /// What becomes of a series with this mark of its last confirmation.
    pub(crate) fn standing(&self, seen: u32, tick: Ticks, missing_polls: u32) -> Standing {
        if self.removed.is_some_and(|mark| seen <= mark) {
            return Standing::Gone;
        }
        if self.header.pass.is_none() {
            let until = seen.saturating_add(self.hold);
            return if until > tick { Standing::Alive { until } } else { Standing::Gone };
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
    /// The source of a header, with the mark of a confirmation now.
    pub(crate) fn arrive(&mut self, header: &Header, config: &Config, tick: Ticks) -> (u16, u32) {
        let same = |s: &Source| s.header.source == header.source && s.header.pass.is_some() == header.pass.is_some();
        let number = self.0.iter().position(same).unwrap_or_else(|| {
            // Sources are components of the config: far fewer than 65,536. Beyond that they share the last place.
            if self.0.len() <= usize::from(u16::MAX) {
                self.0.push(Source::new(header, config));
            }
            self.0.len() - 1
        });
        let source = &mut self.0[number];
        if header.pass != source.header.pass
            || header.labels_final != source.header.labels_final
            || !Arc::ptr_eq(&header.identity, &source.header.identity)
        {
            source.update(header, config);
        }
        (number as u16, source.confirm(header.pass.as_ref(), tick))
    }

    /// Nothing comes from the source of this name any more; if it comes back, it begins anew.
    pub(crate) fn remove(&mut self, name: &str, tick: Ticks) {
        for source in self.0.iter_mut().filter(|source| &*source.header.source == name) {
            let last_pass = source.epochs.back().map(|(epoch, _)| *epoch);
            source.removed = Some(last_pass.unwrap_or(tick));
        }
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
