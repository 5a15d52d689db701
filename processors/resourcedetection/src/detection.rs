//! Asking all detectors: once before data comes, then again those that failed, and everybody at every refresh.
//! What was known stays known while its detector fails.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use steadyline_component::{Clock, ComponentStatus, Host, Shutdown, StartError, Status};

use crate::attribute::{Attribute, merge};
use crate::config::Plan;
use crate::detect::{DetectError, Detector};
use crate::machine::Machine;

/// The pauses before those that failed are asked again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known now. Cheap to clone; clones see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detected(Arc<RwLock<Arc<[Attribute]>>>);

impl Detected {
    pub(crate) fn attributes(&self) -> Arc<[Attribute]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The detectors of a processor, and what each has said.
#[derive(Debug)]
pub(crate) struct Detection {
    plan: Plan,
    machine: Machine,
    /// The component's id, for logs.
    id: String,
    /// The last good answer of each detector.
    answers: Vec<Vec<Attribute>>,
    /// Why the last question to it failed, if it did.
    failures: Vec<Option<String>>,
    detected: Detected,
}

impl Detection {
    pub(crate) fn new(plan: Plan, machine: Machine, id: String) -> Detection {
        let count = plan.detectors.len();
        let (answers, failures) = (vec![Vec::new(); count], vec![None; count]);
        Detection { plan, machine, id, answers, failures, detected: Detected::default() }
    }

    /// What is known, now and later.
    pub(crate) fn detected(&self) -> Detected {
        self.detected.clone()
    }

    /// Asks everybody, then goes on in a task of its own if there is a reason to.
    ///
    /// # Errors
    /// A detector failed, and config wants that to stop the start; or EC2 metadata is not there and must be.
    pub(crate) async fn start(mut self, host: &Host) -> Result<(), StartError> {
        self.ask(|_| true).await;
        if let Some(failure) = self.failure().filter(|_| self.must_not_fail()) {
            return Err(StartError(failure));
        }
        let names: Vec<String> = self.detected.attributes().iter().map(|attribute| attribute.name.clone()).collect();
        tracing::info!(component = %self.id, "{} attributes detected: {}", names.len(), names.join(", "));
        if self.failure().is_some() || self.plan.refresh_interval.is_some() {
            let status = host.board.component(&format!("processor:{}", self.id));
            tokio::spawn(self.keep_asking(host.clock.clone(), host.shutdown.clone(), status));
        }
        Ok(())
    }

    fn must_not_fail(&self) -> bool {
        let failed = self.plan.detectors.iter().zip(&self.failures).filter(|(_, failure)| failure.is_some());
        let insists =
            |detector: &Detector| matches!(detector, Detector::Ec2(config, _) if config.fail_on_missing_metadata);
        self.plan.fail_on_error || failed.into_iter().any(|(detector, _)| insists(detector))
    }

    /// Asks some of the detectors, all at once.
    async fn ask(&mut self, which: impl Fn(usize) -> bool) {
        let timeout = self.plan.timeout;
        let chosen = self.plan.detectors.iter().enumerate().filter(|(at, _)| which(*at));
        let machine = &self.machine;
        let questions = chosen.map(|(at, detector)| async move {
            let answer = tokio::time::timeout(timeout, detector.detect(machine, timeout)).await;
            (at, answer.unwrap_or_else(|_| Err(detector.late(timeout))))
        });
        for (at, answer) in join_all(questions).await {
            let name = self.plan.detectors[at].name();
            self.failures[at] = None;
            match answer {
                Ok(attributes) => self.answers[at] = attributes,
                // What was known of a machine does not become untrue.
                Err(DetectError::Absent(why)) => tracing::info!(component = %self.id, "{name}: {why}"),
                Err(DetectError::Failed(why)) => {
                    tracing::warn!(component = %self.id, "the detector `{name}` failed: {why}");
                    self.failures[at] = Some(format!("the detector `{name}` failed: {why}"));
                }
            }
        }
        *self.detected.0.write().unwrap_or_else(PoisonError::into_inner) = merge(&self.answers).into();
    }

    fn failure(&self) -> Option<String> {
        let failures: Vec<&str> = self.failures.iter().flatten().map(String::as_str).collect();
        (!failures.is_empty()).then(|| failures.join("; "))
    }

    async fn keep_asking(mut self, clock: Clock, shutdown: Shutdown, status: ComponentStatus) {
        let mut pause = FIRST_PAUSE;
        let mut refresh_at = self.plan.refresh_interval.map(|interval| clock.now().mono + interval);
        loop {
            status.set(self.failure().map_or(Status::Ok, Status::Degraded));
            let retry_at = self.failure().map(|_| clock.now().mono + pause);
            let Some(next) = [retry_at, refresh_at].into_iter().flatten().min() else { return };
            tokio::select! {
                () = shutdown.wait() => return,
                () = clock.sleep_until(next) => {}
            }
            if let (Some(at), Some(interval)) = (refresh_at, self.plan.refresh_interval)
                && clock.now().mono >= at
            {
                refresh_at = Some(clock.now().mono + interval);
                self.ask(|_| true).await;
            } else {
                let failed: Vec<bool> = self.failures.iter().map(Option::is_some).collect();
                self.ask(|at| failed[at]).await;
            }
            pause = if self.failure().is_some() { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        }
    }
}
