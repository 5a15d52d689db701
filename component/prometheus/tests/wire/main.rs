//! Remote write requests against an independent reader: `prost` structs written from the field numbers of the specification.
#![allow(clippy::unwrap_used)]

mod model;
mod pb;
mod version_1;
mod version_2;
