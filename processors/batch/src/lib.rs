//! Joins small batches and cuts large ones.
//! Pure.
