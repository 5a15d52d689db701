//! Passes that come to their end: empty pages, keys, segments, queries, budgets.

use super::*;

#[tokio::test]
async fn pages_are_read_to_the_end_empty_ones_included() {
    let backend = table(|_, read| match read {
        0 => page(&[("a", 1), ("b", 2)], Some("b")),
        1 => page(&[], Some("m")),
        2 => page(&[("c", 3)], Some("c")),
        // The key that came after the last item leads to an empty page.
        _ => page(&[], None),
    })
    .await;
    let mut bench = bench(&backend.url(), 1.0, &format!("{MAPPING}resource: {{env: dev}}"));
    let poll = bench.poll(MINUTE).await;
    assert_eq!(poll.result.clone().unwrap(), PassEnd::Complete);
    assert_eq!(
        poll.lines.iter().filter(|line| line.starts_with("resource")).count(),
        4,
        "on every batch that has points: {:?}",
        poll.lines
    );
    let data: Vec<_> = poll.data().into_iter().filter(|line| !line.starts_with("resource")).collect();
    assert_eq!(data, ["m{id=\"a\"} 1", "m{id=\"b\"} 2", "m{id=\"c\"} 3", "all 3"]);
    assert!(poll.has("dynamodb_up 1"));
    assert!(poll.has(&format!("dynamodb_last_complete_pass_timestamp_seconds {NOW}")));
    let starts: Vec<Value> = reads(&backend).into_iter().map(|read| read["ExclusiveStartKey"].clone()).collect();
    let key = |id: &str| json!({"id": {"S": id}, "shard": {"N": "3"}});
    assert_eq!(starts, [Value::Null, key("b"), key("m"), key("c")], "keys are sent back whole");
    assert_eq!(bench.metered("dynamodb_pages"), 4.0);
    assert_eq!(bench.metered("dynamodb_items"), 3.0);
    assert_eq!(bench.metered("dynamodb_consumed_read_units"), 6.0);
}

#[tokio::test]
async fn what_cannot_be_mapped_is_held_and_counted() {
    let backend = table(|_, _| {
        let answer = json!({"Items": [{"id": {"S": "a"}, "v": {"S": "many"}}, {"v": {"N": "1"}}, {"id": {"S": "b"}}]});
        Reply::status(200, &answer.to_string())
    })
    .await;
    let mut bench = bench(&backend.url(), 1.0, MAPPING);
    let poll = bench.poll(MINUTE).await;
    assert_eq!(poll.data(), ["m{id=\"a\"} held", "m{id=\"b\"} held", "all 2"]);
    assert_eq!(bench.metered("dynamodb_skipped"), 3.0);
}

#[tokio::test]
async fn segments_are_read_side_by_side_and_all_must_end() {
    let backend = table(|request, _| {
        let segment = request["Segment"].as_i64().unwrap();
        match request["ExclusiveStartKey"].is_null() {
            true => page(&[(["a", "b", "c"][segment as usize], segment)], Some(["x", "y", "z"][segment as usize])),
            false => page(&[], None),
        }
    })
    .await;
    let mut bench = bench(&backend.url(), 1.0, &format!("{MAPPING}segments: 3"));
    let poll = bench.poll(MINUTE).await;
    assert_eq!(poll.result.clone().unwrap(), PassEnd::Complete);
    let mut data = poll.data();
    data.sort_unstable();
    assert_eq!(data, ["all 3", "m{id=\"a\"} 0", "m{id=\"b\"} 1", "m{id=\"c\"} 2"]);
    assert_eq!(reads(&backend).len(), 6);
    assert!(reads(&backend).iter().all(|read| read["TotalSegments"] == 3));
}

#[tokio::test]
async fn a_segment_that_fails_fails_the_pass() {
    let backend = table(|request, _| match request["Segment"].as_i64() {
        Some(1) => refusal("ValidationException", "no"),
        _ => page(&[("a", 1)], None),
    })
    .await;
    let mut bench = bench(&backend.url(), 1.0, &format!("{MAPPING}segments: 2"));
    let poll = bench.poll(MINUTE).await;
    assert_eq!(poll.result.clone().unwrap_err().reason, "rejected");
    assert!(poll.has("dynamodb_up 0") && !poll.lines.iter().any(|line| line.starts_with("all")), "{:?}", poll.lines);
}

#[tokio::test]
async fn a_query_is_made_for_each_value_of_a_list() {
    let backend = table(|request, _| match &request["ExpressionAttributeValues"][":shard"]["N"] {
        Value::String(shard) => page(&[(shard, 7)], None),
        other => panic!("no shard: {other}"),
    })
    .await;
    let yaml = format!(
        "{MAPPING}index: gsi1\nquery: {{key_condition: \"#s = :shard AND at > :at\", names: {{\"#s\": status}}, values: {{\":shard\": [0, 1], \":at\": \"2026\"}}}}"
    );
    let mut bench = bench(&backend.url(), 1.0, &yaml);
    let poll = bench.poll(MINUTE).await;
    assert_eq!(poll.result.clone().unwrap(), PassEnd::Complete);
    let mut data = poll.data();
    data.sort_unstable();
    assert_eq!(data, ["all 2", "m{id=\"0\"} 7", "m{id=\"1\"} 7"]);
    let read = &reads(&backend)[0];
    assert_eq!(read["IndexName"], "gsi1");
    assert_eq!(read["KeyConditionExpression"], "#s = :shard AND at > :at");
    assert_eq!(read["ExpressionAttributeNames"], json!({"#s": "status"}));
    assert_eq!(read["ExpressionAttributeValues"][":at"], json!({"S": "2026"}));
    assert_eq!(read["ReturnConsumedCapacity"], "TOTAL");
    assert_eq!(read["Limit"], 1000);
}

#[tokio::test]
async fn only_what_is_needed_is_read_once_the_key_is_known() {
    let described = json!({"Table": {"TableName": "t", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]}});
    let backend = Backend::start(move |request, _| match operation(request).as_str() {
        "DescribeTable" => Reply::status(200, &described.to_string()),
        _ => page(&[("a", 1)], None),
    })
    .await;
    let mut bench = bench(&backend.url(), 1.0, &format!("{MAPPING}consistent_read: true\npage_size: 0"));
    bench.poll(MINUTE).await.result.unwrap();
    bench.poll(MINUTE).await.result.unwrap();
    let asked: Vec<String> = backend.requests().iter().map(operation).collect();
    assert_eq!(asked, ["DescribeTable", "Scan", "Scan"], "asked once");
    let read = &reads(&backend)[0];
    let mut names: Vec<&str> =
        read["ExpressionAttributeNames"].as_object().unwrap().values().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["id", "pk", "sk", "v"]);
    assert_eq!(read["ProjectionExpression"], "#steadyline0, #steadyline1, #steadyline2, #steadyline3");
    assert_eq!(read["ConsistentRead"], true);
    assert!(read["Limit"].is_null(), "no bound but DynamoDB's own");
}

#[tokio::test]
async fn the_budget_bounds_the_pages() {
    let backend = table(|_, read| page(&[("a", 1)], (read < 2).then_some(["x", "y"][read.min(1)]))).await;
    let mut bench = bench(&backend.url(), 1_000.0, &format!("{MAPPING}read_budget: {{rru_per_second: 2}}"));
    bench.poll(MINUTE * 10).await.result.unwrap();
    let limits: Vec<u64> = reads(&backend).iter().filter_map(|read| read["Limit"].as_u64()).collect();
    assert_eq!(limits[0], 32, "two units at a sixteenth of a unit each");
    assert!(limits.len() == 3 && limits[1..].iter().all(|limit| *limit < 10), "items cost 1.5 units each: {limits:?}");
}

#[tokio::test]
async fn items_from_a_file_take_the_same_way() {
    let mut bench = bench("http://127.0.0.1:9", 1.0, MAPPING);
    let poll = bench.run(MINUTE, Some(r#"{"Items": [{"id": {"S": "a"}, "v": {"N": "5"}}]}"#)).await;
    assert_eq!(poll.result.clone().unwrap(), PassEnd::Complete);
    assert_eq!(poll.data(), ["m{id=\"a\"} 5", "all 1"]);
    let poll = bench.run(MINUTE, Some(r#"{"Items": [{"id": "a"}]}"#)).await;
    assert_eq!(
        poll.result.unwrap_err().message,
        "cannot read the items: item 0.id: expected a typed value such as {\"S\": \"text\"} (DynamoDB JSON)"
    );
}
