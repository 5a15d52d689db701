//! The folder of a disk queue after anything may have happened to it: it opens, what it yields is whole, and it works.
//! The input is a folder: see `steadyline_fuzz::disk`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| steadyline_fuzz::recovery::recover(input));
