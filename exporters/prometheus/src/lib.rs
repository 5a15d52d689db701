//! A pull endpoint that shows the last values.
