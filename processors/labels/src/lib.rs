//! The `labels` processor: what passes it has the names and labels that the backend will show.
//! Names are worked out once per list of keys; a point costs a copy of eight bytes for each of its labels.
//!
//! # What it does
//! - **Metric names** are translated as `translation_strategy` says (unit and type suffixes, legal characters), behind
//!   `namespace`. A metric whose name has nothing legal in it loses its points: dropped{illegal_name}.
//! - **Labels** are the point's attributes, then what `set` says, then what is copied from the resource and the scope:
//!   the attributes that `keep` or `resource` list, and, as in the Collector, `job` (from `service.namespace` and
//!   `service.name`) and `instance` (from `service.instance.id`). Each goes through `drop`, `rename` and the translation of
//!   its name. The resource itself stays as it is, for backends that speak OTLP.
//! - **Values** become text: numbers in their shortest form, arrays and maps as JSON, bytes as base64. Values longer than
//!   `max_label_value_bytes` are cut or cost the point. An empty value stays; to Prometheus it is a label that is not there,
//!   and exporters leave it out.
//! - **Order**: labels are sorted by name in byte order, and the batch is marked as final, so that no exporter renames
//!   anything again. The names of the source's identity attributes are translated along.
//!
//! An attribute whose name has nothing legal in it is left out, and a warning names it. So are `__name__`, and `le` on
//! histograms, and `quantile` on summaries: these belong to the format.
//!
//! # Which value a label gets
//! The first of these that is not empty: a constant of `set` (unless `overwrite: false`, which puts constants last); `job`,
//! `instance` and the scope's labels; the point's attributes; the resource's. Where two attributes of one origin want the
//! same label (`a.b` and `a_b`), `on_collision` decides, in the byte order of their original keys.
//!
//! Two *series* that become one because labels were dropped are not this processor's business: `lastvalue` merges them by
//! its own rules, and exporters refuse to send one twice.
//!
//! # Names in the config
//! An attribute is matched in any of its spellings: `keep: [http.method]` and `keep: [http_method]` mean the same, and
//! `keep` also takes the name that `rename` gives. A name that ends in `*` matches by its beginning: `drop: [k8s.*]`.
//! `drop` wins over `keep`, and is exact where it can be: of `a.b` and `a_b`, `drop: [a.b]` drops the first only.
//!
//! A second `labels` in one pipeline does all of this but the metric names, which are final by then. Traces and logs pass
//! unchanged.

mod config;
mod draft;
mod memo;
mod rewrite;
mod rules;
mod text;

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, CreateContext, Data, Factory, LogPause, Processor, Spec, Stability, Work};

pub use config::{Collision, LabelsConfig, LongValue};

use rewrite::Rewriter;
use rules::Rules;

/// The factory of the `labels` processor.
pub const FACTORY: Factory = Factory::processor::<LabelsFactory>();

/// Makes `labels` processors.
#[derive(Debug)]
pub struct LabelsFactory;

impl Component for LabelsFactory {
    type Config = LabelsConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "labels",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "makes metric names and labels legal, stable and final",
        unsupported: &[],
    };

    fn create(config: LabelsConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let rules = config.check(context)?;
        Some(Box::new(Labels::new(rules, context)))
    }
}

struct Labels {
    rewriter: Rewriter,
    /// The last header's identity and what became of it: the same for every batch of a source.
    identity: (Identity, Identity),
    /// The component's id, for logs.
    id: String,
    refused: LogPause,
    forgotten: LogPause,
}

/// Each warning that data can provoke is written at most so often.
const NAMING: Duration = Duration::from_secs(60);

type Identity = Arc<[Arc<str>]>;

impl Labels {
    fn new(rules: Rules, context: &CreateContext<'_>) -> Self {
        Labels {
            rewriter: Rewriter::new(rules, context.meter),
            identity: Default::default(),
            id: context.id.to_string(),
            refused: LogPause::new(NAMING),
            forgotten: LogPause::new(NAMING),
        }
    }

    fn identity(&mut self, old: &Identity, work: &Work<'_>) -> Identity {
        if !Arc::ptr_eq(old, &self.identity.0) {
            let (new, lost) = self.rewriter.rules().identity(old);
            if let Some(key) = lost
                && let Some(suppressed) = self.forgotten.pass(work.now.mono)
            {
                tracing::warn!(
                    component = self.id,
                    suppressed,
                    key = &*key,
                    "an identity attribute is not kept as a label, so changes of an entity's labels go unnoticed"
                );
            }
            self.identity = (Arc::clone(old), new);
        }
        Arc::clone(&self.identity.1)
    }
}

impl Processor for Labels {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.rewriter.rewrite(metrics, batch.header.labels_final, work.tally);
            if let Some(key) = self.rewriter.take_refused()
                && let Some(suppressed) = self.refused.pass(work.now.mono)
            {
                tracing::warn!(
                    component = self.id,
                    suppressed,
                    key,
                    "an attribute has no legal label name and is left out"
                );
            }
            batch.header.identity = self.identity(&batch.header.identity, work);
            batch.header.labels_final = true;
        }
        work.emit(batch);
    }
}
