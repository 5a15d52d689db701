//! The receiver `exec`: any program as a source. It prints metrics (or OTLP of any signal) on its standard output, once
//! per interval or for as long as it runs; everything around it is done here.
//!
//! ```yaml
//! receivers:
//!   exec/backups:
//!     command: [/opt/checks/backups.sh, --all]
//!     format: prometheus
//!     collection_interval: 60s
//!     timeout: 20s
//!   exec/queue:
//!     command: [python3, /opt/checks/queue.py]
//!     mode: long_running
//!     format: json_lines
//! exporters:
//!   debug: {}
//! service:
//!   pipelines:
//!     metrics: {receivers: [exec/backups, exec/queue], exporters: [debug]}
//! ```
//!
//! **What it prints**, by `format`:
//!
//! * `prometheus`, `openmetrics`: the text formats, by the parser that scrapes use. A document counts whole or not at all.
//!   A long-running program ends each document with a blank line or `# EOF`. Exemplars are left out.
//! * `json_lines`: one object a line, `{"name": "queue_depth", "value": 3}`, with, if wanted, `attributes` (a map of text,
//!   numbers, true and false), `kind` (`gauge`, `counter`, `updown`, `delta`), `unit`, `description`, `time` and `start`
//!   (Unix seconds or RFC 3339). A `value` of `null` says that the series is there and its value is not known now; the
//!   texts `NaN`, `Inf` and `-Inf` are numbers too. A line that does not read is counted and named, the others count.
//! * `otlp_json`: OTLP export requests (`resourceMetrics`, `resourceLogs`, `resourceSpans`), one a line; a program that ends
//!   may also spread them over lines.
//!
//! Points without a time get that of the tick (`otlp_json`: none is added). A run that ends with another exit code than 0,
//! is too slow, or prints too much counts for nothing: the poll failed, the last values are held.
//!
//! **What it gets**: no shell (write `command: [sh, -c, "..."]` for one), no environment but `inherit_env` and `env`,
//! `working_directory`, an empty standard input, a process group of its own. What it writes on standard error is logged, by
//! its prefix `E! `, `W! `, `I! ` or `D! ` as an error, a warning, and so on (a warning without one), at most
//! 20 lines in 10 s and 1,000 bytes a line.
//!
//! **How it ends**: a program that must go (too late, too much, the process stops) gets SIGTERM with its whole group, and
//! SIGKILL `stop_grace` later. When a program has ended, what it left behind in its group is killed. What makes itself a
//! session of its own (`setsid`) leaves the group and is out of reach; in a container, the container's end takes it too.
//! `limits` are set by `prlimit(2)` right after the start, so what the program does in its first instant is not bounded.
//!
//! **Counted**: `exec_failures` by reason, `exec_lines_rejected`, `exec_restarts`.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | the keys and their checks |
//! | `process`, `group`, `stderr` | a running program: started, read, ended; what it says on standard error |
//! | `format` | what it prints, read |
//! | `once`, `long` | the two modes |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod format;
mod framing;
mod group;
mod long;
mod once;
mod process;
mod report;
mod stderr;
#[cfg(test)]
mod tests;

use steadyline_component::factory::{Component, Source};
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Spec, Stability};

pub use config::{Config, Format, Mode};

/// The factory.
pub const FACTORY: Factory = Factory::source::<ExecFactory>();

/// Makes `exec` receivers.
#[derive(Debug)]
pub struct ExecFactory;

impl Component for ExecFactory {
    type Config = Config;
    type Made = Source;
    const SPEC: Spec = Spec {
        name: "exec",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Runs a program, once per interval or all the time, and reads what it prints.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Source> {
        config.check(context)?;
        Some(match config.mode {
            Mode::Interval => Source::Polled(once::polling(config, context)),
            Mode::LongRunning => Source::Running(Box::new(long::LongRunning::new(config, context))),
        })
    }
}
