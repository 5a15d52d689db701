//! Bounds the bytes of data in flight, by the Collector's name and keys.
