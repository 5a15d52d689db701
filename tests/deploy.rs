//! What is in `deploy/`: every file parses, is what its program's schema asks for, and refers to what is there; every
//! config in it loads with exactly the variables that its manifest sets; a sidecar loses nothing when its task stops.
//! Needs what `tests/setup.sh` installs; `tests/run.sh` does both.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "common"]
mod common {
    pub mod books;
    pub mod exposition;
    pub mod http;
    pub mod process;
    pub mod server;
    pub mod steadyline;
    pub mod tools;
    pub mod wait;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use common::server::{Reply, Server};
use common::steadyline::Launch;
use common::tools::{python, root, script, tool};
use common::wait::free_port;
use common::{http, process};
use serde_json::Value;

fn path(file: &str) -> PathBuf {
    root().join("deploy").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// JSON is YAML as well.
fn parsed(file: &str) -> Value {
    serde_yaml::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// The entry of this name.
fn named<'a>(entries: &'a Value, name: &str) -> &'a Value {
    list(entries).iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

async fn lint(kind: &str, file: &str) {
    let mut command = Command::new(python());
    let (code, out, err) = process::output(command.arg(script("lint_deploy.py")).arg(kind).arg(path(file)), None).await;
    assert_eq!(code, 0, "{file}: {out}{err}");
}

async fn validates(launch: Launch, what: &str) {
    let (code, _, words) = launch.output(&["validate"]).await;
    assert_eq!((code, words.as_str()), (0, ""), "{what}");
}

/// The duration of a config's `service.shutdown_timeout`, in seconds.
fn shutdown_timeout(config: &Value) -> u64 {
    let given = config["service"]["shutdown_timeout"].as_str().unwrap_or("25s");
    given.strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn every_file_parses_and_says_what_it_is_for() {
    let mut folders = vec![root().join("deploy")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => drop(serde_json::from_str::<Value>(&text).unwrap()),
                Some("yaml" | "yml") => {
                    assert!(text.starts_with("# "), "{}", path.display());
                    drop(serde_yaml::from_str::<Value>(&text).unwrap());
                }
                _ => assert!(text.starts_with('#'), "{}", path.display()),
            }
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
}

#[tokio::test]
async fn the_config_of_the_image_loads() {
    let launch = Launch::bare().arg("--config").arg("deploy/config.yaml");
    validates(launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example.com:4318"), "deploy/config.yaml").await;
}

#[tokio::test]
async fn the_task_definition_is_one_and_sets_what_its_config_needs() {
    lint("ecs", "ecs/task-definition.json").await;
    lint("iam", "ecs/task-role-policy.json").await;
    lint("iam", "ecs/execution-role-policy.json").await;
    let definition = parsed("ecs/task-definition.json");
    let sidecar = named(&definition["containerDefinitions"], "steadyline");
    let secret = named(&sidecar["secrets"], "AOT_CONFIG_CONTENT");
    let reading = &parsed("ecs/execution-role-policy.json")["Statement"][0]["Resource"];
    assert_eq!(&secret["valueFrom"], reading, "the execution role may read the config");
    let config = text("ecs/config.yaml");
    assert!(config.len() <= 4096, "{} bytes: more than a standard parameter of SSM holds", config.len());
    let health: Vec<&str> = list(&sidecar["healthCheck"]["command"]).iter().map(word).collect();
    assert_eq!(health, ["CMD", "/usr/local/bin/steadyline", "health"]);
    assert!(sidecar["stopTimeout"].as_u64().unwrap() > shutdown_timeout(&parsed("ecs/config.yaml")));
    let app = named(&definition["containerDefinitions"], "app");
    assert_eq!(
        app["dependsOn"][0]["condition"], "HEALTHY",
        "the application starts after the sidecar and stops before"
    );

    let launch = |more: &[(&str, &str)]| {
        let mut launch =
            Launch::bare().arg("--config").arg("env:AOT_CONFIG_CONTENT").env("AOT_CONFIG_CONTENT", &config);
        for variable in list(&sidecar["environment"]) {
            launch = launch.env(word(&variable["name"]), word(&variable["value"]));
        }
        // Fargate sets it.
        launch = launch.env("AWS_REGION", "eu-west-1");
        more.iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    };
    validates(launch(&[]), "ecs/config.yaml").await;
    let backend = [("FORWARD_ENABLED", "true"), ("OTLP_ENDPOINT", "https://otlp.example.com"), ("OTLP_TOKEN", "token")];
    validates(launch(&backend), "ecs/config.yaml, with a backend for traces and logs").await;
    let elsewhere = [("AMP_WRITER_ROLE_ARN", "arn:aws:iam::222222222222:role/amp-writer")];
    validates(launch(&elsewhere), "ecs/config.yaml, with a role").await;
}

#[tokio::test]
async fn the_manifests_of_kubernetes_are_sound_and_set_what_their_config_needs() {
    lint("kubernetes", "kubernetes/deployment.yaml").await;
    lint("kubernetes", "kubernetes/serviceaccount.yaml").await;
    let kustomization = parsed("kubernetes/kustomization.yaml");
    let generated = &kustomization["configMapGenerator"][0];
    for file in list(&kustomization["resources"]).iter().chain(list(&generated["files"])) {
        assert!(path("kubernetes").join(word(file)).exists(), "{file}");
    }
    let pod = parsed("kubernetes/deployment.yaml")["spec"]["template"]["spec"].clone();
    let account = parsed("kubernetes/serviceaccount.yaml");
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    assert!(word(&account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]).starts_with("arn:aws:iam::"));
    let sidecar = named(&pod["initContainers"], "steadyline");
    assert_eq!(sidecar["restartPolicy"], "Always", "else it is no sidecar");
    assert_eq!(named(&pod["volumes"], "steadyline")["configMap"]["name"], generated["name"]);
    assert_eq!(sidecar["args"][0], "--config=/etc/steadyline/config.yaml");
    assert_eq!(sidecar["volumeMounts"][0]["mountPath"], "/etc/steadyline");
    assert_eq!(sidecar["livenessProbe"]["httpGet"]["path"], "/live");
    let config = parsed("kubernetes/config.yaml");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > shutdown_timeout(&config));
    let health = named(&sidecar["ports"], "health")["containerPort"].as_u64().unwrap();
    assert_eq!(config["extensions"]["health_check"]["endpoint"], format!("0.0.0.0:{health}"));

    let mut launch = Launch::bare().arg("--config").arg("deploy/kubernetes/config.yaml");
    for variable in list(&sidecar["env"]) {
        launch = launch.env(word(&variable["name"]), variable["value"].as_str().unwrap_or("placeholder"));
    }
    validates(launch, "kubernetes/config.yaml").await;
}

/// `${NAME:-default}` as Compose fills it in where nothing is set.
fn unset(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.into() };
    let (inside, after) = rest.split_once('}').unwrap();
    let default = inside.split_once(":-").map_or("", |(_, default)| default);
    format!("{before}{default}{}", unset(after))
}

#[tokio::test]
async fn the_compose_file_is_sound_and_its_config_loads() {
    lint("compose", "compose/compose.yaml").await;
    let compose = parsed("compose/compose.yaml");
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        let image = word(&service["image"]);
        assert!(service["build"].is_object() || image.contains(':'), "{name}: {image} is of no version");
        for volume in list(&service["volumes"]) {
            let source = word(volume).split(':').next().unwrap();
            let exists = if source.starts_with('.') {
                path("compose").join(source).exists()
            } else {
                compose["volumes"].as_object().unwrap().contains_key(source)
            };
            assert!(exists, "{name}: there is no {source}");
        }
        for port in list(&service["ports"]) {
            assert!(word(port).starts_with("127.0.0.1:"), "{name}: {port} is open to everybody");
        }
    }
    let build = &services["steadyline"]["build"];
    assert!(path("compose").join(word(&build["context"])).join(word(&build["dockerfile"])).exists());

    let environment = services["steadyline"]["environment"].as_object().unwrap();
    for scraped in ["false", "true"] {
        let mut launch = Launch::shipped().arg("--config").arg("deploy/compose/config.yaml");
        for (name, value) in environment.iter().filter(|(name, _)| *name != "SCRAPE_ENABLED") {
            launch = launch.env(name, &unset(word(value)));
        }
        validates(launch.env("SCRAPE_ENABLED", scraped), "compose/config.yaml").await;
    }
}

#[tokio::test]
async fn prometheus_and_grafana_find_rules_and_dashboards() {
    let mut promtool = Command::new(tool("bin/promtool"));
    let config = path("compose/prometheus.yml");
    let (code, out, err) = process::output(promtool.args(["check", "config", "--syntax-only"]).arg(config), None).await;
    assert_eq!(code, 0, "{out}{err}");
    let compose = parsed("compose/compose.yaml");
    let mounted = |service: &str, target: &str| {
        let volumes = list(&compose["services"][service]["volumes"]).iter().map(word);
        let found = volumes.map(|volume| volume.split(':').collect::<Vec<_>>()).find(|parts| parts[1] == target);
        root().join("deploy/compose").join(found.unwrap_or_else(|| panic!("{service}: nothing at {target}"))[0])
    };
    let files = |folder: PathBuf, ending: &str| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().ends_with(ending)).count()
    };
    let rules = parsed("compose/prometheus.yml")["rule_files"][0].clone();
    let (folder, pattern) = word(&rules).rsplit_once('/').unwrap();
    assert!(files(mounted("prometheus", folder), pattern.strip_prefix('*').unwrap()) > 0);

    let sources = parsed("compose/grafana/datasources.yaml");
    let source = &sources["datasources"][0];
    assert_eq!((source["type"].as_str(), source["isDefault"].as_bool()), (Some("prometheus"), Some(true)));
    let host = word(&source["url"]).strip_prefix("http://").unwrap().split(':').next().unwrap();
    assert!(compose["services"].as_object().unwrap().contains_key(host), "{host}");
    let providers = parsed("compose/grafana/dashboards.yaml");
    let folder = word(&providers["providers"][0]["options"]["path"]).to_owned();
    let dashboards = mounted("grafana", &folder);
    assert!(files(dashboards.clone(), ".json") > 4);
    let home = word(&compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]);
    assert!(dashboards.join(Path::new(home).file_name().unwrap()).exists());
    mounted("grafana", "/etc/grafana/provisioning/datasources/steadyline.yaml").metadata().unwrap();
    mounted("grafana", "/etc/grafana/provisioning/dashboards/steadyline.yaml").metadata().unwrap();
}

/// An instruction of a Dockerfile and what follows it, lines joined and comments left out.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let lines = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.fold(String::new(), |text, line| match line.trim_end().strip_suffix('\\') {
        Some(line) => text + line,
        None => text + line + "\n",
    });
    let filled = joined.lines().filter(|line| !line.trim().is_empty());
    filled
        .map(|line| line.trim().split_once(' ').map(|(name, rest)| (name.into(), rest.trim().into())).unwrap())
        .collect()
}

#[tokio::test]
async fn the_functions_image_is_sound_and_its_config_loads() {
    let mut hadolint = Command::new(tool("python/bin/hadolint"));
    let (code, out, err) = process::output(hadolint.arg(path("lambda/Dockerfile")), None).await;
    assert_eq!(code, 0, "{out}{err}");
    let dockerfile = instructions(&text("lambda/Dockerfile"));
    let rest = |wanted: &str| dockerfile.iter().find(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str());
    let form = |text: &str| -> Vec<String> { serde_json::from_str(text).unwrap() };
    // The base is the other image, of both architectures, whose binary and place of the config these are.
    assert_eq!((dockerfile[0].0.as_str(), dockerfile[1].1.as_str()), ("ARG", "${IMAGE}"));
    let base = instructions(&text("Dockerfile"));
    let copied = |to: &str| base.iter().any(|(name, rest)| name == "COPY" && rest.ends_with(to));
    assert_eq!(form(rest("ENTRYPOINT").unwrap()), ["/usr/local/bin/steadyline", "lambda"]);
    assert_eq!(form(rest("CMD").unwrap()), ["--config=/etc/steadyline/config.yaml"]);
    assert_eq!(rest("COPY").unwrap(), "config.yaml /etc/steadyline/config.yaml");
    assert!(copied("/usr/local/bin/steadyline") && copied("/etc/steadyline/config.yaml"));
    let launch = Launch::new(&text("lambda/config.yaml"))
        .env("EVENTS_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/111111111111/events")
        .env("ONBOARDING_TABLE", "onboarding")
        .env("OTLP_ENDPOINT", "https://otlp.example.com");
    let (code, _, words) = launch.output(&["validate"]).await;
    assert_eq!((code, words.as_str()), (0, ""));
}

#[tokio::test]
async fn the_dockerfile_is_sound_and_refers_to_what_is_there() {
    let mut hadolint = Command::new(tool("python/bin/hadolint"));
    let (code, out, err) = process::output(hadolint.arg(path("Dockerfile")), None).await;
    assert_eq!(code, 0, "{out}{err}");
    let known =
        ["FROM", "ARG", "WORKDIR", "RUN", "ENV", "COPY", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"];
    let dockerfile = instructions(&text("Dockerfile"));
    let rest = |wanted: &str| -> Vec<&str> {
        dockerfile.iter().filter(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str()).collect()
    };
    assert_eq!(dockerfile[0].0, "FROM");
    for (name, rest) in &dockerfile {
        assert!(known.contains(&name.as_str()) && !rest.is_empty(), "{name} {rest}");
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(
        rest("FROM")[0].contains(&format!(" rust:{version}-")),
        "the toolchain is not that of Cargo.toml: {version}"
    );
    assert!(rest("FROM")[1].ends_with("distroless/cc-debian12:nonroot"));
    assert!(rest("ARG").contains(&"TARGETARCH"), "both architectures");
    for architecture in ["amd64)", "arm64)"] {
        assert!(rest("RUN")[0].contains(architecture), "{architecture}");
    }

    // The binary goes where the rest looks for it; the image is healthy if the binary says so.
    assert!(rest("COPY").contains(&"--from=build /out/steadyline /usr/local/bin/steadyline"));
    assert!(rest("RUN")[1].contains("/out/steadyline") && rest("FROM")[0].ends_with(" AS build"));
    let form = |text: &str| -> Vec<String> { serde_json::from_str(text).unwrap() };
    assert_eq!(form(rest("ENTRYPOINT")[0]), ["/usr/local/bin/steadyline"]);
    let (_, health) = rest("HEALTHCHECK")[0].split_once("CMD ").unwrap();
    assert_eq!(form(health), ["/usr/local/bin/steadyline", "health"]);
    let config = form(rest("CMD")[0])[0].strip_prefix("--config=").unwrap().to_owned();
    assert!(rest("COPY").contains(&format!("deploy/config.yaml {config}").as_str()));
}

/// What the workspace is made of goes to the builder, what its sources include as well, and nothing that is not there.
#[test]
fn the_builder_gets_all_that_is_compiled() {
    let ignore = text("Dockerfile.dockerignore");
    let sent: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &sent {
        assert!(root().join(path).exists(), "{path}");
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() > 20);
    let is_sent = |path: &Path| path.ancestors().any(|part| sent.contains(part.to_str().unwrap()));
    for path in members.iter().copied().chain(["Cargo.toml", "Cargo.lock", "src", "deploy/config.yaml"]) {
        assert!(is_sent(Path::new(path)), "{path} is not sent to the builder");
    }
    let mut seen = 0;
    for member in members.into_iter().chain([""]) {
        for (file, included) in included(&root().join(member).join("src")) {
            let path = file.parent().unwrap().join(included).canonicalize().unwrap();
            let path = path.strip_prefix(root()).unwrap();
            assert!(is_sent(path), "{} includes {}, which is not sent", file.display(), path.display());
            seen += 1;
        }
    }
    assert!(seen > 0);
}

/// What the sources below a folder include as text, each with the file that does.
fn included(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(included(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("include_str!(\"").skip(1).filter_map(|rest| rest.split_once('"'));
            found.extend(names.map(|(name, _)| (path.clone(), name.to_owned())));
        }
    }
    found
}

#[tokio::test]
async fn the_unit_reads_and_checks_the_config_before_it_starts() {
    let unit = text("systemd/steadyline.service");
    let mut section = "";
    let mut entries: Vec<(&str, &str, &str)> = Vec::new();
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("neither key nor section: {line}"));
                entries.push((section, key, value));
            }
        }
    }
    let value = |section: &str, key: &str| {
        entries.iter().find(|entry| (entry.0, entry.1) == (section, key)).unwrap_or_else(|| panic!("no {key}")).2
    };
    assert!(value("Service", "ExecStartPre").starts_with("/usr/local/bin/steadyline validate "));
    assert!(value("Service", "ExecStart").starts_with("/usr/local/bin/steadyline --config="));
    assert!(value("Service", "RestartPreventExitStatus").split(' ').any(|code| code == "78"));
    assert_eq!(value("Install", "WantedBy"), "multi-user.target");

    // Where systemd is (250 or later), it says whether it would take the unit, and how much is left open.
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else { return };
    let version = String::from_utf8(version.stdout).unwrap();
    if version.split(' ').nth(1).and_then(|number| number.parse().ok()).is_none_or(|number: u32| number < 250) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("steadyline.service");
    std::fs::write(&copy, unit.replace("/usr/local/bin/steadyline", env!("CARGO_BIN_EXE_steadyline"))).unwrap();
    let (code, out, err) = process::output(Command::new("systemd-analyze").arg("verify").arg(&copy), None).await;
    assert!(code == 0 && !err.contains("steadyline.service:"), "{out}{err}");
    let mut security = Command::new("systemd-analyze");
    let security = security.args(["security", "--no-pager", "--offline=true", "--threshold=20"]).arg(&copy);
    let (code, out, err) = process::output(security, None).await;
    assert_eq!(code, 0, "{out}{err}");
}

/// As in a task that ECS stops: the config is in the variable, a span lies in a batch that would wait for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_delivers_what_it_holds_when_its_task_stops() {
    let arrived: Arc<Mutex<Vec<Value>>> = Arc::default();
    let taken = Arc::clone(&arrived);
    let backend = Server::start(move |request| {
        taken.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        async { Reply::status(200, "{}").with("content-type", "application/json") }
    })
    .await;
    let port = free_port();
    let config = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
         processors: {{batch: {{timeout: 1h}}}}\n\
         exporters: {{otlphttp: {{endpoint: '{}', encoding: json, compression: none}}}}\n\
         service: {{pipelines: {{traces: {{receivers: [otlp], processors: [batch], exporters: [otlphttp]}}}}}}\n",
        backend.url()
    );
    let mut steadyline = Launch::bare().env("AOT_CONFIG_CONTENT", &config).run().await;
    let span = serde_json::json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "parentSpanId": "eee19b7ec3c1b173",
        "traceState": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "flags": 257, "name": "GET /", "kind": 2,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
    });
    let body = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let url = format!("http://127.0.0.1:{port}/v1/traces");
    let answer = http::post(&url, &[("content-type", "application/json")], body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(arrived.lock().unwrap().is_empty(), "it is held");

    let (status, last) = steadyline.stop(rustix::process::Signal::TERM).await;
    assert!(status.success() && last["abandoned"] == 0, "{status}: {last}");
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.len(), 1);
    let delivered = &arrived[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    for key in ["traceId", "spanId", "parentSpanId", "traceState", "flags", "name"] {
        assert_eq!(delivered[key], span[key], "{key}");
    }
}
