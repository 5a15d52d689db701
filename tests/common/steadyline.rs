//! The built binary: run with a config from a temporary file, in an environment of its own.

use std::process::{Command, ExitStatus};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::books::Books;
use super::exposition::{Sample, parse};
use super::process::{Process, output};
use super::wait::until;
use super::{http, tools};

/// How the binary is to be started.
pub struct Launch {
    folder: TempDir,
    args: Vec<String>,
    env: Vec<(String, String)>,
    under: Vec<String>,
}

impl Launch {
    /// With a config.
    pub fn new(config: &str) -> Launch {
        let launch = Launch::bare();
        let path = launch.folder.path().join("config.yaml");
        std::fs::write(&path, config).expect("the temporary folder takes a file");
        launch.arg("--config").arg(path.to_str().expect("a path in UTF-8"))
    }

    /// With the config that is shipped.
    pub fn shipped() -> Launch {
        Launch::bare().arg("--config").arg("pipeline.yaml")
    }

    /// Without any config.
    pub fn bare() -> Launch {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Launch { folder, args: Vec::new(), env: Vec::new(), under: Vec::new() }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Launch {
        self.args.push(arg.into());
        self
    }

    /// A value put over the config.
    #[must_use]
    pub fn set(self, path: &str, value: &str) -> Launch {
        self.arg("--set").arg(&format!("{path}={value}"))
    }

    /// A variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Started by another program, which gets the binary and its arguments behind its own and becomes it.
    #[must_use]
    pub fn under(mut self, program: &[&str]) -> Launch {
        self.under = program.iter().map(|word| (*word).into()).collect();
        self
    }

    /// Fixed AWS credentials, as for an emulator.
    #[must_use]
    pub fn with_keys(self) -> Launch {
        self.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret-example")
            .env("AWS_REGION", "us-east-1")
    }

    /// A clock that starts `seconds_ago` and runs `factor` times as fast.
    #[must_use]
    pub fn clock(self, seconds_ago: u64, factor: f64) -> Launch {
        let start = unix_seconds() - seconds_ago as f64;
        self.env("STEADYLINE_CLOCK", &format!("start={start:.3},factor={factor}"))
    }

    fn command(&self, subcommand: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_steadyline").to_string();
        let mut words = self.under.iter().chain([&binary]);
        let mut command = Command::new(words.next().expect("there is the binary"));
        command.args(words);
        // Nothing of the machine's own AWS config, proxies or clock.
        command.env_clear().current_dir(tools::root()).args(subcommand).args(&self.args);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts `run`; its own metrics are served on a free port. Does not wait for anything.
    pub fn spawn(self) -> Steadyline {
        self.spawn_as(&["run"])
    }

    /// Starts it as the Collector is started: with `--config` and no command.
    pub fn spawn_like_the_collector(self) -> Steadyline {
        self.spawn_as(&[])
    }

    fn spawn_as(self, subcommand: &[&str]) -> Steadyline {
        let readers = "[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]";
        let launch = self.set("service.telemetry.metrics.readers", readers);
        let mut command = launch.command(subcommand);
        Steadyline { process: Process::start("steadyline", &mut command), metrics: None, _folder: launch.folder }
    }

    /// Starts `run` and waits until it says that everything is ready.
    pub async fn run(self) -> Steadyline {
        let mut running = self.spawn();
        running.process.wait_line("that it is ready", |line| line.contains("everything is ready").then_some(())).await;
        running
    }

    /// Starts a command that runs on; its process and nothing else.
    pub fn start(self, subcommand: &str) -> Process {
        let mut process = Process::start(subcommand, &mut self.command(&[subcommand]));
        process.keep(self.folder);
        process
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub async fn output(&self, subcommand: &[&str]) -> (i32, String, String) {
        output(&mut self.command(subcommand), None).await
    }
}

/// The binary while it runs.
pub struct Steadyline {
    /// Its process.
    pub process: Process,
    metrics: Option<String>,
    _folder: TempDir,
}

impl Steadyline {
    /// Its log so far.
    pub fn log(&self) -> Vec<Value> {
        self.process.stderr().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The lines of its log whose message contains `text`.
    pub fn logged(&self, text: &str) -> Vec<Value> {
        let says = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains(text));
        self.log().into_iter().filter(says).collect()
    }

    /// Waits for a line of the log whose message contains `text`.
    pub async fn wait_log(&mut self, text: &str) -> Value {
        let parse = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["message"].as_str()?.contains(text).then_some(line)
        };
        self.process.wait_line(&format!("`{text}`"), parse).await
    }

    /// Its own metrics.
    pub async fn own_metrics(&mut self) -> Vec<Sample> {
        if self.metrics.is_none() {
            let line = self.wait_log("own metrics are served").await;
            self.metrics = Some(format!("http://{}/metrics", line["address"].as_str().expect("an address")));
        }
        let url = self.metrics.clone().expect("it was just set");
        let answer = until("the process's own metrics", async || http::get(&url).await).await;
        parse(&answer.text())
    }

    /// The sum of its own metric over the series that have the label.
    pub async fn own(&mut self, name: &str, label: (&str, &str)) -> f64 {
        let samples = self.own_metrics().await;
        samples.iter().filter(|one| one.name == name && one.label(label.0) == label.1).map(|one| one.value).sum()
    }

    /// Its books now; they may be in motion.
    pub async fn books(&mut self) -> Books {
        Books::read(&self.own_metrics().await)
    }

    /// Waits until nothing is missing in any account, which it is not for long while data moves.
    pub async fn balanced_books(&mut self) -> Books {
        let mut last = Books::default();
        let balanced = until("books that balance", async || {
            last = self.books().await;
            last.balance().then(|| last.clone())
        });
        balanced.await
    }

    /// Asks it to stop and waits until it did: its exit status, and the line with what became of everything.
    pub async fn stop(&mut self, signal: Signal) -> (ExitStatus, Value) {
        self.process.signal(signal);
        let status = self.process.exit().await;
        let last = self.logged("stopped").pop().unwrap_or_default();
        (status, last)
    }

    /// The end of every end-to-end test: nothing is missing in the books, SIGTERM ends it with 0, nothing panicked.
    pub async fn finish(&mut self) -> Books {
        let books = self.balanced_books().await;
        let (status, last) = self.stop(Signal::TERM).await;
        assert!(status.success(), "{status}");
        assert!(last["delivered"].is_u64(), "it says what became of everything: {last}");
        let words = self.process.stderr().join("\n");
        assert!(!words.contains("panicked"), "{words}");
        books
    }
}

/// Seconds since the epoch.
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}
