//! Changes attributes of points, spans and records.
//! Pure.
