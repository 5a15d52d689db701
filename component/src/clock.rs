//! Time. Ticks run on the boot-time clock (it counts while the machine sleeps and never steps), anchored at the wall
//! clock; when the wall clock steps away from that anchor the clock says so and re-anchors. Tests bring their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A moment, on both scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Time since the clock was made; never steps.
    pub mono: Duration,
    /// Nanoseconds since the Unix epoch, by the anchored wall clock.
    pub unix_nanos: u64,
}

/// A clock. Cheap to clone; all clones are one clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    System { boot: Duration, anchor: Mutex<Anchor> },
    Scaled { started: tokio::time::Instant, unix_nanos: u64, factor: f64 },
    Manual(watch::Sender<Manual>),
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    unix_nanos: u64,
    mono: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Manual {
    mono: Duration,
    wall_offset: i128,
}

/// How far wall clock and anchor may part before it counts as a step; slewing stays far below.
const STEP: u64 = 2_000_000_000;

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        let anchor = Anchor { unix_nanos: wall_nanos(), mono: Duration::ZERO };
        Clock(Arc::new(Kind::System { boot: boot_time(), anchor: Mutex::new(anchor) }))
    }

    /// A clock that starts at `unix_nanos` and runs `factor` times as fast as tokio's time
    /// (with tokio's time paused, a factor of 1 makes it fully controlled).
    pub fn scaled(unix_nanos: u64, factor: f64) -> Clock {
        Clock(Arc::new(Kind::Scaled { started: tokio::time::Instant::now(), unix_nanos, factor }))
    }

    /// A clock that stands still until a test moves it.
    pub fn manual(unix_nanos: u64) -> Clock {
        let start = Manual { mono: Duration::ZERO, wall_offset: i128::from(unix_nanos) };
        Clock(Arc::new(Kind::Manual(watch::Sender::new(start))))
    }

    /// Moves a manual clock on; other clocks ignore it.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(state) = &*self.0 {
            state.send_modify(|state| state.mono += by);
        }
    }

    /// Steps the wall side of a manual clock by so many nanoseconds; other clocks ignore it.
    pub fn step_wall(&self, by_nanos: i64) {
        if let Kind::Manual(state) = &*self.0 {
            state.send_modify(|state| state.wall_offset += i128::from(by_nanos));
        }
    }

    /// Now, on both scales. Steps of the wall clock take effect here; see [`Clock::take_step`].
    pub fn now(&self) -> Now {
        match &*self.0 {
            Kind::System { boot, anchor } => {
                let mono = boot_time().saturating_sub(*boot);
                let anchor = *anchor.lock().unwrap_or_else(PoisonError::into_inner);
                let since = mono.saturating_sub(anchor.mono).as_nanos() as u64;
                Now { mono, unix_nanos: anchor.unix_nanos.saturating_add(since) }
            }
            Kind::Scaled { started, unix_nanos, factor } => {
                let mono = started.elapsed().mul_f64(*factor);
                Now { mono, unix_nanos: unix_nanos + mono.as_nanos() as u64 }
            }
            Kind::Manual(state) => {
                let state = *state.borrow();
                let wall = state.wall_offset + state.mono.as_nanos() as i128;
                Now { mono: state.mono, unix_nanos: wall.clamp(0, i128::from(u64::MAX)) as u64 }
            }
        }
    }

    /// Compares anchor and wall clock; if they parted by a step, re-anchors and says by how many nanoseconds
    /// the wall clock moved (negative: backwards). The engine asks once per tick and reports it.
    pub fn take_step(&self) -> Option<i64> {
        let Kind::System { anchor, .. } = &*self.0 else { return None };
        let now = self.now();
        let wall = wall_nanos();
        if wall.abs_diff(now.unix_nanos) < STEP {
            return None;
        }
        *anchor.lock().unwrap_or_else(PoisonError::into_inner) = Anchor { unix_nanos: wall, mono: now.mono };
        Some((i128::from(wall) - i128::from(now.unix_nanos)).clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Waits until the monotonic side reaches `mono`.
    pub async fn sleep_until(&self, mono: Duration) {
        match &*self.0 {
            Kind::System { .. } => {
                // Re-read after each sleep: tokio's timer stands still while the machine sleeps, the boot clock does not.
                loop {
                    let left = mono.saturating_sub(self.now().mono);
                    if left.is_zero() {
                        return;
                    }
                    tokio::time::sleep(left.min(Duration::from_secs(10))).await;
                }
            }
            Kind::Scaled { factor, .. } => loop {
                let left = mono.saturating_sub(self.now().mono);
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.div_f64(*factor).max(Duration::from_micros(100))).await;
            },
            Kind::Manual(state) => {
                let mut changes = state.subscribe();
                // The sender lives in self, so the channel cannot close while we wait.
                let _ = changes.wait_for(|state| state.mono >= mono).await;
            }
        }
    }

    /// Waits for a span of this clock's time.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now().mono + span).await;
    }

    /// Runs a future for at most a span of this clock's time; `None` if it did not finish.
    pub async fn timeout<T>(&self, span: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = future => Some(result),
            () = self.sleep(span) => None,
        }
    }
}

fn wall_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
}

#[cfg(not(target_os = "linux"))]
fn boot_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_moves_only_when_told_and_its_wall_can_step() {
        let clock = Clock::manual(1_000);
        let sleeper = clock.sleep(Duration::from_secs(2));
        tokio::pin!(sleeper);
        assert!(futures_util::poll!(&mut sleeper).is_pending());
        clock.advance(Duration::from_secs(1));
        clock.step_wall(-500);
        assert!(futures_util::poll!(&mut sleeper).is_pending());
        assert_eq!(clock.now(), Now { mono: Duration::from_secs(1), unix_nanos: 1_000_000_500 });
        clock.advance(Duration::from_secs(1));
        sleeper.await;
    }

    #[test]
    fn the_system_clock_runs_with_the_wall() {
        let clock = Clock::system();
        assert!(clock.now().unix_nanos.abs_diff(wall_nanos()) < STEP);
        assert_eq!(clock.take_step(), None);
    }
}
