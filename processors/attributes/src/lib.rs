//! The `attributes` processor: inserts, updates, deletes, hashes, extracts and converts attributes of data points, spans and
//! log records.
//!
//! # What it does
//! The `actions` run in order on every item that `include` and `exclude` mean, each seeing what the one before it left:
//!
//! | action | does | with |
//! |---|---|---|
//! | `insert` | adds the attribute where it is absent | `value`, or `from_attribute` and perhaps `default_value` |
//! | `update` | replaces its value where it is there | the same |
//! | `upsert` | either | the same |
//! | `delete` | removes it | `key`, or all keys that match `pattern` |
//! | `hash` | replaces its value by its SHA-256 | `key`, or all keys that match `pattern` |
//! | `extract` | writes the named groups of `pattern` to attributes of these names | `key`, if its value is text |
//! | `convert` | gives its value another type, or leaves it | `converted_type`: int, double, string |
//!
//! ```yaml fragment
//! processors:
//!   attributes/private:
//!     include: {match_type: regexp, services: [^shop-]}
//!     actions:
//!       - {key: user.email, action: hash}
//!       - {key: region, action: insert, from_attribute: cloud.region, default_value: unknown}
//!       - {pattern: ^internal\., action: delete}
//! ```
//!
//! # What it costs
//! On metrics, which keys a point has decides almost everything, so it is worked out once per list of keys; only `hash`,
//! `convert` and `extract` look at values. A batch in which nothing is to do passes as the bytes that it arrived in. Traces and
//! logs are decoded, and encoded again only if something changed.
//!
//! # What to know
//! - Points that become identical stay two points, as in the Collector: `lastvalue` merges them, and exporters refuse to
//!   send one series twice.
//! - Behind `labels`, names and values that were final are so no more when this processor changes them: they are translated
//!   again. Put it before `labels`.
//! - Bodies that are no OTLP are dropped{malformed}.

mod config;

use steadyline_attributes::{Actions, Chosen, Problems, Selection, tree};
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, CreateContext, Data, Factory, Processor, Spec, Stability, Work};

pub use config::AttributesConfig;

/// The factory of the `attributes` processor.
pub const FACTORY: Factory = Factory::processor::<AttributesFactory>();

/// Makes `attributes` processors.
#[derive(Debug)]
pub struct AttributesFactory;

impl Component for AttributesFactory {
    type Config = AttributesConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "attributes",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "changes attributes of points, spans and records",
        unsupported: &[(
            "**.from_context",
            "headers and credentials of a request do not travel with its data; set the value with `value: ${env:...}`, or \
             have the sender put it into an attribute",
        )],
    };

    fn create(config: AttributesConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let mut problems = Problems::default();
        let selection = config.selection(context.signal, &mut problems);
        let actions = Actions::new(&config.actions, "actions", &mut problems);
        problems.report(context).then(|| Box::new(Attributes { selection, actions }) as Box<dyn Processor>)
    }
}

struct Attributes {
    selection: Selection,
    actions: Actions,
}

impl Processor for Attributes {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            let chosen = self.selection.points(metrics);
            if chosen != Chosen::None && self.actions.edit_points(metrics, &chosen) {
                batch.header.labels_final = false;
            }
            work.emit(batch);
        } else if let Some(batch) = tree::rework(batch, work.tally, self) {
            work.emit(batch);
        }
    }
}

impl tree::Change for Attributes {
    fn apply<R: tree::Root>(&mut self, roots: &mut Vec<R>) -> bool {
        use tree::{Branch, Item};
        let mut changed = false;
        for root in roots {
            let below = self.selection.root(root);
            for branch in root.branches_mut() {
                let below = self.selection.branch(below, branch);
                if below.is_lost() {
                    continue;
                }
                for item in branch.items_mut() {
                    if self.selection.item(below, item) {
                        changed |= self.actions.edit_list(item.attributes_mut());
                    }
                }
            }
        }
        changed
    }
}
