//! Who is connected, since when, and who has had nothing to say for longest.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{DoorOptions, EVICTION_GRACE};

/// Everybody who is connected to one door.
#[derive(Debug)]
pub(super) struct Roster {
    opened: Instant,
    guests: Mutex<Vec<Weak<Guest>>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Guest {
    opened: Instant,
    came: Instant,
    requests: AtomicUsize,
    spoke: AtomicBool,
    /// When the last request ended, in milliseconds since the door opened.
    idle_since: AtomicU64,
    out: Notify,
}

/// A request in hand; the connection does not idle while it lives.
pub(super) struct Busy(Arc<Guest>);

/// Lets one of many pass, at most one a minute: for what is worth a line in the log, and not one a connection.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    pub(super) fn pass(&self) -> bool {
        const PERIOD: Duration = Duration::from_secs(60);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= PERIOD);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

impl Default for Roster {
    fn default() -> Self {
        Roster { opened: Instant::now(), guests: Mutex::default() }
    }
}

impl Roster {
    /// One more connection, which is forgotten when it is dropped.
    pub(super) fn enter(&self) -> Arc<Guest> {
        let guest = Arc::new(Guest {
            opened: self.opened,
            came: Instant::now(),
            requests: AtomicUsize::new(0),
            spoke: AtomicBool::new(false),
            idle_since: AtomicU64::new(self.opened.elapsed().as_millis() as u64),
            out: Notify::new(),
        });
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.len() == guests.capacity() {
            // Swept when the list would grow, so that it stays in proportion to those who are here.
            guests.retain(|guest| guest.strong_count() > 0);
            let here = guests.len();
            guests.shrink_to(here * 2);
        }
        guests.push(Arc::downgrade(&guest));
        guest
    }

    /// Asks those who have idled longest to leave, at most so many.
    pub(super) fn show_out(&self, at_most: usize) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.retain(|guest| guest.strong_count() > 0);
        let idle = |guest: Arc<Guest>| (guest.requests.load(Ordering::Relaxed) == 0).then_some(guest);
        let mut idle: Vec<_> = guests.iter().filter_map(Weak::upgrade).filter_map(idle).collect();
        idle.sort_by_key(|guest| guest.idle_since.load(Ordering::Relaxed));
        for guest in idle.into_iter().take(at_most) {
            guest.out.notify_one();
        }
    }
}

impl Guest {
    /// Begins a request.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.spoke.store(true, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Resolves when the guest is asked to leave, with the grace that he gets: none for who never said anything.
    pub(super) async fn shown_out(&self) -> Duration {
        self.out.notified().await;
        self.farewell()
    }

    fn farewell(&self) -> Duration {
        if self.spoke.load(Ordering::Relaxed) { EVICTION_GRACE } else { Duration::ZERO }
    }

    /// Until when the guest may stay unless something happens; an error with the grace if he must leave now.
    pub(super) fn may_stay(&self, options: &DoorOptions) -> Result<Instant, Duration> {
        /// Far enough to be never.
        const LONG: Duration = Duration::from_secs(86_400 * 365);
        let now = Instant::now();
        let limit = |duration: Duration| if duration.is_zero() { LONG } else { duration };
        let old = self.came + limit(options.max_age);
        if now >= old {
            return Err(limit(options.max_age_grace));
        }
        let idle_since = self.opened + Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        let idle = limit(options.idle_timeout);
        match self.requests.load(Ordering::Relaxed) {
            0 if now >= idle_since + idle => Err(self.farewell()),
            0 => Ok(old.min(idle_since + idle)),
            _ => Ok(old.min(now + idle)),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.opened.elapsed().as_millis() as u64;
        self.0.idle_since.store(now, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
