//! Counters of one writer each: a worker adds to its own, and who reads sums them up.
//!
//! No two workers write to the same line of the cache, and none needs a locked instruction. The
//! lock of the list is taken where a worker comes to know of something, and where sums are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ipc::control::TimesStatus;

/// A counter that one thread alone adds to.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(super) fn count(&self) {
        self.0.store(self.get() + 1, Relaxed);
    }

    /// Adds so many.
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.get().saturating_add(more), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How long something took: a histogram that one thread alone counts in.
#[derive(Debug, Default)]
pub(super) struct Times {
    buckets: [Counter; TimesStatus::BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl Times {
    /// Takes note of one.
    pub(super) fn note(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = TimesStatus::BOUNDS_US.partition_point(|bound_us| *bound_us < took_us);
        self.buckets[bucket].count();
        self.sum_us.add(took_us);
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

    /// Returns what all workers have measured together.
    pub(super) fn times(&self, times: impl Fn(&T) -> &Times) -> TimesStatus {
        let mut sum = TimesStatus {
            buckets: vec![0; TimesStatus::BOUNDS_US.len() + 1],
            sum_us: 0,
        };
        for own in self.all().iter() {
            let own = times(own);
            for (sum, own) in sum.buckets.iter_mut().zip(&own.buckets) {
                *sum += own.get();
            }
            sum.sum_us = sum.sum_us.saturating_add(own.sum_us.get());
        }
        sum
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
    fn what_took_as_long_as_a_bound_is_counted_below_it() {
        let times = PerWorker::<Times>::default();
        for (worker, took_us) in [
            (0, 0),
            (1, 1_000),
            (0, 1_001),
            (1, 30_000_000),
            (0, 30_000_001),
        ] {
            times.of(worker).note(Duration::from_micros(took_us));
        }
        let sum = times.times(|own| own);
        assert_eq!(sum.count(), 5);
        assert_eq!(sum.sum_us, 60_002_002);
        let of_bucket = |bucket: usize| sum.buckets[bucket];
        assert_eq!([0, 1, 2, 13, 14].map(of_bucket), [2, 1, 0, 1, 1]);
    }

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
