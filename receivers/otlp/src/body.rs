//! Reading bodies: into one buffer, within a size, a time and the memory that the request holds for it.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::denial::Denial;
use crate::hold::Hold;

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Its size, compressed or not.
    pub(crate) limit: usize,
    /// What sets that limit.
    pub(crate) limit_key: &'static str,
    /// From its first byte to its last; 0 = no limit.
    pub(crate) timeout: Duration,
}

/// A buffer that grows with what has come, not with what was announced: who promises a lot and sends little holds
/// little of the memory that others need.
struct Buffer<'h, 'b> {
    bytes: Vec<u8>,
    hold: &'h mut Hold<'b>,
    /// As much as there may be in the end.
    most: usize,
}

impl<'h, 'b> Buffer<'h, 'b> {
    fn new(hold: &'h mut Hold<'b>, most: usize) -> Buffer<'h, 'b> {
        Buffer { bytes: Vec::new(), hold, most }
    }

    /// Adds bytes, which stay within `most`.
    async fn add(&mut self, more: &[u8]) -> Result<(), Denial> {
        /// Most requests are smaller, and are held at once.
        const FIRST: usize = 64 << 10;
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() {
            let capacity = needed.max(2 * self.bytes.capacity()).max(FIRST).min(self.most);
            self.hold.grow(capacity).await?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }
}

/// A whole HTTP body.
pub(crate) async fn whole(body: &mut Incoming, bounds: Bounds, hold: &mut Hold<'_>) -> Result<Vec<u8>, Denial> {
    in_time(bounds, async {
        let too_large = || Denial::too_large(bounds.limit, bounds.limit_key);
        let said = body.size_hint().exact().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        if said.is_some_and(|size| size > bounds.limit) {
            return Err(too_large());
        }
        let mut buffer = Buffer::new(hold, said.unwrap_or(bounds.limit));
        while let Some(data) = next(body).await? {
            if buffer.bytes.len() + data.len() > buffer.most {
                return Err(too_large());
            }
            buffer.add(&data).await?;
        }
        Ok(buffer.bytes)
    })
    .await
}

/// The one message of a unary gRPC request, and whether it is compressed. Five bytes stand before it: a flag and the
/// length. Source: gRPC over HTTP/2, "Length-Prefixed-Message".
pub(crate) async fn message(
    body: &mut Incoming,
    bounds: Bounds,
    hold: &mut Hold<'_>,
) -> Result<(bool, Vec<u8>), Denial> {
    in_time(bounds, async {
        let mut prefix = Vec::with_capacity(5);
        let mut rest = Bytes::new();
        while prefix.len() < 5 {
            let Some(mut data) = next(body).await? else {
                return Err(Denial::malformed("the request ended before its message did"));
            };
            let take = data.len().min(5 - prefix.len());
            prefix.extend_from_slice(&data[..take]);
            data.advance(take);
            rest = data;
        }
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if prefix[0] > 1 {
            return Err(Denial::malformed("the message has no gRPC prefix: its first byte must be 0 or 1"));
        }
        if length > bounds.limit {
            return Err(Denial::too_large(bounds.limit, bounds.limit_key));
        }
        let mut buffer = Buffer::new(hold, length);
        let mut data = Some(rest);
        while let Some(bytes) = data {
            if buffer.bytes.len() + bytes.len() > length {
                return Err(Denial::malformed("an export request is one message, and more came"));
            }
            buffer.add(&bytes).await?;
            data = next(body).await?;
        }
        match buffer.bytes.len() == length {
            true => Ok((prefix[0] == 1, buffer.bytes)),
            false => Err(Denial::malformed("the request ended before its message did")),
        }
    })
    .await
}

/// Reads a body that is not wanted, so that its sender comes to see the answer: over HTTP/1 a connection that is
/// closed with bytes unread loses what was written to it. Only so much, and so long.
pub(crate) async fn discard(body: &mut Incoming) {
    const MOST: usize = 256 << 10;
    const LONGEST: Duration = Duration::from_secs(1);
    let reading = async {
        let mut seen = 0;
        while let Ok(Some(data)) = next(body).await {
            seen += data.len();
            if seen > MOST {
                break;
            }
        }
    };
    // What is left then is cut off with the connection.
    let _ = tokio::time::timeout(LONGEST, reading).await;
}

/// The next bytes; `None` at the end. Trailers are nothing to us.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Denial> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(Denial::malformed(format!("the body broke off: {error}"))),
        }
    }
}

async fn in_time<T>(bounds: Bounds, reading: impl Future<Output = Result<T, Denial>>) -> Result<T, Denial> {
    if bounds.timeout.is_zero() {
        return reading.await;
    }
    tokio::time::timeout(bounds.timeout, reading).await.unwrap_or_else(|_| Err(Denial::slow()))
}
