//! The keys of the receiver, and what is checked of them at load.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Schedule};
use steadyline_config::{ByteSize, Duration, Secret};

/// What the receiver can be told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The program and its arguments, as a list. No shell reads it; for one write `[sh, -c, "..."]`.
    pub command: Vec<String>,
    /// Whether it runs once per interval or all the time.
    pub mode: Mode,
    /// What it prints on its standard output.
    pub format: Format,
    /// From run to run; with `trigger`, from one line on its standard input to the next.
    pub collection_interval: Duration,
    /// Before the first run or the first trigger.
    pub initial_delay: Duration,
    /// How long one run may take, reading its output included; 0: the interval. For programs that run once.
    pub timeout: Duration,
    /// A line that a long-running program gets on its standard input at every interval (the empty text: a blank line).
    /// Unless given, its standard input is empty.
    pub trigger: Option<String>,
    /// Variables that the program gets. It gets no others but those of `inherit_env`.
    pub env: BTreeMap<String, Secret>,
    /// Variables of this process that the program gets too, where they are set.
    pub inherit_env: Vec<String>,
    /// Where it runs; unless given, where this process runs.
    pub working_directory: String,
    /// Attributes of the resource that its metrics belong to. `otlp_json` brings resources of its own.
    pub resource: BTreeMap<String, String>,
    /// Attributes that identify an entity of the source; see `lastvalue`.
    pub identity: Vec<String>,
    /// A longer line is not read: it is counted and skipped.
    pub max_line_bytes: ByteSize,
    /// A run that prints more fails; so does a longer document of a long-running program.
    pub max_output_bytes: ByteSize,
    /// From SIGTERM to SIGKILL.
    pub stop_grace: Duration,
    /// When a long-running program that has ended is started again.
    pub restart: Restart,
    /// What the program may use, as the system's resource limits; they hold for each of its processes.
    pub limits: Limits,
}

/// Whether a program runs once per interval or all the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is started at every interval, prints, and ends.
    #[default]
    Interval,
    /// It is started once and prints as it likes; started again when it ends.
    LongRunning,
}

/// What a program prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.0, which ends with `# EOF`.
    Openmetrics,
    /// One JSON object a line, with `name` and `value`.
    JsonLines,
    /// OTLP export requests as JSON.
    OtlpJson,
}

/// The waits between the restarts of a long-running program.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Restart {
    /// After its first end. Doubled at every end that follows, until it has run for `max_interval`.
    pub initial_interval: Duration,
    /// The longest wait.
    pub max_interval: Duration,
}

/// Resource limits of the program's processes, set right after its start.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Address space (`RLIMIT_AS`): what asks for more gets an error from the system.
    pub memory: Option<ByteSize>,
    /// Processor time (`RLIMIT_CPU`), in whole seconds: whoever uses more is killed.
    pub cpu_time: Option<Duration>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// The size of a file that it writes (`RLIMIT_FSIZE`).
    pub file_size: Option<ByteSize>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            command: Vec::new(),
            mode: Mode::Interval,
            format: Format::Prometheus,
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
            timeout: Duration::ZERO,
            trigger: None,
            env: BTreeMap::new(),
            inherit_env: ["PATH", "LANG", "LC_ALL", "TZ"].map(str::to_string).to_vec(),
            working_directory: String::new(),
            resource: BTreeMap::new(),
            identity: Vec::new(),
            max_line_bytes: ByteSize::mib(1),
            max_output_bytes: ByteSize::mib(4),
            stop_grace: Duration::from_secs(5),
            restart: Restart::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Restart { initial_interval: Duration::from_secs(1), max_interval: Duration::from_secs(60) }
    }
}

impl Config {
    /// When it runs.
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            interval: self.collection_interval.get(),
            initial_delay: self.initial_delay.get(),
            timeout: self.timeout.get(),
        }
    }

    /// Reports everything that is wrong; `None` if something is.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<()> {
        let mut problems = self.problems();
        if context.signal != Signal::Metrics && self.format != Format::OtlpJson {
            problems.push(("format", "this format has metrics only; print `otlp_json` for logs and traces"));
        }
        for (path, message) in &problems {
            context.error(path, *message);
        }
        let mut is_good = problems.is_empty();
        for name in self.env.keys().chain(&self.inherit_env) {
            if name.is_empty() || name.contains(['=', '\0']) {
                context.error("env", format!("`{name}` cannot be the name of a variable"));
                is_good = false;
            }
        }
        is_good.then_some(())
    }

    fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let limits = &self.limits;
        let is_polled = self.mode == Mode::Interval;
        let has_nul = |text: &str| text.contains('\0');
        let rules = [
            (self.command.first().is_none_or(String::is_empty), "command", "it must name a program"),
            (self.command.iter().any(|word| has_nul(word)), "command", "a word has a NUL character"),
            (self.env.values().any(|value| has_nul(value.expose())), "env", "a value has a NUL character"),
            (self.collection_interval < Duration::from_secs(1), "collection_interval", "expected at least 1s"),
            (is_polled && self.trigger.is_some(), "trigger", "only a program with `mode: long_running` is triggered"),
            (
                self.trigger.as_ref().is_some_and(|line| line.contains('\n')),
                "trigger",
                "expected one line, without its end",
            ),
            (
                !is_polled && !self.timeout.is_zero(),
                "timeout",
                "a program with `mode: long_running` has no end to wait for",
            ),
            (self.timeout > self.collection_interval, "timeout", "expected at most `collection_interval`"),
            (self.max_line_bytes.bytes() == 0, "max_line_bytes", "expected more than 0"),
            (self.max_output_bytes < self.max_line_bytes, "max_output_bytes", "expected at least `max_line_bytes`"),
            (
                self.max_output_bytes > MAX_OUTPUT,
                "max_output_bytes",
                "expected at most 64MiB, the largest request there is",
            ),
            (self.restart.initial_interval.is_zero(), "restart.initial_interval", "expected more than 0"),
            (
                self.restart.max_interval < self.restart.initial_interval,
                "restart.max_interval",
                "expected at least `initial_interval`",
            ),
            (limits.memory.is_some_and(|most| most.bytes() == 0), "limits.memory", "expected more than 0"),
            (
                limits.cpu_time.is_some_and(|most| most < Duration::from_secs(1)),
                "limits.cpu_time",
                "expected at least 1s",
            ),
            (limits.open_files.is_some_and(|most| most < 3), "limits.open_files", "expected at least 3"),
            (
                self.format == Format::OtlpJson && !self.resource.is_empty(),
                "resource",
                "OTLP has resources of its own; use the processor `resource`",
            ),
        ];
        rules.into_iter().filter(|(is_wrong, ..)| *is_wrong).map(|(_, path, message)| (path, message)).collect()
    }
}

/// The decoder of OTLP takes no more.
const MAX_OUTPUT: ByteSize = ByteSize::mib(64);
