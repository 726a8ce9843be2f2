//! One configuration, compiled: listeners and pools that do not change any more.
//!
//! What has become of them, in verdicts, queues and counters, outlives it: the next generation
//! takes that over by name, and of a backend by name and address. A listener or pool that a
//! configuration does not change is the same in both generations, so that nothing is built anew for
//! it, here and on the workers. A request keeps the generation it began with.

pub(super) mod compiled;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use self::compiled::{Compiled, TlsError};
use super::downstream::listener::Listener;
use super::tls::tickets::SharedSecrets;
use super::upstream::pool::Pool;
use crate::config::Config;
use crate::ipc::message::PoolHealth;

/// The configuration of one time, with what it says of everything.
pub(super) struct Generation {
    /// In the order of the configuration.
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) pools: Vec<Arc<Pool>>,
    pub(super) timing: Timing,
    /// How many listeners there have been in all generations.
    numbered: usize,
}

/// Whether it is measured how long requests take, for who looks at the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Timing {
    #[default]
    Off,
    On,
}

/// A listener's pool does not exist.
#[derive(Debug)]
pub(super) struct UnknownPool {
    pub(super) listener: String,
}

impl Generation {
    /// Compiles `config`, which follows the generation `before`; backends that are new begin with
    /// what is known of their `health`. What is unchanged is the same as before, not only equal.
    /// What takes its time was compiled before.
    ///
    /// # Errors
    /// When a listener names a pool that there is not.
    pub(super) fn new(
        config: &Config,
        before: Option<&Self>,
        health: &[PoolHealth],
        mut compiled: Compiled,
    ) -> Result<Self, UnknownPool> {
        let olds = before.iter().flat_map(|before| &before.pools);
        let olds: HashMap<_, _> = olds.map(|old| (old.name.as_str(), old)).collect();
        let pools = config.pools.iter().map(|pool| {
            let old = olds.get(pool.name.as_str()).copied();
            if let Some(same) = old.filter(|old| old.is_of(pool)) {
                return Arc::clone(same);
            }
            let known = health.iter().find(|known| known.pool == pool.name);
            let method = compiled.methods.take(pool);
            let connector = compiled.connector(pool);
            let old = old.map(|old| &**old);
            let spoken = (connector, compiled.take_affinity(pool));
            Arc::new(Pool::new(pool, old, known, method, spoken))
        });
        let pools: Vec<Arc<Pool>> = pools.collect();
        let by_name: HashMap<_, _> = pools
            .iter()
            .map(|pool| (pool.name.as_str(), pool))
            .collect();
        let olds = before.iter().flat_map(|before| &before.listeners);
        let olds: HashMap<_, _> = olds.map(|old| (old.name.as_str(), old)).collect();
        let mut numbered = before.map_or(0, |before| before.numbered);
        let connection_bytes = config.proxy.connection_bytes;
        let listeners = config.listeners.iter().map(|listener| {
            let pool = |name: &str| by_name.get(name).map(|pool| Arc::clone(pool));
            if listener
                .pools()
                .into_iter()
                .any(|name| pool(name).is_none())
            {
                let listener = listener.name.clone();
                return Err(UnknownPool { listener });
            }
            let old = olds.get(listener.name.as_str()).copied();
            if let Some(same) = old.filter(|old| old.is_of(listener, pool, connection_bytes)) {
                return Ok(Arc::clone(same));
            }
            let old = old.map(|old| &**old);
            let acceptor = compiled.acceptor(listener);
            let new = Listener::new(listener, pool, connection_bytes, old, numbered, acceptor);
            numbered += 1;
            Ok(Arc::new(new))
        });
        let listeners = listeners.collect::<Result<_, _>>()?;
        Ok(Self {
            listeners,
            pools,
            timing: match config.admin {
                Some(_) => Timing::On,
                None => Timing::Off,
            },
            numbered,
        })
    }

    /// Compiles what of `config` takes its time; it follows the generation `before`.
    ///
    /// # Errors
    /// When a certificate cannot be used.
    pub(super) fn compile(
        config: &Config,
        before: Option<&Self>,
        secrets: &Arc<SharedSecrets>,
    ) -> Result<Compiled, TlsError> {
        let olds = before.map_or((&[][..], &[][..]), |it| (&*it.pools, &*it.listeners));
        Compiled::of(config, olds, secrets)
    }

    /// Returns the pools that it does not have in common with another generation.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<Arc<Pool>> {
        let olds: HashSet<_> = before.pools.iter().map(Arc::as_ptr).collect();
        let pools = self.pools.iter();
        let changed = pools.filter(|pool| !olds.contains(&Arc::as_ptr(pool)));
        changed.cloned().collect()
    }

    /// Returns the listener that serves a bind address.
    pub(super) fn listener_of(&self, bind: SocketAddr) -> Option<&Arc<Listener>> {
        let mut listeners = self.listeners.iter();
        listeners.find(|listener| listener.binds.contains(&bind))
    }

    /// Returns a generation of one worker, for the tests of what works on one.
    #[cfg(test)]
    pub(super) fn of_text(yaml: &str, before: Option<&Self>) -> Self {
        use crate::config::{self, NodeName};

        let config = config::parse("test.yaml", yaml, NodeName::Given("lb1"));
        let config = config.expect("it is right");
        let compiled = Self::compile(&config, before, &Arc::default()).expect("it needs no keys");
        Self::new(&config, before, &[], compiled).expect("its pools exist")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, BackendMode, NodeName};
    use crate::logic::balance::health::Availability;
    use crate::logic::balance::queue::Urgency;
    use crate::logic::balance::retry::Tried;
    use crate::process::proxy::upstream::picker::{Claim, Wish};
    use crate::process::proxy::upstream::queue::Call;

    fn yaml(backends: &str) -> String {
        format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\npools:\n  web:\n    \
             backends: {{{backends}}}\n"
        )
    }

    fn generation(backends: &str, before: Option<&Generation>) -> Generation {
        Generation::of_text(&yaml(backends), before)
    }

    fn availability(generation: &Generation, backend: usize) -> Availability {
        generation.pools[0].backend(backend).runtime.availability()
    }

    #[test]
    fn what_became_of_a_backend_is_that_of_its_name_and_address() {
        let old = generation("a: \"10.0.0.1:80\", b: \"10.0.0.2:80\"", None);
        for backend in [0, 1] {
            old.pools[0].set_availability(
                &old.pools[0].backend(backend).runtime,
                Availability::Down,
                0,
            );
            let backend = &old.pools[0].backend(backend).runtime;
            backend.counters.of(0).requests.count();
        }
        assert!(old.pools[0].backend(1).try_acquire());
        let new = generation(
            "c: \"10.0.0.1:80\", b: {address: \"10.0.0.2:80\", requests: 1}, a: \"10.0.0.3:80\"",
            Some(&old),
        );
        let pool = new.pools[0].status(0);
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
        new.pools[0].set_availability(&new.pools[0].backend(1).runtime, Availability::Up, 0);
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
        assert_eq!(
            (status.pool.as_deref(), status.requests_total),
            (Some("two"), 1)
        );
        let kept = old.listeners[0].rules[0].pool.as_ref();
        assert_eq!(kept.map(|it| &*it.name), Some("one"), "who has it keeps it");
    }

    #[test]
    fn what_is_unchanged_is_the_same_and_a_changed_pool_changes_its_listeners() {
        let yaml = |weight: u16| {
            format!(
                "listeners:\n  h1: {{bind: [\"127.0.0.1:81\"], pool: one}}\n  \
                 h2: {{bind: [\"127.0.0.1:82\"], pool: two}}\npools:\n  \
                 one: {{backends: {{a: {{address: \"10.0.0.1:80\", weight: {weight}}}}}}}\n  \
                 two: {{backends: {{a: \"10.0.0.1:80\"}}}}\n"
            )
        };
        let old = Generation::of_text(&yaml(1), None);
        let same = Generation::of_text(&yaml(1), Some(&old));
        let new = Generation::of_text(&yaml(2), Some(&same));
        let kept = |new: &Generation| {
            let pools = old.pools.iter().zip(&new.pools);
            let pools = pools.map(|(old, new)| Arc::ptr_eq(old, new));
            let listeners = old.listeners.iter().zip(&new.listeners);
            let listeners = listeners.map(|(old, new)| Arc::ptr_eq(old, new));
            pools.chain(listeners).collect::<Vec<_>>()
        };
        assert_eq!(kept(&same), [true, true, true, true]);
        assert_eq!(kept(&new), [false, true, false, true]);
        let numbers = new.listeners.iter().map(|listener| listener.runtime.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [0, 1], "whatever it becomes");
    }

    #[test]
    fn drained_backends_get_no_request_of_any_generation_and_do_not_serve() {
        let text = yaml("a: \"10.0.0.1:80\", b: \"10.0.0.2:80\"");
        let old = Generation::of_text(&text, None);
        let config = config::parse("test.yaml", &text, NodeName::Given("lb1"));
        let mut config = config.expect("it is right");
        config.pools[0].backends[0].mode = BackendMode::Drained;
        let compiled = Generation::compile(&config, Some(&old), &Arc::default());
        let compiled = compiled.expect("it needs no keys");
        let new = Generation::new(&config, Some(&old), &[], compiled).expect("its pool exists");
        for backend in [0, 1] {
            old.pools[0].set_availability(
                &old.pools[0].backend(backend).runtime,
                Availability::Up,
                0,
            );
        }
        let claim = |generation: &Generation| {
            generation.pools[0]
                .backends
                .claim_waited(0, &Tried::default(), Wish::default())
        };
        let both = [claim(&new), claim(&new)];
        assert!(both.contains(&Claim::Taken(0)), "not yet: {both:?}");
        new.pools[0].take_effect(0);
        for generation in [&old, &new] {
            let both = [claim(generation), claim(generation)];
            assert_eq!(both, [Claim::Taken(1); 2]);
        }
        let health = new.pools[0].health();
        assert_eq!((health.backends["a"], health.backends["b"]), (false, true));
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
        new.set_availability(&new.backend(1).runtime, Availability::Up, 0);
        assert!(old.backend(0).try_acquire());
        let queue = &old.runtime.queue;
        let first = queue.enter(
            &old.backends,
            0,
            Tried::default(),
            Urgency::Normal,
            Wish::default(),
        );
        let second = new.runtime.queue.enter(
            &new.backends,
            0,
            Tried::default(),
            Urgency::Normal,
            Wish::default(),
        );
        assert_eq!(queue.waiting(), 2, "one queue");
        new.set_availability(&new.backend(0).runtime, Availability::Up, 0);
        let b = queue.leave(second);
        assert!(
            matches!(b, Some(Call::Slot(0))),
            "the backend that is new is for whom it is there"
        );
        old.release_slot(0, 0);
        assert!(matches!(queue.leave(first), Some(Call::Slot(0))));
    }
}
