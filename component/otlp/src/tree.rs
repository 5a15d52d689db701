//! Cutting a decoded request in two: the first items and the rest, under copies of the same resource and scope.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    SummaryDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// Something that holds items (data points, spans, log records) in order.
pub trait Tree: Sized {
    /// How many items it holds.
    fn items(&self) -> usize;
    /// Keeps the first `at` items and returns the rest. `at` is at most [`Tree::items`].
    fn split_off(&mut self, at: usize) -> Self;
}

macro_rules! leaves {
    ($($item:ty),*) => {$(
        impl Tree for $item {
            fn items(&self) -> usize {
                1
            }

            fn split_off(&mut self, _: usize) -> Self {
                unreachable!("a list never cuts through one item")
            }
        }
    )*};
}
leaves!(NumberDataPoint, HistogramDataPoint, ExponentialHistogramDataPoint, SummaryDataPoint, Span, LogRecord);

impl<T: Tree> Tree for Vec<T> {
    fn items(&self) -> usize {
        self.iter().map(T::items).sum()
    }

    fn split_off(&mut self, at: usize) -> Self {
        let mut left = at;
        for (row, child) in self.iter_mut().enumerate() {
            let items = child.items();
            if items <= left {
                left -= items;
                continue;
            }
            let cut = (left > 0).then(|| child.split_off(left));
            let rest = Vec::split_off(self, row + usize::from(cut.is_some()));
            return cut.into_iter().chain(rest).collect();
        }
        Vec::new()
    }
}

/// A node with one list of children: the rest is a copy of its head with the rest of its children.
macro_rules! nodes {
    ($($node:ty { $children:ident }),* $(,)?) => {$(
        impl Tree for $node {
            fn items(&self) -> usize {
                self.$children.items()
            }

            fn split_off(&mut self, at: usize) -> Self {
                let rest = Tree::split_off(&mut self.$children, at);
                let first = std::mem::take(&mut self.$children);
                let mut node = self.clone();
                (self.$children, node.$children) = (first, rest);
                node
            }
        }
    )*};
}
nodes! {
    ExportMetricsServiceRequest { resource_metrics },
    ExportTraceServiceRequest { resource_spans },
    ExportLogsServiceRequest { resource_logs },
    ResourceMetrics { scope_metrics },
    ScopeMetrics { metrics },
    ResourceSpans { scope_spans },
    ScopeSpans { spans },
    ResourceLogs { scope_logs },
    ScopeLogs { log_records },
}

/// Runs an expression on the list of points of any kind.
macro_rules! with_points {
    ($data:expr, $points:ident => $then:expr) => {
        match $data {
            Data::Gauge(data) => {
                let $points = &mut data.data_points;
                $then
            }
            Data::Sum(data) => {
                let $points = &mut data.data_points;
                $then
            }
            Data::Histogram(data) => {
                let $points = &mut data.data_points;
                $then
            }
            Data::ExponentialHistogram(data) => {
                let $points = &mut data.data_points;
                $then
            }
            Data::Summary(data) => {
                let $points = &mut data.data_points;
                $then
            }
        }
    };
}

impl Tree for Metric {
    fn items(&self) -> usize {
        match &self.data {
            None => 0,
            Some(Data::Gauge(data)) => data.data_points.len(),
            Some(Data::Sum(data)) => data.data_points.len(),
            Some(Data::Histogram(data)) => data.data_points.len(),
            Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
            Some(Data::Summary(data)) => data.data_points.len(),
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        let mut rest = self.clone();
        if let Some(data) = &mut rest.data {
            with_points!(data, points => drop(points.drain(..at)));
        }
        if let Some(data) = &mut self.data {
            with_points!(data, points => points.truncate(at));
        }
        rest
    }
}
