//! What a scrape reads: text 0.0.4, OpenMetrics and protobuf, and relabelling.
//! No I/O.
