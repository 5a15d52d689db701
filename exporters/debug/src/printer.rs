//! The thread that writes. Blocks reach it through a bounded queue; when that is full a block is refused, so that a paused
//! terminal or a full pipe never holds up a pipeline.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use steadyline_component::StartError;
use tokio::sync::oneshot;

use crate::style::{colours_wanted, plain};

/// Hands blocks to the thread.
#[derive(Debug)]
pub(crate) struct Printer {
    blocks: Sender<String>,
    waiting: Arc<AtomicUsize>,
    finished: oneshot::Receiver<()>,
}

/// Somewhere to print to.
pub(crate) struct Output {
    /// `stdout`, `stderr` or the file, for the log.
    pub(crate) name: String,
    /// Whether it shows colours.
    pub(crate) colours: bool,
    /// Where the bytes go.
    pub(crate) writer: Box<dyn Write + Send>,
}

/// Blocks that wait may take so many bytes; a single larger one is taken when nothing else waits.
const MAX_WAITING: usize = 8 << 20;
/// How long the last blocks may take when the process stops.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens the outputs that config names.
///
/// # Errors
/// A file that cannot be opened.
pub(crate) fn open(paths: &[String]) -> Result<Vec<Output>, StartError> {
    let is_coloured = |terminal: bool| terminal && colours_wanted();
    let one = |path: &String| -> Result<Output, StartError> {
        let (colours, writer): (bool, Box<dyn Write + Send>) = match path.as_str() {
            "stdout" => (is_coloured(std::io::stdout().is_terminal()), Box::new(std::io::stdout())),
            "stderr" => (is_coloured(std::io::stderr().is_terminal()), Box::new(std::io::stderr())),
            file => {
                let opened = OpenOptions::new().create(true).append(true).open(file);
                let opened =
                    opened.map_err(|error| StartError(format!("cannot open `{file}` to print to: {error}")))?;
                (false, Box::new(opened))
            }
        };
        Ok(Output { name: path.clone(), colours, writer })
    };
    paths.iter().map(one).collect()
}

impl Printer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(outputs: Vec<Output>) -> Result<Printer, StartError> {
        let (blocks, received) = channel();
        let (finish, finished) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let in_thread = Arc::clone(&waiting);
        let run = move || {
            write_all(outputs, &received, &in_thread);
            // Nobody may be waiting for the end.
            let _ = finish.send(());
        };
        let started = std::thread::Builder::new().name("debug-printer".to_owned()).spawn(run);
        started.map_err(|error| StartError(format!("cannot start a thread to print: {error}")))?;
        Ok(Printer { blocks, waiting, finished })
    }

    /// Hands a block over; false if too much waits already.
    pub(crate) fn print(&self, block: String) -> bool {
        let len = block.len();
        let before = self.waiting.fetch_add(len, Ordering::Relaxed);
        let taken = (before == 0 || before + len <= MAX_WAITING) && self.blocks.send(block).is_ok();
        if !taken {
            self.waiting.fetch_sub(len, Ordering::Relaxed);
        }
        taken
    }

    /// Waits for what was handed over, within bounds.
    pub(crate) async fn finish(self) {
        drop(self.blocks);
        let _ = tokio::time::timeout(PATIENCE, self.finished).await;
    }
}

fn write_all(mut outputs: Vec<Output>, blocks: &Receiver<String>, waiting: &AtomicUsize) {
    for block in blocks {
        outputs.retain_mut(|output| match write(output, &block) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(output = output.name, %error, "nothing more is printed there");
                false
            }
        });
        waiting.fetch_sub(block.len(), Ordering::Relaxed);
    }
}

fn write(output: &mut Output, block: &str) -> std::io::Result<()> {
    let text = if output.colours { block.into() } else { plain(block) };
    output.writer.write_all(text.as_bytes())?;
    output.writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc;

    /// Shows each write to the test, and goes on when it is told to.
    struct Gate(mpsc::Sender<Vec<u8>>, Mutex<mpsc::Receiver<std::io::Result<()>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            self.1.lock().unwrap().recv().unwrap().map(|()| bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn gate(colours: bool) -> (Output, mpsc::Receiver<Vec<u8>>, mpsc::Sender<std::io::Result<()>>) {
        let (shown, seen) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        (Output { name: "gate".into(), colours, writer: Box::new(Gate(shown, Mutex::new(wait))) }, seen, go)
    }

    #[tokio::test]
    async fn an_output_that_does_not_keep_up_costs_blocks_not_time() {
        let (output, seen, go) = gate(false);
        let printer = Printer::start(vec![output]).unwrap();
        assert!(printer.print("x".repeat(2 * MAX_WAITING)), "a single block is taken whatever its size");
        assert_eq!(seen.recv().unwrap().len(), 2 * MAX_WAITING);
        assert!(!printer.print("refused".into()));
        go.send(Ok(())).unwrap();
        // The room comes back a moment after the write.
        while !printer.print("\x1b[1mtaken\x1b[0m".into()) {
            std::thread::yield_now();
        }
        assert_eq!(seen.recv().unwrap(), b"taken");
        go.send(Ok(())).unwrap();
        printer.finish().await;
        assert!(seen.recv().is_err(), "the thread has ended");
    }

    #[tokio::test]
    async fn a_closed_output_is_given_up_and_the_others_stay() {
        let (broken, broken_seen, broken_go) = gate(false);
        let (coloured, seen, go) = gate(true);
        let printer = Printer::start(vec![broken, coloured]).unwrap();
        broken_go.send(Err(std::io::ErrorKind::BrokenPipe.into())).unwrap();
        for _ in 0..2 {
            go.send(Ok(())).unwrap();
            assert!(printer.print("\x1b[1mb\x1b[0m".into()));
        }
        printer.finish().await;
        assert_eq!(broken_seen.iter().count(), 1);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [b"\x1b[1mb\x1b[0m".to_vec(), b"\x1b[1mb\x1b[0m".to_vec()]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = open(&["/nowhere/at/all".into()]).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("cannot open `/nowhere/at/all` to print to: "), "{error}");
    }
}
