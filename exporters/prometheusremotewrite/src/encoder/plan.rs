//! What depends on keys only, made once per (resource, scope, shape): which labels a series has, in which order, and where
//! their values come from. Names and constants are encoded here, so that a point costs no more than copies of its values.

use std::borrow::Cow;

use steadyline_prometheus::is_legal_label_name;
use steadyline_prometheus::labels::join;
use steadyline_prometheus::wire::{put_bytes, put_varint, varint_len};
use steadyline_telemetry::slot::ValueKind;
use steadyline_telemetry::{Metrics, ShapeId, Slot};

use super::losses::Loss;
use crate::config::OnCollision;
use steadyline_prometheus::put_attribute;

/// Which label of the format itself a series may carry besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// None.
    Plain = 0,
    /// `le`.
    Histogram = 1,
    /// `quantile`.
    Summary = 2,
}

/// Who wants a label. Of several, the first has it; attributes among themselves by [`OnCollision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// `__name__`, `le`, `quantile`.
    Format,
    /// `job` and `instance`, as the resource says.
    Target,
    /// The point's attributes.
    Attribute,
    /// `otel_scope_*`.
    Scope,
    /// Resource attributes that are to be labels.
    Resource,
    /// Constants from the config; they fill gaps.
    External,
}

/// A label name and who wants it.
pub(super) struct Candidate<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) rank: Rank,
    pub(super) content: Content<'a>,
}

/// What a candidate would write.
pub(super) enum Content<'a> {
    /// The metric's name.
    Name,
    /// A bucket's bound or a quantile, if the series has one.
    Bound,
    /// The value of the attribute at this place of the shape.
    Attribute(u32),
    /// Always the same text.
    Constant(&'a str),
}

/// The plans of one scope; all memory is kept from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// Plans made under another generation are void.
    generation: u32,
    by_shape: Vec<[(u32, u32); 3]>,
    plans: Vec<Plan>,
    labels: Vec<Label>,
    sources: Vec<u32>,
    bytes: Vec<u8>,
}

/// How the labels of a series are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    labels: Run,
    refused: Option<Loss>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Run {
    from: u32,
    to: u32,
}

#[derive(Debug, Clone, Copy)]
struct Label {
    /// The encoded label without its value: tag, room for a length, name, tag, room for a length. Constants: all of it.
    head: Run,
    source: Source,
    /// The encoded constant that is written where the attribute is empty.
    otherwise: Run,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Name,
    Bound,
    Constant,
    Attribute(u32),
    /// Several attributes whose names became one, in the order of their keys.
    Collision(Run),
    /// An attribute whose name belongs to the format or the target.
    GivesWay(u32),
    /// An attribute of whose name nothing is left.
    Nameless(u32),
}

impl Label {
    fn without_text(source: Source) -> Label {
        Label { head: Run::default(), source, otherwise: Run::default() }
    }
}

/// What is the same for every series of a point, and where counting goes.
pub(super) struct Values<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) values: &'a [Slot],
    pub(super) on_collision: OnCollision,
    /// Attributes that lost their label to another, or share one.
    pub(super) collisions: &'a mut u64,
    /// A buffer for values that are not text.
    pub(super) text: &'a mut Vec<u8>,
}

/// More labels than this in all plans of a scope, and they are made anew: a sender chooses how many shapes there are.
const MAX_LABELS: usize = 1 << 16;
/// The same for the bytes of their names and constants.
const MAX_BYTES: usize = 16 << 20;

/// The size of short copies in bytes; half of it for the shortest.
const PIECE: usize = 32;

const TAG_LABEL: u8 = 1 << 3 | 2;
const TAG_VALUE: u8 = 2 << 3 | 2;

impl Plans {
    /// Forgets the plans: another batch, resource or scope begins.
    pub(super) fn begin(&mut self) {
        // A stamp that comes round again after 2^32 scopes must not revive a plan of long ago.
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.by_shape.clear();
            self.generation = 1;
        }
        self.plans.clear();
        self.labels.clear();
        self.sources.clear();
        self.bytes.clear();
    }

    /// The plan of a shape, made by `candidates` if it is not known yet. `utf8` says whether names may have any characters,
    /// `max_bytes` how long the labels of a series may be.
    #[inline]
    pub(super) fn of<'c>(
        &mut self,
        shape: ShapeId,
        class: Class,
        (utf8, max_bytes): (bool, usize),
        candidates: impl FnOnce() -> Vec<Candidate<'c>>,
    ) -> Plan {
        let known = self.by_shape.get(shape.index()).map(|plans| plans[class as usize]);
        match known {
            Some((generation, at)) if generation == self.generation => self.plans[at as usize],
            _ => self.make(shape, class, (utf8, max_bytes), candidates()),
        }
    }

    fn make(
        &mut self,
        shape: ShapeId,
        class: Class,
        (utf8, max_bytes): (bool, usize),
        mut candidates: Vec<Candidate<'_>>,
    ) -> Plan {
        if self.labels.len() > MAX_LABELS || self.bytes.len() > MAX_BYTES {
            self.begin();
        }
        candidates.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()).then(a.rank.cmp(&b.rank)));
        // An attribute without a name is left out; the point goes on without it.
        let illegal = |c: &Candidate<'_>| !c.name.is_empty() && !utf8 && !is_legal_label_name(&c.name);
        let illegal = candidates.iter().any(illegal).then_some(Loss::IllegalLabelName);
        // Found out here, and not by writing megabytes for every point.
        let too_large = (constant_bytes(&candidates) > max_bytes).then_some(Loss::SeriesTooLarge);
        let from = self.labels.len() as u32;
        for group in candidates.chunk_by(|a, b| a.name == b.name) {
            self.add(group);
        }
        // Room behind the last one, so that short copies of a fixed size stay inside.
        self.bytes.resize(self.bytes.len() + PIECE, 0);
        let labels = Run { from, to: self.labels.len() as u32 };
        let plan = Plan { labels, refused: illegal.or(too_large) };
        if self.by_shape.len() <= shape.index() {
            self.by_shape.resize(shape.index() + 1, [(0, 0); 3]);
        }
        self.by_shape[shape.index()][class as usize] = (self.generation, self.plans.len() as u32);
        self.plans.push(plan);
        plan
    }

    /// Adds the label that all of `group` want; they are sorted by rank.
    fn add(&mut self, group: &[Candidate<'_>]) {
        let name = &group[0].name;
        let attributes = group.iter().filter_map(|c| match c.content {
            Content::Attribute(at) => Some(at),
            _ => None,
        });
        if name.is_empty() {
            let nameless = attributes.map(Source::Nameless);
            self.labels.extend(nameless.map(Label::without_text));
            return;
        }
        if group[0].rank < Rank::Attribute {
            let (source, head) = match group[0].content {
                Content::Name => (Source::Name, Run::default()),
                Content::Bound => (Source::Bound, self.head(name)),
                Content::Attribute(at) => (Source::Attribute(at), self.head(name)),
                Content::Constant(text) => (Source::Constant, self.constant(name, text)),
            };
            self.labels.push(Label { head, source, otherwise: Run::default() });
            self.labels.extend(attributes.map(Source::GivesWay).map(Label::without_text));
            return;
        }
        let constant = group.iter().find_map(|c| match c.content {
            Content::Constant(text) => Some(text),
            _ => None,
        });
        let constant = constant.map(|text| self.constant(name, text));
        let from = self.sources.len() as u32;
        self.sources.extend(attributes);
        let sources = Run { from, to: self.sources.len() as u32 };
        let source = match (&self.sources[from as usize..], constant) {
            ([], None) => return,
            ([], Some(_)) => Source::Constant,
            ([one], _) => Source::Attribute(*one),
            _ => Source::Collision(sources),
        };
        let otherwise = constant.unwrap_or_default();
        let head = if matches!(source, Source::Constant) { otherwise } else { self.head(name) };
        self.labels.push(Label { head, source, otherwise });
    }

    fn head(&mut self, name: &str) -> Run {
        let from = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&[TAG_LABEL, 0]);
        put_bytes(&mut self.bytes, 1, name.as_bytes());
        self.bytes.extend_from_slice(&[TAG_VALUE, 0]);
        Run { from, to: self.bytes.len() as u32 }
    }

    fn constant(&mut self, name: &str, text: &str) -> Run {
        let from = self.bytes.len() as u32;
        put_label(&mut self.bytes, name, text.as_bytes());
        Run { from, to: self.bytes.len() as u32 }
    }

    /// Appends the labels of one series to `out`, encoded and sorted. `name` is its encoded name label ([`put_label`]),
    /// `bound` the text of `le` or `quantile`, empty where the series has none.
    ///
    /// # Errors
    /// The labels cannot be sent; `out` may hold a part of them.
    #[inline]
    pub(super) fn write(
        &self,
        plan: Plan,
        point: &mut Values<'_>,
        name: &[u8],
        bound: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Loss> {
        if let Some(loss) = plan.refused {
            return Err(loss);
        }
        for label in &self.labels[plan.labels.from as usize..plan.labels.to as usize] {
            match label.source {
                Source::Attribute(at) => {
                    let slot = point.values[at as usize];
                    if slot.kind() == ValueKind::Str && !slot.is_empty() {
                        let buffer = if slot.is_own() { point.metrics.own() } else { point.metrics.wire() };
                        self.put(out, label.head, buffer, slot.at(), slot.len());
                        continue;
                    }
                    point.text.clear();
                    put_attribute(point.text, point.metrics.value(slot));
                    self.put_or_else(out, label, point.text);
                }
                Source::Constant => out.extend_from_slice(self.bytes(label.head)),
                Source::Name => out.extend_from_slice(name),
                Source::Bound => self.put_or_else(out, label, bound),
                Source::Collision(sources) => {
                    self.merge(sources, point)?;
                    self.put_or_else(out, label, point.text);
                }
                Source::GivesWay(at) => {
                    if point.leaves_out(at) && point.on_collision == OnCollision::Drop {
                        return Err(Loss::LabelCollision);
                    }
                }
                Source::Nameless(at) => {
                    point.leaves_out(at);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn bytes(&self, run: Run) -> &[u8] {
        &self.bytes[run.from as usize..run.to as usize]
    }

    /// Appends a label with the value `buffer[at..at + len]`, which is not empty.
    #[inline]
    fn put(&self, out: &mut Vec<u8>, head: Run, buffer: &[u8], at: usize, len: usize) {
        let (head, head_len) = (head.from as usize, (head.to - head.from) as usize);
        // Without tag and length of the label itself.
        let body = head_len - 2 + len;
        if body < 0x80 {
            let start = out.len();
            put_piece(out, &self.bytes, head, head_len);
            out[start + 1] = body as u8;
            out[start + head_len - 1] = len as u8;
        } else {
            out.push(TAG_LABEL);
            put_varint(out, (body - 1 + varint_len(len as u64)) as u64);
            out.extend_from_slice(&self.bytes[head + 2..head + head_len - 1]);
            put_varint(out, len as u64);
        }
        put_piece(out, buffer, at, len);
    }

    fn put_or_else(&self, out: &mut Vec<u8>, label: &Label, value: &[u8]) {
        if value.is_empty() {
            out.extend_from_slice(self.bytes(label.otherwise));
        } else {
            self.put(out, label.head, value, 0, value.len());
        }
    }

    /// Leaves in `point.text` the one value of attributes whose names became one.
    fn merge(&self, sources: Run, point: &mut Values<'_>) -> Result<(), Loss> {
        let (mut merged, mut count) = (String::new(), 0u64);
        for at in &self.sources[sources.from as usize..sources.to as usize] {
            point.text.clear();
            put_attribute(point.text, point.metrics.value(point.values[*at as usize]));
            if point.text.is_empty() {
                continue;
            }
            count += 1;
            // Attribute values are checked when the batch is made, and everything else is written as ASCII or JSON.
            let value = String::from_utf8_lossy(point.text);
            merge_value(point.on_collision, &mut merged, &value);
        }
        if count > 1 {
            *point.collisions += 1;
            if point.on_collision == OnCollision::Drop {
                return Err(Loss::LabelCollision);
            }
        }
        point.text.clear();
        point.text.extend_from_slice(merged.as_bytes());
        Ok(())
    }
}

/// Appends `buffer[at..at + len]`. Short pieces are copied in a fixed size and cut to length: names and values are mostly
/// short, and a copy of a size that is not known costs a call.
#[inline]
fn put_piece(out: &mut Vec<u8>, buffer: &[u8], at: usize, len: usize) {
    let end = out.len() + len;
    match buffer[at..].first_chunk::<PIECE>() {
        Some(chunk) if len <= PIECE / 2 => out.extend_from_slice(&chunk[..PIECE / 2]),
        Some(chunk) if len <= PIECE => out.extend_from_slice(chunk),
        _ => out.extend_from_slice(&buffer[at..at + len]),
    }
    out.truncate(end);
}

/// Adds one more value to those that want one label.
pub(super) fn merge_value(policy: OnCollision, merged: &mut String, value: &str) {
    match policy {
        OnCollision::Join | OnCollision::Drop => join(merged, value),
        OnCollision::First if merged.is_empty() => merged.push_str(value),
        OnCollision::First => {}
        OnCollision::Last => {
            merged.clear();
            merged.push_str(value);
        }
    }
}

/// How many bytes of text a series has whatever its point says.
fn constant_bytes(candidates: &[Candidate<'_>]) -> usize {
    let text = |c: &Candidate<'_>| match c.content {
        Content::Constant(text) => text.len(),
        _ => 0,
    };
    candidates.iter().map(text).sum()
}

/// Appends a whole label.
pub(super) fn put_label(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let len = |bytes: usize| 1 + varint_len(bytes as u64) + bytes;
    out.push(TAG_LABEL);
    put_varint(out, (len(name.len()) + len(value.len())) as u64);
    put_bytes(out, 1, name.as_bytes());
    put_bytes(out, 2, value);
}

impl Values<'_> {
    /// Notes that an attribute is left out. Whether there was anything to leave out.
    fn leaves_out(&mut self, at: u32) -> bool {
        let is_lost = !self.values[at as usize].is_empty();
        *self.collisions += u64::from(is_lost);
        is_lost
    }
}
