//! One attempt against a backend that answers every way there is.

use std::time::Duration;

use steadyline_component::testkit::metrics;
use steadyline_component::{Attempt, AuthError, Block, Outcome, Verdict};
use steadyline_http::testkit::{Backend, Reply, nobody};

use crate::common::{Rig, final_batch, lines};
use crate::configs::{Signer, with_signer};

const FIRST: Attempt = Attempt::FIRST;
const V2: &str = "protobuf_message: io.prometheus.write.v2.Request";

fn block(rig: &mut Rig, series: usize) -> Block {
    let points: String = (0..series).map(|n| format!("steps{{account_id=\"a{n}\",env=\"dev\"}} {n} @60\n")).collect();
    rig.blocks(&final_batch(metrics(&points))).remove(0)
}

/// What becomes of a block of three series when the backend replies like this.
async fn outcome(reply: Reply, yaml: &str) -> Outcome {
    let backend = Backend::start(move |_, _| reply.clone()).await;
    let mut rig = Rig::at(&format!("{}/api/v1/write", backend.url()), yaml);
    let block = block(&mut rig, 3);
    let outcome = rig.sender.send(&block, &FIRST).await;
    assert_eq!(backend.requests().len(), 1, "one attempt is one request, also after a redirect");
    outcome
}

fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { dropped, .. } => format!("delivered, {dropped} dropped"),
        Outcome::Retry { reason, after, .. } => format!("retry {reason} {after:?}"),
        Outcome::TooLarge { .. } => "too large".into(),
        Outcome::FallBack { .. } => "fall back".into(),
        Outcome::Reject { reason, .. } => format!("reject {reason}"),
    }
}

#[tokio::test]
async fn every_status_of_version_1() {
    for (status, body, expected) in [
        (200, "", "delivered, 0 dropped"),
        (204, "nonsense in a success is ignored", "delivered, 0 dropped"),
        (202, "ha tracker", "delivered, 0 dropped"),
        (301, "", "reject http_301"),
        (400, "snappy: corrupt input", "reject http_400"),
        (400, "out of order sample", "reject http_400_partial"),
        (400, "per-user series limit of 10 exceeded", "reject http_400_partial"),
        (401, "", "reject http_401"),
        (403, "not authorized to perform: aps:RemoteWrite", "reject http_403"),
        (404, "", "reject http_404"),
        (408, "", "reject http_408"),
        (413, "", "too large"),
        (415, "", "reject http_415"),
        (429, "Rate exceeded", "retry http_429 None"),
        (500, "", "retry http_500 None"),
        (503, "", "retry http_503 None"),
    ] {
        assert_eq!(short(&outcome(Reply::status(status, body), "").await), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn the_backends_words_and_retry_after_are_passed_on() {
    let rejected = outcome(Reply::status(400, "out of order sample"), "").await;
    let expected = Outcome::Reject { reason: "http_400_partial".into(), message: "out of order sample".into() };
    assert_eq!(rejected, expected);
    let busy = outcome(Reply::status(429, "slow down").with("retry-after", "7"), "").await;
    let after = Some(Duration::from_secs(7));
    assert_eq!(busy, Outcome::Retry { reason: "http_429".into(), message: "slow down".into(), after });
    let moved = outcome(Reply::status(302, "").with("location", "http://elsewhere/"), "").await;
    assert!(matches!(&moved, Outcome::Reject { message, .. } if message.contains("`http://elsewhere/`")), "{moved:?}");
}

#[tokio::test]
async fn no_answer_is_a_retry() {
    let hung = outcome(Reply::Hang, "timeout: 200ms").await;
    assert_eq!(short(&hung), "retry timeout None");
    let torn = outcome(Reply::CloseMidResponse, "").await;
    assert_eq!(short(&torn), "retry closed None");
    let mut rig = Rig::at(&nobody().await, "");
    let block = block(&mut rig, 1);
    assert_eq!(short(&rig.sender.send(&block, &FIRST).await), "retry connect None");
}

#[tokio::test]
async fn the_headers_are_those_of_the_protocol_whatever_config_says() {
    for (yaml, content_type, version) in [
        ("", "application/x-protobuf", "0.1.0"),
        (V2, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    ] {
        let backend = Backend::start(|_, _| Reply::status(204, "")).await;
        let own = "headers: {Content-Encoding: gzip, content-type: text/plain, X-Prometheus-Remote-Write-Version: \"9\", User-Agent: me, x-own: kept}";
        let mut rig = Rig::with(
            &format!("endpoint: {}\nauth: {{authenticator: sigv4auth}}\n{own}\n{yaml}", backend.url()),
            &mut with_signer(Signer::default()),
        )
        .unwrap();
        let block = block(&mut rig, 2);
        rig.sender.send(&block, &FIRST).await;
        let request = backend.requests().remove(0);
        assert!(request.line.starts_with("POST "));
        assert_eq!(request.header("content-encoding"), "snappy");
        assert_eq!(request.header("content-type"), content_type);
        assert_eq!(request.header("x-prometheus-remote-write-version"), version);
        assert!(request.header("user-agent").starts_with("steadyline/"));
        assert_eq!((request.header("x-own"), request.body.clone()), ("kept", block.payload.bytes().clone()));
        assert_eq!(request.header("authorization"), block.payload.bytes().len().to_string());
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_told_apart_by_whether_they_may_come() {
    for (retryable, expected) in [(true, "retry credentials None"), (false, "reject credentials")] {
        let backend = Backend::start(|_, _| Reply::status(204, "")).await;
        let error = Some(AuthError { message: "tried environment, IMDS".into(), retryable });
        let mut rig = Rig::with(
            &format!("endpoint: {}\nauth: {{authenticator: sigv4auth}}", backend.url()),
            &mut with_signer(Signer { error, ..Signer::default() }),
        )
        .unwrap();
        let block = block(&mut rig, 1);
        assert_eq!(short(&rig.sender.send(&block, &FIRST).await), expected);
        assert!(backend.requests().is_empty());
    }
}

#[tokio::test]
async fn what_another_replica_delivered_is_counted_apart() {
    let backend = Backend::start(|_, _| Reply::status(202, "")).await;
    let mut rig = Rig::at(&backend.url(), "");
    let block = block(&mut rig, 3);
    rig.sender.send(&block, &FIRST).await;
    assert_eq!(rig.counter("remote_write_deduplicated"), 3.0);
}

#[tokio::test]
async fn version_2_believes_only_the_headers_of_the_answer() {
    let written = |status: u16, samples: &str| {
        Reply::status(status, "words").with("x-prometheus-remote-write-samples-written", samples)
    };
    for (reply, expected) in [
        (written(204, "3"), "delivered, 0 dropped"),
        (written(204, "1"), "delivered, 2 dropped"),
        (written(204, "0"), "delivered, 3 dropped"),
        (written(400, "2"), "delivered, 1 dropped"),
        (written(400, "0"), "reject http_400"),
        (Reply::status(400, ""), "reject http_400"),
        (Reply::status(204, "").with("x-prometheus-remote-write-exemplars-written", "0"), "delivered, 3 dropped"),
        (Reply::status(204, ""), "fall back"),
        (Reply::status(415, ""), "fall back"),
        (Reply::status(500, ""), "retry http_500 None"),
    ] {
        assert_eq!(short(&outcome(reply.clone(), V2).await), expected, "{reply:?}");
    }
}

#[tokio::test]
async fn a_backend_that_knows_version_1_only_gets_version_1_from_then_on() {
    let backend = Backend::start(|_, _| Reply::status(204, "")).await;
    let mut rig = Rig::at(&backend.url(), V2);
    let (first, second) = (block(&mut rig, 3), block(&mut rig, 3));
    assert_eq!(short(&rig.sender.send(&first, &FIRST).await), "fall back");
    let recoded = rig.sender.recode(&first).unwrap();
    assert_eq!(short(&rig.sender.send(&recoded, &FIRST).await), "delivered, 0 dropped");
    // Blocks that wait in the queue are not tried in vain, and new ones are in version 1.0 from the start.
    assert_eq!(short(&rig.sender.send(&second, &FIRST).await), "fall back");
    assert_eq!(block(&mut rig, 3).protocol, 1);
    let versions: Vec<String> =
        backend.requests().iter().map(|r| r.header("x-prometheus-remote-write-version").to_owned()).collect();
    assert_eq!(versions, ["2.0.0", "0.1.0"]);
}

#[test]
fn a_block_is_split_by_series_until_one_is_left() {
    for yaml in ["", V2] {
        let mut rig = Rig::new(yaml);
        let whole = block(&mut rig, 5);
        let (first, second) = rig.sender.split(&whole).unwrap();
        assert_eq!(first.items + second.items, 5);
        assert!(first.items > 0 && second.items > 0);
        assert_eq!((first.protocol, first.shard), (whole.protocol, whole.shard));
        let halves: Vec<String> = [&first, &second].into_iter().flat_map(lines).collect();
        assert_eq!(halves, lines(&whole));
        let one = block(&mut rig, 1);
        assert!(rig.sender.split(&one).is_none());
    }
}

#[test]
fn blocks_that_wait_become_one_request() {
    for yaml in ["", V2] {
        let mut rig = Rig::new(yaml);
        let blocks = [block(&mut rig, 5), block(&mut rig, 1), block(&mut rig, 12)];
        let whole = rig.sender.join(&blocks).unwrap();
        assert_eq!((whole.items, whole.protocol), (18, blocks[0].protocol));
        assert_eq!(lines(&whole), blocks.iter().flat_map(lines).collect::<Vec<_>>());
        let (first, second) = rig.sender.split(&whole).unwrap();
        assert_eq!([lines(&first), lines(&second)].concat(), lines(&whole));
    }
    let (old, new) = (block(&mut Rig::new(""), 1), block(&mut Rig::new(V2), 1));
    assert!(Rig::new(V2).sender.join(&[new, old]).is_none(), "of two versions");
}

#[test]
fn the_series_that_the_words_name_is_found() {
    for yaml in ["", V2] {
        let mut rig = Rig::new(yaml);
        let block = block(&mut rig, 12);
        let named = |words: &str| rig.sender.offending_series(&block, words).unwrap();
        let words = r#"out of order sample; timestamp=1, series={__name__="steps", account_id="a11", env="dev"}"#;
        assert_eq!(named(words), r#"steps{account_id="a11", env="dev"}"#);
        assert_eq!(named("no idea"), r#"steps{account_id="a0", env="dev"}"#);
        assert_eq!(named(""), r#"steps{account_id="a0", env="dev"}"#);
    }
}

#[tokio::test]
async fn check_says_how_an_empty_write_fares() {
    for (reply, yaml, verdict) in [
        (Reply::status(204, ""), "", Verdict::Pass),
        (Reply::status(400, "empty"), "", Verdict::Warn),
        (Reply::status(403, "denied"), "", Verdict::Fail),
        (Reply::status(404, ""), "", Verdict::Fail),
        (Reply::status(204, ""), V2, Verdict::Warn),
        (Reply::status(204, "").with("x-prometheus-remote-write-samples-written", "0"), V2, Verdict::Pass),
        (Reply::status(503, ""), "", Verdict::Warn),
    ] {
        let answer = reply.clone();
        let backend = Backend::start(move |_, _| answer.clone()).await;
        let rows = Rig::at(&backend.url(), yaml).sender.check().await;
        assert_eq!(rows[0].verdict, verdict, "{reply:?} {rows:?}");
    }
    let rows = Rig::at(&nobody().await, "").sender.check().await;
    assert_eq!(rows[0].verdict, Verdict::Fail);
    assert!(rows[0].advice.contains("`endpoint`"), "{rows:?}");
}
