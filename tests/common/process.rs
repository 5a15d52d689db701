//! A program that runs beside the test: its lines are kept, it is killed when the test ends, and if the test failed
//! they are shown.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{until, until_true};

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    /// The threads that read; joined after the exit, so that no line is missed.
    readers: Vec<std::thread::JoinHandle<()>>,
    /// What must be there as long as it runs.
    kept: Vec<tempfile::TempDir>,
}

/// What it wrote, by line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn get(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn collect(&self, from: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }
}

impl Process {
    /// Starts it.
    pub fn start(name: &str, command: &mut Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers = vec![
            stdout.collect(child.stdout.take().expect("it is piped")),
            stderr.collect(child.stderr.take().expect("it is piped")),
        ];
        Process { name: name.into(), child, stdout, stderr, readers, kept: Vec::new() }
    }

    /// Keeps a folder as long as it runs.
    pub fn keep(&mut self, folder: tempfile::TempDir) {
        self.kept.push(folder);
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.get()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.get()
    }

    /// Waits for a line, on either side, that `probe` takes.
    pub async fn wait_line<T>(&mut self, what: &str, mut probe: impl FnMut(&str) -> Option<T>) -> T {
        let what = format!("{} to say {what}", self.name);
        until(&what, async || {
            let ended = self.child.try_wait().ok().flatten();
            let found = self.stderr().iter().chain(&self.stdout()).find_map(|line| probe(line));
            assert!(found.is_some() || ended.is_none(), "{} ended with {ended:?} before it said so", self.name);
            found
        })
        .await
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a valid pid")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the child is there");
    }

    /// Waits until it ends by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let status = until(&what, async || self.child.try_wait().expect("it can be waited for")).await;
        let readers = std::mem::take(&mut self.readers);
        until_true("the end of its output", async || readers.iter().all(|reader| reader.is_finished())).await;
        status
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let tail = |lines: Vec<String>| lines.iter().rev().take(60).rev().cloned().collect::<Vec<_>>().join("\n");
            eprintln!("--- {} wrote:\n{}\n{}\n---", self.name, tail(self.stdout()), tail(self.stderr()));
        }
    }
}

/// Runs a program to its end: exit code, standard output, standard error.
pub async fn output(command: &mut Command, input: Option<&[u8]>) -> (i32, String, String) {
    let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new("true")));
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let command = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it can be started");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        use tokio::io::AsyncWriteExt;
        stdin.write_all(input).await.expect("it reads its input");
    }
    let done = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await;
    let output = done.expect("it ends within two minutes").expect("it can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
