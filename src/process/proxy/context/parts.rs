//! What one worker has of the listeners and pools of a generation: made when the generation is
//! prepared, used when it is committed.
//!
//! What a generation has in common with the one before is the same here too.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::generation::{Generation, Timing};
use crate::process::proxy::shared::Shared;
use crate::process::proxy::upstream::connections::{Kept, KeptCount};
use crate::process::proxy::upstream::local::WorkerPool;
use crate::process::proxy::upstream::pool::Pool;

/// Pools and listeners, as one worker uses them, in the order of the configuration.
#[derive(Default)]
pub(in crate::process::proxy) struct Parts {
    pub(in crate::process::proxy) pools: Vec<Rc<WorkerPool>>,
    pub(in crate::process::proxy) listeners: Vec<Rc<WorkerListener>>,
    pub(in crate::process::proxy) timing: Timing,
}

impl Parts {
    /// Makes those that a worker by number does not have `before`.
    pub(in crate::process::proxy) fn new(
        generation: &Generation,
        before: &Self,
        shared: &Arc<Shared>,
        worker: usize,
        count: &Rc<KeptCount>,
    ) -> Self {
        let olds = before.pools_by_runtime();
        let pools = generation.pools.iter().map(|pool| {
            let old = olds.get(&Arc::as_ptr(&pool.runtime).addr()).copied();
            match old.filter(|old| old.is(pool)) {
                Some(same) => Rc::clone(same),
                None => {
                    let old = old.map(|old| &**old);
                    Rc::new(WorkerPool::new(pool, shared, worker, count, old))
                }
            }
        });
        let pools: Vec<_> = pools.collect();
        let olds = before.listeners.iter();
        let olds: HashMap<_, _> = olds.map(|old| (old.runtime.number, old)).collect();
        let by_runtime: HashMap<_, _> = by_runtime(&pools);
        let listeners = generation.listeners.iter().map(|listener| {
            let old = olds.get(&listener.runtime.number).copied();
            if let Some(same) = old.filter(|old| old.is(listener)) {
                return Rc::clone(same);
            }
            // A listener's pools are among them.
            let pool = |pool: &Arc<Pool>| {
                let found = by_runtime.get(&Arc::as_ptr(&pool.runtime).addr());
                found.map(|pool| Rc::clone(pool))
            };
            Rc::new(WorkerListener::new(listener, shared, worker, pool))
        });
        Self {
            listeners: listeners.collect(),
            pools,
            timing: generation.timing,
        }
    }

    /// Closes the connections to backends that these keep and those of `after` do not.
    pub(in crate::process::proxy) fn retire(&self, after: &Self) {
        let news = after.pools_by_runtime();
        for old in &self.pools {
            let new = news.get(&Arc::as_ptr(&old.runtime).addr()).copied();
            if !new.is_some_and(|new| Rc::ptr_eq(new, old)) {
                old.retire(new.map(|new| &**new));
            }
        }
    }

    /// Returns the connections to backends that are kept, by backend.
    pub(in crate::process::proxy) fn kept(&self) -> impl Iterator<Item = &Kept> {
        let backends = self.pools.iter().flat_map(|pool| pool.worker_backends());
        backends.map(|backend| &*backend.kept)
    }

    fn pools_by_runtime(&self) -> HashMap<usize, &Rc<WorkerPool>> {
        by_runtime(&self.pools)
    }
}

/// What a pool is in all generations is its runtime.
fn by_runtime(pools: &[Rc<WorkerPool>]) -> HashMap<usize, &Rc<WorkerPool>> {
    let pools = pools.iter();
    pools
        .map(|pool| (Arc::as_ptr(&pool.runtime).addr(), pool))
        .collect()
}
