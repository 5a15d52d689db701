//! Where requests of either protocol become batches: opened within bounds, decoded, handed on, answered.

use std::sync::Arc;

use bytes::Bytes;
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal};
use steadyline_component::{Batch, Data, Header, Output, Outputs, Until};
use steadyline_http::Packing;
use steadyline_http::decompress::open;
use steadyline_otlp::{Encoding, items_of, json};

use crate::denial::Denial;
use crate::hold::Hold;

/// What all requests of the receiver have in common.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    outputs: Outputs,
    source: Arc<str>,
    until: Until,
}

/// A request whose body has arrived.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    /// Its bytes, still compressed.
    pub(crate) body: Vec<u8>,
    /// How they are compressed.
    pub(crate) packing: Packing,
    /// What they are then.
    pub(crate) encoding: Encoding,
    /// The memory that they hold.
    pub(crate) hold: Hold<'a>,
    /// The most bytes there may be when decompressed.
    pub(crate) limit: usize,
    /// What sets that limit.
    pub(crate) limit_key: &'static str,
}

impl Desk {
    pub(crate) fn new(outputs: Outputs, source: Arc<str>, until: Until) -> Desk {
        Desk { outputs, source, until }
    }

    /// Who wants this signal.
    ///
    /// # Errors
    /// Nobody does.
    pub(crate) fn output(&self, signal: Signal) -> Result<&Output, Denial> {
        let nobody = || Denial::unwanted(format!("no pipeline takes {signal} from this receiver"));
        self.outputs.of(signal).ok_or_else(nobody)
    }

    /// Takes a request as far as it must get before its sender is answered.
    ///
    /// # Errors
    /// It is not taken; what was not taken is counted.
    pub(crate) async fn take(&self, signal: Signal, arrival: Arrival<'_>) -> Result<(), Denial> {
        let output = self.output(signal)?;
        if !output.has_room() {
            let items = arrival.items(signal);
            return Err(self.refuse(signal, items, Denial::queue_full()));
        }
        let batch = self.batch(signal, arrival).map_err(|denial| self.refuse(signal, 1, denial))?;
        if batch.is_idle() {
            return Ok(());
        }
        let items = batch.items();
        let sent = output.send(batch, self.until).await;
        sent.map_err(|error| self.refuse(signal, items, error.into()))
    }

    /// Counts a request that is not taken; `items` as far as they are known.
    pub(crate) fn refuse(&self, signal: Signal, items: u64, denial: Denial) -> Denial {
        if let (Some(reason), Some(output)) = (denial.reason, self.outputs.of(signal)) {
            tracing::debug!(receiver = &*self.source, %signal, reason, "a request is refused: {}", denial.message);
            output.refused(reason, items);
        }
        denial
    }

    fn batch(&self, signal: Signal, arrival: Arrival<'_>) -> Result<Batch, Denial> {
        let limits = Limits { max_bytes: arrival.limit, ..Limits::default() };
        let (request, mut hold) = arrival.open(signal)?;
        let data = match signal {
            Signal::Metrics => {
                let metrics = Metrics::decode(request, &limits)?;
                // The tables are there now, granted or not; what is free is marked as theirs.
                hold.try_grow(metrics.memory());
                Data::Metrics(metrics)
            }
            Signal::Traces | Signal::Logs => Data::Opaque(Opaque::count(signal, request, &limits)?),
        };
        let header = Header { source: Arc::clone(&self.source), permit: hold.into_permit(), ..Header::default() };
        Ok(Batch { header, data })
    }
}

impl<'a> Arrival<'a> {
    /// The request as protobuf, and the memory that it holds.
    fn open(self, signal: Signal) -> Result<(Bytes, Hold<'a>), Denial> {
        let Arrival { body, packing, encoding, hold, limit, limit_key } = self;
        let (plain, mut hold) = match packing {
            Packing::Identity => (body, hold),
            _ => {
                let mut opened = Hold::new(hold.budget());
                let plain = open(packing, &body, limit, &mut |size| opened.try_grow(size));
                (plain.map_err(|error| Denial::from_open(error, limit_key))?, opened)
            }
        };
        match encoding {
            Encoding::Proto => Ok((plain.into(), hold)),
            Encoding::Json => {
                // Both forms are here for a moment; protobuf is the smaller one, but for lists of short numbers.
                if !hold.try_grow(2 * plain.len()) {
                    return Err(Denial::no_memory());
                }
                Ok((json::to_protobuf(signal, &plain)?.into(), hold))
            }
        }
    }

    /// How many items there are, as far as can be told without opening: at least 1.
    fn items(&self, signal: Signal) -> u64 {
        let readable = self.packing == Packing::Identity && self.encoding == Encoding::Proto;
        let items = readable.then(|| items_of(signal, &self.body)).flatten();
        items.unwrap_or(1)
    }
}
