//! The keys by which a component is told where a DynamoDB table is, and the table's place once they are checked.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_component::config::{ComponentId, Diagnostic};
use steadyline_component::{AwsEndpoint, CreateContext, StartError};
use steadyline_config::Flat;

use crate::access::{AccessConfig, described_as};
use crate::config::AwsConfig;
use crate::iam;

/// The endpoint that stands for AWS itself.
const AWS: &str = "aws";

/// Where a DynamoDB table is, and as whom it is asked. The table's name is the component's own key.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(transparent)]
pub struct TableConfig(Flat<TableKeys, AccessConfig>);

described_as!(TableConfig, Flat<TableKeys, AccessConfig>);

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TableKeys {
    /// Where the table is: `aws`, the region's own; a URL; or the id of an extension that is a DynamoDB.
    endpoint: String,
    /// The region, such as `us-east-1`. Empty: from the environment, the profile or the machine.
    region: String,
}

impl Default for TableKeys {
    fn default() -> Self {
        Self { endpoint: AWS.to_owned(), region: String::new() }
    }
}

/// Where a table is, as far as config says.
#[derive(Clone)]
pub struct TablePlace {
    /// How AWS, or what stands in its place under a URL, is reached.
    aws: AwsConfig,
    /// Asked for it when it is first needed.
    extension: Option<Arc<dyn AwsEndpoint>>,
    is_aws: bool,
}

impl TableConfig {
    /// Reports what is wrong with the keys, which stand below `under` (empty: below the component itself). The place
    /// otherwise.
    pub fn place(&self, context: &mut CreateContext<'_>, under: &str) -> Option<TablePlace> {
        let key = |key: &str| if under.is_empty() { key.to_owned() } else { format!("{under}.{key}") };
        let Flat { own: TableKeys { endpoint, region }, shared } = &self.0;
        let is_aws = endpoint == AWS;
        let aws = shared.at(region, if is_aws || !endpoint.contains("://") { "" } else { endpoint });
        let problems = aws.problems();
        problems.iter().for_each(|problem| context.error(&key(problem.path), problem.message.clone()));
        let extension = match endpoint.parse::<ComponentId>() {
            _ if is_aws || endpoint.contains("://") => None,
            Ok(id) => Some(context.aws_endpoint(&key("endpoint"), &id)?),
            Err(_) => {
                let diagnostic = Diagnostic::error("invalid-value", format!("`{endpoint}` is no endpoint"));
                let expected = "`aws`, a URL such as `http://127.0.0.1:8000`, or the id of an extension";
                context.report(&key("endpoint"), diagnostic.with_expected(expected));
                return None;
            }
        };
        problems.is_empty().then_some(TablePlace { aws, extension, is_aws })
    }
}

impl TablePlace {
    /// How the table is reached now.
    ///
    /// # Errors
    /// The extension that is the table does not run.
    pub async fn connection(&self) -> Result<AwsConfig, StartError> {
        match &self.extension {
            None => Ok(self.aws.clone()),
            Some(extension) => Ok(AwsConfig::local(&extension.connection().await?)),
        }
    }

    /// Whether the table is in AWS itself.
    pub fn is_aws(&self) -> bool {
        self.is_aws
    }

    /// The region that config names; empty if it names none.
    pub fn region(&self) -> &str {
        &self.aws.region
    }

    /// The ARN of a table by its name, or by its ARN.
    pub fn arn(&self, table: &str) -> String {
        match table.starts_with("arn:") {
            true => table.to_owned(),
            false => iam::arn("dynamodb", &self.aws.region, "", &format!("table/{table}")),
        }
    }

    /// What the process's own identity needs to get there; see [`AwsConfig::permissions`].
    pub fn permissions(&self) -> Vec<steadyline_component::IamStatement> {
        self.aws.permissions()
    }
}

impl std::fmt::Debug for TablePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TablePlace").field("aws", &self.aws).field("is_aws", &self.is_aws).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueConfig;

    #[test]
    fn the_keys_are_described_without_a_reference() {
        for (schema, own) in [
            (schemars::schema_for!(TableConfig), vec!["endpoint", "region"]),
            (schemars::schema_for!(QueueConfig), vec!["queue_url", "region", "endpoint"]),
        ] {
            let schema = schema.to_value();
            let keys: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys[..own.len()], own);
            assert!(keys.contains(&"assume_role") && keys.contains(&"ca_file") && schema.get("$ref").is_none());
        }
    }
}
