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
    /// What it needs, the weightiest first; empty where it stands whatever happens.
    pub conditions: Vec<Condition>,
}

/// One thing that an entry needs: where it fails the entry is ill, at the priority that its rank
/// leaves for this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is observed.
    pub source: Source,
}

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The proxy that serves on the addresses.
    Proxy,
    /// A pool behind them, by name.
    Pool(String),
}

/// What was observed of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing is known yet: of a pool, not every backend has been probed and none is up.
    Unknown,
    /// It does what it is there for: the proxy accepts connections on every listener, at least one
    /// backend of a pool is up.
    Well,
    /// It does not: the proxy died, or was killed because it was silent, and is being restarted;
    /// all backends of a pool were probed and none is up.
    Failed,
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
    observed: BTreeMap<Source, Observed>,
    told: BTreeMap<String, Verdict>,
}

impl Tracker {
    /// Begins with a proxy that is being started for the first time.
    pub fn new(now: Instant, entries: Vec<Tracked>) -> Self {
        Self {
            entries,
            proxy: Proxy::new(now),
            observed: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Something was observed.
    pub fn observe(&mut self, now: Instant, source: Source, observed: Observed) {
        match (&source, observed) {
            (Source::Proxy, Observed::Unknown) => {}
            (Source::Proxy, Observed::Well) => self.proxy.handle_serving(now),
            (Source::Proxy, Observed::Failed) => self.proxy.handle_died(now),
            (Source::Pool(_), _) => drop(self.observed.insert(source, observed)),
        }
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
        match self.standing(tracked) {
            Standing::Well => Verdict {
                fitness: Fitness::Ready(tracked.rank.well()),
                reason: String::new(),
            },
            Standing::Unready(reason) => Verdict {
                fitness: Fitness::Unready,
                reason,
            },
            // A restart is not a failover: as long as it is not late, what was said still holds.
            Standing::Restarting => {
                let told = self.told.get(&tracked.entry).cloned();
                told.unwrap_or_else(|| Verdict {
                    fitness: Fitness::Unready,
                    reason: "the proxy is starting".into(),
                })
            }
            Standing::Ill(source, reason) => Verdict {
                fitness: match (tracked.rank.ill(), source) {
                    (Some(priority), _) => Fitness::Ready(priority),
                    (None, Source::Pool(_)) => Fitness::Ready(tracked.rank.well()),
                    (None, Source::Proxy) => Fitness::Unready,
                },
                reason,
            },
        }
    }

    /// How an entry stands: by its own conditions, unless that is better than what another of its
    /// group is ill with.
    fn standing<'a>(&'a self, tracked: &'a Tracked) -> Standing<'a> {
        let own = self.own_standing(tracked);
        match own {
            Standing::Ill(..) | Standing::Restarting => return own,
            Standing::Well | Standing::Unready(_) => {}
        }
        let others = self
            .entries
            .iter()
            .filter(|other| other.sync_group == tracked.sync_group && other.entry != tracked.entry);
        for other in others {
            match self.own_standing(other) {
                Standing::Ill(source, reason) => {
                    let reason = format!("it moves with {}: {reason}", other.entry);
                    return Standing::Ill(source, reason);
                }
                Standing::Restarting => return Standing::Restarting,
                Standing::Well | Standing::Unready(_) => {}
            }
        }
        own
    }

    /// How an entry stands by its own conditions: the first that fails decides, then the first of
    /// which nothing is known.
    fn own_standing<'a>(&'a self, tracked: &'a Tracked) -> Standing<'a> {
        let mut unready = None;
        for Condition { source } in &tracked.conditions {
            match self.state(source) {
                standing @ (Standing::Ill(..) | Standing::Restarting) => return standing,
                Standing::Unready(reason) => drop(unready.get_or_insert(reason)),
                Standing::Well => {}
            }
        }
        unready.map_or(Standing::Well, Standing::Unready)
    }

    /// How an entry would stand that needs this alone.
    fn state<'a>(&'a self, source: &'a Source) -> Standing<'a> {
        match source {
            Source::Proxy => match self.proxy.complaint() {
                Some(complaint) => Standing::Ill(source, complaint.to_string()),
                None if self.proxy.is_starting() => Standing::Restarting,
                None => Standing::Well,
            },
            Source::Pool(pool) => match self.observed.get(source) {
                Some(Observed::Well) => Standing::Well,
                Some(Observed::Failed) => {
                    Standing::Ill(source, format!("pool {pool} has lost all its backends"))
                }
                Some(Observed::Unknown) | None => {
                    Standing::Unready(format!("pool {pool} has not been probed yet"))
                }
            },
        }
    }
}

/// How an entry stands, and why.
enum Standing<'a> {
    Well,
    Unready(String),
    /// The proxy is being restarted, and is not late.
    Restarting,
    Ill(&'a Source, String),
}

#[cfg(test)]
mod tests;
