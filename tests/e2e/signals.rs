//! SIGTERM and SIGINT drain and end with 0, also when a backend does not answer.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::onboarding::{config, four_accounts, remote_write};
use crate::common::server::Reply;
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;

#[tokio::test(flavor = "multi_thread")]
async fn both_signals_drain_and_end_with_0() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    for signal in [Signal::TERM, Signal::INT] {
        let backend = Backend::willing().await;
        let config = config(&table.api.url, "1h", &remote_write(&backend.url()));
        let mut steadyline = Launch::new(&config).with_keys().run().await;
        until_true("the first pass", async || backend.count() >= 9).await;
        let (status, last) = steadyline.stop(signal).await;
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert_eq!((&last["delivered"], &last["abandoned"]), (&backend.count().into(), &0.into()));
        assert!(backend.taken().values().flatten().all(|sample| !sample.is_stale()), "a stop ends no line");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_backend_does_not_take_is_counted_at_the_deadline() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let backend = Backend::start(|_| Reply::Hang).await;
    let config = config(&table.api.url, "1h", &remote_write(&backend.url()));
    let mut steadyline = Launch::new(&config).with_keys().set("service.shutdown_timeout", "1s").run().await;
    until_true("an attempt", async || !backend.requests().is_empty()).await;
    steadyline.balanced_books().await;
    let (status, last) = steadyline.stop(Signal::TERM).await;
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(last["abandoned"].as_u64().unwrap() >= 9, "{last}");
    assert_eq!(last["abandoned"], last["dropped"], "{last}");
}
