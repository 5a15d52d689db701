//! What the board says at one moment, and whether that is ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use steadyline_component::status::Entry;
use steadyline_component::{Host, Status};

use crate::config::ComponentHealth;

/// The health of the process at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    now: Duration,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Who costs readiness, and in which words.
    wrong: Vec<(Arc<str>, String)>,
}

impl Report {
    /// Reads the board.
    pub fn new(host: &Host, rules: &ComponentHealth) -> Report {
        let (now, entries) = (host.clock.now().mono, host.board.read());
        let mut wrong: Vec<(Arc<str>, String)> = entries
            .iter()
            .filter_map(|(id, entry)| Some((Arc::clone(id), costs_readiness(id, entry, now, rules)?)))
            .collect();
        if host.shutdown.fired() {
            wrong.push((Arc::from("process"), "stopping".to_string()));
        } else if !entries.keys().any(|id| id.starts_with("receiver:")) {
            // Receivers start last; before the first of them the board says nothing about the whole.
            wrong.push((Arc::from("process"), "starting".to_string()));
        }
        Report { now, entries, wrong }
    }

    /// Whether nothing costs readiness.
    pub fn is_ready(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(crate) fn code(&self) -> StatusCode {
        if self.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }

    /// The body of `/ready`: the verdict, what it is for, and what fails without costing anything yet.
    pub(crate) fn readiness(&self) -> Value {
        let because = |(id, words): &(Arc<str>, String)| json!({"component": &**id, "problem": words});
        let failing = self.entries.iter().filter(|(id, entry)| {
            matches!(entry.status, Status::Degraded(_)) && !self.wrong.iter().any(|(wrong, _)| wrong == *id)
        });
        json!({
            "status": if self.is_ready() { "ready" } else { "not ready" },
            "because": self.wrong.iter().map(because).collect::<Vec<_>>(),
            "degraded": failing.map(|(id, entry)| self.component(id, entry)).collect::<Vec<_>>(),
        })
    }

    /// The body of `/status`, with every component if wanted.
    pub(crate) fn status(&self, is_verbose: bool) -> Value {
        let worst = self.entries.values().map(|entry| &entry.status).max_by_key(|status| severity(status));
        let mut body = json!({
            "healthy": self.is_ready(),
            "status": collector_name(worst.unwrap_or(&Status::Starting)),
        });
        if let Some((id, words)) = self.wrong.first() {
            body["error"] = json!(format!("{id}: {words}"));
        }
        if is_verbose {
            let components = self.entries.iter().map(|(id, entry)| (id.to_string(), self.component(id, entry)));
            body["components"] = Value::Object(components.collect());
        }
        body
    }

    fn component(&self, id: &str, entry: &Entry) -> Value {
        let mut component = json!({
            "component": id,
            "healthy": !self.wrong.iter().any(|(wrong, _)| &**wrong == id),
            "status": collector_name(&entry.status),
            "for_seconds": self.now.saturating_sub(entry.since).as_secs(),
        });
        if let Status::Degraded(words) | Status::Failed(words) = &entry.status {
            component["error"] = json!(words);
        }
        component
    }
}

fn costs_readiness(id: &str, entry: &Entry, now: Duration, rules: &ComponentHealth) -> Option<String> {
    let lasted = now.saturating_sub(entry.since);
    match &entry.status {
        Status::Ok => None,
        Status::Starting => Some("starting".to_string()),
        Status::Stopping => Some("stopping".to_string()),
        Status::Failed(words) => rules.include_permanent_errors.then(|| format!("gone: {words}")),
        Status::Degraded(words) => {
            let costs = rules.include_recoverable_errors && id.starts_with("exporter:");
            let is_over = lasted > rules.recovery_duration.get();
            (costs && is_over).then(|| format!("failing for {}s: {words}", lasted.as_secs()))
        }
    }
}

fn severity(status: &Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Degraded(_) => 1,
        Status::Starting => 2,
        Status::Stopping => 3,
        Status::Failed(_) => 4,
    }
}

/// The Collector's word for a status.
fn collector_name(status: &Status) -> &'static str {
    match status {
        Status::Starting => "StatusStarting",
        Status::Ok => "StatusOK",
        Status::Degraded(_) => "StatusRecoverableError",
        Status::Failed(_) => "StatusPermanentError",
        Status::Stopping => "StatusStopping",
    }
}
