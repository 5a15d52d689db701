//! The extension: its config, its factory and its lifecycle. Receivers name it as their `endpoint`, and get URL,
//! region and credentials from it.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_component::config::Secret;
use steadyline_component::extension::AwsConnection;
use steadyline_component::factory::Component;
use steadyline_component::{
    AwsEndpoint, CreateContext, Extension, Factory, Host, Spec, Stability, StartError, async_trait,
};
use tokio::sync::Mutex;

use crate::server::{EmbeddedTable, Options, Pace};

/// The factory of the `embedded_dynamodb` extension.
pub const FACTORY: Factory = Factory::extension::<EmbeddedDynamoDb>();

/// A DynamoDB inside the process, on loopback, for demos and tests: what it holds is gone when the process ends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file with the tables, their items and the script of changes, relative to the working directory.
    /// `demo/onboarding.yaml` is built in, where there is no such file.
    pub seed: PathBuf,
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Whether the script of changes runs. Without it the tables stay as seeded.
    pub changes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: PathBuf::from(crate::DEMO_SEED), port: 0, changes: true }
    }
}

/// The extension; the table runs from `start` to `shutdown`.
#[derive(Debug)]
pub struct EmbeddedDynamoDb {
    config: Config,
    table: Mutex<Option<EmbeddedTable>>,
}

impl Component for EmbeddedDynamoDb {
    type Config = Config;
    type Made = Arc<dyn Extension>;

    const SPEC: Spec = Spec {
        name: "embedded_dynamodb",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "A DynamoDB inside the process, seeded from a file whose items change while you watch.",
        unsupported: &[],
    };

    fn create(config: Config, _context: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Arc::new(Self { config, table: Mutex::new(None) }))
    }
}

#[async_trait]
impl Extension for EmbeddedDynamoDb {
    async fn start(&self, host: &Host) -> Result<(), StartError> {
        let pace = if self.config.changes { Pace::Clock(host.clock.clone()) } else { Pace::Manual };
        let options = Options { seed: self.config.seed.clone(), port: self.config.port, pace };
        let table = EmbeddedTable::start(options).await.map_err(StartError::new)?;
        *self.table.lock().await = Some(table);
        Ok(())
    }

    async fn shutdown(&self) {
        let table = self.table.lock().await.take();
        if let Some(table) = table
            && let Err(error) = table.stop().await
        {
            tracing::warn!(%error, "the embedded table had failed before it was stopped");
        }
    }

    fn as_aws_endpoint(self: Arc<Self>) -> Option<Arc<dyn AwsEndpoint>> {
        Some(self)
    }
}

#[async_trait]
impl AwsEndpoint for EmbeddedDynamoDb {
    async fn connection(&self) -> Result<AwsConnection, StartError> {
        let table = self.table.lock().await;
        let table = table.as_ref().ok_or_else(|| StartError::new("the embedded table is not running"))?;
        Ok(AwsConnection {
            url: table.endpoint(),
            region: table.region().to_owned(),
            access_key_id: table.access_key_id().to_owned(),
            secret_access_key: Secret::new(table.secret_access_key()),
        })
    }
}
