//! What the extension can be told.

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_aws::{TableConfig, TablePlace};
use steadyline_component::CreateContext;
use steadyline_config::Flat;

/// Which table keeps the state, and how it is reached.
pub type Config = Flat<StorageConfig, TableConfig>;

/// Which table keeps the state.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// The table's name or ARN. Its partition key is the string `owner`, its sort key the binary `key`.
    pub table: String,
    /// Put before the name of every owner, so that several deployments share a table: `prod/`.
    pub prefix: String,
}

/// Reports what is wrong; `None` then. Otherwise where the table is.
pub(crate) fn check(config: &Config, context: &mut CreateContext<'_>) -> Option<TablePlace> {
    let mut sound = true;
    if config.table.is_empty() {
        context.error("table", "no table is named");
        sound = false;
    }
    if config.prefix.len() > 1000 {
        context.error("prefix", "a prefix of at most 1000 bytes is expected");
        sound = false;
    }
    config.shared.place(context, "").filter(|_| sound)
}
