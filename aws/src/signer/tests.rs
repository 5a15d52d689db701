//! Worked vectors, and each thing that goes wrong with signatures in practice.

use std::time::UNIX_EPOCH;

use aws_smithy_async::time::StaticTimeSource;

use super::*;

/// 2026-01-02T03:04:05Z
const NOW: u64 = 1_767_323_045;
/// The SHA-256 of one byte 0x00.
const ZERO_BYTE: [u8; 32] = [
    0x6e, 0x34, 0x0b, 0x9c, 0xff, 0xb3, 0x7a, 0x98, 0x9c, 0xa5, 0x44, 0xe6, 0xbb, 0x78, 0x0a, 0x2c, 0x78, 0x90, 0x1d,
    0x3f, 0xb3, 0x37, 0x38, 0x76, 0x85, 0x11, 0xa3, 0x06, 0x17, 0xaf, 0xa0, 0x1d,
];
const WORKSPACE: &str = "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write";
const SIGNATURE: &str = "6236f2cb0cfadebfe01df61c76dd4516bdec99d07af71f60375b5d3f9633a971";
const SIGNATURE_WITH_TOKEN: &str = "eb62ad89c22e77baaa5a2f2cd85dd60a22a5bac5e7f1667b718edfd74d1229a1";

fn signer_at(seconds: u64) -> Signer {
    let time = StaticTimeSource::new(UNIX_EPOCH + Duration::from_secs(seconds));
    Signer::with_time("aps", "us-east-1", time)
}

fn keys(token: Option<&str>) -> Credentials {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    Credentials::new("AKIDEXAMPLE", secret, token.map(str::to_owned), None, "test")
}

fn request(url: &str, more: &[(&str, &str)]) -> http::request::Parts {
    let mut builder = http::Request::post(url)
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("x-prometheus-remote-write-version", "0.1.0");
    for (name, value) in more {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn signed(signer: &Signer, mut head: http::request::Parts, token: Option<&str>) -> http::request::Parts {
    signer.sign(&mut head, &ZERO_BYTE, &keys(token)).unwrap();
    head
}

fn authorization(head: &http::request::Parts) -> &str {
    head.headers[AUTHORIZATION].to_str().unwrap()
}

fn signature(head: &http::request::Parts) -> &str {
    authorization(head).rsplit_once("Signature=").unwrap().1
}

#[test]
fn the_worked_vector() {
    let head = signed(&signer_at(NOW), request(WORKSPACE, &[]), None);
    assert_eq!(
        authorization(&head),
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/aps/aws4_request, \
             SignedHeaders=content-encoding;content-type;host;x-amz-date;x-prometheus-remote-write-version, \
             Signature={SIGNATURE}"
        )
    );
    assert_eq!(head.headers["x-amz-date"], "20260102T030405Z");
    assert!(!head.headers.contains_key("x-amz-content-sha256"));
}

#[test]
fn the_worked_vector_with_a_session_token() {
    let head = signed(&signer_at(NOW), request(WORKSPACE, &[]), Some("TOKEN=="));
    assert_eq!(signature(&head), SIGNATURE_WITH_TOKEN);
    assert_eq!(head.headers["x-amz-security-token"], "TOKEN==");
    assert!(authorization(&head).contains("x-amz-date;x-amz-security-token;"));
    assert!(head.headers["x-amz-security-token"].is_sensitive() && head.headers[AUTHORIZATION].is_sensitive());
    assert!(!format!("{:?}", head.headers).contains("TOKEN"));
}

#[test]
fn what_proxies_change_is_not_signed() {
    let changing: Vec<(&str, &str)> = NOT_SIGNED.iter().map(|name| (*name, "x")).collect();
    let more = [("user-agent", "steadyline/0.1"), ("x-amzn-trace-id", "Root=1"), ("transfer-encoding", "chunked")];
    let head = signed(&signer_at(NOW), request(WORKSPACE, &[&changing[..], &more[..]].concat()), None);
    assert_eq!(signature(&head), SIGNATURE);
    assert_eq!(head.headers["user-agent"], "steadyline/0.1", "and stays as it was");
}

#[test]
fn a_request_that_is_tried_again_is_signed_anew() {
    let first = signed(&signer_at(NOW - 900), request(WORKSPACE, &[]), Some("OLD"));
    let again = signed(&signer_at(NOW), first, None);
    assert_eq!(signature(&again), SIGNATURE);
    assert!(!again.headers.contains_key("x-amz-security-token"), "the old session is gone");
    assert_eq!(again.headers.get_all(AUTHORIZATION).iter().count(), 1);
}

#[test]
fn the_default_port_is_neither_signed_nor_sent() {
    let with_port = WORKSPACE.replace(".com/", ".com:443/");
    let head = signed(&signer_at(NOW), request(&with_port, &[]), None);
    assert_eq!(signature(&head), SIGNATURE);
    assert_eq!(head.uri.to_string(), WORKSPACE);
    let host = [("host", "aps-workspaces.us-east-1.amazonaws.com:443")];
    let head = signed(&signer_at(NOW), request(&with_port, &host), None);
    assert_eq!(signature(&head), SIGNATURE);
    assert_eq!(head.headers[HOST], "aps-workspaces.us-east-1.amazonaws.com");
}

#[test]
fn another_port_is_part_of_the_host() {
    let url = WORKSPACE.replace(".com/", ".com:8443/");
    let head = signed(&signer_at(NOW), request(&url, &[]), None);
    let host = [("host", "aps-workspaces.us-east-1.amazonaws.com:8443")];
    assert_eq!(signature(&head), signature(&signed(&signer_at(NOW), request(WORKSPACE, &host), None)));
    assert_ne!(signature(&head), SIGNATURE);
    assert_eq!(head.uri.to_string(), url);
}

#[test]
fn spaces_and_repeated_headers_are_normalized() {
    let sign = |more: &[(&str, &str)]| signature(&signed(&signer_at(NOW), request(WORKSPACE, more), None)).to_owned();
    assert_eq!(sign(&[("x-note", "a  b")]), sign(&[("x-note", "a b")]));
    assert_eq!(sign(&[("x-note", "a"), ("x-note", "b")]), sign(&[("x-note", "a,b")]));
    assert_ne!(sign(&[("x-note", "a"), ("x-note", "b")]), sign(&[("x-note", "b"), ("x-note", "a")]));
}

#[test]
fn a_trailing_slash_and_the_order_of_the_query_count_as_aws_counts_them() {
    let sign = |path: &str| {
        let url = format!("https://aps-workspaces.us-east-1.amazonaws.com{path}");
        signature(&signed(&signer_at(NOW), request(&url, &[]), None)).to_owned()
    };
    assert_ne!(sign("/workspaces/ws"), sign("/workspaces/ws/"));
    assert_eq!(sign("/workspaces/ws"), sign("/workspaces/./x/..//ws"));
    assert_eq!(sign("/q?b=2&a=1"), sign("/q?a=1&b=2"));
    assert_ne!(sign("/a%20b"), sign("/a%2520b"));
}

#[test]
fn the_key_changes_at_midnight_utc() {
    let before = signed(&signer_at(1_767_311_999), request(WORKSPACE, &[]), None);
    let after = signed(&signer_at(1_767_312_000), request(WORKSPACE, &[]), None);
    assert!(authorization(&before).contains("/20260101/us-east-1/"));
    assert!(authorization(&after).contains("/20260102/us-east-1/"));
}

#[test]
fn opensearch_serverless_gets_its_hash() {
    let time = StaticTimeSource::new(UNIX_EPOCH + Duration::from_secs(NOW));
    let signer = Signer::with_time("aoss", "us-east-1", time);
    let head = signed(&signer, request("https://x.us-east-1.aoss.amazonaws.com/", &[]), None);
    assert_eq!(head.headers["x-amz-content-sha256"], hex(&ZERO_BYTE));
    assert!(authorization(&head).contains("x-amz-content-sha256"));
}

fn answer(status: u16, date: Option<&str>) -> http::response::Parts {
    let mut builder = http::Response::builder().status(status);
    if let Some(date) = date {
        builder = builder.header("date", date);
    }
    builder.body(()).unwrap().into_parts().0
}

#[test]
fn a_refusal_with_another_date_corrects_the_clock_once() {
    for (wrong, seconds, side) in [(NOW - 3600, 3600, "behind"), (NOW + 900, -900, "ahead of")] {
        let signer = signer_at(wrong);
        let refused = answer(403, Some("Fri, 02 Jan 2026 03:04:05 GMT"));
        let skew = signer.observe(&refused).unwrap();
        assert_eq!(skew.seconds, seconds);
        assert!(skew.to_string().contains(side), "{skew}");
        assert_eq!(signature(&signed(&signer, request(WORKSPACE, &[]), None)), SIGNATURE);
        assert_eq!(signer.observe(&refused), None, "already corrected: the refusal has another reason");
    }
}

#[test]
fn a_clock_that_is_set_right_later_is_followed() {
    let signer = signer_at(NOW - 3600);
    signer.observe(&answer(403, Some("Fri, 02 Jan 2026 03:04:05 GMT"))).unwrap();
    let back = signer.observe(&answer(403, Some("Fri, 02 Jan 2026 02:04:05 GMT"))).unwrap();
    assert_eq!(back.seconds, 0);
    assert_eq!(signed(&signer, request(WORKSPACE, &[]), None).headers["x-amz-date"], "20260102T020405Z");
}

#[test]
fn other_answers_leave_the_clock_alone() {
    let signer = signer_at(NOW);
    for head in [
        answer(200, Some("Fri, 02 Jan 2026 09:04:05 GMT")),
        answer(500, Some("Fri, 02 Jan 2026 09:04:05 GMT")),
        answer(403, None),
        answer(403, Some("yesterday")),
        answer(403, Some("Fri, 02 Jan 2026 03:04:50 GMT")),
    ] {
        assert_eq!(signer.observe(&head), None, "{head:?}");
    }
    assert_eq!(signature(&signed(&signer, request(WORKSPACE, &[]), None)), SIGNATURE);
}

#[test]
fn what_cannot_be_signed_is_an_error() {
    let refused = |mut head: http::request::Parts, keys: &Credentials| {
        signer_at(NOW).sign(&mut head, &ZERO_BYTE, keys).unwrap_err().to_string()
    };
    assert!(refused(request("/relative", &[]), &keys(None)).contains("no host"));
    let mut head = request(WORKSPACE, &[]);
    head.headers.insert("x-name", HeaderValue::from_bytes(b"\xff").unwrap());
    assert!(refused(head, &keys(None)).contains("`x-name` is not plain text"));
    let broken = keys(Some("line\nbreak"));
    assert!(refused(request(WORKSPACE, &[]), &broken).starts_with("cannot sign the request"));
}
