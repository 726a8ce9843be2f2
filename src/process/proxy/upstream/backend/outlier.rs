//! What one backend has answered of late, and whether it is ejected for it: in atomics, so that all
//! workers count together. `logic::balance::ejection` decides; the pool says when one may be
//! ejected, and writes down that it is, one thread at a time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::logic::balance::ejection::{EjectionRules, Reason, Record, Tally};
use crate::logic::balance::health::Outcome;

/// The answers of a backend, and its ejections.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Outlier {
    tally: AtomicU64,
    count: AtomicU32,
    /// 0 where it never was, or has been said to be back.
    until_ms: AtomicU64,
    /// The same, but never reset.
    last_until_ms: AtomicU64,
}

impl Outlier {
    /// Notes how a request ended; returns why it is to be ejected. What was under way when it was
    /// ejected says nothing new.
    pub(in crate::process::proxy) fn note(
        &self,
        outcome: Outcome,
        rules: &EjectionRules,
        now_ms: u64,
    ) -> Option<Reason> {
        if self.is_ejected(now_ms) {
            return None;
        }
        let mut tally = Tally::default();
        let _ = self.tally.fetch_update(Relaxed, Relaxed, |bits| {
            tally = Tally::from_bits(bits).after(outcome, rules, now_ms);
            Some(tally.to_bits())
        });
        match outcome {
            Outcome::Success => None,
            Outcome::Failure => tally.reason(rules),
        }
    }

    /// Ejects it; returns for how long, in milliseconds. One thread at a time.
    pub(in crate::process::proxy) fn eject(&self, rules: &EjectionRules, now_ms: u64) -> u64 {
        let record = Record {
            count: self.count.load(Relaxed),
            until_ms: self.last_until_ms.load(Relaxed),
        };
        let record = record.after(rules, now_ms);
        self.count.store(record.count, Relaxed);
        self.last_until_ms.store(record.until_ms, Relaxed);
        self.until_ms.store(record.until_ms, Relaxed);
        self.tally.store(Tally::default().to_bits(), Relaxed);
        record.until_ms - now_ms
    }

    /// Ends its ejection at once; returns whether there was one.
    pub(in crate::process::proxy) fn take_back(&self, now_ms: u64) -> bool {
        self.last_until_ms.fetch_min(now_ms, Relaxed);
        self.until_ms.swap(0, Relaxed) > 0
    }

    /// Returns whether an ejection has ended since this was asked last.
    pub(in crate::process::proxy) fn has_returned(&self, now_ms: u64) -> bool {
        let until_ms = self.until_ms.load(Relaxed);
        let is_over = (1..=now_ms).contains(&until_ms);
        is_over
            && (self.until_ms)
                .compare_exchange(until_ms, 0, Relaxed, Relaxed)
                .is_ok()
    }

    /// Returns whether it is ejected now.
    pub(in crate::process::proxy) fn is_ejected(&self, now_ms: u64) -> bool {
        self.until_ms.load(Relaxed) > now_ms
    }

    /// Returns for how long it still is, in milliseconds; `None`: it is not.
    pub(in crate::process::proxy) fn left_ms(&self, now_ms: u64) -> Option<u64> {
        let left_ms = self.until_ms.load(Relaxed).saturating_sub(now_ms);
        (left_ms > 0).then_some(left_ms)
    }
}
