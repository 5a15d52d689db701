//! An OTLP metrics request: what is decoded can be looked at whole, written anew, and decoded again as the same.
//! What nobody changes goes on as it came.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use steadyline_telemetry::metrics::{ExponentialHistogramView, HistogramView, SummaryView, exemplars};
use steadyline_telemetry::{Limits, MetricKind, Metrics};

fuzz_target!(|request: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let Ok(mut metrics) = Metrics::decode(Bytes::copy_from_slice(request), &limits) else { return };
    assert_eq!(metrics.encode(), request, "what nobody changed stays as it came");
    let seen = look_at(&metrics);
    metrics.edit();
    let written = metrics.encode();
    let mut again = Metrics::decode(written.clone(), &limits).expect("what was written can be read");
    assert_eq!(look_at(&again), seen);
    again.edit();
    assert_eq!(again.encode(), written, "written twice, it is the same");
});

/// Everything that a component can see of a batch, in some order.
fn look_at(metrics: &Metrics) -> Vec<String> {
    let mut seen = Vec::new();
    for (resource, scope, metric) in metrics.iter() {
        for attributes in [resource.attributes, scope.attributes, metric.metadata] {
            seen.extend(metrics.pairs(attributes).map(|pair| format!("{pair:?}")));
        }
        for slot in [metric.name, metric.description, metric.unit, scope.name, scope.version, resource.schema_url] {
            seen.push(metrics.text(slot).to_owned());
        }
        for point in metrics.points_of(metric) {
            seen.extend(metrics.pairs(point.attributes()).map(|pair| format!("{pair:?}")));
            seen.push(format!("{:?} {} {} {}", point.as_f64(), point.time, point.start, point.flags));
            look_into(metric.kind, metrics.bytes(point.body), &mut seen);
        }
    }
    seen
}

/// What a point's message says beyond its attributes and times.
fn look_into(kind: MetricKind, body: &[u8], seen: &mut Vec<String>) {
    let exemplars_at = match kind {
        MetricKind::Histogram { .. } => {
            let view = HistogramView::new(body);
            let (counts, bounds): (Vec<u64>, Vec<f64>) = (view.bucket_counts().collect(), view.bounds().collect());
            seen.push(format!("{} {:?} {:?} {:?} {counts:?} {bounds:?}", view.count, view.sum, view.min, view.max));
            8
        }
        MetricKind::ExponentialHistogram { .. } => {
            let view = ExponentialHistogramView::new(body);
            seen.push(format!("{} {:?} {} {}", view.count, view.sum, view.scale, view.zero_count));
            seen.push(format!("{:?} {:?} {}", view.positive, view.negative, view.zero_threshold));
            11
        }
        MetricKind::Summary => {
            let view = SummaryView::new(body);
            let quantiles: Vec<(f64, f64)> = view.quantiles().collect();
            seen.push(format!("{} {} {quantiles:?}", view.count, view.sum));
            return;
        }
        _ => 5,
    };
    for exemplar in exemplars(body, exemplars_at) {
        let pairs: Vec<_> = exemplar.filtered_attributes().collect();
        seen.push(format!("{} {} {:?} {pairs:?}", exemplar.time, exemplar.value, exemplar.trace_id));
    }
}
