//! Opening compressed bodies that strangers send: into one buffer that never grows past its bound, and that asks
//! before it grows. A bomb is given up while it opens, not when it has opened.

use std::cell::RefCell;
use std::io::{self, Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use thiserror::Error;
use zstd::zstd_safe::{self, DCtx};

/// How a body that came in is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Identity,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
    /// The zlib format, which HTTP calls `deflate`.
    Deflate,
}

impl Packing {
    /// The names that [`Packing::from_name`] knows, as `Accept-Encoding` lists them.
    pub const NAMES: &'static str = "gzip, zstd, deflate, zlib";

    /// By the value of `Content-Encoding` or `grpc-encoding`; `None` for those that are not supported.
    pub fn from_name(name: &str) -> Option<Packing> {
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        match () {
            () if is("") || is("identity") => Some(Packing::Identity),
            () if is("gzip") || is("x-gzip") => Some(Packing::Gzip),
            () if is("zstd") => Some(Packing::Zstd),
            () if is("deflate") || is("zlib") => Some(Packing::Deflate),
            () => None,
        }
    }
}

/// Why a body was not opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It holds more than it may.
    #[error("the body holds more than {limit} bytes when decompressed")]
    TooLarge {
        /// The bound in force.
        limit: usize,
    },
    /// The next larger buffer was not granted.
    #[error("no memory to decompress the body now")]
    NoMemory,
    /// It is not what it claims to be.
    #[error("the body cannot be decompressed: {0}")]
    Malformed(String),
}

/// Opens a body of at most `limit` bytes. `grant` is asked for each size of the buffer before it is allocated, the
/// whole size each time; the first is a guess from what the body says of itself, each later one twice as large.
/// The buffer's capacity is what was last granted.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    packing: Packing,
    body: &[u8],
    limit: usize,
    grant: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<u8>, OpenError> {
    match packing {
        Packing::Identity if body.len() > limit => Err(OpenError::TooLarge { limit }),
        Packing::Identity => {
            let mut out = Buffer { limit, grant, size: 0 }.first(body.len())?.0;
            out.extend_from_slice(body);
            Ok(out)
        }
        Packing::Gzip => inflate(MultiGzDecoder::new(body), gzip_guess(body), Buffer { limit, grant, size: 0 }),
        Packing::Deflate => inflate(ZlibDecoder::new(body), usual(body), Buffer { limit, grant, size: 0 }),
        Packing::Zstd => unzstd(body, Buffer { limit, grant, size: 0 }),
    }
}

/// Telemetry compresses about eightfold.
fn usual(body: &[u8]) -> usize {
    body.len().saturating_mul(8).max(1024)
}

/// A gzip body ends with the size of what is in it; it is believed no further than deflate can compress.
fn gzip_guess(body: &[u8]) -> usize {
    /// Deflate's best ratio. Source: zlib, "Technical Details".
    const BEST_RATIO: usize = 1032;
    let claim = body.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    claim.min(body.len().saturating_mul(BEST_RATIO))
}

/// What the buffer may become.
struct Buffer<'a> {
    limit: usize,
    grant: &'a mut dyn FnMut(usize) -> bool,
    size: usize,
}

impl<'a> Buffer<'a> {
    fn first(mut self, guess: usize) -> Result<(Vec<u8>, Buffer<'a>), OpenError> {
        self.ask(guess.clamp(1, self.limit.max(1)))?;
        Ok((Vec::with_capacity(self.size), self))
    }

    /// The next size; an error at the limit.
    fn next(&mut self) -> Result<(), OpenError> {
        if self.size >= self.limit {
            return Err(OpenError::TooLarge { limit: self.limit });
        }
        self.ask((self.size * 2).clamp(1024, self.limit.max(1024)).min(self.limit))
    }

    fn ask(&mut self, size: usize) -> Result<(), OpenError> {
        if !(self.grant)(size) {
            return Err(OpenError::NoMemory);
        }
        self.size = size;
        Ok(())
    }
}

fn inflate(mut decoder: impl Read, guess: usize, buffer: Buffer<'_>) -> Result<Vec<u8>, OpenError> {
    let malformed = |error: io::Error| OpenError::Malformed(error.to_string());
    let (mut out, mut buffer) = buffer.first(guess)?;
    loop {
        let room = buffer.size - out.len();
        let read = (&mut decoder).take(room as u64).read_to_end(&mut out).map_err(malformed)?;
        if read < room {
            return Ok(out);
        }
        // Full to the brim: a right guess, unless one more byte comes.
        let mut more = [0];
        if decoder.read(&mut more).map_err(malformed)? == 0 {
            return Ok(out);
        }
        buffer.next()?;
        out.reserve_exact(buffer.size - out.len());
        out.push(more[0]);
    }
}

thread_local! {
    // A context is 100 KiB; making one costs more than most bodies do.
    static ZSTD: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// In one step into the whole buffer, so that no window is allocated, whatever size a frame asks for. If the buffer
/// is too small the body is opened again into one twice as large: never more than double work.
fn unzstd(body: &[u8], buffer: Buffer<'_>) -> Result<Vec<u8>, OpenError> {
    /// `ZSTD_error_dstSize_tooSmall`. Source: zstd_errors.h; libzstd returns errors as negative numbers.
    const TOO_SMALL: usize = 0_usize.wrapping_sub(70);
    let limit = buffer.limit;
    let guess = match zstd_safe::get_frame_content_size(body) {
        Ok(Some(size)) if size > limit as u64 => return Err(OpenError::TooLarge { limit }),
        Ok(Some(size)) => size as usize,
        Ok(None) => usual(body),
        Err(_) => return Err(OpenError::Malformed("it does not begin with a zstd frame".into())),
    };
    let (mut out, mut buffer) = buffer.first(guess)?;
    ZSTD.with_borrow_mut(|context| {
        let context = context.get_or_insert_with(DCtx::create);
        loop {
            match context.decompress(&mut out, body) {
                Ok(_) => return Ok(out),
                Err(TOO_SMALL) => buffer.next()?,
                Err(code) => return Err(OpenError::Malformed(zstd_safe::get_error_name(code).to_string())),
            }
            out = Vec::with_capacity(buffer.size);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;

    use super::*;
    use crate::compress::{Compression, CompressionParams, Compressor};

    const ALL: [(Compression, Packing); 4] = [
        (Compression::None, Packing::Identity),
        (Compression::Gzip, Packing::Gzip),
        (Compression::Zstd, Packing::Zstd),
        (Compression::Deflate, Packing::Deflate),
    ];

    fn packed(compression: Compression, plain: &[u8]) -> Bytes {
        let mut compressor = Compressor::new(compression, CompressionParams::default()).unwrap();
        compressor.compress(Bytes::copy_from_slice(plain)).unwrap()
    }

    /// The result, and every size that was asked for.
    fn opened(packing: Packing, body: &[u8], limit: usize) -> (Result<Vec<u8>, OpenError>, Vec<usize>) {
        let mut sizes = Vec::new();
        let result = open(packing, body, limit, &mut |size| {
            sizes.push(size);
            true
        });
        (result, sizes)
    }

    #[test]
    fn what_was_packed_opens_up_to_the_limit_and_not_beyond() {
        for size in [0, 2, 1000, 100_000] {
            let plain: Vec<u8> = (0..size as u32).map(|n| (n % 251) as u8).collect();
            for (compression, packing) in ALL {
                let body = packed(compression, &plain);
                for limit in [size, size + 1, 10 * size + 10] {
                    let (result, sizes) = opened(packing, &body, limit);
                    assert_eq!(result.as_deref(), Ok(&*plain), "{packing:?} of {size} in {limit}");
                    assert!(sizes.iter().all(|asked| *asked <= limit.max(1)), "{packing:?}: {sizes:?}");
                }
                if size > 0 {
                    let (result, _) = opened(packing, &body, size - 1);
                    assert_eq!(result, Err(OpenError::TooLarge { limit: size - 1 }), "{packing:?} of {size}");
                }
            }
        }
    }

    #[test]
    fn bombs_are_given_up_at_the_limit() {
        let zeros = vec![0; 8 << 20];
        for (compression, packing) in ALL.into_iter().skip(1) {
            let body = packed(compression, &zeros);
            let (result, sizes) = opened(packing, &body, 1 << 20);
            assert_eq!(result, Err(OpenError::TooLarge { limit: 1 << 20 }), "{packing:?}");
            assert!(sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
        }
    }

    #[test]
    fn bodies_that_say_nothing_or_lie_about_their_size_still_open() {
        let plain = vec![7; 300_000];
        // A zstd stream does not know its size beforehand.
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(&plain).unwrap();
        let stream = encoder.finish().unwrap();
        let (result, sizes) = opened(Packing::Zstd, &stream, 1 << 20);
        assert_eq!(result.as_deref(), Ok(&*plain));
        assert!(sizes.len() > 1, "{sizes:?}");
        // Two gzip members, of which the last one is small: the size at the end is not that of the whole.
        let two = [packed(Compression::Gzip, &plain), packed(Compression::Gzip, b"end")].concat();
        assert_eq!(opened(Packing::Gzip, &two, 1 << 20).0.unwrap().len(), 300_003);
        assert_eq!(opened(Packing::Gzip, &two, 300_002).0, Err(OpenError::TooLarge { limit: 300_002 }));
    }

    #[test]
    fn what_is_cut_or_changed_is_malformed() {
        let plain: Vec<u8> = (0..5000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (compression, packing) in ALL.into_iter().skip(1) {
            let body = packed(compression, &plain);
            for bad in [&body[..body.len() / 2], &body[..3], b"", b"certainly not compressed at all"] {
                let (result, _) = opened(packing, bad, 1 << 20);
                assert!(matches!(result, Err(OpenError::Malformed(_))), "{packing:?}: {result:?}");
            }
        }
    }

    #[test]
    fn no_changed_byte_leads_beyond_the_limit() {
        let plain: Vec<u8> = (0..300_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let limit = plain.len() + 100;
        for (compression, packing) in ALL.into_iter().skip(1) {
            let body = packed(compression, &plain);
            for (at, flip) in (0..body.len()).flat_map(|at| [(at, 1), (at, 0x80), (at, 0xff)]) {
                let mut changed = body.to_vec();
                changed[at] ^= flip;
                let (result, sizes) = opened(packing, &changed, limit);
                assert!(sizes.iter().all(|size| *size <= limit), "{packing:?} at {at}: {sizes:?}");
                assert!(result.is_err() || result.is_ok_and(|out| out.len() <= limit), "{packing:?} at {at}");
            }
        }
    }

    #[test]
    fn nothing_is_allocated_that_was_not_granted() {
        let body = packed(Compression::Deflate, &vec![0; 1 << 20]);
        let result = open(Packing::Deflate, &body, 1 << 30, &mut |size| size <= 100_000);
        assert_eq!(result, Err(OpenError::NoMemory));
    }
}
