//! Ten times what the backend takes: the process stays within its memory budget, senders are told to try again and when,
//! and every point is accounted for.
//!
//! As long as production might have it: `STEADYLINE_OVERLOAD=60 cargo test --release -p steadyline --test e2e overload`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::dice::lasting_port;
use crate::common::judge::{Judge, Mood};
use crate::common::rising::{Denial, Load, Rising, To};
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::wait::until_true;

const BUDGET: u64 = 48 << 20;
/// Points a second that the backend takes.
const RATE: f64 = 100.0;
/// Nominally twenty times that, so that a busy machine still offers ten times.
const LOAD: Load = Load { senders: 10, series: 50, every: Duration::from_millis(500), padding: 4000 };

/// How long it is overloaded.
fn span() -> Duration {
    let seconds = std::env::var("STEADYLINE_OVERLOAD").map_or(10, |text| text.parse().expect("seconds"));
    Duration::from_secs(seconds)
}

/// The memory that the process has now, in bytes: all that is resident, without the program's text in a build for tests,
/// where that is most of it.
fn resident(running: &Steadyline) -> u64 {
    let path = format!("/proc/{}/status", running.process.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    1024 * kib(if cfg!(debug_assertions) { "RssAnon:" } else { "VmRSS:" })
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_what_the_backend_takes_stays_within_the_budget_and_loses_nothing() {
    let judge = Judge::start(Mood::Paced(RATE)).await;
    let (http, grpc) = (lasting_port(), lasting_port());
    let config = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{http}'}}, grpc: {{endpoint: '127.0.0.1:{grpc}'}}}}}}}}\n\
         exporters:\n  {}\n\
         service:\n  memory_budget: {BUDGET}B\n  pipelines: {{metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}}}\n",
        judge.exporter("prometheusremotewrite", "timeout: 60s, sending_queue: {}")
    );
    let mut running = Launch::new(&config).run().await;
    let began = Instant::now();
    let mut senders = [Rising::start(To::Http(http), LOAD, 0), Rising::start(To::Grpc(grpc), LOAD, 1000)];
    let mut peak = 0;
    until_true("the end of the time, and senders that were refused", async || {
        peak = peak.max(resident(&running));
        began.elapsed() > span() && senders.iter().all(|of| !of.denials().is_empty())
    })
    .await;
    let (offered, taken) = (senders.iter().map(Rising::offered).sum::<u64>(), judge.points());
    for of in &mut senders {
        of.stop().await;
    }
    assert!(offered >= 10 * taken, "{offered} were offered and {taken} taken");
    assert!(peak < BUDGET + BUDGET / 5, "{peak} bytes of {BUDGET}");

    let kinds: Vec<BTreeSet<Denial>> = senders.iter().map(|of| of.denials().into_iter().collect()).collect();
    let again = |status| BTreeSet::from([Denial { status, says_when: true }]);
    assert_eq!(kinds, [again(503), again(14)], "told to try again, and when");

    judge.set(Mood::Willing);
    let acknowledged = || senders.iter().flat_map(Rising::acknowledged).collect::<Vec<_>>();
    until_true("all that was acknowledged", async || judge.missing(&acknowledged()) == 0).await;
    until_true("an empty queue", async || running.books().await.of("exporter", "prometheusremotewrite").held == 0.0)
        .await;
    let accepted = running.own("otelcol_receiver_accepted_metric_points_total", ("receiver", "otlp")).await;
    let account = running.finish().await.of("exporter", "prometheusremotewrite");
    let points: u64 = senders.iter().map(Rising::points).sum();
    assert_eq!((accepted, account.incoming, account.outgoing), (points as f64, points as f64, points as f64));
    assert_eq!((judge.points(), judge.counts().1), (points, 0), "each once, and none that was refused");
    assert_eq!(judge.wrong(), [""; 0]);
}
