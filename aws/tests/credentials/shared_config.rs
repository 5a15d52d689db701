//! Roles, regions, proxies and failures against an STS that says what the test wants.

use std::sync::Arc;

use crate::support::{Reply, Server, error, identity, session};
use steadyline_aws::{AccessConfig, AssumeRole, AwsConfig, FailureKind, SharedConfig};
use steadyline_component::Verdict;
use steadyline_config::{Duration, Secret};

/// A role in `sts`, with keys that no other test uses, so that no other test shares the config.
fn role(sts: &Server, key: &str) -> AwsConfig {
    AwsConfig {
        region: "eu-west-1".into(),
        access: AccessConfig {
            access_key_id: key.into(),
            secret_access_key: Secret::new("base-secret"),
            assume_role: AssumeRole {
                arn: "arn:aws:iam::123456789012:role/amp-writer".into(),
                external_id: "ext-1".into(),
                session_name: "stairs".into(),
                sts_region: "us-west-2".into(),
                sts_endpoint: sts.url(),
                duration: Duration::from_secs(1800),
            },
            ..AccessConfig::default()
        },
        ..AwsConfig::default()
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_everything_that_the_config_says_and_once_for_all() {
    let sts = Server::start(|_| session("ROLEKEY")).await;
    let config = role(&sts, "AKROLE");
    let shared = SharedConfig::of(&config);
    assert!(sts.asked().is_empty(), "nothing is looked up before it is needed");
    let credentials = shared.credentials().await.unwrap();
    assert_eq!(credentials.access_key_id(), "ROLEKEY");
    assert_eq!(credentials.session_token(), Some("role-token"));
    assert!(credentials.expiry().is_some());
    assert_eq!(shared.region().await.unwrap(), "eu-west-1");

    let again = SharedConfig::of(&config);
    assert!(Arc::ptr_eq(&shared, &again));
    again.credentials().await.unwrap();
    let asked = sts.asked();
    assert_eq!(asked.len(), 1, "one request for all components");
    for part in ["RoleSessionName=stairs", "ExternalId=ext-1", "DurationSeconds=1800", "role%2Famp-writer"] {
        assert!(asked[0].body.contains(part), "{part}: {}", asked[0].body);
    }
    assert!(asked[0].authorization.contains("Credential=AKROLE/"), "{}", asked[0].authorization);
    assert!(asked[0].authorization.contains("/us-west-2/sts/aws4_request"), "{}", asked[0].authorization);
}

#[tokio::test]
async fn a_denied_role_names_the_missing_permission() {
    let message = "User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRole on resource: \
                   arn:aws:iam::123456789012:role/amp-writer";
    let sts = Server::start(move |_| error(403, "AccessDenied", message)).await;
    let failure = SharedConfig::of(&role(&sts, "AKDENIED")).credentials().await.unwrap_err();
    let FailureKind::AccessDenied { action, resource } = &failure.kind else { panic!("{failure:?}") };
    assert_eq!(action.as_deref(), Some("sts:AssumeRole"));
    assert_eq!(resource.as_deref(), Some("arn:aws:iam::123456789012:role/amp-writer"));
    assert!(failure.text.starts_with("cannot assume arn:aws:iam::123456789012:role/amp-writer: sts:AssumeRole: User:"));
    assert_eq!(failure.request_id.as_deref(), Some("req-1"));
}

#[tokio::test]
async fn a_stumbling_sts_is_asked_again() {
    let sts = Server::start(|n| match n {
        0 => error(500, "InternalFailure", "try later"),
        _ => session("LATER"),
    })
    .await;
    let credentials = SharedConfig::of(&role(&sts, "AKSTUMBLE")).credentials().await.unwrap();
    assert_eq!(credentials.access_key_id(), "LATER");
}

#[tokio::test]
async fn an_answer_that_is_not_from_sts_is_malformed() {
    let sts = Server::start(|_| Reply::Body(200, "<html>welcome to the hotel</html>".into())).await;
    let failure = SharedConfig::of(&role(&sts, "AKHOTEL")).credentials().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed, "{failure}");
}

#[tokio::test]
async fn no_connection_is_told_from_a_refusal() {
    let sts = Server::start(|_| session("NEVER")).await;
    let mut config = role(&sts, "AKNOBODY");
    // Port 1 of loopback: nobody listens there.
    config.access.assume_role.sts_endpoint = "http://127.0.0.1:1".into();
    let failure = SharedConfig::of(&config).credentials().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connection, "{failure}");
    assert!(failure.retryable());
}

#[tokio::test]
async fn who_am_i_asks_with_the_keys_of_the_config() {
    let sts = Server::start(|_| identity("arn:aws:iam::123456789012:user/poller")).await;
    let mut config = role(&sts, "AKWHO");
    config.access.assume_role.arn = String::new();
    let who = SharedConfig::of(&config).who_am_i().await.unwrap();
    assert_eq!((who.account.as_str(), who.arn.as_str()), ("123456789012", "arn:aws:iam::123456789012:user/poller"));
    assert!(sts.asked()[0].authorization.contains("Credential=AKWHO/"));
}

#[tokio::test]
async fn the_check_says_who_and_as_which_role_or_what_to_do() {
    let sts = Server::start(|n| match n {
        0 => session("CHECKED"),
        1 => identity("arn:aws:sts::123456789012:assumed-role/amp-writer/stairs"),
        _ => error(403, "InvalidClientTokenId", "The security token included in the request is invalid."),
    })
    .await;
    let shared = SharedConfig::of(&role(&sts, "AKCHECK"));
    let row = shared.check().await.remove(0);
    assert_eq!(row.what, "AWS identity, as arn:aws:iam::123456789012:role/amp-writer");
    assert_eq!(
        (row.verdict, row.detail.as_str()),
        (Verdict::Pass, "arn:aws:sts::123456789012:assumed-role/amp-writer/stairs")
    );
    let row = shared.check().await.remove(0);
    assert_eq!(row.verdict, Verdict::Fail);
    assert!(row.detail.contains("InvalidClientTokenId") && row.advice.contains("access key"), "{row:?}");
}

#[tokio::test]
async fn the_check_compares_the_clocks_whatever_sts_answers() {
    let cases = [
        (0, Verdict::Pass, "agrees with that of AWS"),
        (120, Verdict::Warn, "s behind that of AWS"),
        (-900, Verdict::Fail, "s ahead of that of AWS"),
    ];
    for (seconds, verdict, detail) in cases {
        let Reply::Body(status, body) = error(403, "SignatureDoesNotMatch", "no") else { unreachable!() };
        let sts = Server::start(move |_| Reply::From(seconds, status, body.clone())).await;
        let mut config = role(&sts, &format!("AKCLOCK{seconds}"));
        config.access.assume_role.arn = String::new();
        let rows = SharedConfig::of(&config).check().await;
        assert_eq!((rows[1].what.as_str(), rows[1].verdict), ("clock", verdict), "{rows:?}");
        assert!(rows[1].detail.contains(detail), "{rows:?}");
        assert_eq!(rows[1].advice.contains("NTP"), verdict != Verdict::Pass);
    }
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut config = role(&Server::start(|_| identity("arn")).await, "AKNOBODY");
    config.access.assume_role.arn = String::new();
    config.access.assume_role.sts_endpoint = format!("http://{nobody}");
    assert_eq!(SharedConfig::of(&config).check().await.len(), 1);
}

#[tokio::test]
async fn an_expired_session_is_renewed_when_somebody_reports_it() {
    let sts = Server::start(|_| session("SESSION")).await;
    let shared = SharedConfig::of(&role(&sts, "AKEXPIRED"));
    shared.credentials().await.unwrap();
    let expired = steadyline_aws::AwsFailure::new(FailureKind::ExpiredToken, "expired");
    shared.note(&expired);
    shared.credentials().await.unwrap();
    assert_eq!(sts.asked().len(), 1, "brand new credentials are not at fault");
}

#[tokio::test]
async fn a_proxy_sees_what_is_for_aws() {
    let proxy = Server::start(|_| session("BYPROXY")).await;
    let mut config = role(&proxy, "AKPROXY");
    config.access.proxy_url = Secret::new(proxy.url());
    config.access.assume_role.sts_endpoint = "http://sts.example.test".into();
    let credentials = SharedConfig::of(&config).credentials().await.unwrap();
    assert_eq!(credentials.access_key_id(), "BYPROXY");
    assert_eq!(proxy.asked()[0].target, "http://sts.example.test/");
}

#[tokio::test]
async fn loopback_is_never_asked_by_a_proxy() {
    let proxy = Server::start(|_| error(500, "Proxy", "not me")).await;
    let sts = Server::start(|_| session("DIRECT")).await;
    let mut config = role(&sts, "AKDIRECT");
    config.access.proxy_url = Secret::new(proxy.url());
    assert_eq!(SharedConfig::of(&config).credentials().await.unwrap().access_key_id(), "DIRECT");
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn a_missing_authority_file_is_told_at_first_use_and_looked_at_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let config = AwsConfig {
        region: "us-east-1".into(),
        access: AccessConfig {
            access_key_id: "AKCA".into(),
            secret_access_key: Secret::new("x"),
            ca_file: path.display().to_string(),
            ..AccessConfig::default()
        },
        ..AwsConfig::default()
    };
    let shared = SharedConfig::of(&config);
    let failure = shared.credentials().await.unwrap_err();
    assert!(failure.text.contains("ca_file: cannot read"), "{failure}");
    std::fs::write(&path, "no certificate").unwrap();
    let failure = shared.credentials().await.unwrap_err();
    assert!(failure.text.contains("holds no certificate"), "{failure}");
}

#[tokio::test]
async fn fixed_keys_need_nobody() {
    let config = AwsConfig {
        region: "us-east-1".into(),
        endpoint: "http://127.0.0.1:8000".into(),
        access: AccessConfig {
            access_key_id: "AKFIXED".into(),
            secret_access_key: Secret::new("secret"),
            ..AccessConfig::default()
        },
    };
    let shared = SharedConfig::of(&config);
    assert_eq!(shared.credentials().await.unwrap().access_key_id(), "AKFIXED");
    let sdk = shared.sdk().await.unwrap();
    assert_eq!(sdk.endpoint_url(), Some("http://127.0.0.1:8000"));
    assert!(sdk.timeout_config().unwrap().operation_timeout().is_some());
}
