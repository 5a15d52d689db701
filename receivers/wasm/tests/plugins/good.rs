//! What plugins give becomes telemetry.

use steadyline_component::telemetry::Signal;
use steadyline_component::{PassEnd, SendError, Verdict};

use crate::common::{make, make_with};
use steadyline_component::testkit::MemoryStorage;

#[tokio::test(flavor = "multi_thread")]
async fn records_become_points_of_every_kind() {
    let mut made = make("{do: kinds}", "");
    let expected = [
        "gauge 1 @60",
        "counter counter 1 @60",
        "updown updown 1 @60",
        "delta delta 1 @60",
        "numbers{n=\"a\"} 3 @60",
        "numbers{n=\"b\"} 1.5 @60",
        "numbers{n=\"c\"} held @60",
        "numbers{n=\"d\"} stale @60",
    ];
    let lines = made.complete().await;
    assert_eq!(lines.len(), 9, "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line, expected);
    }
    let metrics = made.batches[0].as_metrics().unwrap();
    let point = metrics.tables().points.last().unwrap();
    assert_eq!((point.time, point.start, point.bits), (5_000_000_000, 1_000_000_000, 1));
    let attributes: Vec<_> = metrics.pairs(point.attributes()).map(|(key, value)| format!("{key} {value:?}")).collect();
    assert_eq!(attributes, ["bool Bool(true)", "double Double(0.5)", "int Int(-7)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_lives_from_poll_to_poll_and_many_points_come_whole() {
    let mut made = make("{do: calls}", "identity: [n]");
    assert_eq!(made.polling.identity.iter().map(|key| &**key).collect::<Vec<_>>(), ["n"]);
    made.start().await.unwrap();
    for n in 1..=3 {
        assert_eq!(made.complete().await, [format!("calls{{n=\"{n}\"}} {n} @60")]);
    }
    assert_eq!((made.counted("wasm_calls"), made.counted("wasm_replaced")), (3.0, 1.0));
    let mut made = make("{do: points, points: 5000}", "");
    let lines = made.complete().await;
    assert_eq!(lines.len(), 5000);
    assert!(
        lines[4999].starts_with("completed_steps{account_id=\"account-00004999\",env=\"production\""),
        "{}",
        lines[4999]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_out_one_by_one_and_end_as_they_say() {
    let mut made = make("{do: pages}", "");
    assert_eq!(made.poll().await.unwrap(), PassEnd::Partial);
    assert_eq!(made.batches.len(), 3);
    let values: Vec<_> = made.lines().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(values, ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_otlp_pass_whole() {
    let mut made = make("{do: logs}", "");
    assert_eq!(made.poll().await.unwrap(), PassEnd::Complete);
    assert_eq!((made.batches[0].signal(), made.batches[0].items()), (Signal::Logs, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_counts_when_its_data_was_taken_and_outlives_the_receiver() {
    let storage = MemoryStorage::default();
    let mut made = make_with("{do: state}", "storage: memory", Some(&storage));
    made.start().await.unwrap();
    assert_eq!(made.complete().await, ["seen{n=\"1\"} 1 @60"]);
    made.intake.answer(Some(SendError::Busy { retry_after: None }));
    assert!(made.poll().await.is_err());
    made.intake.answer(None);
    assert_eq!(made.complete().await, ["seen{n=\"3\"} 2 @60"], "what was not taken is counted from again");
    drop(made);
    let mut again = make_with("{do: state}", "storage: memory", Some(&storage.copy()));
    again.start().await.unwrap();
    assert_eq!(again.complete().await, ["seen{n=\"1\"} 3 @60"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_call_changes_nothing() {
    let mut made = make("{do: state}", "");
    let rows = made.polling.poller.check().await;
    assert_eq!((rows[0].verdict, rows[0].detail.as_str()), (Verdict::Pass, "1 items"));
    assert_eq!(made.complete().await, ["seen{n=\"2\"} 1 @60"]);
    let rows = make("{do: error}", "").polling.poller.check().await;
    assert!(rows[0].verdict == Verdict::Fail && rows[0].detail.contains("the source is away"), "{rows:?}");
    let rows = make("{do: garbage}", "").polling.poller.check().await;
    assert!(rows[0].advice.contains("plugins/wit"), "{rows:?}");
}
