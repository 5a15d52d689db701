//! The data in flight: metrics, traces, logs; OTLP in and out. No I/O, no async.
