//! Passes that do not come to their end: what is told, and what is not said of the rest.

use steadyline_component::Verdict;
use steadyline_http::testkit::nobody;

use super::*;

/// An answer, the reason that the poll's failure is counted under, and words that it says.
#[tokio::test]
async fn every_failure_says_what_was_tried_and_what_is_missing() {
    let denied = "User: arn:aws:iam::1:user/u is not authorized to perform: dynamodb:Scan on resource: arn:aws:dynamodb:us-east-1:1:table/t because no policy allows it";
    let cases: Vec<(Reply, &str, &str)> = vec![
        (
            refusal("ResourceNotFoundException", "Requested resource not found"),
            "table_missing",
            "there is no such table in us-east-1",
        ),
        (
            refusal("ValidationException", "The table does not have the specified index: gsi1"),
            "index_missing",
            "check `index`",
        ),
        (
            refusal("ValidationException", "Consistent reads are not supported on global secondary indexes"),
            "global_index",
            "set `consistent_read: false`, or read the table or a local index",
        ),
        (
            refusal("AccessDeniedException", denied),
            "access_denied",
            "allow `dynamodb:Scan` on `arn:aws:dynamodb:us-east-1:1:table/t`",
        ),
        (
            refusal("ExpiredTokenException", "The security token included in the request is expired"),
            "expired_token",
            "expired",
        ),
        (
            refusal("UnrecognizedClientException", "The security token included in the request is invalid."),
            "bad_credentials",
            "check access key",
        ),
        (
            refusal("InvalidSignatureException", "Credential should be scoped to a valid region."),
            "wrong_region",
            "check `region`",
        ),
        (Reply::status(500, r#"{"__type": "InternalServerError", "message": "oops"}"#), "server_error", "oops"),
        (Reply::status(200, r#"{"Items": [{"id": {"S": "a"#), "malformed_answer", "HTTP 200"),
        (Reply::status(200, "<html>a proxy</html>"), "malformed_answer", "HTTP 200"),
        (Reply::CloseMidResponse, "malformed_answer", "dynamodb:Scan"),
        (Reply::Hang, "timeout", "dynamodb:Scan"),
    ];
    for (answer, reason, words) in cases {
        let backend = table(move |_, _| answer.clone()).await;
        let quick = "attempt_timeout: 200ms\noperation_timeout: 400ms";
        let index = match reason {
            "index_missing" => "index: gsi1",
            "global_index" => "index: gsi1\nconsistent_read: true",
            _ => "",
        };
        let mut bench = bench_with(&backend.url(), &format!("{MAPPING}{index}\n{quick}"));
        let poll = bench.poll(MINUTE).await;
        let error = poll.result.clone().unwrap_err();
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.message.contains(words) && error.message.starts_with("cannot read "), "{reason}: {error}");
        assert_eq!(poll.data(), [""; 0], "{reason}");
        assert_eq!(poll.lines, ["dynamodb_up 0"], "{reason}");
        assert_eq!(bench.metered("dynamodb_poll_errors"), 1.0);
    }
}

/// As [`bench`], with time-outs of the test's own.
fn bench_with(endpoint: &str, yaml: &str) -> Bench {
    let basics: String =
        BASICS.lines().filter(|line| !line.contains("_timeout")).map(|line| format!("{line}\n")).collect();
    let clock = Clock::scaled(NOW * 1_000_000_000, 1.0);
    let meter = Meter::default();
    let yaml = format!("table: t\nendpoint: {endpoint}\n{basics}{yaml}");
    let polling = create_with::<DynamoDb>(&yaml, &mut TestExtensions::default(), &clock, &meter).unwrap();
    Bench { polling, clock, meter, epoch: 0 }
}

#[tokio::test]
async fn nobody_there_is_no_table() {
    let mut bench = bench(&nobody().await, 1.0, MAPPING);
    let poll = bench.poll(MINUTE).await;
    assert_eq!(poll.result.clone().unwrap_err().reason, "connect");
    let rows = bench.polling.poller.check().await;
    assert!(rows.iter().any(|row| row.verdict == Verdict::Fail && row.what == "read table `t`"), "{rows:?}");
}

#[tokio::test]
async fn a_key_that_repeats_is_an_error_and_no_end() {
    let backend = table(|_, _| page(&[("a", 1)], Some("same"))).await;
    let mut bench = bench(&backend.url(), 1.0, MAPPING);
    let poll = bench.poll(MINUTE).await;
    let error = poll.result.clone().unwrap_err();
    assert_eq!(error.reason, "repeated_key");
    assert!(error.message.contains("id=\"same\", shard=3 came twice"), "{error}");
    assert_eq!(poll.data(), ["m{id=\"a\"} 1"], "no aggregate of half a pass");
    assert_eq!(reads(&backend).len(), 2);
}

#[tokio::test]
async fn what_came_before_a_failure_is_sent_and_the_next_poll_starts_anew() {
    let backend = table(|_, read| match read {
        0 => page(&[("a", 1)], Some("a")),
        1 => refusal("ValidationException", "no"),
        _ => page(&[("a", 2)], None),
    })
    .await;
    let mut bench = bench(&backend.url(), 1.0, MAPPING);
    let first = bench.poll(MINUTE).await;
    assert_eq!(first.result.clone().unwrap_err().reason, "rejected");
    assert_eq!(first.data(), ["m{id=\"a\"} 1"]);
    let second = bench.poll(MINUTE).await;
    assert_eq!(second.result.clone().unwrap(), PassEnd::Complete);
    assert_eq!(second.data(), ["m{id=\"a\"} 2", "all 1"]);
    assert!(reads(&backend)[2]["ExclusiveStartKey"].is_null(), "no key of an older pass");
}

fn throttled() -> Reply {
    let reasons = json!([{"reason": "IndexReadKeyRangeThroughputExceeded", "resource": "arn:aws:dynamodb:us-east-1:1:table/t/index/i"}]);
    let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down", "throttlingReasons": reasons});
    Reply::status(400, &body.to_string())
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let backend = table(|_, read| if read < 3 { throttled() } else { page(&[("a", 1)], None) }).await;
    let mut bench = bench(&backend.url(), 1_000.0, MAPPING);
    let poll = bench.poll(MINUTE * 60).await;
    assert_eq!(poll.result.clone().unwrap(), PassEnd::Complete);
    assert_eq!(poll.data(), ["m{id=\"a\"} 1", "all 1"]);
    let limits: Vec<_> =
        bench.meter.read().into_iter().filter(|instrument| instrument.name == "dynamodb_throttled").collect();
    assert_eq!(limits.len(), 1);
    assert_eq!(limits[0].value(), 3.0);
    assert!(limits[0].labels.iter().any(|(_, value)| value == "IndexReadKeyRangeThroughputExceeded"));
}

#[tokio::test]
async fn throttling_that_does_not_end_is_no_other_failure() {
    let backend = table(|_, _| throttled()).await;
    let mut bench = bench(&backend.url(), 100.0, MAPPING);
    let poll = bench.poll(MINUTE).await;
    let error = poll.result.clone().unwrap_err();
    assert_eq!(error.reason, "throttled", "{error}");
    assert!(error.message.contains("`read_budget`"), "{error}");
    assert!(poll.has("dynamodb_up 0"));
}

#[tokio::test]
async fn a_pass_that_takes_too_long_still_says_so_through_the_pipeline() {
    let backend = table(|_, read| if read == 0 { page(&[("a", 1)], Some("a")) } else { Reply::Hang }).await;
    let mut bench = bench(&backend.url(), 100.0, MAPPING);
    // The page's own time-out is 4 s of real time, the poll's a tenth of that.
    let poll = bench.poll(Duration::from_secs(40)).await;
    assert_eq!(poll.result.clone().unwrap_err().reason, "timeout");
    assert!(poll.has("dynamodb_up 0") && poll.data() == ["m{id=\"a\"} 1"], "{:?}", poll.lines);
}

#[tokio::test]
async fn a_table_that_can_be_read_passes_its_check() {
    let backend = table(|_, _| page(&[("a", 1)], None)).await;
    let mut bench = bench(&backend.url(), 1.0, MAPPING);
    let rows = bench.polling.poller.check().await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((rows[0].what.as_str(), rows[0].verdict), ("read table `t`", Verdict::Pass));
    assert_eq!(rows[1].verdict, Verdict::Warn);
    assert!(rows[1].advice.contains("dynamodb:DescribeTable") && rows[1].advice.contains("set `key`"), "{rows:?}");
}
