//! The `resourcedetection` processor (also `resource_detection`): adds to resources what the machine says about itself.
//!
//! ```yaml
//! processors:
//!   resourcedetection: {detectors: [env, system, ecs, ec2]}
//!   resourcedetection/named:
//!     detectors: [env, system]
//!     override: false
//!     system:
//!       hostname_sources: [os]
//!       resource_attributes: {host.id: {enabled: true}}
//! ```
//!
//! | detector | asks | gives |
//! |---|---|---|
//! | `env` | `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME` | what stands there |
//! | `system` | the kernel, `/etc`, DNS | `host.name`, `os.type`; if enabled `host.arch`, `host.id`, `os.description`, `os.name`, `os.version` |
//! | `ecs` | the task's metadata, at `ECS_CONTAINER_METADATA_URI_V4` | `cloud.*`, `aws.ecs.*`; of other containers that log by `awslogs`: `aws.log.*` |
//! | `ec2` | the instance's metadata (IMDSv2), at `AWS_EC2_METADATA_SERVICE_ENDPOINT` | `cloud.*`, `host.id`, `host.image.id`, `host.name`, `host.type`; `ec2.tag.<key>` for instance metadata tags that `tags` names |
//! | `eks` | the version of the cluster that `KUBERNETES_SERVICE_HOST` names, with the pod's account | `cloud.*`; if enabled `k8s.cluster.name`, from `EKS_CLUSTER_NAME` or the instance's metadata tags |
//! | `lambda` | the function's variables | `cloud.*`, `faas.*`, `aws.log.*` |
//!
//! All are asked at once when the process starts, before data comes in, and for no longer than `timeout`. Of two that
//! give an attribute the one that stands first counts. `override` says whether what is detected replaces what data says.
//!
//! A place where the machine is not (no EC2, no Lambda) has nothing to say and is no failure. A detector that fails (an
//! answer that is none, a service that is down) is degraded and asked again with growing pauses, and what it then gives is
//! added from then on; with `fail_on_error` the process does not start, as with the Collector. `refresh_interval` asks
//! everybody again and again.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apply;
mod attribute;
mod config;
mod detect;
mod detection;
mod fetch;
mod machine;
mod processor;
#[cfg(test)]
mod tests;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::{Processor, telemetry::Signal};

pub use config::{
    AttributeConfig, AttributeConfigs, Config, DetectorName, Ec2Config, EcsConfig, EksConfig, HostnameSource,
    LambdaConfig, SystemConfig,
};
use detection::Detection;
use machine::Machine;
use processor::ResourceDetection;

/// Makes `resourcedetection` processors.
#[derive(Debug)]
pub struct ResourceDetectionFactory;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<ResourceDetectionFactory>();

/// What to do about a detector that is not here.
const NO_DETECTOR: &str = "this detector is not here; set its attributes by OTEL_RESOURCE_ATTRIBUTES and `env`, or with \
                           the `resource` processor";

impl Component for ResourceDetectionFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "resourcedetection",
        aliases: &["resource_detection"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Adds to resources what the machine says about itself.",
        unsupported: &[
            (
                "attributes",
                "switch attributes off where they come from: `<detector>.resource_attributes.<name>.enabled`",
            ),
            ("aks", NO_DETECTOR),
            ("azure", NO_DETECTOR),
            ("consul", NO_DETECTOR),
            ("docker", NO_DETECTOR),
            ("elasticbeanstalk", NO_DETECTOR),
            ("gcp", NO_DETECTOR),
            ("heroku", NO_DETECTOR),
            ("k8snode", NO_DETECTOR),
            ("kubeadm", NO_DETECTOR),
            ("openshift", NO_DETECTOR),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let plan = config.check(context)?;
        let detection = Detection::new(plan, Machine::here(), context.id.to_string());
        Some(Box::new(ResourceDetection::new(detection, config.overrides)))
    }
}
