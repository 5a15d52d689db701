//! Histograms and summaries: several samples a point, or one native histogram.

use steadyline_prometheus::NativeHistogram;
use steadyline_prometheus::native::{Exponential, Native, Refusal};
use steadyline_prometheus::values::{STALE_NAN_BITS, put_bound, sample_bits};
use steadyline_telemetry::metrics::{ExponentialHistogramView, HistogramView, SummaryView};
use steadyline_telemetry::{Metrics, NumberKind, Point};

use super::losses::Loss;
use super::plan::{Class, Plan, Values};
use super::stage::{OwnedExemplar, Place, Sample};
use super::{Part, RemoteWriteEncoder, exemplar};

/// Buffers for one point.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bound: Vec<u8>,
    native: Native,
}

/// What all series of a point have in common.
#[derive(Clone, Copy)]
struct Shared<'a> {
    metrics: &'a Metrics,
    point: &'a Point,
    plan: Plan,
    sample: Sample,
}

impl RemoteWriteEncoder {
    /// Adds `_bucket`, `_sum` and `_count` of a histogram's point.
    pub(super) fn histogram(&mut self, metrics: &Metrics, point: &Point) -> Result<(), Loss> {
        let view = HistogramView::new(body(metrics, point)?);
        let is_stale = point.is_no_value();
        if !is_stale && !is_whole(&view) {
            return Err(Loss::MalformedHistogram);
        }
        let shared = self.shared(metrics, point, Class::Histogram, true);
        let mut exemplars = self.exemplars(view.exemplars());
        let mut counts = view.bucket_counts();
        let mut cumulative = 0u64;
        for bound in view.bounds() {
            cumulative += counts.next().unwrap_or_default();
            // The bucket without a bound follows in any case.
            if bound != f64::INFINITY {
                let place = self.bound(shared, Part::Bucket, bound, self.count_bits(is_stale, cumulative));
                let (here, later) = exemplars.into_iter().partition(|e: &OwnedExemplar| e.value <= bound);
                exemplars = later;
                self.attach(place, here);
            }
        }
        let count = self.count_bits(is_stale, view.count);
        let place = self.bound(shared, Part::Bucket, f64::INFINITY, count);
        self.attach(place, exemplars);
        if let Some(bits) = sum_bits(is_stale, view.sum) {
            self.part(shared, Part::Sum, &[], bits);
        }
        self.part(shared, Part::Count, &[], count);
        self.note_lossy(view.count);
        self.counts.histogram += self.counts.parts - 1;
        Ok(())
    }

    /// Adds the quantiles, `_sum` and `_count` of a summary's point.
    pub(super) fn summary(&mut self, metrics: &Metrics, point: &Point) -> Result<(), Loss> {
        let view = SummaryView::new(body(metrics, point)?);
        let is_stale = point.is_no_value();
        if view.quantiles().any(|(quantile, _)| quantile.is_nan()) {
            return Err(Loss::MalformedSummary);
        }
        let shared = self.shared(metrics, point, Class::Summary, false);
        for (quantile, value) in view.quantiles() {
            let bits = if is_stale { STALE_NAN_BITS } else { sample_bits(value) };
            self.bound(shared, Part::Whole, quantile, bits);
        }
        // Sum and count of a summary are counters, and have a start.
        let sample = self.sample(point, true);
        let shared = Shared { sample, ..shared };
        if let Some(bits) = sum_bits(is_stale, Some(view.sum)) {
            self.part(shared, Part::Sum, &[], bits);
        }
        self.part(shared, Part::Count, &[], self.count_bits(is_stale, view.count));
        self.note_lossy(view.count);
        self.counts.summary += self.counts.parts - 1;
        Ok(())
    }

    /// Adds the native histogram of an exponential histogram's point.
    pub(super) fn exponential(&mut self, metrics: &Metrics, point: &Point) -> Result<(), Loss> {
        if !self.settings.natives {
            return Err(Loss::NativeHistogram);
        }
        let view = ExponentialHistogramView::new(body(metrics, point)?);
        let mut native = std::mem::take(&mut self.natives.native);
        let histogram = match point.is_no_value() {
            true => Ok(NativeHistogram::STALE),
            false => convert(&mut native, &view),
        };
        let shared = self.shared(metrics, point, Class::Plain, true);
        let place = histogram.and_then(|histogram| self.native(shared, &histogram));
        self.natives.native = native;
        let exemplars = self.exemplars(view.exemplars());
        self.attach(Some(place?), exemplars);
        Ok(())
    }

    fn shared<'a>(&mut self, metrics: &'a Metrics, point: &'a Point, class: Class, counts: bool) -> Shared<'a> {
        Shared { metrics, point, plan: self.plan(metrics, point.shape, class), sample: self.sample(point, counts) }
    }

    fn native(&mut self, shared: Shared<'_>, histogram: &NativeHistogram<'_>) -> Result<Place, Loss> {
        let Self { plans, stages, names, text, counts, settings, .. } = self;
        let mut values = Values {
            metrics: shared.metrics,
            values: shared.metrics.values(shared.point.attributes()),
            on_collision: settings.on_collision,
            collisions: &mut counts.collisions,
            text,
        };
        let write = |out: &mut Vec<u8>| plans.write(shared.plan, &mut values, names.label(Part::Whole), &[], out);
        stages.put_native(shared.sample, histogram, write)
    }

    /// Adds a series with a bound or a quantile.
    fn bound(&mut self, shared: Shared<'_>, part: Part, bound: f64, bits: u64) -> Option<Place> {
        let mut text = std::mem::take(&mut self.natives.bound);
        text.clear();
        put_bound(&mut text, bound);
        let place = self.part(shared, part, &text, bits);
        self.natives.bound = text;
        place
    }

    /// Adds one series of several; one that cannot be sent is counted by itself.
    fn part(&mut self, shared: Shared<'_>, part: Part, bound: &[u8], bits: u64) -> Option<Place> {
        self.counts.parts += 1;
        let Shared { metrics, point, plan, sample } = shared;
        match self.put_float(metrics, point, (plan, part, bound), sample, bits) {
            Ok(place) => Some(place),
            Err(loss) => {
                self.losses.add(loss, 1, &self.names.base);
                None
            }
        }
    }

    fn exemplars<'e>(
        &self,
        found: impl Iterator<Item = steadyline_telemetry::metrics::Exemplar<'e>>,
    ) -> Vec<OwnedExemplar> {
        if !self.settings.exemplars {
            return Vec::new();
        }
        found.filter_map(|e| exemplar::owned(&e)).collect()
    }

    fn attach(&mut self, place: Option<Place>, exemplars: Vec<OwnedExemplar>) {
        if let (Some(place), false) = (place, exemplars.is_empty()) {
            self.stages.put_exemplars(place, exemplars);
        }
    }

    fn count_bits(&self, is_stale: bool, count: u64) -> u64 {
        if is_stale { STALE_NAN_BITS } else { (count as f64).to_bits() }
    }

    fn note_lossy(&mut self, count: u64) {
        self.counts.lossy += u64::from(count as f64 as u128 != u128::from(count));
    }
}

/// The point's message. A point without one may still end its series.
fn body<'a>(metrics: &'a Metrics, point: &Point) -> Result<&'a [u8], Loss> {
    if point.number != NumberKind::Body && !point.is_no_value() {
        return Err(Loss::NoValue);
    }
    Ok(metrics.bytes(point.body))
}

/// Whether bounds rise and the counts fit: one more than bounds, summing up to the total. No buckets at all are fine.
fn is_whole(view: &HistogramView<'_>) -> bool {
    let mut last = None;
    let mut bounds = 0usize;
    for bound in view.bounds() {
        if bound.is_nan() || last.is_some_and(|last| bound <= last) {
            return false;
        }
        last = Some(bound);
        bounds += 1;
    }
    let (mut counts, mut total) = (0usize, Some(0u64));
    for count in view.bucket_counts() {
        counts += 1;
        total = total.and_then(|total| total.checked_add(count));
    }
    (counts, bounds) == (0, 0) || counts == bounds + 1 && total == Some(view.count)
}

/// The bits of a sum; a marker also where no sum is known, because the series may have had one before.
fn sum_bits(is_stale: bool, sum: Option<f64>) -> Option<u64> {
    if is_stale { Some(STALE_NAN_BITS) } else { sum.map(sample_bits) }
}

fn convert<'n>(native: &'n mut Native, view: &ExponentialHistogramView<'_>) -> Result<NativeHistogram<'n>, Loss> {
    let point = Exponential::of(view);
    native.convert(&point).map_err(|refusal| match refusal {
        Refusal::TooCoarse(_) => Loss::HistogramTooCoarse,
        Refusal::NoSum => Loss::NoSum,
        Refusal::IndexOverflow | Refusal::CountOverflow | Refusal::CountMismatch { .. } => Loss::MalformedHistogram,
    })?;
    Ok(native.histogram())
}
