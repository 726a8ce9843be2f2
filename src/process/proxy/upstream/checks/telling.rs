//! Tells the supervisor how the backends of a pool are.
//!
//! What is told is always the whole pool, so that what was lost does no harm. A change is told at
//! once; where a thousand backends change one after the other, what follows waits as long as the
//! pool is large, so that to tell and to hear of it costs both processes a part of their time only.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::ipc::message::{FromProxy, PoolHealth};
use crate::process::proxy::shared::Events;
use crate::process::proxy::upstream::pool::Pool;

/// A pool, and when it may be told of.
pub(super) struct Telling {
    /// As the current generation has it.
    pool: RefCell<Arc<Pool>>,
    events: Events,
    not_before: Cell<Instant>,
    /// Whether a task waits to tell.
    is_due: Cell<bool>,
    /// Whether there is no such pool any more.
    has_ended: Cell<bool>,
}

impl Telling {
    pub(super) fn new(pool: Arc<Pool>, events: Events) -> Self {
        Self {
            pool: RefCell::new(pool),
            events,
            not_before: Cell::new(Instant::now()),
            is_due: Cell::new(false),
            has_ended: Cell::new(false),
        }
    }

    /// Returns the pool as the current generation has it.
    pub(super) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.pool.borrow())
    }

    pub(super) fn replace(&self, pool: Arc<Pool>) {
        *self.pool.borrow_mut() = pool;
    }

    /// Tells of it no more: the supervisor would not know what is spoken of.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
    }

    /// Tells of it now.
    pub(super) fn tell(&self) {
        if self.has_ended.get() {
            return;
        }
        self.say(self.pool.borrow().health());
    }

    /// Tells of it now, if it is known how all its backends are.
    pub(super) fn tell_if_probed(&self) {
        let health = self.pool.borrow().health();
        if health.probed {
            self.say(health);
        }
    }

    /// Tells of it now, or when the rest after the last time is over. In a `LocalSet`.
    pub(super) fn tell_soon(self: &Rc<Self>) {
        let not_before = self.not_before.get();
        if self.is_due.get() {
            return;
        }
        if not_before <= Instant::now() {
            self.tell();
            return;
        }
        self.is_due.set(true);
        let telling = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep_until(not_before).await;
            telling.is_due.set(false);
            telling.tell();
        });
    }

    /// Tells, and rests as long as the pool is large.
    fn say(&self, health: PoolHealth) {
        (self.events)(FromProxy::Health(health));
        let backends = self.pool.borrow().backends.all().len();
        let rest = REST_A_BACKEND.saturating_mul(u32::try_from(backends).unwrap_or(u32::MAX));
        self.not_before.set(Instant::now() + rest);
    }
}

/// Between two times of telling, for each backend of the pool: a thousand are told of 20 times a
/// second.
const REST_A_BACKEND: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::mpsc;

    use super::*;
    use crate::logic::balance::health::Availability;
    use crate::process::proxy::generation::Generation;

    fn telling(backends: usize) -> (Rc<Telling>, mpsc::Receiver<PoolHealth>) {
        let backends = (0..backends).map(|index| format!("b{index}: \"10.0.0.1:80\""));
        let backends = backends.collect::<Vec<_>>().join(", ");
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\n\
             pools: {{web: {{backends: {{{backends}}}}}}}\n"
        );
        let pool = Arc::clone(&Generation::of_text(&yaml, None).pools[0]);
        let (teller, told) = mpsc::sync_channel(8);
        let tell = move |event| {
            let FromProxy::Health(health) = event else {
                panic!("{event:?}")
            };
            teller.send(health).unwrap();
        };
        (Rc::new(Telling::new(pool, Arc::new(tell))), told)
    }

    /// Changes all backends one after the other.
    fn change_all(telling: &Rc<Telling>, to: Availability) {
        let pool = telling.pool();
        for backend in pool.backends.all() {
            pool.set_availability(&backend.runtime, to, 0);
            telling.tell_soon();
        }
    }

    fn on_one_thread(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn a_thousand_changes_are_a_few_messages_of_which_the_last_is_true() {
        on_one_thread(async {
            let (telling, told) = telling(1000);
            change_all(&telling, Availability::Down);
            // The others are due later, and told by a task, which was not on turn.
            assert_eq!(told.try_iter().count(), 1);
            let deadline = Instant::now() + Duration::from_secs(10);
            let last = loop {
                if let Ok(health) = told.try_recv() {
                    break health;
                }
                assert!(Instant::now() < deadline, "nothing follows");
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            assert!(last.probed && last.backends.len() == 1000);
            assert!(last.backends.values().all(|up| !up));
            assert!(told.try_recv().is_err(), "one more is enough");
        });
    }

    #[test]
    fn what_changes_after_a_rest_is_told_at_once_and_a_pool_that_is_gone_is_not_told_of() {
        on_one_thread(async {
            let (telling, told) = telling(2);
            for _ in 0..3 {
                telling.tell_soon();
                assert_eq!(told.try_iter().count(), 1);
                tokio::time::sleep(REST_A_BACKEND * 2).await;
            }
            let rest = Duration::from_millis(200);
            telling.not_before.set(Instant::now() + rest);
            telling.tell_soon();
            telling.end();
            tokio::time::sleep(rest * 2).await;
            telling.tell();
            assert!(told.try_recv().is_err());
        });
    }
}
