//! The keys that receiver and processor share, checked and made into what a plugin runs with.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::{Clock, CreateContext, Kind, Meter, Owner, Storage};
use steadyline_config::{ByteSize, ComponentId, Duration};
use steadyline_http::ConfigProblem;

use crate::http::Grant;

/// What a plugin may use. What goes beyond fails the call, and the plugin is replaced by a new instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of one instance.
    pub memory: ByteSize,
    /// Processor time of one call, as seen by a tick of 1 ms. Waiting for an answer over HTTP costs none.
    pub cpu_time: Duration,
    /// What one call may hand to the host: what it returns, and in one log line, key or request.
    pub output: ByteSize,
    /// All keys and values of its state together.
    pub state: ByteSize,
    /// Instructions of one call, roughly, instead of time: the same on every machine, and slower. Unless given, they
    /// are not counted.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: ByteSize::mib(128),
            cpu_time: Duration::from_secs(5),
            output: ByteSize::mib(16),
            state: ByteSize::mib(1),
            fuel: None,
        }
    }
}

/// When a plugin is tried again that does not start, or that fails at every call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Restart {
    /// After a start that failed, or the second call in a row. Doubled with every failure that follows.
    pub initial_interval: Duration,
    /// The longest wait.
    pub max_interval: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Restart { initial_interval: Duration::from_secs(1), max_interval: Duration::from_secs(60) }
    }
}

steadyline_http::with_client_keys! {
    /// Requests of the plugin.
    #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct HttpConfig {
        /// The hosts that may be asked: `api.example.com` (at the scheme's own port), `api.example.com:8443`,
        /// `*.example.com`. Empty: none.
        pub allow: Vec<String> = Vec::new(),
        /// How long one request may take.
        pub timeout: Duration = Duration::from_secs(10),
        /// The largest answer.
        pub max_body_bytes: ByteSize = ByteSize::mib(4),
        /// How many requests one call may make.
        pub max_requests: u32 = 100,
    }
}

/// What receiver and processor have alike, beside their own keys by [`Flat`](steadyline_config::Flat): what of a plugin
/// outlives an instance of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// The id of a storage extension that keeps the plugin's keys and values across restarts. Unless given, they end with
    /// the process.
    pub storage: Option<ComponentId>,
    /// When a plugin that fails is tried again.
    pub restart: Restart,
    /// A folder for compiled code, so that a large plugin starts at once the next time. Nobody but this user may write into
    /// it: code is run from it. Made if it is not there. Unless given, the plugin is compiled at every start.
    pub cache_directory: String,
}

/// All that a plugin runs by, as a component's config has it: the shared keys, and those of its own that say the same with
/// other words or other defaults.
#[derive(Debug)]
pub struct Keys<'a> {
    /// `path`.
    pub path: &'a str,
    /// `config`.
    pub config: &'a serde_json::Value,
    /// `limits`.
    pub limits: &'a Limits,
    /// `http`; processors have none.
    pub http: Option<&'a HttpConfig>,
    /// What is shared.
    pub plugin: &'a PluginConfig,
}

/// What a plugin runs with.
pub struct Settings {
    /// The component's id, for logs.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// What the plugin is told at its start: JSON.
    pub config: String,
    /// What it may use.
    pub limits: Limits,
    /// When it is tried again.
    pub restart: Restart,
    /// Where compiled code is kept.
    pub cache_directory: Option<PathBuf>,
    /// Where its state is kept, and as whose.
    pub storage: Option<(Arc<dyn Storage>, Owner)>,
    /// Whom it may ask.
    pub grant: Option<Grant>,
    /// The process's clock.
    pub clock: Clock,
    /// For counters.
    pub meter: Meter,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({}, {})", self.id, self.path.display())
    }
}

impl Keys<'_> {
    /// What the plugin runs with; `None` after having reported everything that is wrong.
    pub fn check(&self, kind: Kind, context: &mut CreateContext<'_>) -> Option<Settings> {
        let problems = self.problems();
        let is_good = problems.is_empty();
        for (path, message) in problems {
            context.error(path, message);
        }
        if !cfg!(feature = "runtime") {
            context.error("", crate::NOT_BUILT);
        }
        let PluginConfig { storage, restart, cache_directory } = self.plugin;
        let storage = match storage {
            Some(id) => Some((context.storage("storage", id)?, context.owner(kind))),
            None => None,
        };
        let grant = match self.http {
            Some(http) => Some(grant(http, context)?),
            None => None,
        };
        is_good.then(|| Settings {
            id: context.id.to_string(),
            path: PathBuf::from(self.path),
            config: self.config.to_string(),
            limits: self.limits.clone(),
            restart: restart.clone(),
            cache_directory: Some(cache_directory).filter(|path| !path.is_empty()).map(PathBuf::from),
            storage,
            grant,
            clock: context.clock.clone(),
            meter: context.meter.clone(),
        })
    }

    fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let Limits { memory, cpu_time, output, state, fuel } = self.limits;
        let PluginConfig { restart: Restart { initial_interval, max_interval }, cache_directory, .. } = self.plugin;
        let relative = !cache_directory.is_empty() && !cache_directory.starts_with('/');
        let rules = [
            (self.path.is_empty(), "path", "it must name the plugin's file, a WebAssembly component"),
            (*memory < ByteSize::kib(64), "limits.memory", "expected at least 64KiB, one page"),
            (*memory > ByteSize::mib(4096), "limits.memory", "expected at most 4GiB, all that an instance can have"),
            (cpu_time.is_zero(), "limits.cpu_time", "expected more than 0"),
            (output.bytes() == 0, "limits.output", "expected more than 0"),
            (*output > MAX_OUTPUT, "limits.output", "expected at most 64MiB, the largest request there is"),
            (*state > ByteSize::mib(64), "limits.state", "expected at most 64MiB: all of it is kept in memory"),
            (*fuel == Some(0), "limits.fuel", "expected more than 0"),
            (initial_interval.is_zero(), "restart.initial_interval", "expected more than 0"),
            (max_interval < initial_interval, "restart.max_interval", "expected at least `initial_interval`"),
            (relative, "cache_directory", "expected an absolute path"),
        ];
        rules.into_iter().filter(|(is_wrong, ..)| *is_wrong).map(|(_, path, message)| (path, message)).collect()
    }
}

/// The decoder of OTLP takes no more.
const MAX_OUTPUT: ByteSize = ByteSize::mib(64);

fn grant(http: &HttpConfig, context: &mut CreateContext<'_>) -> Option<Grant> {
    let auth = match &http.auth {
        Some(auth) => Some(context.authenticator("http.auth.authenticator", &auth.authenticator)?),
        None => None,
    };
    Grant::new(http, auth, context.clock).map_err(|problems| ConfigProblem::report(problems, context)).ok()
}
