//! A scraped body: text 0.0.4 and 1.0.0.
//! What must hold is in `scrape`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadyline_scrape::{Format, Histograms};

fuzz_target!(|body: &[u8]| steadyline_fuzz::scrape(body, Format::Text, Histograms::Native));
