//! `reload`: tells a running process to read its config again, and waits for the verdict.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args as ClapArgs;

use super::config::Output;
use super::control::{self, Answer, Request, Verdict};
use super::{Failure, data, message, runtime};

/// Arguments of `reload`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The process, if this user runs several.
    #[arg(long, conflicts_with = "control")]
    pid: Option<u32>,
    /// Its control socket, as given to `run --control`.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// How findings are printed, on standard error.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// How long the verdict may take, in seconds.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = socket(args)?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let request = Request::Reload { output: args.output, colour };
    let limit = Duration::from_secs(args.timeout.max(1));
    let answer = runtime()?.block_on(async { tokio::time::timeout(limit, control::ask(&path, &request)).await });
    let Answer { verdict, message: words, findings } = answer
        .map_err(|_| anyhow!("no verdict within {} s; the process may still be at it", limit.as_secs()))?
        .with_context(|| format!("nothing that could reload answers at {}", path.display()))?;
    if !findings.trim().is_empty() {
        message(findings.trim_end());
    }
    match verdict {
        Verdict::Done => data(&format!("{words}\n")),
        Verdict::Rejected => Err(Failure::Config),
        Verdict::Failed => Err(anyhow!(words).into()),
    }
}

/// Where the process is to be asked.
fn socket(args: &Args) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.control {
        return Ok(path.clone());
    }
    if let Some(pid) = args.pid {
        return Ok(control::socket_of(pid));
    }
    let mut sockets = control::sockets()?;
    match (sockets.pop(), sockets.len()) {
        (None, _) => bail!("no running process of this user was found; name its socket with --control"),
        (Some(one), 0) => Ok(one),
        (Some(last), _) => {
            sockets.push(last);
            let pids: Vec<String> =
                sockets.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
            bail!("this user runs {}: say with --pid which one is meant", pids.join(", "))
        }
    }
}
