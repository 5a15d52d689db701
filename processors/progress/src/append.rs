//! New metrics behind those of a batch: their points share the attributes of the points that they were made of.

use steadyline_telemetry::metrics::{Attributes, Metric, Resource, Scope};
use steadyline_telemetry::{MetricKind, Metrics, Point};

/// A metric to append.
#[derive(Debug)]
pub(crate) struct Made {
    /// The row of the metric that it was made of.
    pub from: usize,
    pub name: String,
    pub description: String,
    /// `None`: that of the metric that it was made of.
    pub unit: Option<&'static str>,
    pub kind: MetricKind,
    /// Attributes are those of the batch.
    pub points: Vec<Point>,
}

/// Appends metrics, each under the resource and scope of the one that it was made of. Returns how many points that are.
pub(crate) fn append(metrics: &mut Metrics, made: Vec<Made>) -> u64 {
    let made: Vec<Made> = made.into_iter().filter(|made| !made.points.is_empty()).collect();
    if made.is_empty() {
        return 0;
    }
    let mut editor = metrics.edit();
    let mut count = 0;
    let mut open = None;
    for made in made {
        let from = editor.tables.metrics[made.from].clone();
        if open != Some(from.scope) {
            open = Some(from.scope);
            open_scope(&mut editor, from.scope);
        }
        let [name, description] = [&made.name, &made.description].map(|text| editor.push_text(text));
        let unit = made.unit.map_or(from.unit, |unit| editor.push_text(unit));
        let first = editor.tables.points.len() as u32;
        count += made.points.len() as u64;
        editor.tables.points.extend(made.points);
        let points = first..editor.tables.points.len() as u32;
        let scope = editor.tables.scopes.len() as u32 - 1;
        let (kind, metadata) = (made.kind, Attributes::default());
        editor.tables.metrics.push(Metric { scope, name, description, unit, kind, metadata, points });
        let end = editor.tables.metrics.len() as u32;
        if let Some(scope) = editor.tables.scopes.last_mut() {
            scope.metrics.end = end;
        }
    }
    count
}

/// Opens a copy of a scope under a copy of its resource, behind all others.
fn open_scope(editor: &mut steadyline_telemetry::metrics::Editor<'_>, scope: u32) {
    let tables = &mut *editor.tables;
    let scope = tables.scopes[scope as usize].clone();
    let resource = tables.resources[scope.resource as usize].clone();
    let (row, number) = (tables.scopes.len() as u32, tables.resources.len() as u32);
    let metrics = tables.metrics.len() as u32;
    tables.resources.push(Resource { scopes: row..row + 1, ..resource });
    tables.scopes.push(Scope { resource: number, metrics: metrics..metrics, ..scope });
}
