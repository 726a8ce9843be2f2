//! From what is observed of the proxy and its pools to how fit this node is for each virtual
//! router.
//!
//! An entry of `virtual_routers` tracks the proxy that serves on its addresses and the pools behind
//! its listeners. A proxy that cannot serve or keeps dying, and a pool that lost all its backends,
//! put the node at the priority that its rank leaves for this: below every node of the file that
//! can serve, never below 1, and never out of the election, because somebody must answer. What has
//! not been probed yet makes the node unready, not ill. Entries that move together are ill
//! together.
//!
//! An address owner is 255 or not there (RFC 9568 §5.2.4), so it is never lowered. Nor does it
//! leave because of lost pools: without its own address it could not even probe them. An ill proxy
//! keeps it from preempting.
//!
//! `proxy` says how ill the proxy is, `model::Rank` has the numbers. Read `logic::vrrp::router`
//! next: it is told the verdict by `set_fitness`.

mod proxy;

use std::collections::BTreeMap;
use std::time::Instant;

use self::proxy::Proxy;
use crate::model::{Fitness, Rank};

/// One entry of `virtual_routers` and what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The key under `virtual_routers`.
    pub entry: String,
    /// Entries of the same group move together.
    pub sync_group: String,
    /// What this node stands with, well and ill.
    pub rank: Rank,
    /// The pools of the listeners on its addresses; `None` where no listener serves on them.
    pub pools: Option<Vec<String>>,
}

/// What is known of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// Not every backend has been probed, and none is up.
    Unknown,
    /// At least one backend is up.
    Serving,
    /// All were probed and none is up.
    Lost,
}

/// The verdict on one entry, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the virtual routers of the entry are told.
    pub fitness: Fitness,
    /// Why it does not stand as one that can serve, as a fragment for people; empty otherwise.
    pub reason: String,
}

/// Turns observations into verdicts.
#[derive(Clone, Debug)]
pub struct Tracker {
    entries: Vec<Tracked>,
    proxy: Proxy,
    pools: BTreeMap<String, PoolState>,
    told: BTreeMap<String, Verdict>,
}

impl Tracker {
    /// Begins with a proxy that is being started for the first time.
    pub fn new(now: Instant, entries: Vec<Tracked>) -> Self {
        Self {
            entries,
            proxy: Proxy::new(now),
            pools: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// The proxy accepts connections on every listener.
    pub fn handle_proxy_serving(&mut self, now: Instant) {
        self.proxy.handle_serving(now);
    }

    /// The proxy died, or was killed because it was silent; it is being restarted.
    pub fn handle_proxy_died(&mut self, now: Instant) {
        self.proxy.handle_died(now);
    }

    /// A pool was probed.
    pub fn handle_pool(&mut self, _now: Instant, pool: &str, state: PoolState) {
        self.pools.insert(pool.to_owned(), state);
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.proxy.handle_timeout(now);
    }

    /// Returns when `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.proxy.poll_timeout()
    }

    /// Returns the next verdict that differs from what was said before, until there is none.
    pub fn poll_change(&mut self) -> Option<(String, Verdict)> {
        let (entry, verdict) = self.entries.iter().find_map(|tracked| {
            let verdict = self.judge(tracked);
            (self.told.get(&tracked.entry) != Some(&verdict))
                .then(|| (tracked.entry.clone(), verdict))
        })?;
        self.told.insert(entry.clone(), verdict.clone());
        Some((entry, verdict))
    }

    /// Returns what was last said of an entry.
    pub fn verdict(&self, entry: &str) -> Option<&Verdict> {
        self.told.get(entry)
    }

    fn judge(&self, tracked: &Tracked) -> Verdict {
        match self.condition(tracked) {
            Condition::Well => Verdict {
                fitness: Fitness::Ready(tracked.rank.well()),
                reason: String::new(),
            },
            Condition::Unready(reason) => Verdict {
                fitness: Fitness::Unready,
                reason,
            },
            // A restart is not a failover: as long as it is not late, what was said still holds.
            Condition::Restarting => {
                let told = self.told.get(&tracked.entry).cloned();
                told.unwrap_or_else(|| Verdict {
                    fitness: Fitness::Unready,
                    reason: "the proxy is starting".into(),
                })
            }
            Condition::Ill(illness, reason) => Verdict {
                fitness: match (tracked.rank.ill(), illness) {
                    (Some(priority), _) => Fitness::Ready(priority),
                    (None, Illness::Pool) => Fitness::Ready(tracked.rank.well()),
                    (None, Illness::Proxy) => Fitness::Unready,
                },
                reason,
            },
        }
    }

    /// The condition of an entry: its own, unless that is better than what another of its group is
    /// ill with.
    fn condition(&self, tracked: &Tracked) -> Condition {
        let own = self.own_condition(tracked);
        match own {
            Condition::Ill(..) | Condition::Restarting => return own,
            Condition::Well | Condition::Unready(_) => {}
        }
        let others = self
            .entries
            .iter()
            .filter(|other| other.sync_group == tracked.sync_group && other.entry != tracked.entry);
        for other in others {
            match self.own_condition(other) {
                Condition::Ill(illness, reason) => {
                    let reason = format!("it moves with {}: {reason}", other.entry);
                    return Condition::Ill(illness, reason);
                }
                Condition::Restarting => return Condition::Restarting,
                Condition::Well | Condition::Unready(_) => {}
            }
        }
        own
    }

    fn own_condition(&self, tracked: &Tracked) -> Condition {
        let Some(pools) = &tracked.pools else {
            return Condition::Well;
        };
        if let Some(complaint) = self.proxy.complaint() {
            return Condition::Ill(Illness::Proxy, complaint.to_string());
        }
        if self.proxy.is_starting() {
            return Condition::Restarting;
        }
        let state = |pool: &&String| self.pools.get(*pool).copied().unwrap_or(PoolState::Unknown);
        let first = |wanted| pools.iter().find(|pool| state(pool) == wanted);
        if let Some(pool) = first(PoolState::Lost) {
            let reason = format!("pool {pool} has lost all its backends");
            return Condition::Ill(Illness::Pool, reason);
        }
        match first(PoolState::Unknown) {
            Some(pool) => Condition::Unready(format!("pool {pool} has not been probed yet")),
            None => Condition::Well,
        }
    }
}

/// What an entry is like, and why.
enum Condition {
    Well,
    Unready(String),
    Restarting,
    Ill(Illness, String),
}

#[derive(Clone, Copy)]
enum Illness {
    Proxy,
    Pool,
}

#[cfg(test)]
mod tests;
