//! Reading a body: never more than the bound, never more than memory was given for, gzip or plain.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use steadyline_component::{Budget, Permit};
use steadyline_http::TransportError;

use super::FetchError;

/// As much compressed body is taken at once: with deflate's bound of about 1000 to 1, at most 8 MiB come out of it.
const STEP: usize = 8 * 1024;
/// So much of an answer that is no body is shown.
const MAX_WORDS: usize = 300;

/// Memory for one body, in permits of the budget. Grows while the body is read.
#[derive(Debug)]
pub(crate) struct Memory {
    budget: Budget,
    permits: Vec<Permit>,
    held: u64,
    needed: u64,
}

/// Memory is asked for in steps of at least this.
const LEAST: u64 = 64 * 1024;

impl Memory {
    /// Waits for the memory of a body of about so many bytes.
    pub(crate) async fn acquire(budget: &Budget, expected: u64) -> Memory {
        let permit = budget.acquire(expected).await;
        Memory { budget: budget.clone(), permits: vec![permit], held: expected, needed: 0 }
    }

    /// The permit for all of it, for what the body becomes.
    pub(crate) fn into_permit(self) -> Option<Permit> {
        Permit::join(self.permits)
    }

    /// How many bytes were needed, those included that were waited for in vain.
    pub(crate) fn needed(&self) -> u64 {
        self.needed
    }

    /// Waits until there is memory for so many bytes in all, and for as many again as there are: few waits.
    async fn at_least(&mut self, bytes: u64) {
        self.needed = self.needed.max(bytes);
        if bytes <= self.held {
            return;
        }
        let more = (bytes - self.held).max(self.held).max(LEAST);
        self.permits.push(self.budget.acquire(more).await);
        self.held += more;
    }
}

/// The body.
pub(super) async fn read(
    mut incoming: Incoming,
    encoding: &[u8],
    limit: usize,
    mut memory: Option<&mut Memory>,
    peer: &str,
) -> Result<Vec<u8>, FetchError> {
    let is_gzip = match encoding {
        b"" | b"identity" => false,
        b"gzip" | b"x-gzip" => true,
        other => {
            let message = format!("`{}` is not a known encoding", String::from_utf8_lossy(other));
            return Err(FetchError::Encoding(message));
        }
    };
    let mut decoder =
        if is_gzip { Decoder::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(limit)))) } else { Decoder::plain(limit) };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| TransportError::from_chain(&error, peer))?;
        let Ok(data) = frame.into_data() else { continue };
        for step in data.chunks(if is_gzip { STEP } else { usize::MAX }) {
            if let (Some(memory), Decoder::Plain(bounded)) = (&mut memory, &decoder) {
                memory.at_least((bounded.bytes.len() + step.len()) as u64).await;
            }
            decoder.write(step)?;
            if let Some(memory) = &mut memory {
                memory.at_least(decoder.len() as u64).await;
            }
        }
    }
    decoder.finish()
}

/// The first words of an answer that is no body, with a colon in front.
pub(super) async fn words(mut incoming: Incoming) -> String {
    let mut read = Vec::new();
    while let Some(Ok(frame)) = incoming.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        read.extend_from_slice(&data[..data.len().min(MAX_WORDS * 4)]);
        if read.len() >= MAX_WORDS * 4 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&read);
    let text: String = text.trim().chars().take(MAX_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

enum Decoder {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Decoder {
    fn plain(limit: usize) -> Decoder {
        Decoder::Plain(Bounded::new(limit))
    }

    fn len(&self) -> usize {
        match self {
            Decoder::Plain(bounded) => bounded.bytes.len(),
            Decoder::Gzip(decoder) => decoder.get_ref().bytes.len(),
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<(), FetchError> {
        let (written, limit) = match self {
            Decoder::Plain(bounded) => (bounded.write_all(data), bounded.limit),
            Decoder::Gzip(decoder) => (decoder.write_all(data), decoder.get_ref().limit),
        };
        written.map_err(|error| failure(&error, limit))
    }

    fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self {
            Decoder::Plain(bounded) => Ok(bounded.bytes),
            Decoder::Gzip(mut decoder) => {
                let limit = decoder.get_ref().limit;
                decoder.try_finish().map_err(|error| failure(&error, limit))?;
                Ok(std::mem::take(&mut decoder.get_mut().bytes))
            }
        }
    }
}

fn failure(error: &io::Error, limit: usize) -> FetchError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => FetchError::TooLarge(limit),
        _ => FetchError::Encoding(error.to_string()),
    }
}

/// Takes bytes up to its bound.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Bounded {
    fn new(limit: usize) -> Self {
        Bounded { bytes: Vec::new(), limit }
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_is_no_body() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[b'x'; 5000]).unwrap();
        let packed = encoder.finish().unwrap();
        let unpack = |bytes: &[u8]| {
            let mut decoder = Decoder::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(5000))));
            decoder.write(bytes)?;
            decoder.finish()
        };
        assert_eq!(unpack(&packed).unwrap().len(), 5000);
        for cut in [0, 1, 5, 12, packed.len() - 1] {
            assert!(matches!(unpack(&packed[..cut]), Err(FetchError::Encoding(_))), "{cut}");
        }
        let twice = [packed.as_slice(), &packed].concat();
        assert!(matches!(unpack(&twice), Err(FetchError::TooLarge(5000))));
    }
}
