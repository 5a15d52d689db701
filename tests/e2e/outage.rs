//! The backend is away for a while and comes back: what waited arrives in order and soon, the chart has no hole, and a stop
//! meanwhile loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::backend::Backend;
use crate::common::dice::lasting_port;
use crate::common::dynamodb::{Emulator, Table, scratch};
use crate::common::judge::{Judge, Mood, exporter};
use crate::common::onboarding::{account, config, four_accounts};
use crate::common::rising::{Load, Rising, To};
use crate::common::server::Reply;
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;
use crate::crash::durable;

const LOAD: Load = Load { senders: 4, series: 50, every: Duration::from_millis(50), padding: 0 };
/// Points a second that the backend takes when it is back.
const RATE: f64 = 5000.0;
/// Points that have come by then.
const BACKLOG: u64 = 25_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_arrives_in_order_within_twice_the_time_that_it_must_take() {
    for queue in ["{queue_size: 16MiB}", "{storage: file_storage, memory_size: 16KiB}"] {
        let (folder, port, backend) = (scratch(), lasting_port(), lasting_port());
        let exporter = exporter(
            "prometheusremotewrite",
            &format!("http://127.0.0.1:{backend}"),
            &format!("sending_queue: {queue}"),
        );
        let mut running = Launch::new(&durable(port, folder.path(), &exporter)).run().await;
        let mut senders = Rising::start(To::Http(port), LOAD, 0);
        until_true("a backlog", async || senders.points() > BACKLOG).await;
        senders.stop().await;
        let judge = Judge::start_on(backend, Mood::Paced(RATE)).await;
        let acknowledged = senders.acknowledged();
        until_true("all of it", async || judge.missing(&acknowledged) == 0).await;
        let least = senders.points() as f64 / RATE;
        let took = judge.span().as_secs_f64();
        assert!(took <= 2.0 * least, "{queue}: {took} s for what takes {least}");
        assert_eq!((judge.points(), judge.counts().1), (senders.points(), 0), "{queue}");
        assert_eq!(judge.wrong(), [""; 0], "{queue}");
        let books = running.finish().await;
        assert_eq!(books.of("exporter", "prometheusremotewrite").lost(), 0.0, "{books:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_dead_at_the_stop_gets_it_after_the_next_start() {
    let (folder, port, dead) = (scratch(), lasting_port(), lasting_port());
    let queue = "sending_queue: {storage: file_storage, memory_size: 16KiB}";
    let exporter = exporter("prometheusremotewrite", &format!("http://127.0.0.1:{dead}"), queue);
    let config = durable(port, folder.path(), &exporter);
    let mut first = Launch::new(&config).run().await;
    let mut senders = Rising::start(To::Http(port), LOAD, 0);
    until_true("more than memory takes", async || senders.points() > 2000).await;
    senders.stop().await;
    let held = first.balanced_books().await.of("exporter", "prometheusremotewrite").held;
    assert_eq!(held, senders.points() as f64);
    let (status, last) = first.stop(Signal::TERM).await;
    assert_eq!(status.code(), Some(0));
    assert_eq!((last["kept"].as_f64(), &last["dropped"], &last["abandoned"]), (Some(held), &0.into(), &0.into()));
    // The deadline is 2 s, and what is left is put away after it.
    assert!(last["took_ms"].as_u64().unwrap() < 10_000, "{last}");

    let judge = Judge::start_on(dead, Mood::Willing).await;
    let mut second = Launch::new(&config).run().await;
    let acknowledged = senders.acknowledged();
    until_true("what was kept", async || judge.missing(&acknowledged) == 0).await;
    assert_eq!(judge.points(), senders.points());
    assert_eq!(judge.wrong(), [""; 0]);
    second.finish().await;
}

/// So many times as fast.
const FACTOR: f64 = 30.0;
/// Prometheus shows a series for so long after its last sample, in milliseconds.
const BLANK: i64 = 300_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_minutes_without_a_backend_leave_no_hole_in_the_chart() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let (state, down) = (scratch(), Arc::new(AtomicBool::new(false)));
    let says_down = Arc::clone(&down);
    let backend = Backend::start(move |_| match says_down.load(Ordering::Relaxed) {
        true => Reply::status(503, "away"),
        false => Reply::status(204, ""),
    })
    .await;
    let exporter = format!(
        "  prometheusremotewrite: {{endpoint: '{}', target_info: {{enabled: false}}, timeout: 3s, \
         retry_on_failure: {{initial_interval: 50ms, max_interval: 500ms}}, \
         sending_queue: {{storage: file_storage, memory_size: 4KiB}}}}",
        backend.url()
    );
    let config = format!(
        "extensions: {{file_storage: {{directory: '{}'}}}}\n{}",
        state.path().display(),
        config(&table.api.url, "60s", &exporter)
    );
    let mut running = Launch::new(&config).with_keys().clock(7200, FACTOR).run().await;
    let line = |account: &str| backend.line("onboarding_completed_steps", account);
    until_true("the lines", async || line("acct-a").len() >= 2).await;
    down.store(true, Ordering::Relaxed);
    let away = line("acct-a").last().unwrap().time;
    let mut polls = 0.0;
    for _ in 0..2 {
        // Five minutes each; between them the value changes.
        polls += 5.0;
        until_true("polls without a backend", async || {
            running.own("steadyline_receiver_polls_total", ("outcome", "complete")).await > polls + 2.0
        })
        .await;
        table.api.put([account("acct-a", "visited", 3 + polls as usize / 5)]).await;
    }
    down.store(false, Ordering::Relaxed);
    until_true("the newest value", async || line("acct-a").last().is_some_and(|sample| sample.value == 5.0)).await;
    for account in ["acct-a", "acct-b", "acct-c"] {
        let line = line(account);
        assert!(line.windows(2).all(|pair| pair[0].time < pair[1].time), "in order: {line:?}");
        let gap = line.windows(2).map(|pair| pair[1].time - pair[0].time).max().unwrap();
        assert!(gap < BLANK, "{gap} ms: {line:?}");
    }
    let a = line("acct-a");
    assert!(a.last().unwrap().time - away > 2 * BLANK, "it was away for ten minutes: {a:?}");
    let values: Vec<f64> = a.iter().map(|sample| sample.value).collect();
    assert!(values.is_sorted() && values.contains(&4.0), "what changed meanwhile is in the chart: {values:?}");
    let books = running.finish().await;
    assert_eq!(books.of("exporter", "prometheusremotewrite").lost(), 0.0, "{books:?}");
}
