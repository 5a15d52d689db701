//! The reading behind OpenTelemetry's SDK: an observable instrument for each family, which the SDK asks when somebody
//! collects. One reading serves all instruments of one collection, so that what it says adds up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};

use super::families::Families;
use super::reading::Reading;

/// The name of the instrumentation scope.
pub(super) const SCOPE: &str = "steadyline";

/// The family with the most series, three for each component and signal, and how many it may have.
const LARGEST: (&str, usize) = ("steadyline_component_items", 16_384);

/// Collects the process's own metrics through the SDK. Whoever shows them shares one.
#[derive(Debug)]
pub(super) struct Collector {
    reading: Reading,
    meter: Meter,
    reader: SharedReader,
    now: Arc<Mutex<Families>>,
    /// Families that have an instrument. Its lock is held during a collection: one at a time.
    known: Mutex<BTreeSet<String>>,
    /// The instruments live as long as it does.
    provider: SdkMeterProvider,
}

impl Collector {
    pub(super) fn new(reading: Reading, resource: Resource) -> Collector {
        let reader = SharedReader(Arc::new(ManualReader::builder().build()));
        let limit = |instrument: &Instrument| {
            let stream = || Stream::builder().with_cardinality_limit(LARGEST.1).build().ok();
            (instrument.name() == LARGEST.0).then(stream).flatten()
        };
        let builder = SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone());
        let provider = builder.with_view(limit).build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = provider.meter_with_scope(scope);
        Collector { reading, meter, reader, now: Arc::default(), known: Mutex::default(), provider }
    }

    /// Everything, now. Fails only after [`Collector::stop`].
    pub(super) fn collect(&self) -> Result<ResourceMetrics, opentelemetry_sdk::error::OTelSdkError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let families = self.reading.read();
        for (name, family) in families.iter() {
            if known.insert(name.to_string()) {
                self.register(name, family.help, family.unit, family.counter);
            }
        }
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = families;
        let mut collected = ResourceMetrics::default();
        self.reader.collect(&mut collected)?;
        Ok(collected)
    }

    /// Ends the SDK's side; nothing is collected after it.
    pub(super) fn stop(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!("own metrics did not shut down cleanly: {error}");
        }
    }

    fn register(&self, name: &str, help: &'static str, unit: &'static str, counter: bool) {
        let (now, family) = (Arc::clone(&self.now), name.to_string());
        let observe = move |observer: &dyn AsyncInstrument<f64>| {
            let now = now.lock().unwrap_or_else(PoisonError::into_inner);
            for series in now.get(&family).map(|family| family.series.as_slice()).unwrap_or_default() {
                let label = |(name, value): &(String, String)| KeyValue::new(name.clone(), value.clone());
                let labels: Vec<KeyValue> = series.labels.iter().map(label).collect();
                observer.observe(series.value, &labels);
            }
        };
        let name = name.to_string();
        // The SDK keeps the callback; the handles are of no use.
        if counter {
            let builder = self.meter.f64_observable_counter(name).with_description(help).with_unit(unit);
            let _ = builder.with_callback(observe).build();
        } else {
            let builder = self.meter.f64_observable_gauge(name).with_description(help).with_unit(unit);
            let _ = builder.with_callback(observe).build();
        }
    }
}

/// A manual reader that the provider and we both hold.
#[derive(Debug, Clone)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(into)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        match kind {
            // Gauges have none; the SDK takes this as leave to forget a series that is not observed any more.
            InstrumentKind::ObservableGauge => Temporality::Delta,
            kind => self.0.temporality(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

    use std::collections::BTreeSet;

    use steadyline_component::{Board, Clock, Meter};

    use super::*;
    use crate::books::Books;

    fn names(collector: &Collector) -> BTreeSet<String> {
        let collected = collector.collect().unwrap();
        let scopes = collected.scope_metrics().collect::<Vec<_>>();
        scopes.iter().flat_map(|scope| scope.metrics()).map(|metric| metric.name().to_string()).collect()
    }

    #[test]
    fn what_comes_is_shown_and_what_goes_is_not() {
        let (clock, meter) = (Clock::manual(0), Meter::default());
        let reading = Reading::new(clock.clone(), meter.clone(), Books::default(), Board::new(clock));
        let collector = Collector::new(reading, Resource::builder_empty().build());
        let before = names(&collector);
        let gauge = meter.gauge("series", "", &[]);
        let counter = meter.counter("otelcol_things", "", &[]);
        let with = names(&collector);
        assert!(with.contains("steadyline_series") && with.contains("otelcol_things"), "{with:?}");
        drop((gauge, counter));
        assert_eq!(names(&collector), before);
        collector.stop();
        assert!(collector.collect().is_err());
    }
}
