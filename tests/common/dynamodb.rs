//! Tables to read from: the embedded one inside the test, moto, and DynamoDB Local, all filled over DynamoDB's own API.

use std::process::Command;

use serde_json::{Value, json};
use steadyline_extension_embedded_dynamodb::{EmbeddedTable, Options, Pace};
use tempfile::TempDir;

use super::process::Process;
use super::wait::{free_port, until};
use super::{http, tools};

/// DynamoDB's API at a URL.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where it is.
    pub url: String,
}

impl Api {
    /// One call; the error is status and body.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn call(&self, operation: &str, body: &Value) -> Result<Value, (u16, String)> {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-date", "20260101T000000Z"),
            // The emulators take the region from it and do not verify it.
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
            ),
        ];
        let answer = http::post(&self.url, &headers, body.to_string()).await;
        let answer = answer.ok_or((0, "no answer".to_string()))?;
        if answer.status == 200 { Ok(answer.json()) } else { Err((answer.status, answer.text())) }
    }

    async fn must(&self, operation: &str, body: Value) -> Value {
        self.call(operation, &body).await.unwrap_or_else(|error| panic!("{operation}: {error:?}"))
    }

    /// The table of the main job: accounts, and the index that lists them.
    pub async fn create_onboarding(&self) {
        let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
        let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
        self.must(
            "CreateTable",
            json!({
                "TableName": "onboarding",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [attribute("system_account_id"), attribute("gsi1pk"), attribute("gsi1sk")],
                "KeySchema": [key("system_account_id", "HASH")],
                "GlobalSecondaryIndexes": [{
                    "IndexName": "gsi1",
                    "KeySchema": [key("gsi1pk", "HASH"), key("gsi1sk", "RANGE")],
                    "Projection": {"ProjectionType": "ALL"},
                }],
            }),
        )
        .await;
    }

    /// Writes items, in DynamoDB's JSON.
    pub async fn put(&self, items: impl IntoIterator<Item = Value>) {
        for item in items {
            self.must("PutItem", json!({"TableName": "onboarding", "Item": item})).await;
        }
    }

    /// Removes an account.
    pub async fn delete(&self, account: &str) {
        let key = json!({"system_account_id": {"S": account}});
        self.must("DeleteItem", json!({"TableName": "onboarding", "Key": key})).await;
    }
}

/// Whose table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulator {
    /// The one that is built into the product.
    Embedded,
    /// moto's server.
    Moto,
    /// Amazon's own.
    DynamoDbLocal,
}

/// A table that is gone when dropped.
pub struct Table {
    /// How to fill it.
    pub api: Api,
    _server: Server,
}

enum Server {
    Embedded(#[expect(dead_code, reason = "held for its drop")] EmbeddedTable),
    Program(#[expect(dead_code, reason = "held for its drop")] Process),
}

impl Table {
    /// An onboarding table without items.
    pub async fn onboarding(emulator: Emulator) -> Table {
        let table = match emulator {
            Emulator::Embedded => return Table::seeded(EMPTY_SEED).await,
            Emulator::Moto => moto().await,
            Emulator::DynamoDbLocal => dynamodb_local().await,
        };
        table.api.create_onboarding().await;
        table
    }

    /// The embedded table with a seed.
    pub async fn seeded(seed: &str) -> Table {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("seed.yaml");
        std::fs::write(&path, seed).expect("the temporary folder takes a file");
        let options = Options { seed: path, port: 0, pace: Pace::Manual };
        let table = EmbeddedTable::start(options).await.expect("the seed is right");
        Table { api: Api { url: table.endpoint() }, _server: Server::Embedded(table) }
    }
}

const EMPTY_SEED: &str = "
tables:
  - name: onboarding
    key: {hash: system_account_id}
    indexes: [{name: gsi1, key: {hash: gsi1pk, range: gsi1sk}}]
";

/// moto with all its services, DynamoDB and STS among them.
pub async fn moto() -> Table {
    let port = free_port();
    let mut command = Command::new(tools::tool("python/bin/moto_server"));
    program("moto", command.args(["-H", "127.0.0.1", "-p", &port.to_string()]), port).await
}

async fn dynamodb_local() -> Table {
    let port = free_port();
    let folder = tools::tool("dynamodb-local");
    let mut command = Command::new("java");
    command.current_dir(folder).args(["-Djava.library.path=lib", "-Dsqlite4java.library.path=lib", "-cp", "lib/*"]);
    command.args(["software.amazon.dynamodb.services.local.main.ServerRunner", "-inMemory", "-disableTelemetry"]);
    program("DynamoDB Local", command.args(["-port", &port.to_string()]), port).await
}

async fn program(name: &str, command: &mut Command, port: u16) -> Table {
    let process = Process::start(name, command);
    let api = Api { url: format!("http://127.0.0.1:{port}") };
    until(&format!("{name} to answer"), async || api.call("ListTables", &json!({})).await.ok()).await;
    Table { api, _server: Server::Program(process) }
}

/// A folder that is not used by anything else.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
