//! What a component measures about itself. Instruments are atomics; whoever exports them reads them all at once.
//! Labels come from config and code, never from data, so the set of instruments is bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Hands out instruments and reads them. Cheap to clone; a clone made by [`Meter::with`] adds labels.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    registry: Arc<Mutex<Vec<Weak<Instrument>>>>,
    labels: Arc<[(String, String)]>,
}

/// One number about a component: a counter only rises, a gauge is set.
#[derive(Debug)]
pub struct Instrument {
    /// The metric's name, without prefix: `dynamodb_consumed_read_units`.
    pub name: String,
    /// What it means, for people.
    pub help: &'static str,
    /// Whether it only rises.
    pub counter: bool,
    /// Label names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    bits: AtomicU64,
}

impl Meter {
    /// The same registry, with one more label on every instrument made from it.
    pub fn with(&self, name: &str, value: &str) -> Meter {
        let mut labels = self.labels.to_vec();
        labels.push((name.to_string(), value.to_string()));
        Meter { registry: Arc::clone(&self.registry), labels: labels.into() }
    }

    /// A counter; the same name and labels give the same counter.
    pub fn counter(&self, name: &str, help: &'static str, labels: &[(&str, &str)]) -> Arc<Instrument> {
        self.instrument(name, help, true, labels)
    }

    /// A gauge; the same name and labels give the same gauge.
    pub fn gauge(&self, name: &str, help: &'static str, labels: &[(&str, &str)]) -> Arc<Instrument> {
        self.instrument(name, help, false, labels)
    }

    fn instrument(&self, name: &str, help: &'static str, counter: bool, labels: &[(&str, &str)]) -> Arc<Instrument> {
        let mut all = self.labels.to_vec();
        all.extend(labels.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        all.sort();
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.retain(|instrument| instrument.strong_count() > 0);
        let known = registry.iter().filter_map(Weak::upgrade).find(|i| i.name == name && i.labels == all);
        known.unwrap_or_else(|| {
            let instrument =
                Arc::new(Instrument { name: name.to_string(), help, counter, labels: all, bits: AtomicU64::new(0) });
            registry.push(Arc::downgrade(&instrument));
            instrument
        })
    }

    /// Every instrument that is still in use.
    pub fn read(&self) -> Vec<Arc<Instrument>> {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Instrument {
    /// Raises a counter (or moves a gauge).
    pub fn add(&self, by: f64) {
        let update = |bits| Some((f64::from_bits(bits) + by).to_bits());
        // The closure always says Some, so the update cannot fail.
        let _ = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Sets a gauge.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }
}
