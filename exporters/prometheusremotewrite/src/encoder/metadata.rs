//! Metadata of version 1.0: type, help and unit of metrics, about once a minute, in requests of their own.

use std::time::Duration;

use hashbrown::HashMap;

use super::RemoteWriteEncoder;
use super::write::{Family, Target};
use crate::block::Protocol;

/// A metric is described again after so long.
const INTERVAL: Duration = Duration::from_secs(60);
/// The most bytes of name, help and unit together; Amazon Managed Prometheus refuses the whole request for more.
const MAX_BYTES: usize = 1024;
/// The most metrics that are remembered; it is also how many descriptions Amazon Managed Prometheus keeps.
const MAX_REMEMBERED: usize = 20_000;

/// When each metric was last described, in monotonic time.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    last: HashMap<String, Duration>,
    /// When names that are due again were last thrown out.
    swept: Duration,
}

impl Announcements {
    fn is_due(&mut self, name: &str, now: Duration) -> bool {
        let is_due = self.last.get(name).is_none_or(|last| now.saturating_sub(*last) >= INTERVAL);
        if is_due {
            if self.last.len() >= MAX_REMEMBERED && now.saturating_sub(self.swept) >= INTERVAL {
                self.swept = now;
                self.last.retain(|_, last| now.saturating_sub(*last) < INTERVAL);
            }
            if self.last.len() >= MAX_REMEMBERED && !self.last.contains_key(name) {
                return false;
            }
            self.last.insert(name.to_owned(), now);
        }
        is_due
    }
}

impl RemoteWriteEncoder {
    /// Writes the descriptions that are due for the batch's metrics.
    pub(super) fn announce(&mut self) {
        if self.protocol != Protocol::V1 || !self.settings.metadata {
            return;
        }
        let now = self.clock.now().mono;
        let due: Vec<Family> = self
            .families
            .drain(..)
            .filter(|family| self.announcements.is_due(&family.name, now))
            .map(shortened)
            .collect();
        let protocol = Protocol::V1;
        let mut target = Target { protocol, shard: 0, families: &[], blocks: &mut self.blocks };
        self.writer.write_metadata(due.iter(), &mut target);
    }
}

/// Cuts the help text, and then the unit, until the description is short enough.
fn shortened(mut family: Family) -> Family {
    let room = MAX_BYTES.saturating_sub(family.name.len() + family.unit.len());
    family.help.truncate(family.help.floor_char_boundary(room));
    let room = MAX_BYTES.saturating_sub(family.name.len());
    family.unit.truncate(family.unit.floor_char_boundary(room));
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_cut_between_characters() {
        let family = Family { name: "n".into(), help: "é".repeat(600), unit: "bytes".into(), ..Family::default() };
        let cut = shortened(family);
        assert_eq!(cut.name.len() + cut.help.len() + cut.unit.len(), MAX_BYTES);
        assert!(cut.help.chars().all(|c| c == 'é'));
    }

    #[test]
    fn once_a_minute_and_never_more_names_than_are_kept() {
        let mut announcements = Announcements::default();
        assert!(announcements.is_due("a", Duration::ZERO));
        assert!(!announcements.is_due("a", Duration::from_secs(59)));
        assert!(announcements.is_due("a", Duration::from_secs(60)));
        for n in 0..30_000 {
            announcements.is_due(&format!("m{n}"), Duration::from_secs(61));
        }
        assert_eq!(announcements.last.len(), MAX_REMEMBERED);
        assert!(!announcements.is_due("one more", Duration::from_secs(62)));
        assert!(announcements.is_due("one more", Duration::from_secs(121)));
    }
}
