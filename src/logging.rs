//! The process's own logs, on standard error: for people on a terminal, JSON otherwise.

use std::io::IsTerminal;

use steadyline_engine::config::{LogEncoding, LogLevel, LogsConfig};
use tracing_subscriber::EnvFilter;

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
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process (tests) keeps the first.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        builder.with_ansi(colour).try_init()
    };
}
