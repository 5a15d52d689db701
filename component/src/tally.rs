//! Conservation: for every component, signal and branch, `in + created{why} = out + merged + dropped{reason} + held`.
//! Counted per batch, never per point; the reasons are a closed set of words in the code.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The books of one component in one place of the graph, in data points, spans or log records.
#[derive(Debug, Default)]
pub struct Tally {
    incoming: AtomicU64,
    outgoing: AtomicU64,
    merged: AtomicU64,
    held: AtomicU64,
    created: Mutex<Reasons>,
    dropped: Mutex<Reasons>,
    refused: Mutex<Reasons>,
}

type Reasons = BTreeMap<Cow<'static, str>, u64>;

/// The books at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balance {
    /// What came in.
    pub incoming: u64,
    /// What went out.
    pub outgoing: u64,
    /// What was absorbed by a newer or equal one.
    pub merged: u64,
    /// What waits inside.
    pub held: u64,
    /// What was made here, by why.
    pub created: Reasons,
    /// What was lost here, by reason.
    pub dropped: Reasons,
    /// What a sender was told to keep, by reason; it never came in, so it is no part of the sum.
    pub refused: Reasons,
}

impl Tally {
    /// Counts what came in. The engine calls it.
    pub fn incoming(&self, items: u64) {
        self.incoming.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts what went out. The engine calls it.
    pub fn outgoing(&self, items: u64) {
        self.outgoing.fetch_add(items, Ordering::Relaxed);
    }

    /// Says how much waits inside now. The engine calls it.
    pub fn set_held(&self, items: u64) {
        self.held.store(items, Ordering::Relaxed);
    }

    /// Counts what was absorbed.
    pub fn merged(&self, items: u64) {
        self.merged.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts what was made here.
    pub fn created(&self, why: impl Into<Cow<'static, str>>, items: u64) {
        add(&self.created, why.into(), items);
    }

    /// Counts what was lost here.
    pub fn dropped(&self, reason: impl Into<Cow<'static, str>>, items: u64) {
        add(&self.dropped, reason.into(), items);
    }

    /// Counts what was not taken in and whose sender was told so.
    pub fn refused(&self, reason: impl Into<Cow<'static, str>>, items: u64) {
        add(&self.refused, reason.into(), items);
    }

    /// The books now.
    pub fn balance(&self) -> Balance {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Balance {
            incoming: read(&self.incoming),
            outgoing: read(&self.outgoing),
            merged: read(&self.merged),
            held: read(&self.held),
            created: self.created.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            dropped: self.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            refused: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn add(reasons: &Mutex<Reasons>, reason: Cow<'static, str>, items: u64) {
    if items > 0 {
        *reasons.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += items;
    }
}

impl Balance {
    /// What came in or was made, less what went out, was merged, dropped or is held: zero if nothing went astray.
    pub fn missing(&self) -> i64 {
        let credit = self.incoming + self.created.values().sum::<u64>();
        let debit = self.outgoing + self.merged + self.held + self.dropped.values().sum::<u64>();
        credit as i64 - debit as i64
    }
}
