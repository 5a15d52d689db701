//! Scrapes Prometheus targets.
//! As Prometheus does.
