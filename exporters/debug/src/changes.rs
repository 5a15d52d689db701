//! `changes`: the last value of each series, and what is not as it was, gathered for each pass of a source.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use hashbrown::HashMap;
use steadyline_component::{Header, PassEnd};
use steadyline_telemetry::metrics::{Metric, Resource};
use steadyline_telemetry::{Metrics, Point};

use crate::style::{Style, put_escaped};
use crate::value::{put_attributes, time_of_day, value_text};

/// Follows series from batch to batch.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The last value of each series, by how the series is printed.
    known: HashMap<Box<str>, Box<str>>,
    sources: HashMap<Arc<str>, Source>,
    max_series: usize,
}

/// A source, and what changed in it since its last block was printed.
#[derive(Debug, Default)]
struct Source {
    series: usize,
    has_passes: bool,
    /// By how the series is printed; at most [`MAX_LINES`].
    listed: BTreeMap<Box<str>, Change>,
    /// Changes beyond those.
    unlisted: Counts,
    /// Points of series that are not followed.
    not_followed: usize,
}

/// The value before and the value after, each if there is one.
#[derive(Debug)]
struct Change {
    before: Option<Box<str>>,
    after: Option<Box<str>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    new: usize,
    changed: usize,
    ended: usize,
}

/// A block lists no more changes than this.
const MAX_LINES: usize = 100;
/// Sources that are told apart; names come from the config, and from whoever connects pipelines.
const MAX_SOURCES: usize = 1000;

impl Changes {
    /// Follows at most so many series.
    pub(crate) fn new(max_series: usize) -> Changes {
        Changes { known: HashMap::new(), sources: HashMap::new(), max_series }
    }

    /// How many series are followed.
    pub(crate) fn series(&self) -> usize {
        self.known.len()
    }

    /// Takes a batch; returns the block to be printed, if it is time for one and there is something to say. A source that
    /// is read in passes has a block for each pass, all others for each batch.
    pub(crate) fn take(&mut self, header: &Header, metrics: &Metrics, now: u64) -> Option<String> {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&header.source) {
            return None;
        }
        let mut source = self.sources.remove(&header.source).unwrap_or_default();
        source.has_passes |= header.pass.is_some();
        for (resource, _, metric) in metrics.iter() {
            for point in metrics.points_of(metric).iter().filter(|point| !point.held) {
                let key = series_text(header, metrics, resource, metric, point);
                self.point(&mut source, key, metrics, metric, point);
            }
        }
        let end = header.pass.as_ref().and_then(|pass| pass.end);
        let is_due = end.is_some() || !source.has_passes;
        let block = is_due.then(|| source.block(&header.source, end, now)).flatten();
        self.sources.insert(Arc::clone(&header.source), source);
        block
    }

    fn point(&mut self, source: &mut Source, key: Box<str>, metrics: &Metrics, metric: &Metric, point: &Point) {
        if point.is_no_value() {
            if let Some(before) = self.known.remove(&key) {
                source.series = source.series.saturating_sub(1);
                source.note(key, Some(before), None);
            }
            return;
        }
        let value: Box<str> = value_text(metrics, metric.kind, point).into();
        let Some(known) = self.known.get_mut(&key) else {
            if self.known.len() >= self.max_series {
                source.not_followed += 1;
                return;
            }
            source.series += 1;
            source.note(key.clone(), None, Some(value.clone()));
            self.known.insert(key, value);
            return;
        };
        if *known != value {
            let before = std::mem::replace(known, value.clone());
            if !metrics.text(metric.name).ends_with("_timestamp_seconds") {
                source.note(key, Some(before), Some(value));
            }
        }
    }
}

impl Counts {
    fn add(&mut self, change: &Change) {
        match (&change.before, &change.after) {
            (Some(before), Some(after)) if before == after => {}
            (Some(_), Some(_)) => self.changed += 1,
            (None, Some(_)) => self.new += 1,
            (Some(_), None) => self.ended += 1,
            // It came and went.
            (None, None) => {}
        }
    }

    fn total(self) -> usize {
        self.new + self.changed + self.ended
    }
}

impl Source {
    /// Notes a change; of several of one series the first "before" and the last "after" count.
    fn note(&mut self, key: Box<str>, before: Option<Box<str>>, after: Option<Box<str>>) {
        if let Some(change) = self.listed.get_mut(&key) {
            change.after = after;
        } else if self.listed.len() < MAX_LINES {
            self.listed.insert(key, Change { before, after });
        } else {
            self.unlisted.add(&Change { before, after });
        }
    }

    /// What is printed for the time since the last block.
    fn block(&mut self, name: &str, end: Option<PassEnd>, now: u64) -> Option<String> {
        let (listed, unlisted) = (std::mem::take(&mut self.listed), std::mem::take(&mut self.unlisted));
        let not_followed = std::mem::take(&mut self.not_followed);
        let mut counts = unlisted;
        listed.values().for_each(|change| counts.add(change));
        let failed = matches!(end, Some(PassEnd::Partial | PassEnd::SteppedDown));
        if counts.total() + not_followed == 0 && !failed {
            return None;
        }
        let mut out = self.head(name, end, counts, not_followed, now);
        for (series, change) in &listed {
            put_change(&mut out, series, change);
        }
        if unlisted.total() > 0 {
            let _ = writeln!(out, "    {}", Style::Dim.paint(&format!("... and {} more", unlisted.total())));
        }
        Some(out)
    }

    fn head(&self, name: &str, end: Option<PassEnd>, counts: Counts, not_followed: usize, now: u64) -> String {
        let mut parts = Vec::new();
        if counts.new > 0 {
            parts.push(Style::New.paint(&format!("+{} new", counts.new)));
        }
        if counts.changed > 0 {
            parts.push(Style::Changed.paint(&format!("{} changed", counts.changed)));
        }
        if counts.ended > 0 {
            parts.push(Style::Ended.paint(&format!("{} ended", counts.ended)));
        }
        parts.push(format!("{} unchanged", self.series.saturating_sub(counts.new + counts.changed)));
        if not_followed > 0 {
            parts.push(format!("{not_followed} points of series beyond `max_series`"));
        }
        match end {
            Some(PassEnd::Partial) => parts.push(Style::Ended.paint("the pass was not complete")),
            Some(PassEnd::SteppedDown) => parts.push("another instance leads now".to_owned()),
            Some(PassEnd::Removed) => parts.push("the receiver was removed".to_owned()),
            Some(PassEnd::Complete) | None => {}
        }
        let name = if name.is_empty() { "metrics" } else { name };
        let time = Style::Dim.paint(&time_of_day(now));
        format!("{time} {}  {}\n", Style::Head.paint(name), parts.join(", "))
    }
}

fn put_change(out: &mut String, series: &str, change: &Change) {
    let _ = match (&change.before, &change.after) {
        (Some(before), Some(after)) if before == after => Ok(()),
        (Some(before), Some(after)) => {
            writeln!(out, "    {series} {before} {} {}", Style::Dim.paint("->"), Style::Changed.paint(after))
        }
        (None, Some(after)) => writeln!(out, "  {} {series} {after}", Style::New.paint("+")),
        (Some(before), None) => writeln!(out, "  {} {series} {before}", Style::Ended.paint("-")),
        (None, None) => Ok(()),
    };
}

/// A series as it is printed, which is also what tells it from others: resources count unless the labels are final.
fn series_text(header: &Header, metrics: &Metrics, resource: &Resource, metric: &Metric, point: &Point) -> Box<str> {
    let mut text = String::new();
    put_escaped(&mut text, metrics.text(metric.name), false);
    put_attributes(&mut text, metrics, point.attributes());
    if !header.labels_final && !metrics.keys(resource.attributes.shape).is_empty() {
        text.push_str(" resource");
        put_attributes(&mut text, metrics, resource.attributes);
    }
    text.into()
}
