//! Metric families as a reading fills them: the neutral form between what is counted and whoever shows it.
//! Names are OpenTelemetry's (no `_total`, units apart); what Prometheus calls a family is said by [`prometheus_name`].

use std::collections::BTreeMap;

/// Families by name.
#[derive(Debug, Default)]
pub struct Families(BTreeMap<String, Family>);

/// One metric with its series.
#[derive(Debug)]
pub struct Family {
    /// What it means, for people.
    pub help: &'static str,
    /// The unit in UCUM; empty for plain counts.
    pub unit: &'static str,
    /// Whether it only rises.
    pub counter: bool,
    /// The series; no two have the same labels.
    pub series: Vec<Series>,
}

/// One number of a family.
#[derive(Debug)]
pub struct Series {
    /// Label names and values; no value is empty.
    pub labels: Labels,
    /// The number now.
    pub value: f64,
}

/// Names and values of a series' labels.
pub type Labels = Vec<(String, String)>;

/// What a series belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'static str,
    pub(super) unit: &'static str,
    pub(super) counter: bool,
}

impl<'a> Head<'a> {
    /// A gauge; its unit is the one that its name ends with.
    pub(super) fn gauge(name: &'a str, help: &'static str) -> Head<'a> {
        Head { name, help, unit: unit_of(name), counter: false }
    }

    /// A counter, without `_total`.
    pub(super) fn counter(name: &'a str, help: &'static str) -> Head<'a> {
        Head { counter: true, ..Head::gauge(name, help) }
    }

    pub(super) fn unit(self, unit: &'static str) -> Head<'a> {
        Head { unit, ..self }
    }
}

impl Families {
    /// Adds a series. Labels without a value are left out, as Prometheus has it.
    pub(super) fn add(&mut self, head: Head<'_>, mut labels: Labels, value: f64) {
        labels.retain(|(_, value)| !value.is_empty());
        let new = || Family { help: head.help, unit: head.unit, counter: head.counter, series: Vec::new() };
        self.0.entry(head.name.to_string()).or_insert_with(new).series.push(Series { labels, value });
    }

    /// A family by its name.
    pub fn get(&self, name: &str) -> Option<&Family> {
        self.0.get(name)
    }

    /// All families, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.0.iter().map(|(name, family)| (name.as_str(), family))
    }
}

/// The unit in UCUM that a name's last word stands for.
fn unit_of(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some("ratio") => "1",
        _ => "",
    }
}

/// What Prometheus calls a metric: the unit's word and, for a counter, `_total` at the end.
pub(super) fn prometheus_name(name: &str, unit: &str, counter: bool, with_unit: bool, with_total: bool) -> String {
    let mut full = name.to_string();
    let word = match unit {
        "s" => "seconds",
        "By" => "bytes",
        _ => "",
    };
    if with_unit && !word.is_empty() && !full.ends_with(&format!("_{word}")) {
        full = format!("{full}_{word}");
    }
    if counter && with_total { full + "_total" } else { full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_collector_in_prometheus() {
        for (name, unit, counter, expected) in [
            ("otelcol_process_uptime", "s", true, "otelcol_process_uptime_seconds_total"),
            ("otelcol_process_cpu_seconds", "s", true, "otelcol_process_cpu_seconds_total"),
            ("otelcol_process_memory_rss", "By", false, "otelcol_process_memory_rss_bytes"),
            ("otelcol_exporter_queue_size", "", false, "otelcol_exporter_queue_size"),
            ("steadyline_exporter_sent_bytes", "By", true, "steadyline_exporter_sent_bytes_total"),
        ] {
            assert_eq!(prometheus_name(name, unit, counter, true, true), expected);
        }
        assert_eq!(prometheus_name("otelcol_process_uptime", "s", true, false, false), "otelcol_process_uptime");
    }

    #[test]
    fn units_come_from_names() {
        assert_eq!(Head::gauge("receiver_poll_duration_seconds", "").unit, "s");
        assert_eq!(Head::counter("exporter_sent_bytes", "").unit, "By");
        assert_eq!(Head::counter("exporter_retries", "").unit, "");
    }
}
