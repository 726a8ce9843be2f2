//! Counters of one writer each: a worker adds to its own, and who reads sums them up.
//!
//! No two workers write to the same line of the cache, and none needs a locked instruction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

/// Counters of the same kind, of each worker its own.
#[derive(Debug)]
pub(super) struct PerWorker<T>(Vec<Arc<T>>);

impl<T: Default> PerWorker<T> {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Arc::default()).collect())
    }

    /// Returns those of a worker by number.
    pub(super) fn of(&self, worker: usize) -> Arc<T> {
        Arc::clone(&self.0[worker])
    }

    /// Returns what all workers have counted.
    pub(super) fn sum(&self, counter: impl Fn(&T) -> &Counter) -> u64 {
        self.0.iter().map(|own| counter(own).get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_worker_has_counted_is_summed() {
        let counters = PerWorker::<Counter>::new(3);
        for (worker, count) in [(0, 2), (2, 5)] {
            let own = counters.of(worker);
            (0..count).for_each(|_| own.count());
        }
        assert_eq!((counters.of(0).get(), counters.of(1).get()), (2, 0));
        assert_eq!(counters.sum(|own| own), 7);
    }
}
