//! Prometheus' rules: names and units, label sets, exposition formats, remote write messages.
