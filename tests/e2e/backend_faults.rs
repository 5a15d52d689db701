//! Everything that a remote-write backend can answer: what is repeated, what is split, what is dropped, and that all of
//! it is counted and told.

use std::collections::BTreeSet;

use crate::common::backend::Backend;
use crate::common::books::Books;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::exposition::Labels;
use crate::common::onboarding::{account, config, four_accounts, remote_write};
use crate::common::server::Reply;
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::wait::{free_port, until_true};

const EXPORTER: &str = "prometheusremotewrite";

/// The four accounts, polled each second, written to `url`.
async fn start(table: &Table, url: &str) -> Steadyline {
    let config = config(&table.api.url, "1s", &remote_write(url));
    Launch::new(&config).with_keys().run().await
}

async fn four() -> Table {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    table
}

/// A sample is told from another by series and time.
fn keys<'a>(samples: impl IntoIterator<Item = &'a crate::common::backend::Arrived>) -> BTreeSet<(Labels, i64)> {
    samples.into_iter().map(|sample| (sample.labels.clone(), sample.time)).collect()
}

/// After faults that pass, everything that was ever sent has been taken.
async fn nothing_is_lost(backend: &Backend, steadyline: &mut Steadyline, at_least: usize) {
    until_true("samples after the faults", async || backend.count() >= at_least).await;
    let books: Books = steadyline.finish().await;
    let account = books.of("exporter", EXPORTER);
    assert_eq!(account.lost(), 0.0, "{account:?}");
    let requests = backend.requests();
    let sent = keys(requests.iter().flat_map(|one| &one.samples));
    let taken = keys(requests.iter().filter(|one| one.taken).flat_map(|one| &one.samples));
    assert_eq!(sent, taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_write_waits_as_long_as_it_is_told_and_is_repeated() {
    let table = four().await;
    let backend = Backend::start(|number| match number {
        0 => Reply::status(429, "ingestion rate limit exceeded").with("retry-after", "2"),
        _ => Reply::status(204, ""),
    })
    .await;
    let mut steadyline = start(&table, &backend.url()).await;
    nothing_is_lost(&backend, &mut steadyline, 9).await;
    let requests = backend.requests();
    assert_eq!(requests[0].request.body(), requests[1].request.body(), "the same bytes again");
    // A second less than told, for a clock that is read on both sides.
    let waited = requests[1].at - requests[0].at;
    assert!(waited.as_secs_f64() > 1.0, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_server_are_repeated() {
    for status in [500, 502, 503] {
        let table = four().await;
        let backend = Backend::start(move |number| match number {
            0..3 => Reply::status(status, "out of order"),
            _ => Reply::status(204, ""),
        })
        .await;
        let mut steadyline = start(&table, &backend.url()).await;
        nothing_is_lost(&backend, &mut steadyline, 9).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_hangs_is_given_up_and_asked_again() {
    let table = four().await;
    let backend = Backend::start(|number| if number == 0 { Reply::Hang } else { Reply::status(204, "") }).await;
    let mut steadyline = start(&table, &backend.url()).await;
    nothing_is_lost(&backend, &mut steadyline, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_loses_nothing() {
    let table = four().await;
    let backend = Backend::start(|number| match number {
        0 => match Reply::status(500, "a long explanation that is never read to its end") {
            Reply::Answer(answer) => Reply::Half(answer),
            other => other,
        },
        _ => Reply::status(204, ""),
    })
    .await;
    let mut steadyline = start(&table, &backend.url()).await;
    nothing_is_lost(&backend, &mut steadyline, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_comes_late_gets_everything() {
    let table = four().await;
    let port = free_port();
    let mut steadyline = start(&table, &format!("http://127.0.0.1:{port}/api/v1/write")).await;
    until_true("several polls without a backend", async || {
        steadyline.own("steadyline_receiver_polls_total", ("outcome", "complete")).await >= 3.0
    })
    .await;
    let waiting = steadyline.balanced_books().await.of("exporter", EXPORTER);
    assert!(waiting.held >= 9.0 && waiting.outgoing == 0.0, "{waiting:?}");
    assert!(!steadyline.log().iter().filter(|line| line["level"] == "WARN").collect::<Vec<_>>().is_empty());
    let backend = Backend::start_on(port, |_| Reply::status(204, "")).await;
    until_true("what waited", async || backend.count() as f64 >= waiting.held).await;
    nothing_is_lost(&backend, &mut steadyline, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_split() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put((0..20).map(|n| account(&format!("acct-{n:02}"), "visited", 1))).await;
    let backend = Backend::start(|number| match number {
        0 | 1 => Reply::status(413, "request body too large"),
        _ => Reply::status(204, ""),
    })
    .await;
    let mut steadyline = start(&table, &backend.url()).await;
    nothing_is_lost(&backend, &mut steadyline, 60).await;
    let sizes: Vec<usize> = backend.requests().iter().take(3).map(|one| one.samples.len()).collect();
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_counted_and_told_once() {
    for (status, words) in [
        (400, "label name longer than allowed"),
        (401, "no credentials"),
        (403, "User is not authorized to perform: aps:RemoteWrite"),
        (404, "no such workspace"),
    ] {
        let table = four().await;
        let backend = Backend::start(move |_| Reply::status(status, words)).await;
        let mut steadyline = start(&table, &backend.url()).await;
        until_true("several refusals", async || backend.requests().len() >= 3).await;

        let told: Vec<_> = steadyline.log().into_iter().filter(|line| line.to_string().contains(words)).collect();
        assert_eq!(told.len(), 1, "once an interval, with the backend's words: {status} {told:?}");
        assert!(told[0].to_string().contains(&status.to_string()), "{told:?}");
        let account = steadyline.finish().await.of("exporter", EXPORTER);
        assert_eq!(account.outgoing, 0.0, "{status}");
        assert!(account.lost() >= 9.0, "{status} {account:?}");
        // Refused for good: the same bytes are never sent again.
        let requests = backend.requests();
        let bodies: BTreeSet<&[u8]> = requests.iter().map(|one| one.request.body().as_ref()).collect();
        assert_eq!(bodies.len(), requests.len(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_exporters_stand_alone() {
    let table = four().await;
    let (dead, alive) = (Backend::start(|_| Reply::status(503, "down")).await, Backend::willing().await);
    let exporters = format!(
        "  prometheusremotewrite/dead: {{endpoint: {}}}\n  prometheusremotewrite/alive: {{endpoint: {}, target_info: {{enabled: false}}}}",
        dead.url(),
        alive.url()
    );
    let config = config(&table.api.url, "1s", &exporters);
    let mut steadyline = Launch::new(&config).with_keys().set("service.shutdown_timeout", "1s").run().await;
    until_true("the one that lives to get several passes", async || alive.count() >= 27).await;
    let books = steadyline.finish().await;
    assert!(books.of("exporter", "prometheusremotewrite/dead").held > 0.0, "{books:?}");
}
