//! Adds what the machine knows about itself to resources.
//! Pure.
