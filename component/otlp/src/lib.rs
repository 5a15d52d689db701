//! What the OTLP exporters share: blocks, splitting, partial success, retryable codes.
