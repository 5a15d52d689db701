//! Signatures, verified by botocore: fixed keys with a session token, and keys of a role that moto's STS gave out.

use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::common::backend::{Backend, Written};
use crate::common::dynamodb::{Emulator, Table, moto};
use crate::common::onboarding::{config, four_accounts};
use crate::common::process::output;
use crate::common::server::{Reply, Server};
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;
use crate::common::{http, tools};

struct Keys {
    access: String,
    secret: String,
    token: String,
}

async fn verify(written: &Written, backend: &Backend, keys: &Keys) -> (i32, String) {
    let headers: Map<String, Value> = written
        .request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
        .collect();
    let given = json!({
        "method": written.request.method().as_str(),
        "url": backend.url(),
        "headers": headers,
        "body": STANDARD.encode(written.request.body()),
        "access_key": keys.access, "secret_key": keys.secret, "token": keys.token,
        "region": "eu-west-1", "service": "aps",
    });
    let mut command = Command::new(tools::python());
    let (code, _, words) =
        output(command.arg(tools::script("verify_sigv4.py")), Some(given.to_string().as_bytes())).await;
    (code, words)
}

fn signed(url: &str, table: &Table, extension: &str) -> String {
    let exporter = format!(
        "  prometheusremotewrite:\n    endpoint: {url}\n    auth: {{authenticator: sigv4auth}}\n    target_info: {{enabled: false}}"
    );
    format!("extensions:\n  sigv4auth: {extension}\n{}", config(&table.api.url, "1s", &exporter))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_with_a_session_token_is_right() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let backend = Backend::willing().await;
    let config = signed(&backend.url(), &table, "{region: eu-west-1, service: aps}");
    let token = "IQoJb3JpZ2luX2VjEXAMPLE+/==";
    let mut steadyline = Launch::new(&config).with_keys().env("AWS_SESSION_TOKEN", token).run().await;
    until_true("two requests", async || backend.requests().len() >= 2).await;
    let keys = Keys { access: "AKIDEXAMPLE".into(), secret: "secret-example".into(), token: token.into() };
    for written in backend.requests() {
        let (code, words) = verify(&written, &backend, &keys).await;
        assert_eq!(code, 0, "{words}");
    }
    // The verifier can say no.
    let others = Keys { secret: "another".into(), ..keys };
    assert_eq!(verify(&backend.requests()[0], &backend, &others).await.0, 1);
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_signed_anew() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let backend = Backend::start(|number| match number {
        0 => Reply::status(429, "slow down").with("retry-after", "2"),
        _ => Reply::status(204, ""),
    })
    .await;
    let config = signed(&backend.url(), &table, "{region: eu-west-1, service: aps}");
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    until_true("the repeated request", async || backend.requests().len() >= 2).await;
    let requests = backend.requests();
    let header = |written: &Written, name: &str| written.request.headers()[name].to_str().unwrap().to_string();
    assert_eq!(requests[0].request.body(), requests[1].request.body());
    assert_ne!(header(&requests[0], "x-amz-date"), header(&requests[1], "x-amz-date"));
    let keys = Keys { access: "AKIDEXAMPLE".into(), secret: "secret-example".into(), token: String::new() };
    let (code, words) = verify(&requests[1], &backend, &keys).await;
    assert_eq!(code, 0, "{words}");
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_an_assumed_role_sign() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let sts = moto().await;
    let given: Arc<Mutex<Vec<(String, Keys)>>> = Arc::default();
    let (log, target) = (Arc::clone(&given), sts.api.url.clone());
    // In between, to learn which keys were given out.
    let between = Server::start(move |request| {
        let (log, target) = (Arc::clone(&log), target.clone());
        async move {
            let asked = String::from_utf8_lossy(request.body()).into_owned();
            let headers = [
                ("content-type", "application/x-www-form-urlencoded"),
                ("authorization", request.headers()["authorization"].to_str().unwrap()),
            ];
            let answer = http::post(&target, &headers, request.body().clone()).await.expect("moto answers");
            let text = answer.text();
            let between = |tag: &str| {
                let start = text.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
                start.split("</").next().unwrap_or_default().to_string()
            };
            let keys = Keys {
                access: between("AccessKeyId"),
                secret: between("SecretAccessKey"),
                token: between("SessionToken"),
            };
            log.lock().unwrap().push((asked, keys));
            Reply::status(answer.status, answer.body).with("content-type", "text/xml")
        }
    })
    .await;

    let backend = Backend::willing().await;
    let role = format!(
        "{{region: eu-west-1, service: aps, assume_role: {{arn: 'arn:aws:iam::111122223333:role/amp-writer', external_id: ext-7, session_name: line-writer, sts_region: eu-west-1, sts_endpoint: '{}'}}}}",
        between.url()
    );
    let mut steadyline = Launch::new(&signed(&backend.url(), &table, &role)).with_keys().run().await;
    until_true("two requests", async || backend.requests().len() >= 2).await;
    {
        let given = given.lock().unwrap();
        assert_eq!(given.len(), 1, "asked once, then kept");
        for part in ["Action=AssumeRole", "ExternalId=ext-7", "RoleSessionName=line-writer", "role%2Famp-writer"] {
            assert!(given[0].0.contains(part), "{part}: {}", given[0].0);
        }
        assert!(given[0].1.access.starts_with("ASIA"), "{}", given[0].1.access);
    }
    let keys = given.lock().unwrap().remove(0).1;
    for written in backend.requests() {
        let (code, words) = verify(&written, &backend, &keys).await;
        assert_eq!(code, 0, "{words}");
    }
    steadyline.finish().await;
}
