//! Text 0.0.4 and OpenMetrics, line by line.
//! The same lines, but OpenMetrics allows no blanks, has exemplars and seconds, and must say that it ends.

use memchr::{memchr, memchr_iter};
use steadyline_prometheus::MetricKind;

use crate::entry::{Created, Entry, Exemplar, Sample, Source};
use crate::error::{Fault, ParseError, Place, shown};
use crate::labels::{Labels, unescape};
use crate::number::{millis, seconds, value};
use crate::syntax::{blanks, braces_len, is_blank, is_name_start, name_len, quoted, read_exemplar, series_len, utf8};

/// Walks over the lines of a body.
#[derive(Debug)]
pub(crate) struct Lines<'b> {
    body: &'b [u8],
    /// OpenMetrics, not text 0.0.4.
    open: bool,
    /// Where the line begins that was read last.
    start: usize,
    /// Where the next line begins.
    next: usize,
    ended: bool,
    /// The family whose `_created` lines are no samples, as it stands in the body, without quotes.
    counting: Option<&'b [u8]>,
    /// The name of the family that was described last, and its text.
    family: String,
    text: String,
    scratch: Labels,
}

/// A line that is an entry. The names and texts of descriptions are in the parser, unescaped.
enum Line<'b> {
    Type(MetricKind),
    Help,
    Unit,
    Sample(Sample<'b>),
    Created(Created<'b>),
}

impl<'b> Lines<'b> {
    pub(crate) fn new(body: &'b [u8], open: bool) -> Self {
        Self {
            body,
            open,
            start: 0,
            next: 0,
            ended: false,
            counting: None,
            family: String::new(),
            text: String::new(),
            scratch: Labels::new(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::Line(1 + memchr_iter(b'\n', &self.body[..self.start]).count())
    }

    #[inline]
    pub(crate) fn next_entry(&mut self) -> Option<Result<Entry<'_>, ParseError>> {
        let line = match self.next_line()? {
            Ok(line) => line,
            Err(fault) => {
                self.ended = true;
                return Some(Err(ParseError { place: self.place(), fault }));
            }
        };
        Some(Ok(match line {
            Line::Sample(sample) => Entry::Sample(sample),
            Line::Created(created) => Entry::Created(created),
            Line::Type(kind) => Entry::Type { family: &self.family, kind },
            Line::Help => Entry::Help { family: &self.family, text: &self.text },
            Line::Unit => Entry::Unit { family: &self.family, unit: &self.text },
        }))
    }

    fn next_line(&mut self) -> Option<Result<Line<'b>, Fault>> {
        while !self.ended {
            self.start = self.next;
            if self.start == self.body.len() {
                self.ended = true;
                return self.open.then_some(Err(Fault::NoEof));
            }
            if let Some(line) = self.read_line().transpose() {
                return Some(line);
            }
        }
        None
    }

    /// Reads the line at `start`; `None` if it is blank or a comment.
    fn read_line(&mut self) -> Result<Option<Line<'b>>, Fault> {
        let rest = &self.body[self.start..];
        let end = memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        self.next = self.start + end.map_or(rest.len(), |end| end + 1);
        if self.open && end.is_none() && line != b"# EOF" {
            return Err(Fault::NoEof);
        }
        let indent = if self.open { 0 } else { blanks(line) };
        match line.get(indent) {
            None if self.open => Err(Fault::BlankLine),
            None => Ok(None),
            Some(b'#') => self.read_comment(&line[indent..]),
            Some(byte) if *byte == b'{' || is_name_start(*byte) => self.read_sample(&line[indent..], indent).map(Some),
            Some(_) => Err(Fault::Start(shown(&line[indent..]))),
        }
    }

    fn read_sample(&mut self, line: &'b [u8], indent: usize) -> Result<Line<'b>, Fault> {
        let Some(len) = series_len(line, self.open) else {
            return self.read_sample_of_lines(indent).ok_or_else(|| Fault::Unclosed(shown(line)))?;
        };
        let (series, tail) = line.split_at(len);
        if self.open { self.read_open_tail(series, tail) } else { read_text_tail(series, tail) }
    }

    /// Text 0.0.4 tells writers to escape the end of a line in a label's value, and readers take it if they do not.
    fn read_sample_of_lines(&mut self, indent: usize) -> Option<Result<Line<'b>, Fault>> {
        if self.open {
            return None;
        }
        let rest = &self.body[self.start + indent..];
        let (series, rest) = rest.split_at(series_len(rest, false)?);
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        self.next = (self.start + indent + series.len() + end + 1).min(self.body.len());
        Some(read_text_tail(series, &rest[..end]))
    }

    /// ` value`, then perhaps ` timestamp`, then perhaps ` # {labels} value timestamp`.
    fn read_open_tail(&mut self, series: &'b [u8], tail: &'b [u8]) -> Result<Line<'b>, Fault> {
        let (text, mut tail) = open_word(tail).ok_or_else(|| Fault::NoValue(shown(series)))?;
        let number = value(text).ok_or_else(|| Fault::Value(shown(text)))?;
        if self.is_created(series) {
            let created = seconds(text).ok_or_else(|| Fault::Timestamp(shown(text)))?;
            return end_of_line(open_stamp(tail)?.1).map(|()| Line::Created(Created { series, created }));
        }
        let (mut timestamp, mut exemplar) = (None, None);
        if !tail.starts_with(b" # {") {
            (timestamp, tail) = open_stamp(tail)?;
        }
        if let Some(text) = tail.strip_prefix(b" # ") {
            (exemplar, tail) = self.read_exemplar(text)?;
        }
        end_of_line(tail)?;
        Ok(Line::Sample(Sample { series, value: number, timestamp, created: None, exemplar }))
    }

    fn read_exemplar(&mut self, text: &'b [u8]) -> Result<(Option<Exemplar<'b>>, &'b [u8]), Fault> {
        if text.first() != Some(&b'{') {
            return Err(Fault::Trailing(shown(text)));
        }
        let len = braces_len(text).ok_or_else(|| Fault::Unclosed(shown(text)))?;
        let (labels, tail) = text.split_at(len);
        match read_exemplar(labels, &mut self.scratch) {
            // Costs the exemplar, not the scrape: who asks for its labels is told.
            Ok(()) | Err(Fault::RepeatedLabel(_)) => {}
            Err(fault) => return Err(fault),
        }
        let (word, tail) = open_word(tail).ok_or_else(|| Fault::NoValue(shown(labels)))?;
        let value = value(word).ok_or_else(|| Fault::Value(shown(word)))?;
        let (timestamp, tail) = open_stamp(tail)?;
        Ok((Some(Exemplar { source: Source::Text(labels), value, timestamp }), tail))
    }

    fn is_created(&self, series: &[u8]) -> bool {
        let Some(family) = self.counting else { return false };
        let (name, quoted) = match series.strip_prefix(b"{\"") {
            Some(name) => (name, true),
            None => (series, false),
        };
        match name.strip_prefix(family).and_then(|rest| rest.strip_prefix(b"_created")) {
            Some([]) => !quoted,
            Some([next, ..]) => *next == if quoted { b'"' } else { b'{' },
            None => false,
        }
    }

    fn read_comment(&mut self, line: &'b [u8]) -> Result<Option<Line<'b>>, Fault> {
        let comment = if self.open { line.strip_prefix(b"# ") } else { behind_blanks(&line[1..]) };
        if self.open && comment == Some(b"EOF") {
            self.ended = true;
            return if self.next == self.body.len() { Ok(None) } else { Err(Fault::AfterEof) };
        }
        let keywords: &[&'static str] = if self.open { &["HELP", "TYPE", "UNIT"] } else { &["HELP", "TYPE"] };
        let keyword = keywords.iter().find_map(|keyword| {
            let rest = comment?.strip_prefix(keyword.as_bytes())?;
            Some((*keyword, if self.open { rest.strip_prefix(b" ")? } else { behind_blanks(rest)? }))
        });
        match keyword {
            Some((keyword, rest)) => self.read_description(keyword, rest).map(Some),
            None if self.open => Err(Fault::Comment(shown(line))),
            None => Ok(None),
        }
    }

    /// A metric's name and a text.
    fn read_description(&mut self, keyword: &'static str, rest: &'b [u8]) -> Result<Line<'b>, Fault> {
        let bad_name = || Fault::CommentName { keyword, found: shown(rest) };
        let (name, text) = match quoted(rest) {
            Some(name) => (name, &rest[name.len() + 2..]),
            None => rest.split_at(name_len(rest)),
        };
        if name.is_empty() {
            return Err(bad_name());
        }
        self.family.clear();
        unescape(utf8(name)?, true, &mut self.family);
        let text = match text {
            [] if self.open => return Err(Fault::CommentText(keyword)),
            [] => text,
            [b' ', text @ ..] if self.open => text,
            [byte, ..] if !self.open && is_blank(*byte) => &text[blanks(text)..],
            // Prometheus takes a text right behind the name; a type has to be one.
            _ if !self.open && keyword == "HELP" => text,
            _ => return Err(bad_name()),
        };
        self.text.clear();
        match keyword {
            "TYPE" => {
                let kind = self.kind(text).ok_or_else(|| Fault::Type(shown(text)))?;
                self.counting = (self.open && counts(kind)).then_some(name);
                Ok(Line::Type(kind))
            }
            "HELP" => {
                unescape(utf8(text)?, self.open, &mut self.text);
                Ok(Line::Help)
            }
            _ => {
                self.text.push_str(utf8(text)?);
                let stem = self.family.strip_suffix(&self.text);
                if !text.is_empty() && !stem.is_some_and(|stem| stem.ends_with('_')) {
                    return Err(Fault::Unit { family: self.family.clone(), unit: shown(text) });
                }
                Ok(Line::Unit)
            }
        }
    }

    fn kind(&self, text: &[u8]) -> Option<MetricKind> {
        Some(match if self.open { text } else { without_blanks_behind(text) } {
            b"counter" => MetricKind::Counter,
            b"gauge" => MetricKind::Gauge,
            b"histogram" => MetricKind::Histogram,
            b"summary" => MetricKind::Summary,
            b"untyped" if !self.open => MetricKind::Unknown,
            b"unknown" if self.open => MetricKind::Unknown,
            b"gaugehistogram" if self.open => MetricKind::GaugeHistogram,
            b"info" if self.open => MetricKind::Info,
            b"stateset" if self.open => MetricKind::StateSet,
            _ => return None,
        })
    }
}

/// A value, then perhaps a timestamp in milliseconds, with blanks around.
#[inline]
fn read_text_tail<'b>(series: &'b [u8], tail: &'b [u8]) -> Result<Line<'b>, Fault> {
    let tail = &tail[blanks(tail)..];
    let len = tail.iter().position(|byte| is_blank(*byte)).unwrap_or(tail.len());
    let (text, tail) = tail.split_at(len);
    if text.is_empty() {
        return Err(Fault::NoValue(shown(series)));
    }
    let value = value(text).ok_or_else(|| Fault::Value(shown(text)))?;
    let timestamp = match without_blanks_behind(&tail[blanks(tail)..]) {
        [] => None,
        text => Some(millis(text).ok_or_else(|| Fault::Timestamp(shown(text)))?),
    };
    Ok(Line::Sample(Sample { series, value, timestamp, created: None, exemplar: None }))
}

fn without_blanks_behind(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1)]
}

/// What follows one space, up to the next; and the rest.
fn open_word(tail: &[u8]) -> Option<(&[u8], &[u8])> {
    let tail = tail.strip_prefix(b" ")?;
    Some(tail.split_at(memchr(b' ', tail).unwrap_or(tail.len())))
}

fn open_stamp(tail: &[u8]) -> Result<(Option<i64>, &[u8]), Fault> {
    let Some((text, rest)) = open_word(tail) else { return Ok((None, tail)) };
    let stamp = seconds(text).ok_or_else(|| Fault::Timestamp(shown(text)))?;
    Ok((Some(stamp), rest))
}

fn end_of_line(tail: &[u8]) -> Result<(), Fault> {
    if tail.is_empty() { Ok(()) } else { Err(Fault::Trailing(shown(tail))) }
}

/// What follows one blank or more.
fn behind_blanks(text: &[u8]) -> Option<&[u8]> {
    let len = blanks(text);
    (len > 0).then(|| &text[len..])
}

/// Whether series of this type say when their counting began.
fn counts(kind: MetricKind) -> bool {
    matches!(kind, MetricKind::Counter | MetricKind::Histogram | MetricKind::Summary)
}
