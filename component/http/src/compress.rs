//! Compression of request bodies. Defaults favour the sender's CPU: level 1 of gzip and of zstd.

use std::io;

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ConfigProblem;

/// How request bodies are compressed, by the Collector's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Every backend takes it.
    #[default]
    Gzip,
    /// A quarter of gzip's CPU and a better ratio, where the backend takes it.
    Zstd,
    /// The zlib format, under the name that HTTP gives it.
    Deflate,
    /// The zlib format, under its own name.
    Zlib,
    /// Not at all.
    #[serde(alias = "identity", alias = "")]
    None,
}

impl Compression {
    /// The value of `Content-Encoding` or `grpc-encoding`; `None` if bodies go as they are.
    pub fn encoding(self) -> Option<&'static str> {
        match self {
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
            Compression::Deflate => Some("deflate"),
            Compression::Zlib => Some("zlib"),
            Compression::None => None,
        }
    }

    fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Compression::Gzip | Compression::Deflate | Compression::Zlib => 1..=9,
            Compression::Zstd => 1..=22,
            Compression::None => 0..=0,
        }
    }
}

/// How hard the compressor tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionParams {
    /// 1 (fastest, the default) to 9 for gzip, deflate and zlib, to 22 for zstd. 0 means the default.
    #[schemars(range(min = 0, max = 22))]
    pub level: i32,
}

/// Compresses one body after another, keeping its working memory between them.
pub struct Compressor {
    compression: Compression,
    level: i32,
    /// A quarter of a megabyte of state: made once, not for every body.
    deflate: Option<Compress>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    buffer: Vec<u8>,
}

/// A buffer larger than this is given back after a body.
const KEEP_BYTES: usize = 4 << 20;

impl Compressor {
    /// A compressor.
    ///
    /// # Errors
    /// A level that the compression does not have; at `compression_params.level`.
    pub fn new(compression: Compression, params: CompressionParams) -> Result<Compressor, ConfigProblem> {
        let levels = compression.levels();
        if params.level != 0 && !levels.contains(&params.level) {
            let name = compression.encoding().unwrap_or("none");
            let message =
                format!("{name} has no level {}, expected {} to {}", params.level, levels.start(), levels.end());
            return Err(ConfigProblem::new("compression_params.level", message));
        }
        Ok(Compressor {
            compression,
            level: if params.level == 0 { 1 } else { params.level },
            deflate: None,
            zstd: None,
            buffer: Vec::new(),
        })
    }

    /// How it compresses.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The body as it goes over the wire.
    ///
    /// # Errors
    /// The library refuses; it does so only when it is out of memory.
    pub fn compress(&mut self, body: Bytes) -> io::Result<Bytes> {
        match self.compression {
            Compression::None => return Ok(body),
            Compression::Gzip | Compression::Deflate | Compression::Zlib => self.deflate(&body)?,
            Compression::Zstd => {
                let bound = zstd::zstd_safe::compress_bound(body.len());
                self.buffer.clear();
                self.buffer.reserve(bound);
                let mut out = std::mem::take(&mut self.buffer);
                let written = self.zstd()?.compress_to_buffer(&body, &mut out);
                self.buffer = out;
                written?;
            }
        }
        // Exactly as long as it is: it may wait in a queue that counts bytes, not the room around them.
        let compressed = Bytes::copy_from_slice(&self.buffer);
        if self.buffer.capacity() > KEEP_BYTES {
            self.buffer = Vec::new();
        }
        Ok(compressed)
    }

    /// Leaves the compressed body in the buffer.
    fn deflate(&mut self, body: &[u8]) -> io::Result<()> {
        let Compressor { compression, level, deflate, buffer, .. } = self;
        let level = flate2::Compression::new(level.unsigned_abs());
        let state = deflate.get_or_insert_with(|| match compression {
            Compression::Gzip => Compress::new_gzip(level, 15),
            _ => Compress::new(level, true),
        });
        state.reset();
        buffer.clear();
        // Telemetry compresses about eightfold; a little more room spares the growing.
        buffer.reserve(body.len() / 6 + 64);
        loop {
            let read = state.total_in() as usize;
            match state.compress_vec(&body[read..], buffer, FlushCompress::Finish).map_err(io::Error::other)? {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::BufError => buffer.reserve(body.len() / 6 + 4096),
            }
        }
    }

    fn zstd(&mut self) -> io::Result<&mut zstd::bulk::Compressor<'static>> {
        match &mut self.zstd {
            Some(zstd) => Ok(zstd),
            slot => Ok(slot.insert(zstd::bulk::Compressor::new(self.level)?)),
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressor({:?}, level {})", self.compression, self.level)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
            Compression::Deflate | Compression::Zlib => {
                flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap()
            }
            Compression::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap(),
            Compression::None => bytes.to_vec().as_slice().read_to_end(&mut out).unwrap(),
        };
        out
    }

    #[test]
    fn every_compression_reads_back_also_the_second_time() {
        use Compression::{Deflate, Gzip, None, Zlib, Zstd};
        for compression in [Gzip, Zstd, Deflate, Zlib, None] {
            let mut compressor = Compressor::new(compression, CompressionParams::default()).unwrap();
            for text in ["onboarding_completed_steps ".repeat(200), String::new(), "x".to_string()] {
                let wire = compressor.compress(Bytes::from(text.clone())).unwrap();
                assert_eq!(decoded(compression, &wire), text.as_bytes(), "{compression:?}");
                assert!(compression == None || text.len() < 100 || wire.len() < text.len() / 10, "{compression:?}");
            }
        }
    }

    #[test]
    fn a_level_that_is_not_there_is_refused() {
        for (compression, level) in [(Compression::Gzip, 10), (Compression::Zstd, 23), (Compression::Gzip, -1)] {
            let problem = Compressor::new(compression, CompressionParams { level }).unwrap_err();
            assert_eq!(problem.path, "compression_params.level");
        }
        assert!(Compressor::new(Compression::Zstd, CompressionParams { level: 19 }).is_ok());
    }
}
