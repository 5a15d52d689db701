//! Keeps one value per series: last value wins, never blank, never a lie.
