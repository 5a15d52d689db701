//! Turns delta sums and histograms into cumulative ones.
//! Pure.
