//! One configuration, compiled: listeners and pools that do not change any more.
//!
//! What has become of them, in verdicts, queues and counters, outlives it: the next generation
//! takes that over by name, and of a backend by name and address. A request keeps the generation it
//! began with.

use std::sync::Arc;

use super::downstream::listener::Listener;
use super::upstream::pool::Pool;
use crate::config::Config;
use crate::ipc::message::PoolHealth;

/// The configuration of one time, with what it says of everything.
pub(super) struct Generation {
    /// In the order of the configuration.
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) pools: Vec<Arc<Pool>>,
}

/// A listener's pool does not exist.
#[derive(Debug)]
pub(super) struct UnknownPool {
    pub(super) listener: String,
}

impl Generation {
    /// Compiles `config`, which follows the generation `before`; backends that are new begin with
    /// what is known of their `health`.
    ///
    /// # Errors
    /// When a listener names a pool that there is not.
    pub(super) fn new(
        config: &Config,
        before: Option<&Self>,
        health: &[PoolHealth],
        workers: usize,
    ) -> Result<Self, UnknownPool> {
        let pools = config.pools.iter().map(|pool| {
            let mut olds = before.iter().flat_map(|before| &before.pools);
            let old = olds.find(|old| old.name == pool.name);
            let known = health.iter().find(|known| known.pool == pool.name);
            Arc::new(Pool::new(pool, old.map(|old| &**old), known, workers))
        });
        let pools: Vec<Arc<Pool>> = pools.collect();
        let listeners = config.listeners.iter().map(|listener| {
            let Some(pool) = pools.iter().find(|pool| pool.name == listener.pool) else {
                let listener = listener.name.clone();
                return Err(UnknownPool { listener });
            };
            let mut olds = before.iter().flat_map(|before| &before.listeners);
            let old = olds.find(|old| old.name == listener.name);
            let old = old.map(|old| &**old);
            let connection_bytes = config.proxy.connection_bytes;
            let compiled = Listener::new(listener, pool, connection_bytes, old, workers);
            Ok(Arc::new(compiled))
        });
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            pools,
        })
    }

    /// Returns a generation of one worker, for the tests of what works on one.
    #[cfg(test)]
    pub(super) fn of_text(yaml: &str, before: Option<&Self>) -> Self {
        use crate::config::{self, NodeName};

        let config = config::parse("test.yaml", yaml, NodeName::Given("lb1"));
        let config = config.expect("it is right");
        Self::new(&config, before, &[], 1).expect("its pools exist")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::balance::health::Availability;
    use crate::logic::balance::retry::Tried;
    use crate::process::proxy::upstream::queue::Call;

    fn generation(backends: &str, before: Option<&Generation>) -> Generation {
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\npools:\n  web:\n    \
             backends: {{{backends}}}\n"
        );
        Generation::of_text(&yaml, before)
    }

    fn availability(generation: &Generation, backend: usize) -> Availability {
        generation.pools[0].backend(backend).runtime.availability()
    }

    #[test]
    fn what_became_of_a_backend_is_that_of_its_name_and_address() {
        let old = generation("a: \"10.0.0.1:80\", b: \"10.0.0.2:80\"", None);
        for backend in [0, 1] {
            old.pools[0].set_availability(backend, Availability::Down, 0);
            let backend = &old.pools[0].backend(backend).runtime;
            backend.counters.of(0).requests.count();
        }
        assert!(old.pools[0].backend(1).try_acquire());
        let new = generation(
            "c: \"10.0.0.1:80\", b: {address: \"10.0.0.2:80\", requests: 1}, a: \"10.0.0.3:80\"",
            Some(&old),
        );
        let pool = new.pools[0].status();
        let seen: Vec<_> = pool
            .backends
            .iter()
            .map(|backend| (&*backend.name, &*backend.state, backend.requests_total))
            .collect();
        let hoped = [("c", "unprobed", 0), ("b", "down", 1), ("a", "unprobed", 0)];
        assert_eq!(seen, hoped, "another name or address is another backend");
        let kept = new.pools[0].backend(1);
        assert!(
            !kept.has_free_slot(),
            "what is in flight counts against the new limit"
        );
        old.pools[0].release_slot(1, 0);
        assert!(kept.has_free_slot(), "and is given back by who has it");
        new.pools[0].set_availability(1, Availability::Up, 0);
        assert_eq!(availability(&old, 1), Availability::Up, "one verdict");
    }

    #[test]
    fn listeners_count_on_and_answer_from_their_new_pool() {
        let yaml = |pool: &str| {
            format!(
                "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: {pool}}}}}\npools:\n  \
                 one: {{backends: {{a: \"10.0.0.1:80\"}}}}\n  \
                 two: {{backends: {{a: \"10.0.0.1:80\"}}}}\n"
            )
        };
        let old = Generation::of_text(&yaml("one"), None);
        old.listeners[0].runtime.counters.of(0).requests.count();
        let new = Generation::of_text(&yaml("two"), Some(&old));
        let status = new.listeners[0].status();
        assert_eq!((&*status.pool, status.requests_total), ("two", 1));
        assert_eq!(old.listeners[0].pool.name, "one", "who has it keeps it");
    }

    #[test]
    fn who_waits_gets_a_backend_of_its_own_generation() {
        let full = "a: {address: \"10.0.0.1:80\", requests: 1}";
        let old = generation(full, None);
        let [old, new] = {
            let more = format!("b: {{address: \"10.0.0.2:80\", requests: 1}}, {full}");
            let new = generation(&more, Some(&old));
            [old, new].map(|generation| Arc::clone(&generation.pools[0]))
        };
        new.set_availability(1, Availability::Up, 0);
        assert!(old.backend(0).try_acquire());
        let queue = &old.runtime.queue;
        let first = queue.enter(&old.backends, 0, Tried::default());
        let second = new.runtime.queue.enter(&new.backends, 0, Tried::default());
        assert_eq!(queue.waiting(), 2, "one queue");
        new.set_availability(0, Availability::Up, 0);
        let b = queue.leave(second);
        assert!(
            matches!(b, Some(Call::Slot(0))),
            "the backend that is new is for whom it is there"
        );
        old.release_slot(0, 0);
        assert!(matches!(queue.leave(first), Some(Call::Slot(0))));
    }
}
