//! Puts the process's own metrics into a pipeline.
//! For sidecars that nobody scrapes.
