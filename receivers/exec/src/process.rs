//! A running program: started with nothing but what it was given, read within bounds, ended as a group.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use steadyline_component::{CreateContext, PollError};
use steadyline_config::Secret;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::config::{Config, Limits};
use crate::group::Group;
use crate::report::{IO, NOT_STARTED, TOO_LARGE};
use crate::stderr::StderrLog;

/// How to start a program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    command: Vec<String>,
    env: Vec<(String, Secret)>,
    inherit_env: Vec<String>,
    directory: Option<PathBuf>,
    limits: Limits,
    stderr: StderrLog,
    /// From SIGTERM to SIGKILL.
    pub(crate) grace: Duration,
}

/// A program that was started. Its group is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Group,
    stderr: JoinHandle<()>,
}

/// What joins us with it.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdout: ChildStdout,
    /// Of a program that is triggered.
    pub(crate) stdin: Option<ChildStdin>,
}

/// What is left in the pipes of a program that has ended is read for so long; somebody who left its group may hold them.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Program {
    pub(crate) fn new(config: &Config, context: &CreateContext<'_>) -> Program {
        Program {
            command: config.command.clone(),
            env: config.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            inherit_env: config.inherit_env.clone(),
            directory: (!config.working_directory.is_empty()).then(|| PathBuf::from(&config.working_directory)),
            limits: config.limits.clone(),
            stderr: StderrLog::new(context.id.as_str(), context.clock),
            grace: config.stop_grace.get(),
        }
    }

    /// The program's name, for messages. Its arguments may be secret.
    pub(crate) fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Starts it; with a standard input if it is `triggered`.
    ///
    /// # Errors
    /// There is no such program, it may not be run, or a limit cannot be set.
    pub(crate) fn start(&self, triggered: bool) -> Result<(Running, Pipes), PollError> {
        let failed = |why: &dyn std::fmt::Display| {
            let place = self.directory.as_ref().map_or(String::new(), |at| format!(" in `{}`", at.display()));
            PollError::new(NOT_STARTED, format!("cannot start `{}`{place}: {why}", self.name()))
        };
        let mut child = self.command(triggered).spawn().map_err(|error| failed(&error))?;
        let group = Group::of(&child);
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(&"it has no pipes"));
        };
        group.limit(&self.limits).map_err(|error| failed(&error))?;
        let stderr = tokio::spawn(self.stderr.clone().follow(stderr));
        let stdin = child.stdin.take();
        Ok((Running { child, group, stderr }, Pipes { stdout, stdin }))
    }

    fn command(&self, triggered: bool) -> Command {
        let mut command = Command::new(self.name());
        command.args(&self.command[1..]).env_clear().process_group(0).kill_on_drop(true);
        let inherited = self.inherit_env.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(inherited).envs(self.env.iter().map(|(name, value)| (name, value.expose())));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(if triggered { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Running {
    /// Waits until the program itself has ended, and kills what it left behind in its group.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.group.kill();
        status
    }

    /// Everything that it prints, at most `most` bytes, and how it ended.
    ///
    /// # Errors
    /// It prints more, or cannot be read.
    pub(crate) async fn output(
        &mut self,
        stdout: &mut ChildStdout,
        most: usize,
    ) -> Result<(Vec<u8>, ExitStatus), PollError> {
        let mut text = Vec::new();
        let status = {
            let mut reading = std::pin::pin!(read_all(stdout, &mut text, most));
            let mut is_read = false;
            loop {
                tokio::select! {
                    read = &mut reading, if !is_read => {
                        read?;
                        is_read = true;
                    }
                    status = self.child.wait() => {
                        self.group.kill();
                        if !is_read && let Ok(read) = tokio::time::timeout(LAST_WORDS, reading).await {
                            read?;
                        }
                        break status.map_err(|error| unreadable(&error))?;
                    }
                }
            }
        };
        // What it said on standard error is in the log before what became of it.
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.stderr).await;
        Ok((text, status))
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace`.
    pub(crate) async fn stop(mut self, grace: Duration) {
        self.group.terminate();
        let _ = tokio::time::timeout(grace, self.child.wait()).await;
        self.group.kill();
        let _ = self.child.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stderr.abort();
    }
}

async fn read_all(stdout: &mut ChildStdout, text: &mut Vec<u8>, most: usize) -> Result<(), PollError> {
    loop {
        if stdout.read_buf(text).await.map_err(|error| unreadable(&error))? == 0 {
            return Ok(());
        }
        if text.len() > most {
            let message = format!("the program printed more than `max_output_bytes` ({most} bytes); it was ended");
            return Err(PollError::new(TOO_LARGE, message));
        }
    }
}

fn unreadable(error: &io::Error) -> PollError {
    PollError::new(IO, format!("the program cannot be read or waited for: {error}"))
}

/// How a program ended, in words.
pub(crate) fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".into(),
    }
}
