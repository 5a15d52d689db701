//! Any program as a source.
