//! A scraped body: OpenMetrics.
//! What must hold is in `scrape`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadyline_scrape::{Format, Histograms};

fuzz_target!(|body: &[u8]| steadyline_fuzz::scrape(body, Format::OpenMetrics, Histograms::Native));
