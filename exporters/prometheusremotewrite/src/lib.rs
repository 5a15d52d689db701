//! Sends Prometheus remote write, 1.0 by default and 2.0 by choice.
