//! Worked vectors, a role at an STS over a real socket, and what is said when it does not work.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};
use http::{Response, request, response};
use steadyline_component::factory::Component;
use steadyline_component::testkit::{self, TestExtensions};
use steadyline_component::{Authenticator, Clock, CreateContext, Extension, Meter, Payload, Spec, Verdict};
use steadyline_http::testkit::{Backend, Recorded, Reply, nobody};

use crate::{Config, SigV4Auth, SigV4AuthFactory};

/// 2026-01-02T03:04:05Z
const NOW: u64 = 1_767_323_045;
const WORKSPACE: &str = "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write";
const KEYS: &str = "access_key_id: AKIDEXAMPLE, secret_access_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const ROLE: &str = "arn:aws:iam::123456789012:role/amp-writer";

/// The factory, but with a clock that stands still and the type of what it makes.
struct Probe;

impl Component for Probe {
    type Config = Config;
    type Made = Arc<SigV4Auth>;
    const SPEC: Spec = SigV4AuthFactory::SPEC;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        crate::config::check(&config, context)?;
        let time = StaticTimeSource::new(UNIX_EPOCH + Duration::from_secs(NOW));
        Some(Arc::new(SigV4Auth::new(config, SharedTimeSource::new(time))))
    }
}

fn auth(yaml: &str) -> Arc<SigV4Auth> {
    let made =
        testkit::create_with::<Probe>(yaml, &mut TestExtensions::default(), &Clock::manual(0), &Meter::default());
    made.unwrap()
}

fn head(url: &str) -> request::Parts {
    let request = http::Request::post(url)
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .header("user-agent", "anything");
    request.body(()).unwrap().into_parts().0
}

async fn signed(auth: &SigV4Auth, url: &str) -> Result<String, String> {
    let mut head = head(url);
    auth.authenticate(&mut head, &Payload::from(vec![0u8])).await.map_err(|error| error.message)?;
    Ok(head.headers["authorization"].to_str().unwrap().to_owned())
}

fn answer(status: u16, headers: &[(&str, &str)]) -> response::Parts {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn the_worked_vectors() {
    let plain = "6236f2cb0cfadebfe01df61c76dd4516bdec99d07af71f60375b5d3f9633a971";
    let with_token = "eb62ad89c22e77baaa5a2f2cd85dd60a22a5bac5e7f1667b718edfd74d1229a1";
    // Config besides the keys, and the signature.
    let rows = [
        ("", plain),
        ("region: us-east-1", plain),
        ("region: us-east-1, service: aps, assume_role: {arn: \"\"}", plain),
        ("session_token: TOKEN==", with_token),
    ];
    for (more, expected) in rows {
        let authorization = signed(&auth(&format!("{{{KEYS}, {more}}}")), WORKSPACE).await.unwrap();
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{more}\n{authorization}");
        assert!(authorization.contains("Credential=AKIDEXAMPLE/20260102/us-east-1/aps/aws4_request"));
    }
}

#[tokio::test]
async fn hosts_that_do_not_say_their_region_need_it_in_the_config() {
    let url = "http://127.0.0.1:9090/api/v1/write";
    let rows = [
        (
            "",
            url,
            "cannot tell the service and region of `127.0.0.1`, expected `service` and `region` in the extension",
        ),
        ("region: us-east-1", url, "cannot tell the service of `127.0.0.1`, expected `service` in the extension"),
        ("service: aps", url, "cannot tell the region of `127.0.0.1`, expected `region` in the extension"),
        ("service: aps, region: us-east-1", url, ""),
        ("", WORKSPACE, ""),
        (
            "region: us-west-2",
            WORKSPACE,
            "`aps-workspaces.us-east-1.amazonaws.com` belongs to the region `us-east-1`, but `region` of the extension is `us-west-2`",
        ),
        (
            "service: es",
            WORKSPACE,
            "`aps-workspaces.us-east-1.amazonaws.com` belongs to the service `aps`, but `service` of the extension is `es`",
        ),
    ];
    for (config, url, expected) in rows {
        let auth = auth(&format!("{{{config}}}"));
        let found = auth.validate(&url.parse().unwrap()).err().unwrap_or_default();
        assert_eq!(found, expected, "{config}");
        if !expected.is_empty() {
            let error = auth.authenticate(&mut head(url), &Payload::default()).await.unwrap_err();
            assert_eq!((error.message.as_str(), error.retryable), (expected, false));
        }
    }
    let slash = auth("").validate(&format!("{WORKSPACE}/").parse().unwrap()).unwrap_err();
    assert!(slash.contains("ends with a slash"), "{slash}");
}

/// An STS that gives sessions `ASIA0`, `ASIA1`, ... with this end.
async fn sts(expiration: &'static str) -> Backend {
    Backend::start(move |_: &Recorded, number: usize| {
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>secret{number}</SecretAccessKey>\
             <SessionToken>token{number}</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>"
        );
        Reply::status(200, &body).with("content-type", "text/xml")
    })
    .await
}

fn with_role(sts: &str, more: &str) -> String {
    format!("{{{KEYS}, region: us-east-1, assume_role: {{arn: \"{ROLE}\", sts_endpoint: \"{sts}\", {more}}}}}")
}

#[tokio::test]
async fn a_role_is_assumed_once_and_requests_carry_its_session() {
    let sts = sts("2099-01-01T00:00:00Z").await;
    let auth = auth(&with_role(&sts.url(), "external_id: ex-1, session_name: writer-1, sts_region: eu-west-1"));
    auth.validate(&WORKSPACE.parse().unwrap()).unwrap();
    assert!(sts.requests().is_empty(), "nothing is looked up before it is needed");
    let mut head = head(WORKSPACE);
    auth.authenticate(&mut head, &Payload::from(vec![0u8])).await.unwrap();
    assert!(head.headers["authorization"].to_str().unwrap().contains("Credential=ASIA0/20260102/us-east-1/aps/"));
    assert_eq!(head.headers["x-amz-security-token"], "token0");
    assert!(signed(&auth, WORKSPACE).await.unwrap().contains("Credential=ASIA0/"));
    let requests = sts.requests();
    assert_eq!(requests.len(), 1, "the session is kept");
    let form = String::from_utf8(requests[0].body.to_vec()).unwrap();
    for field in ["Action=AssumeRole", "ExternalId=ex-1", "RoleSessionName=writer-1", "DurationSeconds=3600"] {
        assert!(form.contains(field), "{field} in {form}");
    }
    assert!(requests[0].header("authorization").contains("/eu-west-1/sts/aws4_request"));
}

#[tokio::test]
async fn a_session_that_is_over_is_renewed() {
    let sts = sts("2020-01-01T00:00:00Z").await;
    let auth = auth(&with_role(&sts.url(), ""));
    for session in ["ASIA0", "ASIA1", "ASIA2"] {
        let authorization = signed(&auth, WORKSPACE).await.unwrap();
        assert!(authorization.contains(&format!("Credential={session}/")), "{authorization}");
    }
}

#[tokio::test]
async fn failures_say_what_was_tried_and_are_worth_another_try() {
    let denial = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: \
        arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRole on resource: \
        arn:aws:iam::123456789012:role/amp-writer</Message></Error><RequestId>r-1</RequestId></ErrorResponse>";
    let refusing = Backend::start(move |_: &Recorded, _: usize| Reply::status(403, denial)).await;
    let absent = nobody().await;
    let rows = [
        (
            with_role(&refusing.url(), ""),
            vec!["cannot assume arn:aws:iam::123456789012:role/amp-writer", "not authorized", "allow `sts:AssumeRole`"],
        ),
        (
            with_role(&absent, ""),
            vec!["cannot assume arn:aws:iam::123456789012:role/amp-writer", "check DNS, firewall"],
        ),
        (
            "{profile: steadyline-no-such-profile}".to_owned(),
            vec![
                "no AWS credentials; tried profile `steadyline-no-such-profile`: ",
                "give this process one of the sources",
            ],
        ),
    ];
    for (config, expected) in rows {
        let error = auth(&config).authenticate(&mut head(WORKSPACE), &Payload::default()).await.unwrap_err();
        assert!(error.retryable, "{error}");
        for words in expected {
            assert!(error.message.contains(words), "{words}\n{error}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_that_of_aws() {
    let auth = auth(&format!("{{{KEYS}}}"));
    let before = signed(&auth, WORKSPACE).await.unwrap();
    // A success, and a refusal at the right time, teach nothing.
    auth.observe(&answer(200, &[("date", "Sat, 03 Jan 2026 03:04:05 GMT")]));
    auth.observe(&answer(403, &[("date", "Fri, 02 Jan 2026 03:04:25 GMT")]));
    assert_eq!(signed(&auth, WORKSPACE).await.unwrap(), before);
    auth.observe(&answer(403, &[("date", "Sat, 03 Jan 2026 03:04:05 GMT")]));
    assert!(signed(&auth, WORKSPACE).await.unwrap().contains("/20260103/us-east-1/aps/"));
}

#[tokio::test]
async fn check_says_who_we_are_and_why_not() {
    let identity = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
        <Arn>arn:aws:iam::123456789012:user/writer</Arn><UserId>u</UserId><Account>123456789012</Account>\
        </GetCallerIdentityResult></GetCallerIdentityResponse>";
    let sts = Backend::start(move |_: &Recorded, _: usize| Reply::status(200, identity)).await;
    let config = format!("{{{KEYS}, region: us-east-1, assume_role: {{sts_endpoint: \"{}\"}}}}", sts.url());
    let rows = auth(&config).check().await;
    let [row, clock] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((clock.what.as_str(), clock.verdict), ("clock", Verdict::Pass));
    assert_eq!((row.verdict, row.detail.as_str()), (Verdict::Pass, "arn:aws:iam::123456789012:user/writer"));
    assert!(String::from_utf8_lossy(&sts.requests()[0].body).contains("Action=GetCallerIdentity"));
    let rows = auth("{profile: steadyline-no-such-profile, region: us-east-1}").check().await;
    assert_eq!(rows[0].verdict, Verdict::Fail);
    assert!(rows[0].detail.contains("no AWS credentials; tried profile"), "{rows:?}");
}

#[test]
fn the_role_is_what_must_be_permitted() {
    assert!(auth("{region: us-east-1}").permissions().is_empty());
    let statements = auth(&format!("{{assume_role: {{arn: \"{ROLE}\"}}}}")).permissions();
    assert_eq!(statements.len(), 1);
    assert_eq!(
        (&*statements[0].actions, &*statements[0].resources),
        (&["sts:AssumeRole".into()][..], &[ROLE.into()][..])
    );
}

#[test]
fn bad_configs_say_what_is_wrong() {
    let rows = [
        ("{region: us-east}", "sigv4auth.region"),
        ("{service: APS}", "`APS` is no signing name"),
        ("{access_key_id: AKID}", "sigv4auth.secret_access_key"),
        ("{assume_role: {arn: amp-writer}}", "\"amp-writer\" is no role"),
        ("{assume_role: {external_id: x}}", "an external id without a role"),
        ("{assume_role: {web_identity_token_file: /t}}", "set AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("{role_arn: x}", "write `assume_role: {arn: ...}`"),
        ("{regions: us-east-1}", "did you mean `region`"),
    ];
    for (yaml, expected) in rows {
        let text = testkit::create::<SigV4AuthFactory>(yaml).err().unwrap_or_default();
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
    assert!(testkit::create::<SigV4AuthFactory>("").unwrap().as_authenticator().is_some());
}
