//! How requests prove who they are, and to whom they do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadyline_http::testkit::{Backend, ClientFiles, Reply, TestCertificates};

use crate::common::{INTERVAL, Rig, job, target};

const TEXT: &str = "a 1\n";

fn exposition() -> Reply {
    Reply::status(200, TEXT).with("content-type", "text/plain")
}

#[tokio::test]
async fn kinds_of_authorization() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, " from-file\n").unwrap();
    let file = file.display();
    for (keys, expected) in [
        ("basic_auth: {username: me, password: pass}".to_string(), "Basic bWU6cGFzcw=="),
        (format!("basic_auth: {{username: me, password_file: {file}}}"), "Basic bWU6ZnJvbS1maWxl"),
        ("authorization: {credentials: token}".to_string(), "Bearer token"),
        (format!("authorization: {{type: Custom, credentials_file: {file}}}"), "Custom from-file"),
        ("bearer_token: old".to_string(), "Bearer old"),
        (format!("bearer_token_file: {file}"), "Bearer from-file"),
    ] {
        let backend = target(&[TEXT]).await;
        let rig = Rig::start(&job(&backend, &keys)).await;
        assert_eq!(rig.scrape().await[1..], ["a 1", "up 1"]);
        assert_eq!(backend.requests()[0].header("authorization"), expected, "{keys}");
    }
}

#[tokio::test]
async fn a_secret_that_was_renewed_is_read_again_when_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "aaa").unwrap();
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    let backend = Backend::start(|request, number| match (number, request.header("authorization")) {
        (0, _) | (_, "Bearer bbb") => exposition(),
        _ => Reply::status(401, "no"),
    })
    .await;
    let keys = format!("authorization: {{credentials_file: {}}}", file.display());
    let rig = Rig::start(&job(&backend, &keys)).await;
    assert_eq!(rig.scrape().await.last().unwrap(), "up 1");
    // As long and as old as the one before: only the refusal tells that it is another.
    std::fs::write(&file, "bbb").unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(rig.scrape().await.last().unwrap(), "up 1");
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn a_file_that_is_not_there_fails_the_scrape() {
    let backend = target(&[TEXT]).await;
    let rig = Rig::start(&job(&backend, "authorization: {credentials_file: /nonexistent/token}")).await;
    assert_eq!(rig.scrape().await[1..], ["up 0"]);
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn tokens_are_fetched_kept_and_renewed() {
    let given = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&given);
    let tokens = Backend::start(move |request, _| {
        let form = String::from_utf8(request.body.to_vec()).unwrap();
        // This server wants the secret in the form.
        if !form.contains("client_secret=s%26c") {
            return Reply::status(401, "invalid_client");
        }
        assert_eq!(
            form,
            "grant_type=client_credentials&scope=read+write&audience=app&client_id=me&client_secret=s%26c"
        );
        let n = count.fetch_add(1, Ordering::Relaxed);
        Reply::status(200, &format!("{{\"access_token\":\"t{n}\",\"token_type\":\"bearer\",\"expires_in\":35}}"))
    })
    .await;
    let backend = target(&[TEXT]).await;
    let keys = format!(
        "oauth2: {{client_id: me, client_secret: s&c, scopes: [read, write], token_url: \"{}/token\", endpoint_params: {{audience: app}}}}",
        tokens.url()
    );
    let rig = Rig::start(&job(&backend, &keys)).await;
    for _ in 0..4 {
        assert_eq!(rig.scrape().await.last().unwrap(), "up 1");
    }
    let sent: Vec<String> = backend.requests().iter().map(|r| r.header("authorization").to_string()).collect();
    // 35 s less the margin of 10 s: two scrapes later, at 20 s, it is still good; at 30 s it is not.
    assert_eq!(sent, ["Bearer t0", "Bearer t0", "Bearer t0", "Bearer t1"]);
    let asked: Vec<String> = tokens.requests().iter().map(|r| r.header("authorization").to_string()).collect();
    assert_eq!(asked[..2], ["Basic bWU6cyUyNmM=", "-"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_at_once() {
    let tokens = Backend::start(|_, n| Reply::status(200, &format!("{{\"access_token\":\"t{n}\"}}"))).await;
    let backend = Backend::start(|request, _| match request.header("authorization") {
        "Bearer t0" => Reply::status(401, "expired"),
        _ => exposition(),
    })
    .await;
    let keys = format!("oauth2: {{client_id: me, client_secret: s, token_url: \"{}\"}}", tokens.url());
    let rig = Rig::start(&job(&backend, &keys)).await;
    assert_eq!(rig.scrape().await.last().unwrap(), "up 1");
    assert_eq!((backend.requests().len(), tokens.requests().len()), (2, 2));
}

#[tokio::test]
async fn redirects_are_followed_and_secrets_stay_with_their_host() {
    let other = target(&[TEXT]).await;
    let url = format!("{}/elsewhere", other.url());
    let backend = Backend::start(move |request, _| match request.line.as_str() {
        "GET /metrics" => Reply::status(302, "").with("location", "/moved"),
        _ => Reply::status(307, "").with("location", &url),
    })
    .await;
    let keys = "authorization: {credentials: token}";
    let rig = Rig::start(&job(&backend, keys)).await;
    assert_eq!(rig.scrape().await.last().unwrap(), "up 1");
    let sent: Vec<_> =
        backend.requests().iter().map(|r| (r.line.clone(), r.header("authorization").to_string())).collect();
    let bearer = "Bearer token".to_string();
    assert_eq!(sent, [("GET /metrics".to_string(), bearer.clone()), ("GET /moved".to_string(), bearer)]);
    assert_eq!(
        (other.requests()[0].line.as_str(), other.requests()[0].header("authorization")),
        ("GET /elsewhere", "-")
    );

    let rig = Rig::start(&job(&backend, "follow_redirects: false")).await;
    assert_eq!(rig.scrape().await[1..], ["up 0"]);

    let circle = Backend::start(|_, _| Reply::status(301, "").with("location", "/metrics")).await;
    let rig = Rig::start(&job(&circle, "")).await;
    assert_eq!(rig.scrape().await[1..], ["up 0"]);
    assert_eq!(circle.requests().len(), 11);
}

#[tokio::test]
async fn tls_with_an_authority_and_a_certificate_of_our_own() {
    let certificates = TestCertificates::new();
    let backend = Backend::start_tls(certificates.server_config(true), |_, _| exposition()).await;
    let folder = tempfile::tempdir().unwrap();
    let ClientFiles { ca, cert, key } = certificates.client_files(folder.path());
    let keys =
        format!("scheme: https\ntls_config: {{ca_file: {ca}, cert_file: {cert}, key_file: {key}, min_version: TLS12}}");
    let rig = Rig::start(&job(&backend, &keys)).await;
    assert_eq!(rig.scrape().await.last().unwrap(), "up 1");

    let rig = Rig::start(&job(&backend, "scheme: https\ntls_config: {insecure_skip_verify: true}")).await;
    assert_eq!(rig.scrape().await.last().unwrap(), "up 0", "the target wants a certificate of ours");
}

#[tokio::test]
async fn a_proxy_is_asked_unless_it_is_not_for_the_target() {
    let proxy = Backend::start(|_, _| exposition()).await;
    let backend = target(&["direct 1\n"]).await;
    let keys = format!("proxy_url: {}", proxy.url());
    let rig = Rig::start(&job(&backend, &keys)).await;
    assert_eq!(rig.scrape().await[1..], ["a 1", "up 1"]);
    assert_eq!(proxy.requests().len(), 1);
    let rig = Rig::start(&job(&backend, &format!("{keys}\nno_proxy: 127.0.0.0/8"))).await;
    assert_eq!(rig.scrape().await[1..], ["direct 1", "up 1"]);
}

#[tokio::test]
async fn a_token_server_that_hangs_costs_the_scrape_and_no_more() {
    let tokens = Backend::start(|_, _| Reply::Hang).await;
    let backend = target(&[TEXT]).await;
    let keys = format!("scrape_timeout: 1s\noauth2: {{client_id: me, token_url: \"{}\"}}", tokens.url());
    let rig = Rig::start(&job(&backend, &keys)).await;
    rig.clock.advance(INTERVAL);
    crate::common::until(|| !tokens.requests().is_empty()).await;
    rig.clock.advance(Duration::from_secs(2));
    rig.intake.wait_for(1).await;
    assert_eq!(crate::common::lines(&crate::common::metrics_of(rig.intake.take().remove(0)))[1..], ["up 0"]);
}
