//! Prints what passes: counts, points, or only what changed.
