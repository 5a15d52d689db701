//! Gauges and sums: one sample a point.

use steadyline_prometheus::values::{STALE_NAN_BITS, sample_bits};
use steadyline_telemetry::metrics::exemplars;
use steadyline_telemetry::{Metrics, NumberKind, Point};

use super::exemplar;
use super::losses::Loss;
use super::plan::Class;
use super::{Part, RemoteWriteEncoder};

impl RemoteWriteEncoder {
    /// Adds the sample of a gauge's or sum's point.
    #[inline]
    pub(super) fn number(&mut self, metrics: &Metrics, point: &Point, is_counter: bool) -> Result<(), Loss> {
        let bits = self.number_bits(point)?;
        let plan = self.plan(metrics, point.shape, Class::Plain);
        let sample = self.sample(point, is_counter);
        let place = self.put_float(metrics, point, (plan, Part::Whole, &[]), sample, bits)?;
        if is_counter && self.settings.exemplars && !point.body.is_empty() {
            let found = exemplars(metrics.bytes(point.body), 5).filter_map(|e| exemplar::owned(&e));
            self.stages.put_exemplars(place, found);
        }
        Ok(())
    }

    /// The sample's bits. The stale marker is written here and nowhere earlier, because arithmetic destroys it.
    #[inline]
    fn number_bits(&mut self, point: &Point) -> Result<u64, Loss> {
        if point.is_no_value() {
            return Ok(STALE_NAN_BITS);
        }
        match point.number {
            NumberKind::Double => Ok(sample_bits(f64::from_bits(point.bits))),
            NumberKind::Int => {
                let value = point.bits as i64;
                let float = value as f64;
                if value.unsigned_abs() > 1 << 53 {
                    // The way back saturates at i64::MAX, so 2^63 - 1 would seem to be kept: compare in 128 bits.
                    self.counts.lossy += u64::from(float as i128 != i128::from(value));
                }
                Ok(float.to_bits())
            }
            NumberKind::None | NumberKind::Body => Err(Loss::NoValue),
        }
    }
}
