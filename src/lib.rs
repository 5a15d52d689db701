//! The standard distribution.
