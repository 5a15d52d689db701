//! Turns cumulative sums and histograms into deltas.
//! Pure.
