//! `basic` and `normal`: one line a batch, one line a point.

use std::fmt::Write as _;

use steadyline_component::{Batch, Data, Header, PassEnd};
use steadyline_telemetry::Metrics;

use crate::style::{Style, put_escaped};
use crate::value::{moment, put_attributes, time_of_day, value_text};

/// One line for the batch: when, how much of what, from where.
pub(crate) fn basic(batch: &Batch, now: u64) -> String {
    let what = match &batch.data {
        Data::Metrics(metrics) => {
            let tables = metrics.tables();
            let held = tables.points.iter().filter(|point| point.held).count();
            let held = if held > 0 { format!(" ({held} held)") } else { String::new() };
            format!(
                "metrics: {}, {}, {}{held}",
                count(tables.resources.len(), "resource"),
                count(tables.metrics.len(), "metric"),
                count(tables.points.len(), "data point"),
            )
        }
        Data::Opaque(opaque) => {
            let item = if opaque.signal().item_name() == "spans" { "span" } else { "log record" };
            format!("{}: {}", opaque.signal(), count(opaque.items(), item))
        }
    };
    format!("{} {what}{}\n", Style::Dim.paint(&time_of_day(now)), origin(&batch.header))
}

/// The line of `basic`, and one for each point.
pub(crate) fn normal(batch: &Batch, metrics: &Metrics, now: u64) -> String {
    let mut out = basic(batch, now);
    for (resource, _, metric) in metrics.iter() {
        for point in metrics.points_of(metric) {
            out.push_str("  ");
            put_escaped(&mut out, metrics.text(metric.name), false);
            put_attributes(&mut out, metrics, point.attributes());
            let _ = write!(out, " {}", value_text(metrics, metric.kind, point));
            if point.time != 0 {
                let _ = write!(out, " {}", Style::Dim.paint(&moment(point.time)));
            }
            if !batch.header.labels_final && !metrics.keys(resource.attributes.shape).is_empty() {
                out.push_str(" resource");
                put_attributes(&mut out, metrics, resource.attributes);
            }
            out.push('\n');
        }
    }
    out
}

/// Where a batch is from, and how its pass ended if it says so.
fn origin(header: &Header) -> String {
    let mut text = String::new();
    if !header.source.is_empty() {
        let _ = write!(text, " from {}", header.source);
    }
    if let Some(pass) = &header.pass {
        let _ = write!(text, ", pass {}", pass.epoch);
        text.push_str(match pass.end {
            None => "",
            Some(PassEnd::Complete) => " ends complete",
            Some(PassEnd::Partial) => " ends partial",
            Some(PassEnd::SteppedDown) => " ends: stepped down",
            Some(PassEnd::Removed) => " ends: removed",
        });
    }
    text
}

/// `1 metric`, `2 metrics`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
