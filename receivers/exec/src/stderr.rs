//! What a program says on its standard error, in our log: by level, bounded in rate and length.

use std::sync::Arc;

use steadyline_component::{Clock, LogWindow};
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::Level;

/// So many bytes of a line are shown.
const MAX_LINE: usize = 1000;

/// The log of one receiver's program, over all its runs.
#[derive(Debug, Clone)]
pub(crate) struct StderrLog {
    component: Arc<str>,
    window: LogWindow,
}

impl StderrLog {
    pub(crate) fn new(component: &str, clock: &Clock) -> StderrLog {
        StderrLog { component: Arc::from(component), window: LogWindow::new(clock) }
    }

    /// Logs every line until the end of the stream.
    pub(crate) async fn follow(self, mut stream: impl AsyncRead + Unpin) {
        let mut lines = Lines::default();
        let mut chunk = vec![0; 8192];
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            lines.push(&chunk[..read], |line| self.line(line));
        }
        lines.end(|line| self.line(line));
    }

    fn line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        let Some(suppressed) = self.window.pass() else { return };
        let (level, text) = level_of(text);
        let words: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let component = &*self.component;
        if suppressed > 0 {
            tracing::warn!(component, suppressed, "the program wrote more lines on its standard error than are shown");
        }
        match level {
            Level::ERROR => tracing::error!(component, "the program says: {words}"),
            Level::WARN => tracing::warn!(component, "the program says: {words}"),
            Level::INFO => tracing::info!(component, "the program says: {words}"),
            _ => tracing::debug!(component, "the program says: {words}"),
        }
    }
}

/// The level that a line's prefix asks for, and the rest of it.
fn level_of(line: &str) -> (Level, &str) {
    let levels = [
        ("E! ", Level::ERROR),
        ("W! ", Level::WARN),
        ("I! ", Level::INFO),
        ("D! ", Level::DEBUG),
        ("T! ", Level::TRACE),
    ];
    let found = levels.iter().find_map(|(prefix, level)| Some((*level, line.strip_prefix(prefix)?)));
    found.unwrap_or((Level::WARN, line))
}

/// Cuts a stream into lines of which no more than [`MAX_LINE`] bytes are kept.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, mut chunk: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.keep(&chunk[..end]);
            line(&self.0);
            self.0.clear();
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk);
    }

    fn end(&mut self, mut line: impl FnMut(&[u8])) {
        line(&self.0);
        self.0.clear();
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.0.len();
        self.0.extend_from_slice(&part[..part.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_levels() {
        assert_eq!(level_of("E! no"), (Level::ERROR, "no"));
        assert_eq!(level_of("D! no"), (Level::DEBUG, "no"));
        assert_eq!(level_of("E!no"), (Level::WARN, "E!no"));
    }

    #[test]
    fn lines_are_cut_whatever_the_chunks() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let long = vec![b'x'; 5000];
        for chunk in [b"a\nb".as_slice(), b"c\n", &long, b"\nend"] {
            lines.push(chunk, |line| seen.push(line.len()));
        }
        lines.end(|line| seen.push(line.len()));
        assert_eq!(seen, [1, 2, MAX_LINE, 3]);
    }
}
