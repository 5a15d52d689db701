//! The socket by which a running process is told to reload: one line of JSON each way, in a folder that only its user can
//! enter. Both ends live here.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::config::Output;

/// The most that either side sends.
const MOST: u64 = 4 << 20;
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How many requests may wait.
const WAITING: usize = 16;

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    /// Read the config again and run it.
    Reload {
        /// How findings are to be told.
        output: Output,
        /// Whether with colours.
        colour: bool,
    },
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    /// In one word.
    pub(super) verdict: Verdict,
    /// In a sentence.
    pub(super) message: String,
    /// What was found in the config, as it was to be told.
    pub(super) findings: String,
}

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The new config runs.
    Done,
    /// It has errors.
    Rejected,
    /// Something could not start.
    Failed,
}

/// A request and where its answer goes.
pub(super) type Call = (Request, oneshot::Sender<Answer>);

/// The listening end. Its socket is taken away when it is dropped.
pub(super) struct Control {
    path: PathBuf,
    calls: mpsc::Receiver<Call>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Control {
    /// Listens at `path`, or at the usual place of this process.
    pub(super) fn listen(path: Option<&Path>) -> io::Result<Control> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => own_folder()?.join(format!("{}.sock", std::process::id())),
        };
        clear(&path)?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let (sender, calls) = mpsc::channel(WAITING);
        let accepting = tokio::spawn(accept(listener, sender));
        Ok(Control { path, calls, accepting })
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next request.
    pub(super) async fn call(&mut self) -> Call {
        match self.calls.recv().await {
            Some(call) => call,
            // The other end lives in the task that accepts, which does not end.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.accepting.abort();
        // Somebody may have taken it away, which is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, calls: mpsc::Sender<Call>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let calls = calls.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, calls).await {
                        tracing::debug!("a request at the control socket failed: {error}");
                    }
                });
            }
            Err(error) => {
                tracing::debug!("the control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MOST));
    tokio::time::timeout(ARRIVAL, reader.read_line(&mut line)).await.map_err(io::Error::other)??;
    let request: Request = serde_json::from_str(&line)?;
    let (tell, told) = oneshot::channel();
    calls.send((request, tell)).await.map_err(io::Error::other)?;
    // The process may stop first; the other side sees that nothing comes.
    let answer = told.await.map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks the process that listens at `path`, and waits for its answer.
pub(super) async fn ask(path: &Path, request: &Request) -> io::Result<Answer> {
    let (read, mut write) = UnixStream::connect(path).await?.into_split();
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    let mut line = String::new();
    BufReader::new(read.take(MOST)).read_line(&mut line).await?;
    if line.is_empty() {
        let gone = "the process closed the connection without an answer: it stops, or does not know what was asked";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, gone));
    }
    Ok(serde_json::from_str(&line)?)
}

/// The sockets of this user's processes.
pub(super) fn sockets() -> io::Result<Vec<PathBuf>> {
    let folder = folder();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sockets: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "sock")).collect();
    // Those of processes that were killed stay behind.
    sockets.retain(|path| std::os::unix::net::UnixStream::connect(path).is_ok());
    sockets.sort();
    Ok(sockets)
}

/// The socket of a process of this user.
pub(super) fn socket_of(pid: u32) -> PathBuf {
    folder().join(format!("{pid}.sock"))
}

/// The usual place of this user's sockets.
fn folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let base = runtime.map_or_else(std::env::temp_dir, PathBuf::from);
    base.join(format!("steadyline-{}", rustix::process::getuid().as_raw()))
}

/// The same, made if it was not there. The folder for temporary files is everybody's: what stands there under our name is
/// used only if it is a folder of this user that nobody else can enter.
fn own_folder() -> io::Result<PathBuf> {
    let folder = folder();
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = std::fs::symlink_metadata(&folder)?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::getuid().as_raw() && found.mode() & 0o077 == 0;
    match is_ours {
        true => Ok(folder),
        false => Err(io::Error::other(format!("{} is not a folder of this user alone", folder.display()))),
    }
}

/// Takes away a socket that nobody listens at any more.
fn clear(path: &Path) -> io::Result<()> {
    let is_socket = |found: std::fs::Metadata| found.file_type().is_socket();
    if !std::fs::symlink_metadata(path).is_ok_and(is_socket) {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{} is in use", path.display()))),
        Err(_) => std::fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

    use super::*;

    fn answer() -> Answer {
        Answer { verdict: Verdict::Rejected, message: "no".into(), findings: "x.yaml:1\n".into() }
    }

    #[tokio::test]
    async fn a_request_gets_its_answer_and_nobody_else_can_ask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let mut control = Control::listen(Some(&path)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let taken = Control::listen(Some(&path)).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let serving = async {
            let (Request::Reload { output, colour }, reply) = control.call().await;
            assert!(matches!(output, Output::Json) && colour);
            reply.send(answer()).unwrap();
        };
        let request = Request::Reload { output: Output::Json, colour: true };
        let (asked, ()) = tokio::join!(ask(&path, &request), serving);
        let asked = asked.unwrap();
        assert_eq!((asked.verdict, asked.findings.as_str()), (Verdict::Rejected, "x.yaml:1\n"));
        drop(control);
        assert!(!path.exists(), "the socket is taken away");
    }

    #[tokio::test]
    async fn what_is_no_request_gets_no_answer_and_a_stop_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let mut control = Control::listen(Some(&path)).unwrap();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"reload\": {\"please\": 1}}\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "");
        let request = Request::Reload { output: Output::Text, colour: false };
        let (asked, ()) = tokio::join!(ask(&path, &request), async { drop(control.call().await) });
        assert_eq!(asked.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_process_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Control::listen(Some(&path)).unwrap();
    }
}
