//! Bearer tokens for exporters.
