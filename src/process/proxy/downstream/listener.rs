//! A listener as all workers see it: what a configuration says of it, and what outlives that.
//!
//! There is a lock only for the connections of one client, where they are limited, taken when a
//! connection begins and ends.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{ListenerConfig, ListenerLimits, ListenerMode};
use crate::ipc::control::ListenerStatus;
use crate::logic::balance::limits::client_of;
use crate::logic::balance::route::Table;
use crate::logic::http1::head::HeadLimits;
use crate::process::proxy::counters::{Counter, PerWorker};
use crate::process::proxy::downstream::clients::Exceeded;
use crate::process::proxy::downstream::pages::Pages;
use crate::process::proxy::downstream::rates::ClientRates;
use crate::process::proxy::downstream::rules::{self, Rules};
use crate::process::proxy::tls::acceptor::Acceptor;
use crate::process::proxy::upstream::pool::Pool;

/// A listener, in one generation.
pub(in crate::process::proxy) struct Listener {
    config: ListenerConfig,
    /// Its own, and those of its routes behind them.
    pub(in crate::process::proxy) rules: Vec<Rules>,
    pub(in crate::process::proxy) table: Table,
    /// Whether every request goes to its pool as it came.
    pub(in crate::process::proxy) is_plain: bool,
    pub(in crate::process::proxy) heads: HeadLimits,
    connection_rate: Option<Arc<ClientRates>>,
    pub(in crate::process::proxy) pages: Pages,
    /// Held for one direction of a connection.
    pub(in crate::process::proxy) connection_bytes: usize,
    /// How it speaks TLS, where it does.
    pub(in crate::process::proxy) acceptor: Option<Arc<Acceptor>>,
    pub(in crate::process::proxy) runtime: Arc<ListenerRuntime>,
}

impl Deref for Listener {
    type Target = ListenerConfig;

    fn deref(&self) -> &ListenerConfig {
        &self.config
    }
}

/// What has become of the listener of this name, in all generations.
pub(in crate::process::proxy) struct ListenerRuntime {
    /// What it is called where its name would be too long; no other listener ever has it.
    pub(in crate::process::proxy) number: usize,
    /// Open connections by client, of those that were admitted while they were limited.
    by_client: Mutex<HashMap<IpAddr, u32>>,
    pub(in crate::process::proxy) connections: AtomicU64,
    /// New connections that wait for a place that another thread may have, where its own limit is
    /// reached.
    pub(in crate::process::proxy) wanted: AtomicU64,
    pub(in crate::process::proxy) counters: PerWorker<ListenerCounters>,
}

/// What one worker counts of a listener.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::process::proxy) struct ListenerCounters {
    pub(in crate::process::proxy) requests: Counter,
    pub(in crate::process::proxy) refused: Counter,
    pub(in crate::process::proxy) evicted: Counter,
    /// Connections that came too often.
    pub(in crate::process::proxy) connections_rate_limited: Counter,
    /// Requests that came too often.
    pub(in crate::process::proxy) rate_limited: Counter,
    /// Connections that had to begin with a PROXY header, and did not.
    pub(in crate::process::proxy) proxy_headers_failed: Counter,
    /// Handshakes that have come to their end, and that have not.
    pub(in crate::process::proxy) handshakes: Counter,
    pub(in crate::process::proxy) handshakes_failed: Counter,
    classes: [Counter; 5],
}

impl ListenerCounters {
    pub(in crate::process::proxy) fn count_response(&self, status: u16) {
        self.requests.count();
        self.classes[usize::from(status / 100).clamp(1, 5) - 1].count();
    }
}

impl Listener {
    /// Compiles `config`. What `before` was of the same name goes on; another listener has this
    /// `number`.
    pub(in crate::process::proxy) fn new(
        config: &ListenerConfig,
        pool: impl Fn(&str) -> Option<Arc<Pool>>,
        connection_bytes: u32,
        before: Option<&Self>,
        number: usize,
        acceptor: Option<Arc<Acceptor>>,
    ) -> Self {
        let fresh = || ListenerRuntime {
            number,
            by_client: Mutex::default(),
            connections: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            counters: PerWorker::default(),
        };
        let connection_rate = config.limits.connection_rate_per_client.as_ref();
        let old_rate = before.and_then(|old| old.connection_rate.as_ref());
        Self {
            connection_rate: connection_rate.map(|rate| ClientRates::continued(rate, old_rate)),
            config: config.clone(),
            rules: Rules::of(config, before.map_or(&[], |before| &before.rules), pool),
            table: rules::table(&config.routes),
            is_plain: rules::is_plain(config),
            heads: head_limits(&config.limits),
            pages: Pages::new(config),
            connection_bytes: bytes(connection_bytes),
            acceptor,
            runtime: before.map_or_else(|| Arc::new(fresh()), |old| Arc::clone(&old.runtime)),
        }
    }

    /// Returns whether compiling this would give the same.
    pub(in crate::process::proxy) fn is_of(
        &self,
        config: &ListenerConfig,
        pool: impl Fn(&str) -> Option<Arc<Pool>>,
        connection_bytes: u32,
    ) -> bool {
        let is_same = |own: &Arc<Pool>| {
            let now = pool(&own.name);
            now.is_some_and(|now| Arc::ptr_eq(own, &now))
        };
        let mut pools = self.rules.iter().filter_map(|rules| rules.pool.as_ref());
        pools.all(is_same)
            && self.connection_bytes == bytes(connection_bytes)
            && self.config == *config
    }

    /// Returns whether a client is not served, because of maintenance.
    pub(in crate::process::proxy) fn is_in_maintenance_for(&self, client: IpAddr) -> bool {
        let allowed = || self.maintenance.allow.iter().any(|it| it.contains(client));
        match self.maintenance.mode {
            ListenerMode::Serving => false,
            ListenerMode::Maintenance => !allowed(),
        }
    }

    /// Returns whether it has as many connections as it may.
    pub(in crate::process::proxy) fn is_full(&self) -> bool {
        let max = self.limits.connections.map_or(u64::MAX, u64::from);
        self.runtime.connections.load(Relaxed) >= max
    }

    /// Counts a connection that begins, unless its client's come too often.
    pub(in crate::process::proxy) fn check_connection_rate(
        &self,
        client: IpAddr,
        now_ns: impl FnOnce() -> u64,
    ) -> Result<(), Exceeded> {
        match &self.connection_rate {
            Some(rate) => rate.check(client, now_ns()),
            None => Ok(()),
        }
    }

    /// Returns whether who connects from there says first whose connection it is.
    pub(in crate::process::proxy) fn is_announced_by(&self, peer: IpAddr) -> bool {
        let mut from = self.proxy_protocol.iter();
        from.any(|network| network.contains(peer))
    }

    /// Counts a connection in, unless it is one too many of its client's.
    pub(in crate::process::proxy) fn try_add(&self, client: Option<IpAddr>) -> Option<Counted> {
        let counted = match client {
            Some(client) => self.try_add_client(client)?,
            None => Counted::Unnamed,
        };
        self.runtime.connections.fetch_add(1, Relaxed);
        Some(counted)
    }

    /// Counts a connection among those of its client, where they are limited and it is not one too
    /// many.
    pub(in crate::process::proxy) fn try_add_client(&self, client: IpAddr) -> Option<Counted> {
        let Some(max) = self.limits.connections_per_client else {
            return Some(Counted::Alone);
        };
        let mut counts = self.runtime.by_client();
        let count = counts.entry(client_of(client)).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted::ByClient)
    }

    /// Returns its part of a status.
    pub(in crate::process::proxy) fn status(&self) -> ListenerStatus {
        let ListenerRuntime {
            counters,
            connections,
            ..
        } = &*self.runtime;
        let classes: BTreeMap<String, u64> = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .iter()
            .enumerate()
            .map(|(class, name)| {
                let count = counters.sum(|counters| &counters.classes[class]);
                ((*name).to_owned(), count)
            })
            .filter(|(class, count)| class != "1xx" || *count > 0)
            .collect();
        ListenerStatus {
            name: self.name.clone(),
            binds: self.binds.clone(),
            pool: self.config.pool.clone(),
            routes: self.rules[1..].iter().map(Rules::status).collect(),
            // The supervisor knows them.
            certificates: Vec::new(),
            proxy_headers_failed_total: counters.sum(|counters| &counters.proxy_headers_failed),
            handshakes_total: counters.sum(|counters| &counters.handshakes),
            handshakes_failed_total: counters.sum(|counters| &counters.handshakes_failed),
            connections: connections.load(Relaxed),
            connections_refused_total: counters.sum(|counters| &counters.refused),
            connections_evicted_total: counters.sum(|counters| &counters.evicted),
            connections_rate_limited_total: counters
                .sum(|counters| &counters.connections_rate_limited),
            requests_rate_limited_total: counters.sum(|counters| &counters.rate_limited),
            requests_total: counters.sum(|counters| &counters.requests),
            responses_total: classes,
            times: self.rules[0].status().times,
        }
    }
}

impl ListenerRuntime {
    /// Counts a connection out, as it was counted in, whatever the limits are now.
    pub(in crate::process::proxy) fn remove(&self, client: IpAddr, counted: Counted) {
        match counted {
            Counted::Alone | Counted::Unnamed => {}
            Counted::ByClient => self.remove_client(client_of(client)),
        }
        self.connections.fetch_sub(1, Relaxed);
    }

    fn remove_client(&self, client: IpAddr) {
        let mut counts = self.by_client();
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
            }
        }
        if counts.capacity() > BY_CLIENT_MIN.max(8 * counts.len()) {
            let len = counts.len();
            counts.shrink_to(2 * len);
        }
    }

    /// A thread that panicked here left the counts whole.
    fn by_client(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an open connection was counted when it was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Counted {
    /// Among all of the listener.
    Alone,
    /// Also among those of its client.
    ByClient,
    /// Among all of the listener, until it is said whose it is (PROXY protocol).
    Unnamed,
}

fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        head_bytes: bytes(limits.head_bytes),
        fields: bytes(limits.fields),
        target_bytes: bytes(limits.target_bytes),
    }
}

fn bytes(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Room for so many clients is kept, whether they are there or not.
const BY_CLIENT_MIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::proxy::generation::Generation;

    fn listener(limits: &str, before: Option<&Generation>) -> Generation {
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web, limits: {{{limits}}}}}}}\n\
             pools: {{web: {{backends: {{a: \"10.0.0.1:80\"}}}}}}\n"
        );
        Generation::of_text(&yaml, before)
    }

    #[test]
    fn counts_stay_balanced_where_limits_appear_and_go() {
        let client = IpAddr::from([192, 0, 2, 1]);
        let free = listener("", None);
        let limited = listener("connections_per_client: 1", Some(&free));
        let [free, limited] = [&free, &limited].map(|generation| &generation.listeners[0]);
        let runtime = &free.runtime;
        let early = free.try_add(Some(client)).expect("nothing limits it");
        let counted = limited
            .try_add(Some(client))
            .expect("the first that is counted");
        assert_eq!((early, counted), (Counted::Alone, Counted::ByClient));
        assert_eq!(limited.try_add(Some(client)), None);
        runtime.remove(client, early);
        assert_eq!(
            limited.try_add(Some(client)),
            None,
            "it was not among the counted"
        );
        runtime.remove(client, counted);
        assert!(limited.try_add(Some(client)).is_some());
        assert_eq!(runtime.connections.load(Relaxed), 1);
    }
}
