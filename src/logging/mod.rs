//! The process's own logs, on standard error: for people on a terminal, JSON otherwise.
//! Lines that repeat are thinned out, as config says.

mod line;
mod sampling;

use std::io::IsTerminal;

use steadyline_engine::config::{LogEncoding, LogLevel, LogsConfig};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use line::{ConsoleLine, JsonLine};
use sampling::Sampling;

/// Starts logging. `RUST_LOG` overrides the configured level for whoever looks for a fault.
pub(crate) fn start(config: &LogsConfig) {
    let level = match config.level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // The libraries below speak of every connection at debug and of things already reported here at info.
    let directives = format!(
        "{level},hyper=warn,h2=warn,rustls=warn,aws_config=warn,aws_smithy_runtime=warn,dynoxide=warn,tower=warn"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
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
    let _ = tracing_subscriber::registry().with(filter).with(sampling).with(lines).try_init();
}
