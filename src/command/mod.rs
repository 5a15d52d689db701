//! The command line: one file a command. Standard output is data, standard error is messages.
//! Exit codes: 0 done, 1 failed at run time, 78 the config has errors, 2 the command line does not read.

mod check;
mod components;
mod config;
mod control;
mod health;
mod iam_policy;
#[cfg(feature = "lambda")]
mod lambda;
mod once;
mod plugin;
mod plugin_wasm;
mod print_config;
mod queue;
mod reload;
mod run;
mod schema;
mod validate;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use steadyline_engine::Registry;
use tokio::signal::unix::{SignalKind, signal};

use config::ConfigArgs;

/// Turns the state in a table into steady lines on a chart. A telemetry pipeline, configured like the OpenTelemetry Collector.
#[derive(Debug, Parser)]
#[command(name = "steadyline", version, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done, 1 failed at run time, 2 bad command line, 78 the config has errors.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipelines until SIGTERM or SIGINT. `steadyline --config FILE` alone means this.
    Run(run::Args),
    /// Serve AWS Lambda: batches of an SQS queue, and schedules of EventBridge, each of which polls once.
    #[cfg(feature = "lambda")]
    Lambda(ConfigArgs),
    /// Check a config offline, with the code that `run` uses: all errors at once, each with its place.
    Validate(validate::Args),
    /// Poll once and print the exact samples that would be sent; on standard error, what was skipped or merged and why.
    Once(once::Args),
    /// List what this binary contains.
    Components(components::Args),
    /// Print the config as it is understood: merged, expanded, secrets redacted.
    PrintConfig(print_config::Args),
    /// Print the JSON Schema of the config.
    Schema,
    /// Print the least IAM policy that this config needs.
    IamPolicy(ConfigArgs),
    /// Ask, online: who am I, can I read, would the backends take data.
    Check(check::Args),
    /// Tell a running process to read its config again, and wait for the verdict. SIGHUP does the same without waiting.
    Reload(reload::Args),
    /// Ask a running process whether it is ready; for container health checks.
    Health(health::Args),
    /// Look into the disk queues of exporters, copy out what they hold, or empty them.
    Queue(queue::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Begin a component of your own.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Write the reference pages from the config types.
    #[command(hide = true)]
    Reference {
        /// Writes only the pages of the components of this type.
        #[arg(long)]
        only: Option<String>,
        /// The folder to write to.
        folder: std::path::PathBuf,
    },
}

/// Something went wrong that was already told, or is told by its text.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The config has errors; they were printed. Exit code 78.
    Config,
    /// Anything else. Exit code 1.
    Run(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Run(error.into())
    }
}

/// EX_CONFIG of sysexits.h.
const CONFIG_ERROR: u8 = 78;

/// The whole program: reads the command line, runs the command, says how it went.
pub fn main(registry: Registry) -> ExitCode {
    install_tls_provider();
    let arguments = with_default_command(std::env::args_os().collect());
    let cli =
        Cli::parse_from(with_adot_config(arguments, std::env::var_os(ADOT_CONFIG).is_some_and(|v| !v.is_empty())));
    let registry = registry.with_elsewhere(crate::elsewhere::ELSEWHERE);
    match dispatch(cli.command, &registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config) => ExitCode::from(CONFIG_ERROR),
        Err(Failure::Run(error)) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Run(error)) => {
            message(&format!("steadyline: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, registry: &Registry) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(&args, registry),
        Command::Validate(args) => validate::run(&args, registry),
        Command::Once(args) => once::run(&args, registry),
        Command::Components(args) => components::run(&args, registry),
        Command::PrintConfig(args) => print_config::run(&args, registry),
        Command::Schema => schema::run(registry),
        Command::IamPolicy(args) => iam_policy::run(&args, registry),
        Command::Check(args) => check::run(&args, registry),
        Command::Reload(args) => reload::run(&args),
        Command::Health(args) => health::run(&args),
        #[cfg(feature = "lambda")]
        Command::Lambda(args) => lambda::run(args, registry),
        Command::Queue(args) => queue::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "steadyline", &mut script);
            data(&String::from_utf8_lossy(&script))
        }
        Command::Plugin(command) => plugin::run(&command),
        Command::Reference { folder, only: None } => Ok(crate::reference::write(registry, &folder)?),
        Command::Reference { folder, only: Some(name) } => {
            match crate::reference::write_only(registry, &name, &folder)? {
                0 => Err(anyhow::anyhow!("this binary has no component of the type `{name}`").into()),
                _ => Ok(()),
            }
        }
    }
}

/// `steadyline --config FILE` means `steadyline run --config FILE`, as with the Collector.
fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    let ours = ["--help", "-h", "--version", "-V"];
    if first.starts_with('-') && !ours.contains(&first) {
        args.insert(1, "run".into());
    }
    args
}

/// The variable with which ECS tasks give the AWS distribution of the Collector its whole config.
const ADOT_CONFIG: &str = "AOT_CONFIG_CONTENT";

/// Task definitions leave the image's `--config` as it is and set the variable: as there, it goes before the flag.
fn with_adot_config(mut args: Vec<OsString>, is_set: bool) -> Vec<OsString> {
    let runs = args.len() <= 1 || args.get(1).is_some_and(|arg| arg == "run");
    if !(is_set && runs) {
        return args;
    }
    let mut kept: Vec<OsString> = args.drain(..args.len().min(1)).collect();
    kept.push("run".into());
    let mut rest = args.into_iter().skip_while(|arg| arg == "run");
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy();
        if text == "--config" {
            rest.next();
        } else if !text.starts_with("--config=") {
            kept.push(arg);
        }
    }
    kept.push(format!("--config=env:{ADOT_CONFIG}").into());
    message(&format!("steadyline: the config is that of {ADOT_CONFIG}; no --config is read"));
    kept
}

fn install_tls_provider() {
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Writes to standard output.
fn data(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to standard error; if that is gone there is nobody to tell.
fn message(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A runtime for commands that do I/O.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let inside = runtime.enter();
    // A file that may not grow any more (`ulimit -f`) is an error of whoever writes, not the end of the process. The
    // handler stays, and whatever the process starts does not inherit it.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    drop(inside);
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(args: &[&str], is_set: bool) -> Vec<String> {
        let args = with_default_command(args.iter().map(OsString::from).collect());
        with_adot_config(args, is_set).into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn a_config_flag_alone_means_run() {
        assert_eq!(rewritten(&["x", "--config=a.yaml"], false), ["x", "run", "--config=a.yaml"]);
        assert_eq!(rewritten(&["x", "--version"], false), ["x", "--version"]);
        assert_eq!(rewritten(&["x", "validate", "--config", "a"], true), ["x", "validate", "--config", "a"]);
    }

    #[test]
    fn the_variable_of_ecs_task_definitions_goes_before_the_flag() {
        let expected = ["x", "run", "--set=a=b", "--config=env:AOT_CONFIG_CONTENT"];
        assert_eq!(rewritten(&["x", "--config=/etc/otel-config.yaml", "--set=a=b"], true), expected);
        assert_eq!(rewritten(&["x", "run", "--config", "a.yaml", "--set=a=b"], true), expected);
        assert_eq!(rewritten(&["x"], true), ["x", "run", "--config=env:AOT_CONFIG_CONTENT"]);
    }
}
