//! The process's own logs, on standard error: for people on a terminal, JSON otherwise.
//! Lines that repeat are thinned out, as config says.

mod line;
mod sampling;

use std::io::IsTerminal;

use steadyline_engine::config::{LogEncoding, LogLevel, LogsConfig};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use line::{ConsoleLine, JsonLine};
use sampling::Sampling;

/// Sets the level while the process runs.
pub(crate) struct LogLevels(reload::Handle<EnvFilter, Registry>);

impl LogLevels {
    /// From now on lines of this level and above are written; unless `RUST_LOG` says which.
    pub(crate) fn set(&self, level: LogLevel) {
        // Fails only if the subscriber is gone, and with it the log.
        let _ = self.0.reload(filter(level));
    }
}

/// `RUST_LOG` overrides the configured level for whoever looks for a fault.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // The libraries below speak of every connection at debug and of things already reported here at info.
    let directives = format!(
        "{level},hyper=warn,h2=warn,rustls=warn,aws_config=warn,aws_smithy_runtime=warn,dynoxide=warn,tower=warn"
    );
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives))
}

/// Starts logging. `None` if somebody else has, who keeps it.
pub(crate) fn start(config: &LogsConfig) -> Option<LogLevels> {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let terminal = std::io::stderr().is_terminal();
    let json = match config.encoding {
        LogEncoding::Auto => !terminal,
        LogEncoding::Console => false,
        LogEncoding::Json => true,
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let sampling = config.sampling.enabled.then(|| Sampling::new(&config.sampling));
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let fields = config.initial_fields.clone();
    let lines = match json {
        true => lines.event_format(JsonLine::new(fields)).boxed(),
        false => lines.event_format(ConsoleLine::new(fields, colour)).boxed(),
    };
    // A second start in one process (tests) keeps the first.
    tracing_subscriber::registry().with(filter).with(sampling).with(lines).try_init().ok().map(|()| LogLevels(handle))
}
