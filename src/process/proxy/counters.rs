//! Counters of one writer each: a worker adds to its own, and who reads sums them up.
//!
//! No two workers write to the same line of the cache, and none needs a locked instruction. The
//! lock of the list is taken where a worker comes to know of something, and where sums are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A counter that one thread alone adds to.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(super) fn count(&self) {
        self.0.store(self.get() + 1, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters of the same kind, of each worker its own, made when it first asks for them.
#[derive(Debug, Default)]
pub(super) struct PerWorker<T>(Mutex<Vec<Arc<T>>>);

impl<T: Default> PerWorker<T> {
    /// Returns those of a worker by number.
    pub(super) fn of(&self, worker: usize) -> Arc<T> {
        let mut all = self.all();
        if all.len() <= worker {
            all.resize_with(worker + 1, Arc::default);
        }
        Arc::clone(&all[worker])
    }

    /// Returns what all workers have counted.
    pub(super) fn sum(&self, counter: impl Fn(&T) -> &Counter) -> u64 {
        self.all().iter().map(|own| counter(own).get()).sum()
    }

    /// A thread that panicked here left the list whole.
    fn all(&self) -> MutexGuard<'_, Vec<Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_worker_has_counted_is_summed() {
        let counters = PerWorker::<Counter>::default();
        for (worker, count) in [(2, 5), (0, 2)] {
            let own = counters.of(worker);
            (0..count).for_each(|_| own.count());
        }
        assert_eq!((counters.of(0).get(), counters.of(1).get()), (2, 0));
        assert_eq!(counters.sum(|own| own), 7);
    }
}
