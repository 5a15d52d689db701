//! Machines made up by the test: variables, files and servers in, resources out.
//! No test asks the machine it runs on.

mod applying;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::telemetry::{Limits, Opaque, Signal};
use steadyline_component::testkit::{self, metrics, render};
use steadyline_component::{
    Batch, Board, Clock, CreateContext, Data, Header, Host, Processor, Shutdown, Status, Tally, Work,
};
use steadyline_http::testkit::{Backend, Recorded, Reply, TestCertificates, nobody};

use crate::attribute::Attribute;
use crate::config::{Config, Plan};
use crate::detection::{Detected, Detection};
use crate::machine::Machine;
use crate::{ResourceDetection, ResourceDetectionFactory};

/// Catches the plan that a config becomes.
struct PlanFactory;

impl Component for PlanFactory {
    type Config = Config;
    type Made = Plan;
    const SPEC: steadyline_component::Spec = ResourceDetectionFactory::SPEC;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Plan> {
        config.check(context)
    }
}

fn detection(yaml: &str, vars: &[(&str, &str)], root: &Path) -> Detection {
    let plan = testkit::create::<PlanFactory>(yaml).unwrap_or_else(|text| panic!("{text}"));
    Detection::new(plan, Machine::of(vars, root, "box"), "resourcedetection".into())
}

/// What a processor starts with, and what stops it when it is gone.
fn host(clock: &Clock) -> (Host, ShutdownTrigger) {
    let (trigger, shutdown) = Shutdown::new();
    (Host { board: Board::new(clock.clone()), clock: clock.clone(), shutdown }, trigger)
}

fn found(detected: &Detected) -> BTreeMap<String, String> {
    let text = |attribute: &Attribute| {
        let mut out = Vec::new();
        let double = |_: &mut Vec<u8>, _: f64| unreachable!("nobody detects doubles");
        steadyline_component::telemetry::text::put_text(&mut out, attribute.value(), double);
        String::from_utf8(out).unwrap()
    };
    detected.attributes().iter().map(|attribute| (attribute.name.clone(), text(attribute))).collect()
}

/// What a config finds on a machine, or why it does not start.
async fn detect(yaml: &str, vars: &[(&str, &str)], root: &Path) -> Result<BTreeMap<String, String>, String> {
    let detection = detection(yaml, vars, root);
    let detected = detection.detected();
    detection.start(&host(&Clock::system()).0).await.map_err(|error| error.to_string())?;
    Ok(found(&detected))
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

const NOWHERE: &str = "/nonexistent";

#[tokio::test]
async fn the_environment_says_what_stands_there() {
    let detect = async |pairs, service| {
        let vars = [("OTEL_RESOURCE_ATTRIBUTES", pairs), ("OTEL_SERVICE_NAME", service)];
        detect("{fail_on_error: true}", &vars, Path::new(NOWHERE)).await
    };
    assert_eq!(detect("", "").await, Ok(map(&[])));
    assert_eq!(detect("a=1, b = x%20y%2C=z ,,c=\"q\"", "").await, Ok(map(&[("a", "1"), ("b", "x y,=z"), ("c", "q")])));
    assert_eq!(detect("service.name=x,a=1", "y").await, Ok(map(&[("service.name", "y"), ("a", "1")])));
    for broken in ["a", "a=1,=2", "a=%2", "a=%zz", "a=%ff"] {
        let error = detect(broken, "").await.unwrap_err();
        assert!(error.contains("the detector `env` failed") && error.contains("is not `key=value`"), "{error}");
    }
}

#[tokio::test]
async fn the_system_is_known_by_its_files() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/machine-id"), "abc\n").unwrap();
    let release = "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12 (bookworm)\"\n";
    fs::write(root.path().join("etc/os-release"), release).unwrap();
    let plain = detect("detectors: [system]", &[], root.path()).await.unwrap();
    assert_eq!(plain, map(&[("host.name", "box"), ("os.type", std::env::consts::OS)]));
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost\n10.0.0.7 box.example.com box # us\n").unwrap();
    let all = "detectors: [system]\nsystem: {resource_attributes: {os.type: {enabled: false}, host.id: {enabled: true}, \
               os.name: {enabled: true}, os.version: {enabled: true}, os.description: {enabled: true}}}";
    let wanted = [
        ("host.name", "box.example.com"),
        ("host.id", "abc"),
        ("os.name", "Debian GNU/Linux"),
        ("os.version", "12"),
        ("os.description", "Debian 12 (bookworm)"),
    ];
    assert_eq!(detect(all, &[], root.path()).await, Ok(map(&wanted)));
    let os = detect("{detectors: [system], system: {hostname_sources: [os]}}", &[], root.path()).await.unwrap();
    assert_eq!(os["host.name"], "box");
}

const TASK: &str = r#"{
    "Cluster": "default", "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6",
    "Family": "curltest", "Revision": "26", "AvailabilityZone": "us-west-2d", "LaunchType": "FARGATE",
    "Containers": [
        {"DockerId": "us", "KnownStatus": "RUNNING", "LogDriver": "awslogs", "LogOptions": {"awslogs-group": "/ours"}},
        {"DockerId": "app", "KnownStatus": "RUNNING", "LogDriver": "awslogs",
         "ContainerARN": "arn:aws:ecs:us-west-2:111122223333:container/0206b271",
         "LogOptions": {"awslogs-group": "/ecs/app", "awslogs-region": "us-west-2", "awslogs-stream": "ecs/app/158d"}},
        {"DockerId": "gone", "KnownStatus": "STOPPED", "LogDriver": "awslogs", "LogOptions": {"awslogs-group": "/gone"}}
    ]}"#;

fn ecs(request: &Recorded) -> Reply {
    match request.line.as_str() {
        "GET /v4/us/task" => Reply::status(200, TASK),
        "GET /v4/us" => Reply::status(200, r#"{"DockerId": "us", "Name": "sidecar"}"#),
        other => Reply::status(404, other),
    }
}

#[tokio::test]
async fn a_task_on_ecs_is_known_by_its_metadata() {
    let backend = Backend::start(|request, _| ecs(request)).await;
    let url = format!("{}/v4/us", backend.url());
    let vars = [("ECS_CONTAINER_METADATA_URI_V4", url.as_str())];
    let arn = "arn:aws:ecs:us-west-2:111122223333";
    let task = format!("{arn}:task/default/158d1c8083dd49d6");
    let cluster = format!("{arn}:cluster/default");
    let wanted = map(&[
        ("cloud.provider", "aws"),
        ("cloud.platform", "aws_ecs"),
        ("cloud.region", "us-west-2"),
        ("cloud.account.id", "111122223333"),
        ("cloud.availability_zone", "us-west-2d"),
        ("aws.ecs.cluster.arn", &cluster),
        ("aws.ecs.launchtype", "fargate"),
        ("aws.ecs.task.arn", &task),
        ("aws.ecs.task.id", "158d1c8083dd49d6"),
        ("aws.ecs.task.family", "curltest"),
        ("aws.ecs.task.revision", "26"),
        ("aws.log.group.names", r#"["/ecs/app"]"#),
        ("aws.log.group.arns", r#"["arn:aws:logs:us-west-2:111122223333:log-group:/ecs/app:*"]"#),
        ("aws.log.stream.names", r#"["ecs/app/158d"]"#),
        (
            "aws.log.stream.arns",
            r#"["arn:aws:logs:us-west-2:111122223333:log-group:/ecs/app:log-stream:ecs/app/158d"]"#,
        ),
    ]);
    assert_eq!(detect("detectors: [ecs]", &vars, Path::new(NOWHERE)).await, Ok(wanted));
    assert_eq!(detect("{detectors: [ecs], fail_on_error: true}", &[], Path::new(NOWHERE)).await, Ok(map(&[])));
}

const DOCUMENT: &str = r#"{"accountId": "123456789012", "region": "eu-central-1", "availabilityZone": "eu-central-1b",
    "instanceId": "i-0abc", "imageId": "ami-1", "instanceType": "m7g.large", "unknown": null}"#;

fn imds(request: &Recorded) -> Reply {
    let path = request.line.as_str();
    if path == "PUT /latest/api/token" {
        let is_v2 = request.header("x-aws-ec2-metadata-token-ttl-seconds") != "-";
        return if is_v2 { Reply::status(200, "secret-token") } else { Reply::status(400, "") };
    }
    if request.header("x-aws-ec2-metadata-token") != "secret-token" {
        return Reply::status(401, "");
    }
    match path {
        "GET /latest/dynamic/instance-identity/document" => Reply::status(200, DOCUMENT),
        "GET /latest/meta-data/hostname" => Reply::status(200, "ip-10-0-0-1.eu-central-1.compute.internal"),
        "GET /latest/meta-data/tags/instance" => Reply::status(200, "Name\nteam name\nkubernetes.io/cluster/prod"),
        "GET /latest/meta-data/tags/instance/Name" => Reply::status(200, "edge"),
        "GET /latest/meta-data/tags/instance/team%20name" => Reply::status(200, "core"),
        _ => Reply::status(404, ""),
    }
}

#[tokio::test]
async fn an_instance_of_ec2_is_known_by_its_metadata() {
    let backend = Backend::start(|request, _| imds(request)).await;
    let url = backend.url();
    let vars = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    let yaml =
        "detectors: [ec2]\nec2: {tags: [\"^Name$\", team], resource_attributes: {host.image.id: {enabled: false}}}";
    let wanted = map(&[
        ("cloud.provider", "aws"),
        ("cloud.platform", "aws_ec2"),
        ("cloud.region", "eu-central-1"),
        ("cloud.account.id", "123456789012"),
        ("cloud.availability_zone", "eu-central-1b"),
        ("host.id", "i-0abc"),
        ("host.type", "m7g.large"),
        ("host.name", "ip-10-0-0-1.eu-central-1.compute.internal"),
        ("ec2.tag.Name", "edge"),
        ("ec2.tag.team name", "core"),
    ]);
    assert_eq!(detect(yaml, &vars, Path::new(NOWHERE)).await, Ok(wanted));
}

#[tokio::test]
async fn where_there_is_no_ec2_nothing_is_found_and_nothing_fails() {
    let silent = Backend::start(|_, _| Reply::Hang).await;
    let closed = Backend::start(|_, _| Reply::status(403, "")).await;
    for (url, extra) in
        [(nobody().await, ""), (silent.url(), ""), (closed.url(), ""), (silent.url(), "AWS_EC2_METADATA_DISABLED")]
    {
        let vars = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()), (extra, "true")];
        let yaml = "{detectors: [ec2], timeout: 400ms, fail_on_error: true}";
        assert_eq!(detect(yaml, &vars, Path::new(NOWHERE)).await, Ok(map(&[])), "{url}");
        let insists = "{detectors: [ec2], timeout: 400ms, ec2: {fail_on_missing_metadata: true}}";
        let error = detect(insists, &vars, Path::new(NOWHERE)).await.unwrap_err();
        assert!(error.contains("the detector `ec2` failed"), "{error}");
    }
}

#[tokio::test]
async fn a_pod_on_eks_is_known_by_its_cluster() {
    let root = tempfile::tempdir().unwrap();
    let account = root.path().join("var/run/secrets/kubernetes.io/serviceaccount");
    fs::create_dir_all(&account).unwrap();
    let certificates = TestCertificates::new();
    fs::write(account.join("ca.crt"), &certificates.ca).unwrap();
    fs::write(account.join("token"), "pod-token").unwrap();
    let cluster = |version: &'static str| {
        Backend::start_tls(certificates.server_config(false), move |request: &Recorded, _| {
            assert_eq!((request.line.as_str(), request.header("authorization")), ("GET /version", "Bearer pod-token"));
            Reply::status(200, &format!(r#"{{"gitVersion": "{version}"}}"#))
        })
    };
    let instance = Backend::start(|request, _| imds(request)).await;
    let imds_url = instance.url();
    let yaml = "detectors: [eks]\neks: {resource_attributes: {k8s.cluster.name: {enabled: true}}}";
    let eks = cluster("v1.31.4-eks-2d5f260").await;
    let port = eks.address.port().to_string();
    let mut vars = vec![
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", port.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds_url.as_str()),
    ];
    let named = |name| Ok(map(&[("cloud.provider", "aws"), ("cloud.platform", "aws_eks"), ("k8s.cluster.name", name)]));
    assert_eq!(detect(yaml, &vars, root.path()).await, named("prod"));
    vars.push(("EKS_CLUSTER_NAME", "given"));
    assert_eq!(detect(yaml, &vars, root.path()).await, named("given"));
    let other = cluster("v1.31.4+k3s1").await;
    let port = other.address.port().to_string();
    let vars = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", port.as_str())];
    assert_eq!(detect("{detectors: [eks], fail_on_error: true}", &vars, root.path()).await, Ok(map(&[])));
}

#[tokio::test]
async fn a_function_is_known_by_its_variables() {
    let vars = [
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_REGION", "us-east-1"),
    ];
    let wanted = map(&[
        ("cloud.provider", "aws"),
        ("cloud.platform", "aws_lambda"),
        ("cloud.region", "us-east-1"),
        ("faas.name", "f"),
        ("faas.version", "$LATEST"),
        ("faas.max_memory", "134217728"),
        ("aws.log.group.names", r#"["/aws/lambda/f"]"#),
    ]);
    assert_eq!(detect("detectors: [lambda]", &vars, Path::new(NOWHERE)).await, Ok(wanted));
}

#[tokio::test]
async fn the_first_that_gives_an_attribute_counts() {
    let vars = [("OTEL_RESOURCE_ATTRIBUTES", "host.name=mine,x=1")];
    let root = tempfile::tempdir().unwrap();
    let first = detect("detectors: [env, system]", &vars, root.path()).await.unwrap();
    assert_eq!((first["host.name"].as_str(), first["x"].as_str()), ("mine", "1"));
    let second = detect("detectors: [system, env]", &vars, root.path()).await.unwrap();
    assert_eq!(second["host.name"], "box");
}

#[tokio::test]
async fn who_fails_is_degraded_and_asked_again_until_it_answers() {
    let healthy = Arc::new(AtomicBool::new(false));
    let script = {
        let healthy = Arc::clone(&healthy);
        move |request: &Recorded, _: usize| {
            if healthy.load(Ordering::SeqCst) { ecs(request) } else { Reply::status(500, "not yet") }
        }
    };
    let backend = Backend::start(script).await;
    let url = format!("{}/v4/us", backend.url());
    let vars = [("ECS_CONTAINER_METADATA_URI_V4", url.as_str()), ("OTEL_SERVICE_NAME", "s")];
    let error = detect("{detectors: [env, ecs], fail_on_error: true}", &vars, Path::new(NOWHERE)).await.unwrap_err();
    assert!(error.contains("the detector `ecs` failed") && error.contains("500"), "{error}");

    let clock = Clock::manual(0);
    let (host, _trigger) = host(&clock);
    let detection = detection("detectors: [env, ecs]", &vars, Path::new(NOWHERE));
    let detected = detection.detected();
    detection.start(&host).await.unwrap();
    assert_eq!(found(&detected), map(&[("service.name", "s")]));
    let degraded = || matches!(&host.board.read().get("processor:resourcedetection").unwrap().status, Status::Degraded(why) if why.contains("ecs"));
    until(degraded).await;
    let asked = backend.requests().len();
    // Still failing: asked once more, after a pause.
    clock.advance(Duration::from_secs(1));
    until(|| backend.requests().len() > asked).await;
    healthy.store(true, Ordering::SeqCst);
    let recovered = || host.board.read()["processor:resourcedetection"].status == Status::Ok;
    for _ in 0..120 {
        if recovered() {
            break;
        }
        clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(recovered());
    let known = found(&detected);
    assert_eq!((known["service.name"].as_str(), known["aws.ecs.task.family"].as_str()), ("s", "curltest"));
}

/// Waits until something holds, and gives up where a test would hang.
async fn until(holds: impl Fn() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came");
}

#[tokio::test]
async fn a_refresh_asks_everybody_and_what_was_known_stays() {
    let renamed = Arc::new(AtomicBool::new(false));
    let script = {
        let renamed = Arc::clone(&renamed);
        move |request: &Recorded, _: usize| match renamed.load(Ordering::SeqCst) {
            true if request.line.ends_with("/task") => Reply::status(200, &TASK.replace("curltest", "renamed")),
            _ => ecs(request),
        }
    };
    let backend = Backend::start(script).await;
    let url = format!("{}/v4/us", backend.url());
    let vars = [("ECS_CONTAINER_METADATA_URI_V4", url.as_str())];
    let clock = Clock::manual(0);
    let (host, _trigger) = host(&clock);
    let detection = detection("{detectors: [ecs], refresh_interval: 60s}", &vars, Path::new(NOWHERE));
    let detected = detection.detected();
    detection.start(&host).await.unwrap();
    assert_eq!(found(&detected)["aws.ecs.task.family"], "curltest");
    renamed.store(true, Ordering::SeqCst);
    until(|| host.board.read().get("processor:resourcedetection").is_some_and(|entry| entry.status == Status::Ok))
        .await;
    clock.advance(Duration::from_secs(60));
    until(|| found(&detected)["aws.ecs.task.family"] == "renamed").await;
}

#[tokio::test]
async fn the_processor_waits_for_nothing_once_it_runs() {
    let vars = [("OTEL_RESOURCE_ATTRIBUTES", "env=prod")];
    let mut processor = ResourceDetection::new(detection("", &vars, Path::new(NOWHERE)), true);
    let clock = Clock::manual(0);
    let tally = Tally::default();
    let run = |processor: &mut ResourceDetection, batch: Batch| {
        let mut out = Vec::new();
        tally.incoming(batch.items());
        processor.process(batch, &mut Work { now: clock.now(), tally: &tally, out: &mut out });
        tally.outgoing(out.iter().map(Batch::items).sum());
        assert_eq!(tally.balance().missing(), 0);
        out
    };
    processor.start(&host(&clock).0).await.unwrap();
    let out = run(&mut processor, Batch::metrics(metrics("up 1")));
    assert_eq!(render(out[0].as_metrics().unwrap()), ["resource{env=\"prod\"}", "up 1"]);
    // A resource that is none: field 1 with a varint that does not end.
    let broken = [0x0a, 8, 0x0a, 2, 0x08, 0x80, 0x12, 2, 0x12, 0];
    let opaque = Opaque::count(Signal::Logs, broken.to_vec().into(), &Limits::default()).unwrap();
    assert_eq!(opaque.items(), 1);
    assert!(run(&mut processor, Batch { header: Header::default(), data: Data::Opaque(opaque) }).is_empty());
    assert_eq!(tally.balance().dropped["malformed"], 1);
}

#[test]
fn what_cannot_be_is_said_at_load() {
    for (yaml, message) in [
        ("detectors: [gcp]", "unknown value `gcp`; expected one of `env`, `system`"),
        ("detectors: []", "detectors: there is nobody to ask"),
        ("timeout: 0s", "timeout: nobody can answer in no time"),
        ("refresh_interval: 1ms", "refresh_interval: must be at least 1s"),
        ("ec2: {tags: [\"(\"]}", "ec2.tags: not a regular expression"),
        ("ec2: {max_attempts: 0}", "ec2.max_attempts: must be between 1 and 10"),
        ("system: {hostname_sources: []}", "system.hostname_sources: expected `dns`"),
        (
            "system: {resource_attributes: {host.ip: {enabled: true}}}",
            "`system` does not detect `host.ip`; expected one of host.arch",
        ),
        ("gcp: {}", "this detector is not here"),
        ("attributes: [host.name]", "switch attributes off where they come from"),
    ] {
        let text = testkit::create::<ResourceDetectionFactory>(yaml).err().unwrap_or_else(|| panic!("{yaml}"));
        assert!(text.contains(message), "{yaml}: {text}");
    }
    let sound = "{detectors: [env, system, ecs, ec2, eks, lambda], override: false, system: {resource_attributes: {host.ip: {enabled: false}}}}";
    assert!(testkit::create::<ResourceDetectionFactory>(sound).is_ok());
}
