//! Thinning of log lines that repeat, as in the Collector: by level and message, the first few in each period are
//! written, and then every so many-th. The counters are a fixed table, so that messages cost no memory.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use steadyline_engine::config::LogSampling;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Two messages in one slot are thinned out together.
const SLOTS: usize = 4096;

/// Lets lines pass or not.
pub(super) struct Sampling {
    tick: u64,
    initial: u64,
    thereafter: u64,
    began: Instant,
    slots: Box<[Slot]>,
}

/// Lines of one message in one period.
#[derive(Default)]
struct Slot {
    /// The period, counted from 1.
    period: AtomicU64,
    lines: AtomicU64,
}

impl Sampling {
    pub(super) fn new(config: &LogSampling) -> Sampling {
        Sampling {
            tick: (config.tick.get().as_millis() as u64).max(1),
            initial: config.initial,
            thereafter: config.thereafter,
            began: Instant::now(),
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
        }
    }

    /// Whether a line with this hash passes at so many milliseconds.
    fn passes(&self, hash: u64, millis: u64) -> bool {
        let slot = &self.slots[hash as usize % SLOTS];
        let period = millis / self.tick + 1;
        if slot.period.swap(period, Ordering::Relaxed) != period {
            slot.lines.store(0, Ordering::Relaxed);
        }
        let number = slot.lines.fetch_add(1, Ordering::Relaxed) + 1;
        let over = number.saturating_sub(self.initial);
        over == 0 || (self.thereafter > 0 && over.is_multiple_of(self.thereafter))
    }
}

impl<S: Subscriber> Layer<S> for Sampling {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut message = Message(DefaultHasher::new());
        event.metadata().level().hash(&mut message.0);
        event.record(&mut message);
        self.passes(message.0.finish(), self.began.elapsed().as_millis() as u64)
    }
}

/// Hashes an event's message.
struct Message(DefaultHasher);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // The hasher takes anything.
            let _ = write!(self, "{value:?}");
        }
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn sampling(initial: u64, thereafter: u64) -> Sampling {
        let tick = steadyline_config::Duration::from_secs(10);
        Sampling::new(&LogSampling { enabled: true, tick, initial, thereafter })
    }

    #[test]
    fn the_first_pass_and_then_every_so_many_th_until_the_next_period() {
        let sampling = sampling(2, 3);
        let passed: Vec<bool> = (0..9).map(|_| sampling.passes(1, 0)).collect();
        assert_eq!(passed, [true, true, false, false, true, false, false, true, false]);
        assert!(sampling.passes(2, 0), "another message");
        assert!(sampling.passes(1, 10_000), "another period");
    }

    /// Counts what reaches it.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn lines_are_told_apart_by_level_and_message_and_not_by_fields() {
        let count = Count::default();
        let subscriber = tracing_subscriber::registry().with(Some(sampling(2, 0))).with(count.clone());
        tracing::subscriber::with_default(subscriber, || {
            for turn in 0..5 {
                tracing::warn!(turn, "again");
                tracing::error!("again");
                tracing::warn!("turn {turn}");
            }
        });
        assert_eq!(count.0.load(Ordering::Relaxed), 2 + 2 + 5);
    }

    #[test]
    fn none_pass_after_the_first_if_config_says_so() {
        let sampling = sampling(1, 0);
        assert!(sampling.passes(1, 0));
        assert!((0..1000).all(|_| !sampling.passes(1, 9_999)));
    }
}
