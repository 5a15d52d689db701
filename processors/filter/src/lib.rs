//! Drops what matches.
//! Pure.
