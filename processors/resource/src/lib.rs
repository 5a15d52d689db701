//! Changes attributes of resources.
//! Pure.
