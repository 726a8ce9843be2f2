//! What holds for a request: what its route says, or its listener where no route is for it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ListenerConfig, ListenerTimeouts, PoolTimeouts, RouteConfig};
use crate::ipc::control::RouteStatus;
use crate::logic::balance::queue::Urgency;
use crate::logic::balance::route::{Guard, Table};
use crate::process::proxy::counters::{Counter, PerWorker, Times};
use crate::process::proxy::downstream::rates::Rates;
use crate::process::proxy::upstream::pool::Pool;

/// What holds for the requests of a route; or of none, which is the first of a listener's.
pub(in crate::process::proxy) struct Rules {
    /// Its place in the configuration; `None`: the listener's own.
    pub(in crate::process::proxy) route: Option<usize>,
    /// What answers; `None`: the proxy itself.
    pub(in crate::process::proxy) pool: Option<Arc<Pool>>,
    pub(in crate::process::proxy) timeouts: ListenerTimeouts,
    response_head: Option<Duration>,
    queue: Option<Duration>,
    /// Of a request's body; `None`: any.
    pub(in crate::process::proxy) body_bytes: Option<u32>,
    /// Of a request's body, a second; 0: any.
    pub(in crate::process::proxy) body_rate: u32,
    /// How often they may come.
    pub(in crate::process::proxy) rates: Rates,
    /// When they get room, where others wait for the same pool.
    pub(in crate::process::proxy) urgency: Urgency,
    pub(in crate::process::proxy) runtime: Arc<RouteRuntime>,
}

/// What has become of the route of this name, in all generations of its listener.
#[derive(Default)]
pub(in crate::process::proxy) struct RouteRuntime {
    name: String,
    pub(in crate::process::proxy) counters: PerWorker<RouteCounters>,
}

/// What one worker counts of a route.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::process::proxy) struct RouteCounters {
    pub(in crate::process::proxy) requests: Counter,
    /// How long requests took from their first byte to the last of the answer.
    pub(in crate::process::proxy) times: Times,
}

impl Rules {
    /// Returns the listener's own and those of its routes, in order; what `before` was of the same
    /// name goes on.
    pub(in crate::process::proxy) fn of(
        config: &ListenerConfig,
        before: &[Self],
        pool: impl Fn(&str) -> Option<Arc<Pool>>,
    ) -> Vec<Self> {
        let runtime = |name: &str| {
            let olds = before.iter().map(|rules| &rules.runtime);
            let mut same = olds.filter(|old| old.name == name);
            let name = name.to_owned();
            let counters = PerWorker::default();
            same.next()
                .map_or_else(|| Arc::new(RouteRuntime { name, counters }), Arc::clone)
        };
        let old_rates = |name: &str| {
            let mut olds = before.iter();
            let same = olds.find(|old| old.runtime.name == name);
            same.map(|old| &old.rates)
        };
        let rates = Rates::new(&config.limits.rates, &Rates::default(), old_rates(""));
        let own = Self {
            route: None,
            pool: config.pool.as_deref().and_then(&pool),
            timeouts: config.timeouts,
            response_head: None,
            queue: None,
            body_bytes: config.limits.body_bytes,
            body_rate: config.limits.body_rate,
            rates: rates.clone(),
            urgency: Urgency::default(),
            runtime: runtime(""),
        };
        let routes = config.routes.iter().enumerate().map(|(index, route)| {
            let (timeouts, limits) = (&route.timeouts, &route.limits);
            let of_listener = config.timeouts;
            Self {
                route: Some(index),
                pool: route.pool().and_then(&pool),
                timeouts: ListenerTimeouts {
                    request_body: timeouts.request_body.unwrap_or(of_listener.request_body),
                    idle: timeouts.idle.unwrap_or(of_listener.idle),
                    tunnel: timeouts.tunnel.unwrap_or(of_listener.tunnel),
                    ..of_listener
                },
                response_head: timeouts.response_head,
                queue: timeouts.queue,
                body_bytes: limits.body_bytes.or(config.limits.body_bytes),
                body_rate: limits.body_rate.unwrap_or(config.limits.body_rate),
                rates: Rates::new(&limits.rates, &rates, old_rates(&route.name)),
                urgency: route.priority,
                runtime: runtime(&route.name),
            }
        });
        std::iter::once(own).chain(routes).collect()
    }

    /// Returns how long a pool may take.
    pub(in crate::process::proxy) fn of_pool(&self, pool: &Pool) -> PoolTimeouts {
        let of_pool = pool.timeouts;
        PoolTimeouts {
            connect: of_pool.connect,
            response_head: self.response_head.unwrap_or(of_pool.response_head),
            queue: self.queue.unwrap_or(of_pool.queue),
            backend_fin: of_pool.backend_fin,
        }
    }

    /// Returns its part of a status.
    pub(in crate::process::proxy) fn status(&self) -> RouteStatus {
        RouteStatus {
            name: self.runtime.name.clone(),
            pool: self.pool.as_ref().map(|pool| pool.name.clone()),
            requests_total: self.runtime.counters.sum(|counters| &counters.requests),
            times: self.runtime.counters.times(|counters| &counters.times),
        }
    }
}

/// Returns the table that finds the routes of a listener.
pub(in crate::process::proxy) fn table(routes: &[RouteConfig]) -> Table {
    Table::new(routes.iter().map(|route| {
        let guard = if route.answers() {
            Guard::Answers
        } else {
            Guard::Passes
        };
        (route.when.clone(), route.access.clone(), guard)
    }))
}

/// Returns whether every request of a listener goes to its pool as it came.
pub(in crate::process::proxy) fn is_plain(config: &ListenerConfig) -> bool {
    config.routes.is_empty()
        && config.https_redirect.is_none()
        && config.pool.is_some()
        && config.request_fields.is_empty()
        && config.response_fields.is_empty()
}
