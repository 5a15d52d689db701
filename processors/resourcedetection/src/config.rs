//! The config of `resourcedetection`, by the Collector's keys, and `fail_on_error`.
//! Checking it asks nobody: `validate` does no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::RegexSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{Diagnostic, Duration as ConfigDuration};

use crate::detect::{Detector, Known, ec2, ecs, eks, lambda, system};

/// Adds to resources what the machine says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who is asked. Of two that give an attribute the one that stands first counts.
    pub detectors: Vec<DetectorName>,
    /// Whether what is detected replaces what data says.
    #[serde(rename = "override")]
    pub overrides: bool,
    /// How long detectors may take, all together.
    pub timeout: ConfigDuration,
    /// How often everybody is asked again; 0 = never, at least 1s otherwise.
    pub refresh_interval: ConfigDuration,
    /// Whether a detector that fails stops the start. Otherwise it is asked again until it answers.
    pub fail_on_error: bool,
    /// The detector `system`.
    pub system: SystemConfig,
    /// The detector `ec2`.
    pub ec2: Ec2Config,
    /// The detector `ecs`.
    pub ecs: EcsConfig,
    /// The detector `eks`.
    pub eks: EksConfig,
    /// The detector `lambda`.
    pub lambda: LambdaConfig,
}

/// Who can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetectorName {
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
    Env,
    /// The operating system.
    System,
    /// The metadata of an ECS task.
    Ecs,
    /// The metadata of an EC2 instance.
    Ec2,
    /// The cluster that a pod on EKS runs in.
    Eks,
    /// A Lambda function.
    Lambda,
}

/// Which attributes of a detector are wanted, by name.
pub type AttributeConfigs = BTreeMap<String, AttributeConfig>;

/// Whether an attribute is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeConfig {
    /// Whether it is added.
    pub enabled: bool,
}

/// The detector `system`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SystemConfig {
    /// Where the host's name is looked for; the first that knows it counts.
    pub hostname_sources: Vec<HostnameSource>,
    /// Which attributes are added. Default: `host.name` and `os.type`.
    pub resource_attributes: AttributeConfigs,
}

/// Where a host's name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostnameSource {
    /// Its full name, by `/etc/hosts` and the search domains of `/etc/resolv.conf`.
    Dns,
    /// What the kernel calls it.
    Os,
}

impl Default for SystemConfig {
    fn default() -> Self {
        let hostname_sources = vec![HostnameSource::Dns, HostnameSource::Os];
        SystemConfig { hostname_sources, resource_attributes: BTreeMap::new() }
    }
}

/// The detector `ec2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2Config {
    /// Regular expressions: instance metadata tags whose keys fit are added as `ec2.tag.<key>`. Tags must be allowed in
    /// the instance's metadata.
    pub tags: Vec<String>,
    /// How often metadata is asked for before it counts as not there.
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: u32,
    /// The longest pause between two attempts.
    pub max_backoff: ConfigDuration,
    /// Whether metadata that is not there is a failure.
    pub fail_on_missing_metadata: bool,
    /// Which attributes are added. Default: all.
    pub resource_attributes: AttributeConfigs,
}

impl Default for Ec2Config {
    fn default() -> Self {
        Ec2Config {
            tags: Vec::new(),
            max_attempts: 3,
            max_backoff: ConfigDuration::from_secs(20),
            fail_on_missing_metadata: false,
            resource_attributes: BTreeMap::new(),
        }
    }
}

/// The detector `ecs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EcsConfig {
    /// Which attributes are added. Default: all.
    pub resource_attributes: AttributeConfigs,
}

/// The detector `eks`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EksConfig {
    /// Which attributes are added. Default: all but `k8s.cluster.name`.
    pub resource_attributes: AttributeConfigs,
}

/// The detector `lambda`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LambdaConfig {
    /// Which attributes are added. Default: all.
    pub resource_attributes: AttributeConfigs,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            detectors: vec![DetectorName::Env],
            overrides: true,
            timeout: ConfigDuration::from_secs(5),
            refresh_interval: ConfigDuration::ZERO,
            fail_on_error: false,
            system: SystemConfig::default(),
            ec2: Ec2Config::default(),
            ecs: EcsConfig::default(),
            eks: EksConfig::default(),
            lambda: LambdaConfig::default(),
        }
    }
}

/// What a config means, checked.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub detectors: Vec<Detector>,
    pub timeout: Duration,
    pub refresh_interval: Option<Duration>,
    pub fail_on_error: bool,
}

/// The attributes of a detector that are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    known: Known,
    config: AttributeConfigs,
}

impl Wanted {
    pub(crate) fn new(known: Known, config: &AttributeConfigs) -> Wanted {
        Wanted { known, config: config.clone() }
    }

    /// Whether an attribute is added; one that is not in the table always is.
    pub(crate) fn has(&self, name: &str) -> bool {
        let default = self.known.iter().find(|(known, _)| *known == name).is_none_or(|(_, enabled)| *enabled);
        self.config.get(name).map_or(default, |config| config.enabled)
    }
}

impl Config {
    /// Who is asked, and how; `None` after having reported what is wrong.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Plan> {
        let mut wrong = Vec::new();
        if self.detectors.is_empty() {
            wrong.push(("detectors".to_owned(), "there is nobody to ask".to_owned()));
        }
        if self.timeout.is_zero() {
            wrong.push(("timeout".to_owned(), "nobody can answer in no time; such as `5s`".to_owned()));
        }
        let refresh = self.refresh_interval.get();
        if !refresh.is_zero() && refresh < Duration::from_secs(1) {
            wrong.push(("refresh_interval".to_owned(), "must be at least 1s, or 0 for never".to_owned()));
        }
        if self.system.hostname_sources.is_empty() {
            wrong.push(("system.hostname_sources".to_owned(), "expected `dns`, `os` or both".to_owned()));
        }
        if !(1..=10).contains(&self.ec2.max_attempts) {
            wrong.push(("ec2.max_attempts".to_owned(), "must be between 1 and 10".to_owned()));
        }
        let tags = RegexSet::new(&self.ec2.tags);
        if let Err(error) = &tags {
            let text = error.to_string();
            let last = text.lines().next_back().unwrap_or_default();
            wrong.push(("ec2.tags".to_owned(), format!("not a regular expression: {last}")));
        }
        let sound = wrong.is_empty();
        wrong.into_iter().for_each(|(path, message)| context.error(&path, message));
        let sound = self.check_attributes(context) && sound;
        let tags = tags.ok().filter(|_| sound)?;
        Some(Plan {
            detectors: self.detectors.iter().map(|name| self.detector(*name, &tags)).collect(),
            timeout: self.timeout.get(),
            refresh_interval: Some(refresh).filter(|interval| !interval.is_zero()),
            fail_on_error: self.fail_on_error,
        })
    }

    fn detector(&self, name: DetectorName, tags: &RegexSet) -> Detector {
        match name {
            DetectorName::Env => Detector::Env,
            DetectorName::System => Detector::System(self.system.clone()),
            DetectorName::Ecs => Detector::Ecs(Wanted::new(ecs::ATTRIBUTES, &self.ecs.resource_attributes)),
            DetectorName::Ec2 => Detector::Ec2(self.ec2.clone(), tags.clone()),
            DetectorName::Eks => Detector::Eks(Wanted::new(eks::ATTRIBUTES, &self.eks.resource_attributes)),
            DetectorName::Lambda => Detector::Lambda(Wanted::new(lambda::ATTRIBUTES, &self.lambda.resource_attributes)),
        }
    }

    /// An attribute that nobody detects cannot be switched on; switching it off does nothing, which may be a slip.
    fn check_attributes(&self, context: &mut CreateContext<'_>) -> bool {
        let mut sound = true;
        for (detector, known, attributes) in [
            ("system", system::ATTRIBUTES, &self.system.resource_attributes),
            ("ec2", ec2::ATTRIBUTES, &self.ec2.resource_attributes),
            ("ecs", ecs::ATTRIBUTES, &self.ecs.resource_attributes),
            ("eks", eks::ATTRIBUTES, &self.eks.resource_attributes),
            ("lambda", lambda::ATTRIBUTES, &self.lambda.resource_attributes),
        ] {
            for (name, config) in attributes {
                if known.iter().any(|(known, _)| known == name) {
                    continue;
                }
                let message = format!("`{detector}` does not detect `{name}`");
                let names = || known.iter().map(|(name, _)| *name);
                let path = format!("{detector}.resource_attributes");
                if config.enabled {
                    sound = false;
                    let error = Diagnostic::error("invalid-value", message)
                        .with_expected(format!("one of {}", names().collect::<Vec<_>>().join(", ")))
                        .with_suggestion(name, names());
                    context.report(&path, error);
                } else {
                    context.warning(&path, message);
                }
            }
        }
        sound
    }
}
