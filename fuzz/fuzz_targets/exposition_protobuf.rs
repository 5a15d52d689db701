//! A scraped body: delimited protobuf, with histograms shown in each way.
//! What must hold is in `scrape`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadyline_scrape::{Format, Histograms};

fuzz_target!(|body: &[u8]| {
    steadyline_fuzz::scrape(body, Format::Protobuf, Histograms::Both);
    steadyline_fuzz::scrape(body, Format::Protobuf, Histograms::Classic);
});
