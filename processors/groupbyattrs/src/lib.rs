//! Moves attributes to the resource and merges equal resources.
//! Pure.
