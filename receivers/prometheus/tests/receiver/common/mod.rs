//! A receiver in front of real targets, with a clock that the test moves.
//! One call of [`Rig::scrape`] is one scrape of each target.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::telemetry::{Metrics, Signal};
use steadyline_component::testkit::{TestExtensions, TestIntake, create_with, render};
use steadyline_component::{Board, Budget, Clock, Host, Meter, Shutdown};
use steadyline_http::testkit::{Backend, Reply};
use steadyline_receiver_prometheus::PrometheusFactory;
use tokio::task::JoinHandle;

/// A receiver that runs.
pub(crate) struct Rig {
    pub(crate) clock: Clock,
    pub(crate) intake: Arc<TestIntake>,
    pub(crate) meter: Meter,
    pub(crate) budget: Budget,
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

/// The wall clock at the start, in seconds.
pub(crate) const START: u64 = 1_700_000_000;
/// How often targets are scraped.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

impl Rig {
    /// Starts a receiver from the YAML of its body.
    pub(crate) async fn start(yaml: &str) -> Rig {
        Rig::with_budget(yaml, 64 << 20).await
    }

    /// The same with so many bytes of memory.
    pub(crate) async fn with_budget(yaml: &str, budget: u64) -> Rig {
        let clock = Clock::manual(START * 1_000_000_000);
        let meter = Meter::default();
        let made = create_with::<PrometheusFactory>(yaml, &mut TestExtensions::default(), &clock, &meter);
        let mut receiver = made.unwrap_or_else(|text| panic!("{text}"));
        let (trigger, shutdown) = Shutdown::new();
        let host = Host { clock: clock.clone(), board: Board::new(clock.clone()), shutdown: shutdown.clone() };
        receiver.start(&host).await.unwrap();
        let intake = TestIntake::new(budget);
        let outputs = intake.outputs(&[Signal::Metrics]);
        let budget = outputs.budget().unwrap().clone();
        let task = tokio::spawn(async move { receiver.run(outputs, shutdown).await.unwrap() });
        let rig = Rig { clock, intake, meter, budget, trigger, task };
        rig.settle().await;
        rig
    }

    /// Lets everything run that can run without time passing: providers tell their lists, scrapers go to sleep.
    pub(crate) async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// One interval on, and what came of it: the points of one scrape.
    pub(crate) async fn scrape(&self) -> Vec<String> {
        lines(&self.scrape_whole().await)
    }

    /// The same as the batch that came.
    pub(crate) async fn scrape_whole(&self) -> Metrics {
        self.clock.advance(INTERVAL);
        self.intake.wait_for(1).await;
        let mut batches = self.intake.take();
        assert_eq!(batches.len(), 1, "one scrape is one batch");
        metrics_of(batches.remove(0))
    }

    /// Some time on, and everything that came of it. Waits for scrapes that have begun, which hold memory until their
    /// batches are taken.
    pub(crate) async fn step(&self, by: Duration) -> Vec<Metrics> {
        let mut came = Vec::new();
        self.clock.advance(by);
        self.settle().await;
        until(|| {
            came.extend(self.intake.take().into_iter().map(metrics_of));
            self.budget.used() == 0
        })
        .await;
        // What came between the last look and the end of the scrape.
        came.extend(self.intake.take().into_iter().map(metrics_of));
        came
    }

    /// The same again and again, until there is a batch whose lines are as wanted.
    pub(crate) async fn step_until(&self, by: Duration, wanted: impl Fn(&[String]) -> bool) -> Vec<Metrics> {
        let mut came = Vec::new();
        for _ in 0..100 {
            came.extend(self.step(by).await);
            if came.iter().any(|metrics| wanted(&lines(metrics))) {
                return came;
            }
        }
        panic!("it did not come: {:?}", came.iter().map(lines).collect::<Vec<_>>());
    }

    /// Waits until an instrument says so.
    pub(crate) async fn counted(&self, name: &str, value: f64) {
        until(|| self.count(name) == value).await;
    }

    /// Waits until all memory is given back.
    pub(crate) async fn memory_is_given_back(&self) {
        until(|| self.budget.used() == 0).await;
    }

    /// The value of an instrument; 0 if there is none.
    pub(crate) fn count(&self, name: &str) -> f64 {
        self.meter.read().iter().filter(|i| i.name == name).map(|i| i.value()).sum()
    }

    /// Takes the receiver away as a reload does, and waits for its end.
    pub(crate) async fn remove(self) -> Arc<TestIntake> {
        self.trigger.fire_for_good();
        self.task.await.unwrap();
        self.intake
    }

    /// Stops the receiver and waits for its end.
    pub(crate) async fn stop(self) -> Arc<TestIntake> {
        self.trigger.fire();
        self.task.await.unwrap();
        self.intake
    }
}

pub(crate) fn metrics_of(batch: steadyline_component::Batch) -> Metrics {
    batch.as_metrics().expect("metrics").clone()
}

/// The points of a batch in one line each, without their times; and without the report but for `up`.
pub(crate) fn lines(metrics: &Metrics) -> Vec<String> {
    let lines = render(metrics).into_iter().filter(|line| !line.starts_with("scrape_"));
    lines.map(|line| line.rsplit_once(" @").map_or(line.clone(), |(point, _)| point.to_string())).collect()
}

/// The same without resource and report.
pub(crate) fn exposed(metrics: &Metrics) -> Vec<String> {
    lines(metrics).into_iter().filter(|line| !line.starts_with("resource") && !line.starts_with("up")).collect()
}

/// A target that exposes one text after another, and the last for ever.
pub(crate) async fn target(bodies: &[&str]) -> Backend {
    let bodies: Vec<String> = bodies.iter().map(|body| body.to_string()).collect();
    Backend::start(move |_, number| {
        let body = &bodies[number.min(bodies.len() - 1)];
        Reply::status(200, body).with("content-type", "text/plain; charset=utf-8")
    })
    .await
}

/// The config of one job with one target and further keys of the job.
pub(crate) fn job(backend: &Backend, keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "config:\n  scrape_configs:\n    - job_name: test\n      scrape_interval: 10s\n      static_configs: [{{targets: [\"{}\"]}}]\n{keys}",
        backend.address
    )
}

/// Waits for a condition; gives up where a test would hang for ever.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited a minute in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
