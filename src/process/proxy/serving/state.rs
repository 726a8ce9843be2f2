//! What the main thread knows of the proxy: what runs, what is prepared, which workers there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::process::proxy::allocator::Giver;
use crate::process::proxy::deployment::{Deployment, Sockets};
use crate::process::proxy::progress::Progress;

/// The state of a proxy between two calls of its owner.
pub(super) struct State {
    pub(super) running: Arc<Deployment>,
    pub(super) next: Option<Next>,
    /// Sockets of addresses that the running configuration does not have, for the next one.
    pub(super) passed: Sockets,
    workers: Vec<Hired>,
    /// Of what workers do not use any more.
    pub(super) giver: Giver,
}

/// What is prepared, or being prepared.
pub(super) struct Next {
    pub(super) number: u64,
    pub(super) deployment: Arc<Deployment>,
}

/// A worker; it stays, whether it accepts or not.
struct Hired {
    progress: Arc<Progress>,
    /// It could not begin.
    lost: Arc<AtomicBool>,
}

impl State {
    pub(super) fn new(running: Arc<Deployment>, giver: Giver) -> Self {
        Self {
            running,
            next: None,
            passed: Sockets::default(),
            workers: Vec::new(),
            giver,
        }
    }

    /// Returns what is prepared, or what runs where nothing is.
    pub(super) fn latest(&self) -> &Deployment {
        let next = self.next.as_ref();
        next.map_or(&self.running, |next| &next.deployment)
    }

    /// Returns how many workers have been started, of which some may not have begun.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Returns the numbers of the workers that are missing for so many.
    pub(super) fn missing(&self, threads: usize) -> Vec<usize> {
        let is_missing = |number: &usize| {
            let worker = self.workers.get(*number);
            worker.is_none_or(|worker| worker.lost.load(Relaxed))
        };
        let numbers = 0..threads.max(self.workers());
        numbers.filter(is_missing).collect()
    }

    /// Notes that the worker of a number is started, maybe again.
    pub(super) fn hire(&mut self, number: usize) -> Arc<Progress> {
        let begun = self.workers.len();
        self.workers.extend((begun..=number).map(|number| Hired {
            progress: Progress::new(format!("data-{number}")),
            lost: Arc::new(AtomicBool::new(true)),
        }));
        let worker = &self.workers[number];
        worker.lost.store(false, Relaxed);
        Arc::clone(&worker.progress)
    }

    /// Returns where the worker of a number notes that it could not begin.
    pub(super) fn lost(&self, number: usize) -> Arc<AtomicBool> {
        Arc::clone(&self.workers[number].lost)
    }
}
