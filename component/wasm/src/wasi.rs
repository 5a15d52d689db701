//! What a plugin finds where programs look for a system: a clock, random numbers, and output that ends in our log. No
//! files, no environment, no arguments, no sockets, no names to look up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use steadyline_component::Clock;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, async_trait};

use crate::log::{Level, PluginLog};
use crate::report::plain;

/// So much of what a plugin said last goes into the message of its failure.
const LAST_WORDS: usize = 500;
/// So many random bytes are given at once.
const MAX_RANDOM: u64 = 1 << 20;
/// A longer line is cut into several.
const MAX_LINE: usize = 4096;

/// What a plugin wrote to its standard error last.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, line: &str) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&plain(line, LAST_WORDS));
        let too_much = words.len().saturating_sub(LAST_WORDS);
        let from = words.ceil_char_boundary(too_much);
        words.drain(..from);
    }
}

/// A system with nothing in it.
pub(crate) fn system(clock: &Clock, log: &PluginLog, last: &LastWords) -> WasiCtx {
    let stream = |level, last| Stdio(Arc::new(Sink { log: log.clone(), level, last, line: Mutex::default() }));
    WasiCtx::builder()
        .stdout(stream(Level::Info, None))
        .stderr(stream(Level::Warn, Some(last.clone())))
        .wall_clock(Time(clock.clone()))
        .monotonic_clock(Time(clock.clone()))
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

struct Time(Clock);

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now().unix_nanos)
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.now().mono.as_nanos() as u64
    }
}

/// An output whose lines are logged.
#[derive(Clone)]
struct Stdio(Arc<Sink>);

struct Sink {
    log: PluginLog,
    level: Level,
    last: Option<LastWords>,
    line: Mutex<Vec<u8>>,
}

impl Sink {
    fn write(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() == MAX_LINE {
                self.end(&mut line);
            }
        }
    }

    fn end(&self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        if !text.trim().is_empty() {
            self.log.line(self.level, &text);
            self.last.iter().for_each(|last| last.add(&text));
        }
        line.clear();
    }
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}
