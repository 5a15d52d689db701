//! Plugins made on the spot.
