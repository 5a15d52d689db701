//! Chance from a seed: what a test does at random can be done again.

use std::hash::{BuildHasher, RandomState};

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The seed from `STEADYLINE_SEED`, else a new one; it is printed, so that a failure tells it.
    #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
    pub fn thrown(test: &str) -> Dice {
        let given =
            std::env::var("STEADYLINE_SEED").ok().map(|text| text.parse().expect("STEADYLINE_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(test) % 1_000_000);
        eprintln!("{test}: again by STEADYLINE_SEED={seed}");
        Dice(seed)
    }

    /// From this seed.
    pub fn of(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Others, which depend on these.
    pub fn fork(&mut self) -> Dice {
        Dice(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether a thing happens that happens once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A port at which nobody listens and that no outgoing connection takes while its owner restarts.
pub fn lasting_port() -> u16 {
    let mut dice = Dice(RandomState::new().hash_one(std::process::id()));
    // Below the range that systems take outgoing ports from.
    let mut ports = std::iter::repeat_with(|| 15_000 + dice.below(15_000) as u16).take(1000);
    ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port below 30000")
}
