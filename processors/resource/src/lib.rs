//! The `resource` processor: inserts, updates, deletes, hashes, extracts and converts attributes of resources.
//! On metrics no point is touched.
//!
//! `attributes` is a list of actions as the `attributes` processor has them:
//!
//! ```yaml fragment
//! processors:
//!   resource:
//!     attributes:
//!       - {key: deployment.environment, action: upsert, value: prod}
//!       - {key: host.id, action: hash}
//!       - {pattern: ^process\., action: delete}
//! ```
//!
//! Two resources that become equal stay two; `groupbyattrs` without keys makes them one. Labels that were copied from the
//! resource to its points before (by `labels`) do not change: put this processor before `labels`.
//! Traces and logs whose bytes are no OTLP are dropped{malformed}.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_attributes::{ActionConfig, Actions, Problems, tree};
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, CreateContext, Data, Factory, Processor, Spec, Stability, Work};

/// The factory of the `resource` processor.
pub const FACTORY: Factory = Factory::processor::<ResourceFactory>();

/// Makes `resource` processors.
#[derive(Debug)]
pub struct ResourceFactory;

/// Changes attributes of resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceConfig {
    /// What is done, in this order.
    pub attributes: Vec<ActionConfig>,
}

impl Component for ResourceFactory {
    type Config = ResourceConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "resource",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "changes attributes of resources",
        unsupported: &[(
            "**.from_context",
            "headers and credentials of a request do not travel with its data; set the value with `value: ${env:...}`, or \
             have the sender put it into an attribute",
        )],
    };

    fn create(config: ResourceConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let mut problems = Problems::default();
        let actions = Actions::new(&config.attributes, "attributes", &mut problems);
        problems.report(context).then(|| Box::new(Resource { actions }) as Box<dyn Processor>)
    }
}

struct Resource {
    actions: Actions,
}

impl Processor for Resource {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.actions.edit_resources(metrics);
            work.emit(batch);
        } else if let Some(batch) = tree::rework(batch, work.tally, self) {
            work.emit(batch);
        }
    }
}

impl tree::Change for Resource {
    fn apply<R: tree::Root>(&mut self, roots: &mut Vec<R>) -> bool {
        let mut changed = false;
        for root in roots {
            let mut attributes = root.attributes().to_vec();
            if self.actions.edit_list(&mut attributes) {
                root.resource_mut().get_or_insert_default().attributes = attributes;
                changed = true;
            }
        }
        changed
    }
}
