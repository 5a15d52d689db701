//! Traces and logs, decoded and encoded again. Both nest alike: resource, scope, item.
//! Nesting of values is bounded by the decoder; fields that this version of OTLP does not know are lost when a batch changes.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use steadyline_component::{Batch, Data, SettleError, Tally};
use steadyline_telemetry::{Limits, Opaque, Signal};

/// A decoded batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Spans.
    Traces(TracesData),
    /// Log records.
    Logs(LogsData),
}

impl Tree {
    /// Decodes a batch of traces or logs.
    ///
    /// # Errors
    /// Bytes that are no OTLP, or nest deeper than the decoder goes.
    pub fn decode(opaque: &Opaque) -> Result<Tree, prost::DecodeError> {
        match opaque.signal() {
            Signal::Logs => LogsData::decode(opaque.bytes().clone()).map(Tree::Logs),
            _ => TracesData::decode(opaque.bytes().clone()).map(Tree::Traces),
        }
    }

    /// The batch again.
    pub fn encode(&self) -> Opaque {
        let (signal, bytes) = match self {
            Tree::Traces(data) => (Signal::Traces, data.encode_to_vec()),
            Tree::Logs(data) => (Signal::Logs, data.encode_to_vec()),
        };
        let unbounded = Limits { max_bytes: usize::MAX, ..Limits::default() };
        Opaque::count(signal, bytes.into(), &unbounded).expect("what was just encoded can be counted")
    }
}

/// A change of a tree, whatever its items are.
pub trait Change {
    /// Changes the tree; whether anything is different now.
    fn apply<R: Root>(&mut self, roots: &mut Vec<R>) -> bool;
}

/// Changes a batch of traces or logs. A batch that is the same afterwards keeps its bytes; one that cannot be decoded is
/// counted as dropped{malformed}, and its waiters learn of it.
pub fn rework(batch: Batch, tally: &Tally, change: &mut impl Change) -> Option<Batch> {
    let Data::Opaque(opaque) = &batch.data else { return Some(batch) };
    let Ok(mut tree) = Tree::decode(opaque) else {
        refuse_malformed(&batch, tally);
        return None;
    };
    let changed = match &mut tree {
        Tree::Traces(data) => change.apply(&mut data.resource_spans),
        Tree::Logs(data) => change.apply(&mut data.resource_logs),
    };
    match changed {
        true => Some(Batch { header: batch.header, data: Data::Opaque(tree.encode()) }),
        false => Some(batch),
    }
}

/// Counts a batch that cannot be decoded and tells whoever waits for it.
pub fn refuse_malformed(batch: &Batch, tally: &Tally) {
    tally.dropped("malformed", batch.items());
    let why = || SettleError::Final(format!("the {} are no OTLP", batch.signal()));
    batch.header.receipts.iter().for_each(|receipt| receipt.fail(why()));
}

/// A resource and what is below it.
pub trait Root: Clone + Default {
    /// The scopes below.
    type Branch: Branch;
    /// The resource.
    fn resource(&self) -> Option<&Resource>;
    /// The resource, to change.
    fn resource_mut(&mut self) -> &mut Option<Resource>;
    /// The schema of the resource.
    fn schema_url(&self) -> &str;
    /// The scopes.
    fn branches(&self) -> &[Self::Branch];
    /// The scopes, to change.
    fn branches_mut(&mut self) -> &mut Vec<Self::Branch>;

    /// The resource's attributes.
    fn attributes(&self) -> &[KeyValue] {
        self.resource().map_or(&[], |resource| &resource.attributes)
    }
}

/// A scope and what is below it.
pub trait Branch: Clone + Default {
    /// What is below.
    type Item: Item;
    /// The scope.
    fn scope(&self) -> Option<&InstrumentationScope>;
    /// The schema of the scope.
    fn schema_url(&self) -> &str;
    /// The spans or records.
    fn items(&self) -> &[Self::Item];
    /// The spans or records, to change.
    fn items_mut(&mut self) -> &mut Vec<Self::Item>;
}

/// A span or a log record.
pub trait Item: Clone {
    /// What it is.
    fn kind(&self) -> ItemRef<'_>;
    /// Its attributes.
    fn attributes(&self) -> &[KeyValue];
    /// Its attributes, to change.
    fn attributes_mut(&mut self) -> &mut Vec<KeyValue>;
    /// Keeps only the span's events for which `keep` says so; how many went. Records have none.
    fn retain_events(&mut self, keep: impl FnMut(&Span, usize) -> bool) -> usize;
}

/// A span or a log record, to look at.
#[derive(Debug, Clone, Copy)]
pub enum ItemRef<'a> {
    /// A span.
    Span(&'a Span),
    /// A log record.
    Log(&'a LogRecord),
}

macro_rules! nest {
    ($root:ident.$branches:ident, $branch:ident.$items:ident, $item:ident as $variant:ident, $events:expr) => {
        impl Root for $root {
            type Branch = $branch;

            fn resource(&self) -> Option<&Resource> {
                self.resource.as_ref()
            }

            fn resource_mut(&mut self) -> &mut Option<Resource> {
                &mut self.resource
            }

            fn schema_url(&self) -> &str {
                &self.schema_url
            }

            fn branches(&self) -> &[$branch] {
                &self.$branches
            }

            fn branches_mut(&mut self) -> &mut Vec<$branch> {
                &mut self.$branches
            }
        }

        impl Branch for $branch {
            type Item = $item;

            fn scope(&self) -> Option<&InstrumentationScope> {
                self.scope.as_ref()
            }

            fn schema_url(&self) -> &str {
                &self.schema_url
            }

            fn items(&self) -> &[$item] {
                &self.$items
            }

            fn items_mut(&mut self) -> &mut Vec<$item> {
                &mut self.$items
            }
        }

        impl Item for $item {
            fn kind(&self) -> ItemRef<'_> {
                ItemRef::$variant(self)
            }

            fn attributes(&self) -> &[KeyValue] {
                &self.attributes
            }

            fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
                &mut self.attributes
            }

            fn retain_events(&mut self, keep: impl FnMut(&Span, usize) -> bool) -> usize {
                $events(self, keep)
            }
        }
    };
}

nest!(ResourceSpans.scope_spans, ScopeSpans.spans, Span as Span, retain_span_events);
nest!(ResourceLogs.scope_logs, ScopeLogs.log_records, LogRecord as Log, |_: &mut LogRecord, _| 0);

fn retain_span_events(span: &mut Span, mut keep: impl FnMut(&Span, usize) -> bool) -> usize {
    let kept: Vec<bool> = (0..span.events.len()).map(|at| keep(span, at)).collect();
    let mut kept = kept.iter();
    let before = span.events.len();
    span.events.retain(|_| kept.next().copied().unwrap_or(true));
    before - span.events.len()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};

    use super::*;

    /// A record whose body is so many arrays inside each other.
    fn nested(depth: usize) -> Opaque {
        let mut body = AnyValue { value: Some(Any::IntValue(1)) };
        for _ in 0..depth {
            body = AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: vec![body] })) };
        }
        let log_records = vec![LogRecord { body: Some(body), ..LogRecord::default() }];
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        Tree::Logs(LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }).encode()
    }

    #[test]
    fn nesting_is_bounded() {
        let fine = nested(32);
        assert_eq!(Tree::decode(&fine).unwrap().encode(), fine);
        assert!(Tree::decode(&nested(1000)).is_err());
    }
}
