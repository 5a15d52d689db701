//! Some points of a batch as a batch of their own. What is left without points (metrics, scopes, resources) is left
//! out, so that a request carries nothing that says nothing.

use std::hash::{DefaultHasher, Hash, Hasher};

use steadyline_telemetry::metrics::Attributes;
use steadyline_telemetry::{Metric, Metrics, Point};

/// The points for which `keep` says so, given the metric's row and the point.
pub fn select(metrics: &Metrics, mut keep: impl FnMut(usize, &Point) -> bool) -> Metrics {
    let mut selected = metrics.clone();
    let mut editor = selected.edit();
    editor.retain_points(|row, point| keep(row, point));
    let tables = &mut *editor.tables;
    let (mut metrics_left, mut scopes_left, mut resources_left) = (Vec::new(), Vec::new(), Vec::new());
    for resource in &tables.resources {
        let first_scope = scopes_left.len() as u32;
        for scope in &tables.scopes[resource.scopes.start as usize..resource.scopes.end as usize] {
            let first_metric = metrics_left.len() as u32;
            let all = &tables.metrics[scope.metrics.start as usize..scope.metrics.end as usize];
            let scope_row = scopes_left.len() as u32;
            let full = all.iter().filter(|metric| !metric.points.is_empty());
            metrics_left.extend(full.map(|metric| Metric { scope: scope_row, ..metric.clone() }));
            if metrics_left.len() as u32 > first_metric {
                let mut scope = scope.clone();
                scope.resource = resources_left.len() as u32;
                scope.metrics = first_metric..metrics_left.len() as u32;
                scopes_left.push(scope);
            }
        }
        if scopes_left.len() as u32 > first_scope {
            let mut resource = resource.clone();
            resource.scopes = first_scope..scopes_left.len() as u32;
            resources_left.push(resource);
        }
    }
    (tables.metrics, tables.scopes, tables.resources) = (metrics_left, scopes_left, resources_left);
    selected
}

/// Says in which of `shards` shards each series of a batch is: by resource, metric name and attributes, in whatever
/// order the attributes stand.
pub struct Sharder<'a> {
    metrics: &'a Metrics,
    shards: u64,
    /// The hash of each metric's resource and name, by row.
    heads: Vec<u64>,
}

impl<'a> Sharder<'a> {
    /// A sharder for a batch.
    pub fn new(metrics: &'a Metrics, shards: u32) -> Self {
        let head = |(resource, _, metric): (&steadyline_telemetry::metrics::Resource, _, &Metric)| {
            hash(&(attributes(metrics, resource.attributes), metrics.bytes(metric.name)))
        };
        Sharder { metrics, shards: u64::from(shards.max(1)), heads: metrics.iter().map(head).collect() }
    }

    /// The shard of a point of the metric in `row`.
    pub fn shard(&self, row: usize, point: &Point) -> u32 {
        let hash = hash(&(self.heads[row], attributes(self.metrics, point.attributes())));
        (hash % self.shards) as u32
    }
}

/// The same for the same pairs in any order.
fn attributes(metrics: &Metrics, attributes: Attributes) -> u64 {
    let keys = metrics.keys(attributes.shape).iter().map(|&key| metrics.bytes(key));
    let values = metrics.values(attributes).iter().map(|&value| (value.kind() as u8, metrics.bytes(value)));
    keys.zip(values).fold(0, |sum: u64, pair| sum.wrapping_add(hash(&pair)))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steadyline_component::testkit;
    use steadyline_telemetry::Limits;

    use super::*;

    const POINTS: &str = r#"
        resource{env="dev"}
        steps{account="a"} 1 @10
        other{account="a"} 2 @10
        resource{env="prod"}
        steps{account="a"} 3 @10
        steps{account="b"} stale @10
    "#;

    #[test]
    fn what_holds_no_selected_point_is_gone() {
        let metrics = testkit::metrics(POINTS);
        let stale = select(&metrics, |_, point| point.is_no_value());
        let again = Metrics::decode(stale.encode(), &Limits::default()).unwrap();
        let shape = |m: &Metrics| {
            let tables = m.tables();
            (tables.resources.len(), tables.scopes.len(), tables.metrics.len(), tables.points.len())
        };
        assert_eq!(shape(&again), (1, 1, 1, 1));
        assert_eq!(testkit::render(&again), testkit::render(&stale));
        assert_eq!(shape(&select(&metrics, |_, _| false)), (0, 0, 0, 0));
        assert_eq!(testkit::render(&select(&metrics, |_, _| true)), testkit::render(&metrics));
    }

    #[test]
    fn a_series_stays_in_its_shard_and_shards_share_the_series() {
        let line = |i: usize, swapped: bool| match swapped {
            false => format!("steps{{account=\"{i}\",env=\"x\"}} 1 @10\n"),
            true => format!("steps{{env=\"x\",account=\"{i}\"}} 9 @20\n"),
        };
        let mut counts = BTreeMap::new();
        for i in 0..200 {
            let shard = |swapped| {
                let metrics = testkit::metrics(&line(i, swapped));
                Sharder::new(&metrics, 4).shard(0, &metrics.tables().points[0])
            };
            assert_eq!(shard(false), shard(true));
            *counts.entry(shard(false)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|&count| count > 20), "{counts:?}");
    }
}
