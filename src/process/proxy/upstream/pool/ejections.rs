//! Backends that are ejected for how they answer, and that come back: never so many that less than
//! half of the pool would be left.
//!
//! Answers are counted without a lock; an ejection is decided under one, so that two threads do not
//! eject one backend too many. A thread that finds the lock taken does not wait: the next failure
//! decides.

use std::sync::{MutexGuard, PoisonError};

use crate::logic::balance::ejection;
use crate::logic::balance::health::{Availability, Outcome};
use crate::process::proxy::upstream::backend::BackendRuntime;
use crate::process::proxy::upstream::pool::Pool;

impl Pool {
    /// Notes how a request on a backend ended, where backends are ejected for that; returns whether
    /// this one is ejected now.
    pub(in crate::process::proxy) fn note_outcome(
        &self,
        backend: &BackendRuntime,
        outcome: Outcome,
        now_ms: u64,
    ) -> bool {
        let Some(rules) = &self.ejection else {
            return false;
        };
        let Some(reason) = backend.outlier.note(outcome, rules, now_ms) else {
            return false;
        };
        let Ok(_deciding) = self.runtime.ejecting.try_lock() else {
            return false;
        };
        let is_in_use = is_in_use(backend) && !backend.outlier.is_ejected(now_ms);
        if !is_in_use || !self.standing(now_ms).can_spare_one(rules) {
            return false;
        }
        let duration_ms = backend.outlier.eject(rules, now_ms);
        let BackendRuntime { name, address, .. } = backend;
        tracing::warn!(
            pool = %self.name, backend = %name, %address, cause = %reason, duration_ms,
            "backend ejected"
        );
        true
    }

    /// Says which backends are no longer ejected, their time being over; returns whether any is.
    pub(super) fn welcome_back(&self, now_ms: u64) -> bool {
        let mut is_any = false;
        for backend in self.backends.all() {
            if self.ejection.is_some() && backend.runtime.outlier.has_returned(now_ms) {
                self.say_back(&backend.runtime, "its time is over");
                is_any = true;
            }
        }
        is_any
    }

    /// Ends ejections early, as far as less than half of the pool would be left otherwise, or where
    /// nothing is ejected any more.
    pub(super) fn keep_half(&self, now_ms: u64) {
        let _deciding = self.ejecting();
        let take_back = |backend: &BackendRuntime, cause| {
            if backend.outlier.take_back(now_ms) {
                self.say_back(backend, cause);
            }
        };
        let all = self.backends.all().iter().map(|backend| &*backend.runtime);
        if self.ejection.is_none() {
            all.for_each(|backend| take_back(backend, "nothing is ejected any more"));
            return;
        }
        while self.standing(now_ms).needs_one() {
            let ejected = all.clone().filter(|backend| is_in_use(backend));
            let left = ejected.filter_map(|it| Some((it.outlier.left_ms(now_ms)?, it)));
            let Some((_, first)) = left.min_by_key(|(left_ms, _)| *left_ms) else {
                return;
            };
            take_back(first, "half of the pool is needed");
        }
    }

    fn standing(&self, now_ms: u64) -> ejection::Pool {
        let mut pool = ejection::Pool::default();
        let all = self.backends.all().iter().map(|backend| &backend.runtime);
        for backend in all.filter(|backend| backend.takes_requests()) {
            pool.backends += 1;
            match (is_in_use(backend), backend.outlier.is_ejected(now_ms)) {
                (true, true) => pool.ejected += 1,
                (true, false) => pool.in_use += 1,
                // It is missing already.
                (false, _) => {}
            }
        }
        pool
    }

    fn say_back(&self, backend: &BackendRuntime, cause: &str) {
        let BackendRuntime { name, address, .. } = backend;
        tracing::info!(
            pool = %self.name, backend = %name, %address, cause, "backend no longer ejected"
        );
    }

    fn ejecting(&self) -> MutexGuard<'_, ()> {
        // There is nothing in it that a thread that panicked could have left half done.
        let ejecting = self.runtime.ejecting.lock();
        ejecting.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a backend would be given requests if it were not ejected.
fn is_in_use(backend: &BackendRuntime) -> bool {
    backend.takes_requests()
        && match backend.availability() {
            Availability::Up | Availability::Unprobed => true,
            Availability::Down => false,
        }
}
