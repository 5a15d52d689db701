//! How many items an export request carries that nobody has decoded: for counting what is refused.

use steadyline_telemetry::wire::{FieldData, Reader};
use steadyline_telemetry::{DecodeError, Signal};

/// The number of data points, spans or log records of an uncompressed protobuf request, by its nesting alone; a few
/// nanoseconds an item. `None` if it does not read.
pub fn items_of(signal: Signal, request: &[u8]) -> Option<u64> {
    // Resource, scope and item nest alike in all three signals; a metric holds its points one level deeper.
    let levels: &[&[u32]] = match signal {
        Signal::Metrics => &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]],
        Signal::Traces | Signal::Logs => &[&[1], &[2], &[2]],
    };
    count(Reader::new(request), levels).ok()
}

fn count(mut reader: Reader<'_>, levels: &[&[u32]]) -> Result<u64, DecodeError> {
    let Some((numbers, deeper)) = levels.split_first() else { return Ok(1) };
    let mut items = 0;
    while let Some(field) = reader.field()? {
        if let FieldData::Len(inner) = field.data
            && numbers.contains(&field.number)
        {
            items += count(inner, deeper)?;
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint,
    };
    use prost::Message;

    use super::*;

    #[test]
    fn points_are_counted_by_nesting() {
        let gauge = Data::Gauge(Gauge { data_points: vec![NumberDataPoint::default(); 3] });
        let summary = Data::Summary(Summary { data_points: vec![SummaryDataPoint::default(); 2] });
        let metric = |data| Metric { name: "m".into(), data: Some(data), ..Metric::default() };
        let scope = ScopeMetrics { metrics: vec![metric(gauge), metric(summary)], ..ScopeMetrics::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope; 2], ..ResourceMetrics::default() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
        assert_eq!(items_of(Signal::Metrics, &request), Some(10));
        assert_eq!(items_of(Signal::Logs, &request), Some(4), "metrics, where logs would have records");
        assert_eq!(items_of(Signal::Metrics, &[]), Some(0));
        assert_eq!(items_of(Signal::Metrics, &request[..request.len() - 1]), None);
    }
}
