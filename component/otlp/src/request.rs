//! One export request in the form in which it goes over the wire, and back: a block that was too large is opened,
//! halved and closed again.

use std::borrow::Cow;
use std::io::{self, Read};

use bytes::{BufMut, Bytes, BytesMut};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use steadyline_component::exporter::time_range_of;
use steadyline_component::{Block, JoinLimit, Outcome, Payload};
use steadyline_http::{Compression, CompressionParams, Compressor, ConfigProblem};
use steadyline_telemetry::Signal;

use crate::tree::Tree;

/// How a request is written.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Protobuf.
    #[default]
    Proto,
    /// JSON, by OTLP's rules: ids in hex, 64-bit integers as text. Several times larger and slower.
    Json,
}

/// What stands around a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: it is the body.
    Http,
    /// gRPC's five bytes: whether it is compressed, and its length.
    Grpc,
}

/// How requests of an exporter look. Everything that opening and closing one needs.
#[derive(Debug, Clone, Copy)]
pub struct RequestFormat {
    /// Which request it is.
    pub signal: Signal,
    /// How it is written.
    pub encoding: Encoding,
    /// What stands around it.
    pub framing: Framing,
    /// How it is compressed.
    pub compression: Compression,
    /// How hard.
    pub params: CompressionParams,
}

/// By their number in [`Block::protocol`], which outlives the process: only ever added to.
const COMPRESSIONS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Deflate, Compression::Zlib];

/// What waits behind a slow backend goes out in requests of this size at most: the Collector's batches, and half of
/// what a gRPC server takes by default.
pub const JOIN_LIMIT: JoinLimit = JoinLimit { bytes: 2 << 20, items: 8192 };

/// A payload of a halved block may not open to more than this; blocks are made from batches far below it.
const MAX_OPENED_BYTES: u64 = 1 << 30;

/// The answer to a block that no config of this exporter has made.
pub fn foreign() -> Outcome {
    let message = "the request is in no format of this exporter".into();
    Outcome::Reject { reason: "format".into(), message }
}

impl RequestFormat {
    /// A compressor of this format.
    ///
    /// # Errors
    /// The compression has no such level.
    pub fn compressor(&self) -> Result<Compressor, ConfigProblem> {
        Compressor::new(self.compression, self.params)
    }

    /// The final bytes of a request that is given as protobuf, and their number before compression.
    ///
    /// # Errors
    /// The protobuf is none, or compression failed.
    pub fn close(&self, protobuf: Bytes, compressor: &mut Compressor) -> io::Result<(Bytes, u64)> {
        let plain = match self.encoding {
            Encoding::Proto => protobuf,
            Encoding::Json => self.to_json(protobuf)?,
        };
        let size = plain.len() as u64;
        Ok((self.frame(compressor.compress(plain)?), size))
    }

    /// A request without anything in it.
    ///
    /// # Errors
    /// Compression failed.
    pub fn empty(&self) -> io::Result<Payload> {
        let mut compressor = self.compressor().map_err(io::Error::other)?;
        Ok(self.close(Bytes::new(), &mut compressor)?.0.into())
    }

    /// What [`Block::protocol`] says of blocks in this format: how they are written and compressed.
    pub fn protocol(&self) -> u16 {
        let encoding = match self.encoding {
            Encoding::Proto => 1,
            Encoding::Json => 2,
        };
        let place = COMPRESSIONS.iter().position(|known| *known == self.compression);
        encoding << 8 | place.unwrap_or_default() as u16
    }

    /// The format of blocks that say so; `None` if they are not ours.
    fn of_protocol(self, protocol: u16) -> Option<RequestFormat> {
        let encoding = match protocol >> 8 {
            1 => Encoding::Proto,
            2 => Encoding::Json,
            _ => return None,
        };
        let compression = *COMPRESSIONS.get(usize::from(protocol & 0xff))?;
        Some(RequestFormat { encoding, compression, params: CompressionParams::default(), ..self })
    }

    /// A block in this format: one that waited on disk, or through a reload, may be in that of another config.
    /// `None` if it is in no format that is known, or does not open.
    pub fn adopt<'a>(&self, block: &'a Block) -> Option<Cow<'a, Block>> {
        if block.protocol == self.protocol() {
            return Some(Cow::Borrowed(block));
        }
        let theirs = self.of_protocol(block.protocol)?;
        let plain = theirs.open(block.payload.bytes()).ok()?;
        let protobuf = match theirs.encoding {
            Encoding::Proto => plain,
            Encoding::Json => crate::json::to_protobuf(self.signal, &plain).ok()?,
        };
        let (payload, uncompressed) = self.close(protobuf.into(), &mut self.compressor().ok()?).ok()?;
        let (payload, protocol) = (payload.into(), self.protocol());
        Some(Cow::Owned(Block { payload, uncompressed, protocol, ..block.clone() }))
    }

    /// The two halves of a block, by items; `None` if it has fewer than two or does not open.
    pub fn halve(&self, block: &Block) -> Option<(Block, Block)> {
        let block = &*self.adopt(block)?;
        let plain = self.open(block.payload.bytes()).ok()?;
        let halves = match self.signal {
            Signal::Metrics => self.halves::<ExportMetricsServiceRequest>(&plain),
            Signal::Traces => self.halves::<ExportTraceServiceRequest>(&plain),
            Signal::Logs => self.halves::<ExportLogsServiceRequest>(&plain),
        };
        let [first, second] = halves?;
        let mut compressor = self.compressor().ok()?;
        let mut half = |(plain, items): (Bytes, usize)| {
            let uncompressed = plain.len() as u64;
            let payload = self.frame(compressor.compress(plain).ok()?).into();
            Some(Block { payload, items: items as u64, uncompressed, ..block.clone() })
        };
        Some((half(first)?, half(second)?))
    }

    /// One block of several: a protobuf request is a list, so that requests one after the other are one. `None` for
    /// JSON, and for what does not open.
    pub fn join(&self, blocks: &[Block]) -> Option<Block> {
        let ours = |block: &&Block| self.encoding == Encoding::Proto && block.protocol == self.protocol();
        let first = blocks.first().filter(ours)?;
        let mut whole = BytesMut::with_capacity(blocks.iter().map(|block| block.uncompressed as usize).sum());
        for block in blocks {
            whole.extend_from_slice(&self.open(block.payload.bytes()).ok()?);
        }
        let uncompressed = whole.len() as u64;
        let mut compressor = self.compressor().ok()?;
        let payload = self.frame(compressor.compress(whole.freeze()).ok()?).into();
        let items = blocks.iter().map(|block| block.items).sum();
        Some(Block { payload, items, uncompressed, time_range: time_range_of(blocks), ..first.clone() })
    }

    fn halves<R: Tree + Message + Default + Serialize + DeserializeOwned>(
        &self,
        plain: &[u8],
    ) -> Option<[(Bytes, usize); 2]> {
        let mut first: R = match self.encoding {
            Encoding::Proto => R::decode(plain).ok()?,
            Encoding::Json => serde_json::from_slice(plain).ok()?,
        };
        let items = first.items();
        if items < 2 {
            return None;
        }
        let second = first.split_off(items / 2);
        let write = |request: R| {
            let bytes = match self.encoding {
                Encoding::Proto => request.encode_to_vec(),
                Encoding::Json => serde_json::to_vec(&request).ok()?,
            };
            Some((Bytes::from(bytes), request.items()))
        };
        Some([write(first)?, write(second)?])
    }

    fn to_json(self, protobuf: Bytes) -> io::Result<Bytes> {
        fn json<R: Message + Default + Serialize>(protobuf: Bytes) -> io::Result<Vec<u8>> {
            Ok(serde_json::to_vec(&R::decode(protobuf)?)?)
        }
        let json = match self.signal {
            Signal::Metrics => json::<ExportMetricsServiceRequest>(protobuf),
            Signal::Traces => json::<ExportTraceServiceRequest>(protobuf),
            Signal::Logs => json::<ExportLogsServiceRequest>(protobuf),
        };
        json.map(Bytes::from)
    }

    fn frame(&self, body: Bytes) -> Bytes {
        if self.framing == Framing::Http {
            return body;
        }
        let mut framed = BytesMut::with_capacity(body.len() + 5);
        framed.put_u8(u8::from(self.compression != Compression::None));
        framed.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        framed.put(body);
        framed.freeze()
    }

    /// The request of a payload, uncompressed, in its encoding.
    fn open(&self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let body = match self.framing {
            Framing::Http => payload,
            Framing::Grpc => payload.get(5..).ok_or(io::ErrorKind::UnexpectedEof)?,
        };
        let mut plain = Vec::new();
        match self.compression {
            Compression::None => plain.extend_from_slice(body),
            Compression::Gzip => {
                flate2::read::GzDecoder::new(body).take(MAX_OPENED_BYTES).read_to_end(&mut plain)?;
            }
            Compression::Deflate | Compression::Zlib => {
                flate2::read::ZlibDecoder::new(body).take(MAX_OPENED_BYTES).read_to_end(&mut plain)?;
            }
            Compression::Zstd => {
                zstd::Decoder::new(body)?.take(MAX_OPENED_BYTES).read_to_end(&mut plain)?;
            }
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use steadyline_component::testkit;
    use steadyline_telemetry::{Limits, Metrics};

    use super::*;

    fn format(encoding: Encoding, framing: Framing, compression: Compression) -> RequestFormat {
        RequestFormat { signal: Signal::Metrics, encoding, framing, compression, params: CompressionParams::default() }
    }

    fn block(format: &RequestFormat, points: &str) -> Block {
        let metrics = testkit::metrics(points);
        let (payload, uncompressed) = format.close(metrics.encode(), &mut format.compressor().unwrap()).unwrap();
        Block {
            payload: payload.into(),
            items: metrics.points() as u64,
            protocol: format.protocol(),
            shard: 3,
            uncompressed,
            time_range: (10_000_000_000, 20_000_000_000),
            receipts: Vec::new(),
            term: None,
            permit: None,
        }
    }

    fn lines(format: &RequestFormat, block: &Block) -> Vec<String> {
        let plain = format.open(block.payload.bytes()).unwrap();
        let protobuf = match format.encoding {
            Encoding::Proto => plain,
            Encoding::Json => serde_json::from_slice::<ExportMetricsServiceRequest>(&plain).unwrap().encode_to_vec(),
        };
        testkit::render(&Metrics::decode(protobuf.into(), &Limits::default()).unwrap())
    }

    const POINTS: &str = r#"
        resource{env="dev"}
        steps{account="a"} 1 @10
        steps{account="b"} 2.5 @10
        counter total{account="a"} 7 @10
        resource{env="prod"}
        steps{account="c"} stale @20
        steps{account="d"} 4 @20
    "#;

    #[test]
    fn halves_together_are_the_whole_in_every_format() {
        for encoding in [Encoding::Proto, Encoding::Json] {
            for framing in [Framing::Http, Framing::Grpc] {
                for compression in [Compression::Gzip, Compression::Zstd, Compression::Zlib, Compression::None] {
                    let format = format(encoding, framing, compression);
                    let whole = block(&format, POINTS);
                    let (first, second) = format.halve(&whole).unwrap();
                    assert_eq!((first.items, second.items, first.shard), (2, 3, 3));
                    let mut both = lines(&format, &first);
                    // The cut is inside the first resource, which the second half repeats.
                    both.extend(lines(&format, &second).into_iter().skip(1));
                    assert_eq!(both, lines(&format, &whole), "{format:?}");
                }
            }
        }
    }

    #[test]
    fn one_item_and_garbage_have_no_halves() {
        let format = format(Encoding::Proto, Framing::Grpc, Compression::Gzip);
        let single = block(&format, "steps{} 1 @10");
        assert!(format.halve(&single).is_none());
        for garbage in [&b""[..], b"\x01\0\0", b"\x01\0\0\0\x03abc"] {
            let broken = Block { payload: Bytes::copy_from_slice(garbage).into(), ..single.clone() };
            assert!(format.halve(&broken).is_none());
        }
    }

    #[test]
    fn json_keeps_to_the_rules_of_otlp() {
        let format = format(Encoding::Json, Framing::Http, Compression::None);
        let block = block(&format, r#"counter total{account="a",n=5,ok=true} 9007199254740993 @1.5"#);
        let json: serde_json::Value = serde_json::from_slice(block.payload.bytes()).unwrap();
        let metric = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        let point = &metric["sum"]["dataPoints"][0];
        assert_eq!(metric["sum"]["aggregationTemporality"], 2);
        assert_eq!(point["asInt"], "9007199254740993");
        assert_eq!(point["timeUnixNano"], "1500000000");
        assert_eq!(point["attributes"][1]["value"]["intValue"], "5");
        assert_eq!(point["attributes"][2]["value"]["boolValue"], true);
    }

    #[test]
    fn spans_are_halved_too_and_their_ids_are_hex_in_json() {
        use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
        let span = |id: u8| Span { trace_id: vec![id; 16], span_id: vec![id; 8], ..Span::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span(0xa1), span(0xb2)], ..ScopeSpans::default() }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
        };
        let format =
            RequestFormat { signal: Signal::Traces, ..format(Encoding::Json, Framing::Http, Compression::None) };
        let (payload, _) = format.close(request.encode_to_vec().into(), &mut format.compressor().unwrap()).unwrap();
        let whole = Block { payload: payload.into(), items: 2, ..block(&format, "x{} 1") };
        let (_, second) = format.halve(&whole).unwrap();
        let json: serde_json::Value = serde_json::from_slice(second.payload.bytes()).unwrap();
        let spans = &json["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!((spans.as_array().unwrap().len(), spans[0]["spanId"].as_str()), (1, Some("b2b2b2b2b2b2b2b2")));
    }

    #[test]
    fn a_block_of_another_config_is_taken_over() {
        let format = |encoding, compression, framing| RequestFormat {
            signal: Signal::Metrics,
            encoding,
            framing,
            compression,
            params: CompressionParams::default(),
        };
        for framing in [Framing::Http, Framing::Grpc] {
            let all = [Encoding::Proto, Encoding::Json].into_iter().flat_map(|encoding| {
                COMPRESSIONS.into_iter().map(move |compression| format(encoding, compression, framing))
            });
            let all: Vec<RequestFormat> = all.collect();
            let plain = format(Encoding::Proto, Compression::None, framing);
            let told = |block: &Block| {
                let protobuf = plain.open(block.payload.bytes()).unwrap();
                testkit::render(&Metrics::decode(protobuf.into(), &Limits::default()).unwrap())
            };
            let expected = told(&block(&plain, "x{} 1\ny{} 2"));
            for theirs in &all {
                let waiting = block(theirs, "x{} 1\ny{} 2");
                for ours in &all {
                    let taken = ours.adopt(&waiting).unwrap();
                    assert_eq!(taken.protocol, ours.protocol());
                    let back = plain.adopt(&taken).unwrap();
                    assert_eq!(told(&back), expected, "{theirs:?} {ours:?}");
                    assert_eq!(ours.halve(&waiting).map(|(a, b)| (a.items, b.items)), Some((1, 1)));
                }
            }
        }
        let foreign =
            Block { protocol: 77, ..block(&format(Encoding::Proto, Compression::None, Framing::Http), "x{} 1") };
        assert!(format(Encoding::Proto, Compression::Gzip, Framing::Http).adopt(&foreign).is_none());
    }
}
