//! HTTP basic authentication for exporters.
