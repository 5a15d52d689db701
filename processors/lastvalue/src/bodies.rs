//! The bodies of histograms and summaries, each its own copy; entries hold their numbers.

/// Bodies by number. Numbers are reused.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    bodies: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl Bodies {
    /// Keeps a copy; its number.
    pub(crate) fn insert(&mut self, body: &[u8]) -> u64 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.bodies.push(Vec::new());
            self.bodies.len() as u32 - 1
        });
        self.replace(u64::from(number), body);
        u64::from(number)
    }

    /// Keeps another body under the same number.
    pub(crate) fn replace(&mut self, number: u64, body: &[u8]) {
        let held = &mut self.bodies[number as usize];
        held.clear();
        held.reserve_exact(body.len());
        held.extend_from_slice(body);
    }

    /// The body of a number.
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        &self.bodies[number as usize]
    }

    /// Forgets a body.
    pub(crate) fn remove(&mut self, number: u64) {
        self.bodies[number as usize] = Vec::new();
        self.free.push(number as u32);
    }
}
