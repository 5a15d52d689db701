//! What the extension can be told, by the Collector's keys and some of our own.

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_aws::AccessConfig;
use steadyline_component::CreateContext;
use steadyline_config::Flat;

/// Whose credentials requests are signed with, and for which service and region.
pub type Config = Flat<ScopeConfig, AccessConfig>;

/// For which service and region requests are signed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeConfig {
    /// The region that requests are signed for. Empty: that of the host.
    pub region: String,
    /// The signing name of the service: `aps`, `monitoring`, `logs`, `xray`, `es`. Empty: that of the host.
    pub service: String,
}

/// Reports what is wrong; `None` then.
pub(crate) fn check(config: &Config, context: &mut CreateContext<'_>) -> Option<()> {
    let problems = config.shared.at(&config.region, "").problems();
    problems.iter().for_each(|problem| context.error(problem.path, problem.message.clone()));
    let legal = config.service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !legal {
        let message = format!("`{}` is no signing name, expected one such as `aps`", config.service);
        context.error("service", message);
    }
    (problems.is_empty() && legal).then_some(())
}
