//! Batch -> records: requests as the OTLP exporters make them, each with what separates it from the next.
//! CPU only; the bytes of a record are final.

use bytes::{BufMut, Bytes, BytesMut};
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, Encoded, Encoder, Payload};
use steadyline_http::{Compression, CompressionParams};
use steadyline_otlp::{Encoding, Framing, NoRecordedValue, OtlpEncoder, RequestFormat};

use crate::config::{Config, FileCompression, FileFormat};

/// Makes records.
#[derive(Debug)]
pub(crate) struct FileEncoder {
    requests: OtlpEncoder,
    separation: Separation,
}

/// What tells one record from the next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Separation {
    /// A line feed behind it.
    Line,
    /// Its length before it: four bytes, big endian.
    Length,
}

impl FileEncoder {
    /// An encoder for requests of a signal.
    pub(crate) fn new(config: &Config, signal: Signal) -> Result<FileEncoder, String> {
        let format = RequestFormat {
            signal,
            encoding: match config.format {
                FileFormat::Json => Encoding::Json,
                FileFormat::Proto => Encoding::Proto,
            },
            framing: Framing::Http,
            compression: match config.compression {
                FileCompression::None => Compression::None,
                FileCompression::Zstd => Compression::Zstd,
            },
            params: CompressionParams::default(),
        };
        let requests = OtlpEncoder::new(format, NoRecordedValue::Send).map_err(|problem| problem.to_string())?;
        let is_text = config.format == FileFormat::Json && config.compression == FileCompression::None;
        Ok(FileEncoder { requests, separation: if is_text { Separation::Line } else { Separation::Length } })
    }
}

impl Encoder for FileEncoder {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let first = encoded.blocks.len();
        self.requests.encode(batch, shards, encoded);
        for block in &mut encoded.blocks[first..] {
            block.payload = Payload::from(self.separation.record(block.payload.bytes()));
        }
    }
}

impl Separation {
    fn record(self, request: &Bytes) -> Bytes {
        let mut record = BytesMut::with_capacity(request.len() + 4);
        match self {
            Separation::Line => {
                record.put_slice(request);
                record.put_u8(b'\n');
            }
            Separation::Length => {
                // Requests are far below 4 GiB: the memory budget bounds what they are made of.
                record.put_u32(u32::try_from(request.len()).unwrap_or(u32::MAX));
                record.put_slice(request);
            }
        }
        record.freeze()
    }
}
