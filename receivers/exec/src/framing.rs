//! Cuts the output of a program that keeps running: into lines, or into documents that end with a blank line or `# EOF`.
//! Holds no more than one document, whatever comes.

use crate::config::{Config, Format};
use crate::format::Rejected;

/// Complete lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The lines.
    pub(crate) text: Vec<u8>,
    /// The number of the first, from 1.
    pub(crate) first: u64,
}

/// What became complete, and what was too long.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) whole: Vec<Frame>,
    pub(crate) rejected: Vec<Rejected>,
}

/// Cuts one stream.
#[derive(Debug)]
pub(crate) struct Framer {
    /// Whether several lines make a document.
    by_document: bool,
    max_line: usize,
    max_document: usize,
    /// Complete lines that wait, and the line at hand.
    buffer: Vec<u8>,
    /// Where the line at hand begins in the buffer, and how long it is in all.
    line_at: usize,
    line_len: usize,
    /// The number of the line at hand, and of the first that waits.
    line: u64,
    first: u64,
    /// Why the document at hand is not kept.
    lost: Option<String>,
}

impl Framer {
    pub(crate) fn new(config: &Config) -> Framer {
        Framer {
            by_document: matches!(config.format, Format::Prometheus | Format::Openmetrics),
            max_line: config.max_line_bytes.as_usize(),
            max_document: config.max_output_bytes.as_usize(),
            buffer: Vec::new(),
            line_at: 0,
            line_len: 0,
            line: 1,
            first: 1,
            lost: None,
        }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, mut chunk: &[u8]) -> Frames {
        let mut frames = Frames::default();
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.keep(&chunk[..end]);
            self.end_line(&mut frames);
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk);
        if !self.by_document {
            self.release(self.line_at, &mut frames);
        }
        frames
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self) -> Frames {
        let mut frames = Frames::default();
        if self.line_len > 0 {
            self.end_line(&mut frames);
        }
        self.release(self.line_at, &mut frames);
        frames
    }

    fn keep(&mut self, part: &[u8]) {
        self.line_len += part.len();
        if self.line_len <= self.max_line {
            self.buffer.extend_from_slice(part);
        } else {
            self.buffer.truncate(self.line_at);
        }
    }

    fn end_line(&mut self, frames: &mut Frames) {
        let is_long = self.line_len > self.max_line;
        let line = self.buffer[self.line_at..].trim_ascii();
        let (is_blank, is_eof) = (!is_long && line.is_empty(), line == b"# EOF");
        if is_long {
            let why = format!("it is longer than `max_line_bytes` ({} bytes)", self.max_line);
            if self.by_document {
                self.lost.get_or_insert(why);
            } else {
                self.release(self.line_at, frames);
                frames.rejected.push(Rejected { line: self.line, lines: 1, why });
                self.first = self.line + 1;
            }
        } else {
            self.buffer.push(b'\n');
        }
        if self.by_document && self.buffer.len() > self.max_document {
            let why = format!("the document is longer than `max_output_bytes` ({} bytes)", self.max_document);
            self.lost.get_or_insert(why);
        }
        if self.lost.is_some() {
            self.buffer.clear();
        }
        let before = self.line_at.min(self.buffer.len());
        (self.line, self.line_at, self.line_len) = (self.line + 1, self.buffer.len(), 0);
        if self.by_document && (is_blank || is_eof) {
            // OpenMetrics has no blank lines: the one that ends a document is no part of it.
            self.release(if is_eof { self.line_at } else { before }, frames);
        }
    }

    /// Hands out what waits up to `end`, and begins anew behind it.
    fn release(&mut self, end: usize, frames: &mut Frames) {
        let text = self.buffer[..end].to_vec();
        let lines = self.line - self.first;
        match self.lost.take() {
            Some(why) => frames.rejected.push(Rejected { line: self.first, lines, why }),
            None if text.trim_ascii().is_empty() => {}
            None => frames.whole.push(Frame { text, first: self.first }),
        }
        self.buffer.drain(..self.line_at.max(end));
        (self.line_at, self.first) = (0, self.line);
    }
}

#[cfg(test)]
mod tests {
    use steadyline_config::ByteSize;

    use super::*;

    fn framer(format: Format) -> Framer {
        let (max_line_bytes, max_output_bytes) = (ByteSize::new(10), ByteSize::new(30));
        Framer::new(&Config { format, max_line_bytes, max_output_bytes, ..Config::default() })
    }

    /// What comes out of a stream in chunks of every size must be the same lines.
    fn check(format: Format, stream: &str, whole: &[(u64, &str)], rejected: &[(u64, u64)]) {
        for size in 1..=stream.len() {
            let mut framer = framer(format);
            let mut all = Frames::default();
            let mut take = |frames: Frames| {
                all.whole.extend(frames.whole);
                all.rejected.extend(frames.rejected);
            };
            stream.as_bytes().chunks(size).for_each(|chunk| take(framer.push(chunk)));
            take(framer.end());
            let mut lines = Vec::new();
            for frame in &all.whole {
                let text = std::str::from_utf8(&frame.text).unwrap();
                match format {
                    Format::Prometheus => lines.push((frame.first, text.to_string())),
                    _ => lines.extend((frame.first..).zip(text.lines().map(str::to_string))),
                }
            }
            let whole: Vec<_> = whole.iter().map(|(first, text)| (*first, text.to_string())).collect();
            assert_eq!(lines, whole, "chunks of {size}");
            let lost: Vec<_> = all.rejected.iter().map(|rejected| (rejected.line, rejected.lines)).collect();
            assert_eq!(lost, rejected, "chunks of {size}");
        }
    }

    #[test]
    fn lines_come_out_whole_and_numbered() {
        check(Format::JsonLines, "a\nbc\nd\r\ne", &[(1, "a"), (2, "bc"), (3, "d"), (4, "e")], &[]);
    }

    #[test]
    fn long_lines_are_left_out_and_the_others_stay() {
        check(Format::OtlpJson, "a\n0123456789\n0123456789x\nb\n", &[(1, "a"), (2, "0123456789"), (4, "b")], &[(3, 1)]);
    }

    #[test]
    fn documents_end_with_a_blank_line_or_eof() {
        check(
            Format::Prometheus,
            "a 1\nb 2\n\n\nc 3\n# EOF\nd 4",
            &[(1, "a 1\nb 2\n"), (5, "c 3\n# EOF\n"), (7, "d 4\n")],
            &[],
        );
    }

    #[test]
    fn documents_that_are_too_long_are_lost_alone() {
        let flood = "012345 1\n".repeat(5);
        check(
            Format::Prometheus,
            &format!("{flood}\na 1\n\nb01234567890\nc 1\n\nd 1\n"),
            &[(7, "a 1\n"), (12, "d 1\n")],
            &[(1, 6), (9, 3)],
        );
    }
}
