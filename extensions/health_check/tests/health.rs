//! The extension on a real socket, with a board and a clock that the test controls.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::Uri;
use serde_json::Value;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Board, Clock, Extension, Host, Shutdown, Status, testkit};
use steadyline_extension_health_check::{ComponentHealth, Config, HealthCheck, HealthCheckFactory, ResponseBody};
use steadyline_http::{Client, ClientOptions};

struct Process {
    health: HealthCheck,
    host: Host,
    stop: ShutdownTrigger,
    client: Client,
    base: String,
}

impl Process {
    async fn start(config: Config) -> Process {
        let clock = Clock::manual(0);
        let (stop, shutdown) = Shutdown::new();
        let host = Host { board: Board::new(clock.clone()), clock: clock.clone(), shutdown };
        let health = HealthCheck::new(Config { endpoint: "localhost:0".into(), ..config });
        health.start(&host).await.unwrap();
        let base = format!("http://{}", health.address().await.unwrap());
        let client = Client::build(&ClientOptions::default(), &clock).unwrap();
        Process { health, host, stop, client, base }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let url: Uri = format!("{}{path}", self.base).parse().unwrap();
        let answer = self.client.get(&url).await.unwrap();
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    fn set(&self, id: &str, status: Status) {
        self.host.board.component(id).set(status);
    }

    fn all_well(&self) {
        for id in ["exporter:otlp", "pipeline:metrics", "receiver:dynamodb"] {
            self.set(id, Status::Ok);
        }
    }
}

#[tokio::test]
async fn ready_from_the_last_start_to_the_first_stop() {
    let process = Process::start(Config::default()).await;
    assert_eq!(process.get("/").await.0, 503);
    process.set("exporter:otlp", Status::Ok);
    assert_eq!(process.json("/ready").await.1["because"][0]["problem"], "starting");
    process.all_well();
    for path in ["/", "/ready", "/status", "/status?verbose"] {
        assert_eq!(process.get(path).await.0, 200, "{path}");
    }
    process.stop.fire();
    assert_eq!(process.json("/").await.1["because"][0]["problem"], "stopping");
    assert_eq!(process.get("/live").await, (200, "live\n".to_string()));
    assert_eq!(process.get("/other").await.0, 404);
    process.health.shutdown().await;
    let url: Uri = format!("{}/live", process.base).parse().unwrap();
    assert!(process.client.get(&url).await.is_err());
}

#[tokio::test]
async fn a_failing_backend_costs_readiness_after_a_while_and_never_liveness() {
    let process = Process::start(Config::default()).await;
    process.all_well();
    let exporter = process.host.board.component("exporter:otlp");
    exporter.set(Status::Degraded("connect: refused".into()));
    process.host.clock.advance(Duration::from_secs(60));
    let (status, body) = process.json("/").await;
    assert_eq!((status, &body["degraded"][0]["error"]), (200, &Value::from("connect: refused")));
    process.host.clock.advance(Duration::from_secs(1));
    let (status, body) = process.json("/").await;
    assert_eq!((status, &body["because"][0]["component"]), (503, &Value::from("exporter:otlp")));
    assert_eq!(body["because"][0]["problem"], "failing for 61s: connect: refused");
    assert_eq!(process.get("/live").await.0, 200);
    exporter.set(Status::Ok);
    assert_eq!(process.get("/").await.0, 200);
}

#[tokio::test]
async fn a_source_that_fails_is_listed_and_costs_nothing() {
    let process = Process::start(Config::default()).await;
    process.all_well();
    process.set("receiver:dynamodb", Status::Degraded("throttled".into()));
    process.host.clock.advance(Duration::from_secs(3600));
    let (status, body) = process.json("/").await;
    assert_eq!((status, &body["degraded"][0]["component"]), (200, &Value::from("receiver:dynamodb")));
    assert_eq!(process.json("/status").await.1["status"], "StatusRecoverableError");
}

#[tokio::test]
async fn a_worker_that_is_gone_is_not_ready_at_once() {
    let process = Process::start(Config::default()).await;
    process.all_well();
    process.set("pipeline:metrics", Status::Failed("a worker panicked".into()));
    let (status, body) = process.json("/status?verbose").await;
    assert_eq!((status, &body["status"]), (503, &Value::from("StatusPermanentError")));
    assert_eq!(body["error"], "pipeline:metrics: gone: a worker panicked");
    assert_eq!(body["components"]["pipeline:metrics"]["healthy"], false);
    assert_eq!(body["components"]["exporter:otlp"]["healthy"], true);
}

#[tokio::test]
async fn path_bodies_and_rules_can_be_chosen() {
    let config = Config {
        path: "/healthz".into(),
        response_body: ResponseBody { healthy: "fine".into(), unhealthy: "ill".into() },
        component_health: ComponentHealth { include_permanent_errors: false, ..ComponentHealth::default() },
        ..Config::default()
    };
    let process = Process::start(config).await;
    assert_eq!(process.get("/healthz").await, (503, "ill".to_string()));
    process.all_well();
    process.set("pipeline:metrics", Status::Failed("gone".into()));
    assert_eq!(process.get("/healthz").await, (200, "fine".to_string()));
    assert_eq!(process.get("/").await.0, 404);
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start() {
    let first = Process::start(Config::default()).await;
    let endpoint = first.base.trim_start_matches("http://").to_string();
    let second = HealthCheck::new(Config { endpoint: endpoint.clone(), ..Config::default() });
    let error = second.start(&first.host).await.unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on `{endpoint}`")), "{error}");
}

#[test]
fn config_errors_name_key_and_remedy() {
    for (yaml, expected) in [
        ("path: health", "must begin with a slash"),
        ("path: /live", "a meaning of their own"),
        ("endpoint: localhost", "expected `host:port`"),
        ("use_v2: true", "always there"),
        ("check_collector_pipeline: {enabled: true}", "component_health"),
        ("endpont: x:1", "did you mean"),
    ] {
        let text = testkit::create::<HealthCheckFactory>(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
    assert!(testkit::create::<HealthCheckFactory>("{}").is_ok());
}
