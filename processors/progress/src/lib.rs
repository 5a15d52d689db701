//! Counters, stalled time and remaining time from gauges that count up or down.
