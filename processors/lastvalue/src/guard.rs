//! The guard for forked series: one entity, one set of labels. It finds the series of an entity by the attributes that
//! its source declares as identity, and decides what happens when another set of labels appears beside it.

use steadyline_telemetry::metrics::{Attributes, Resource};
use steadyline_telemetry::{Metrics, Point};

use crate::arrive::{Arrival, Stream};
use crate::clock::Ticks;
use crate::config::OnFork;
use crate::identity::is_absent;
use crate::pack;
use crate::processor::LastValue;
use crate::series::{ENDED, RESTORED, STALE};

/// A refused series is named in the log at most once a minute, for each reason.
const NAMING: Ticks = 600;

/// What a guarded point says about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entity {
    /// Hash of source, metric, identity and the labels that are constants of the resource.
    pub hash: u64,
    /// Whether the metric is an info metric: always exactly one set of labels.
    info: bool,
}

impl LastValue {
    /// The entity that a point is about; `None` if its labels have nothing that could change: then nothing is guarded
    /// and nothing is stored.
    pub(crate) fn entity(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) -> Option<Entity> {
        let (entity, others) = self.identify(at, stream, point)?;
        (others > 0).then_some(entity)
    }

    /// The series that stands for the entity of a confirmation: by identity alone, as the labels that its source could
    /// not say are missing in it.
    pub(crate) fn held_by_identity(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) -> Option<u32> {
        let (entity, _) = self.identify(at, stream, point)?;
        self.store.guarded(entity.hash)
    }

    /// The entity of a point, and how many of its labels could change; `None` if its identity is not there.
    fn identify(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) -> Option<(Entity, usize)> {
        let identity = &at.header.identity;
        if identity.is_empty() {
            return None;
        }
        let (keys, values) = (at.metrics.keys(point.shape), at.metrics.values(point.attributes()));
        let scope = &at.metrics.tables().scopes[stream.metric.scope as usize];
        let resource = &at.metrics.tables().resources[scope.resource as usize];
        let mut named = 0;
        let mut others = 0;
        // Labels are few and this runs for newcomers only: collected and sorted, so that their order does not matter.
        let mut stable: Vec<(&[u8], &[u8])> = Vec::new();
        for (&key, &value) in keys.iter().zip(values).filter(|(_, value)| !is_absent(**value)) {
            let pair = (at.metrics.bytes(key), at.metrics.bytes(value));
            if identity.iter().any(|name| name.as_bytes() == pair.0) {
                named += 1;
                stable.push(pair);
            } else if is_constant(at.metrics, resource, pair) {
                stable.push(pair);
            } else {
                others += 1;
            }
        }
        let info = is_info(at.metrics, stream.metric.metadata);
        if named < identity.len() {
            return None;
        }
        stable.sort_unstable();
        let mut bytes = stream.digest.to_le_bytes().to_vec();
        // Its name, not its number: the hash outlives the process.
        pack::put(&mut bytes, steadyline_telemetry::ValueKind::Str, at.header.source.as_bytes());
        bytes.push(u8::from(at.header.pass.is_some()));
        for (key, value) in stable {
            pack::put(&mut bytes, steadyline_telemetry::ValueKind::Str, key);
            pack::put(&mut bytes, steadyline_telemetry::ValueKind::Str, value);
        }
        Some((Entity { hash: self.secret.hash(&bytes) as u64, info }, others))
    }

    /// Whether a series (a newcomer, or `id`) may stand for its entity; ends the one that stood for it where that is
    /// the policy.
    pub(crate) fn admits(
        &mut self,
        at: &Arrival<'_>,
        stream: &Stream<'_>,
        point: &Point,
        entity: Entity,
        id: Option<u32>,
    ) -> bool {
        let Some(old) = self.store.guarded(entity.hash).filter(|old| Some(*old) != id) else { return true };
        let entry = *self.store.get(old);
        let policy = if entity.info { OnFork::EndAndRestart } else { self.config.on_fork };
        if entry.is(ENDED | STALE) {
            return policy != OnFork::Drop;
        }
        let confirmed = !entry.is(RESTORED) && entry.seen == at.seen;
        let beside = at.header.pass.is_some() && entry.source == at.source && confirmed;
        if beside && !entity.info {
            // One pass shows both: they are two series on purpose, told apart by a label that is not declared.
            return true;
        }
        if !entity.info {
            self.name_forked(at, stream, point);
        }
        if policy != OnFork::Refuse {
            self.end(old, at.tick);
        }
        policy == OnFork::EndAndRestart
    }

    /// Whether a series that has ended may come back.
    pub(crate) fn may_return(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, id: u32, point: &Point) -> bool {
        if self.store.arena.guard(self.store.get(id).record).is_none() {
            return true;
        }
        let Some(entity) = self.entity(at, stream, point) else { return true };
        let admitted = self.admits(at, stream, point, entity, Some(id));
        if admitted && self.store.arena.guard(self.store.get(id).record) == Some(entity.hash) {
            self.store.set_guarded(entity.hash, id);
        }
        admitted
    }

    /// Names a series that the limit refused, so that somebody can find out who sends it.
    pub(crate) fn name_refused(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) {
        if self.may_name(0, at) {
            tracing::warn!(
                component = %self.id,
                source = %at.header.source,
                series = %describe(at, stream, point),
                limit = self.config.max_series,
                "series refused: the table holds `max_series` series; those admitted keep their places, newcomers are dropped and counted"
            );
        }
    }

    /// Names a series that the guard refused.
    fn name_forked(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) {
        if self.may_name(1, at) {
            tracing::warn!(
                component = %self.id,
                source = %at.header.source,
                series = %describe(at, stream, point),
                policy = ?self.config.on_fork,
                "series forked: its entity is known under other labels; labels that change belong into an info metric"
            );
        }
    }

    fn may_name(&mut self, reason: usize, at: &Arrival<'_>) -> bool {
        let due = self.named[reason].is_none_or(|last| at.tick.saturating_sub(last) >= NAMING);
        if due {
            self.named[reason] = Some(at.tick);
        }
        due
    }
}

/// Whether a label is an attribute of the resource, under its own name or as Prometheus spells it.
fn is_constant(batch: &Metrics, resource: &Resource, (key, value): (&[u8], &[u8])) -> bool {
    let attributes = resource.attributes;
    batch.keys(attributes.shape).iter().zip(batch.values(attributes)).any(|(&name, &constant)| {
        let name = batch.bytes(name);
        let spelled = |(a, b): (&u8, &u8)| a == b || *b == b'_' && !a.is_ascii_alphanumeric();
        !is_absent(constant)
            && batch.bytes(constant) == value
            && name.len() == key.len()
            && name.iter().zip(key).all(spelled)
    })
}

/// The metric metadata by which an info metric is told.
/// Source: OpenTelemetry, "Prometheus and OpenMetrics Compatibility", metric metadata.
fn is_info(batch: &Metrics, metadata: Attributes) -> bool {
    batch.pairs(metadata).any(|(key, value)| key == "prometheus.type" && value.as_str() == Some("info"))
}

/// A series for a log line, cut to a length that fits one.
fn describe(at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) -> String {
    const LONGEST: usize = 300;
    let labels: Vec<String> = at
        .metrics
        .pairs(point.attributes())
        .map(|(key, value)| format!("{key}={:.60?}", value.as_str().unwrap_or("...")))
        .collect();
    let series = format!("{}{{{}}}", at.metrics.text(stream.metric.name), labels.join(","));
    series.chars().take(LONGEST).collect()
}
