//! From what is observed of the proxy and its pools to how fit this node is for each virtual router.
//!
//! An entry of `virtual_routers` tracks the proxy that serves on its addresses and the pools behind its listeners. A
//! proxy that cannot serve is a fault; pools that lost all backends lower the priority by 100, never below 1,
//! because somebody must answer 503; what has not been probed yet makes the node unready, not unfit.
//! Read `logic::vrrp::router` next: it is told the verdict by `set_fitness`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{FaultCause, Fitness, Priority};

/// One entry of `virtual_routers` and what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The key under `virtual_routers`.
    pub entry: String,
    /// The base priority of this node.
    pub priority: Priority,
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
    /// Why it is not the base priority, as a fragment for people; empty otherwise.
    pub reason: String,
}

/// Turns observations into verdicts.
#[derive(Clone, Debug)]
pub struct Tracker {
    entries: Vec<Tracked>,
    proxy: Proxy,
    /// Deaths within the last [`DEATHS_WINDOW`]; never longer than [`DEATHS_MAX`].
    deaths: Vec<Instant>,
    pools: BTreeMap<String, PoolState>,
    told: BTreeMap<String, Verdict>,
}

/// The proxy as it is seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proxy {
    /// It was started and does not serve yet; from `late_at` on that is a fault.
    Starting { late_at: Instant },
    /// It did not serve in time, or nobody could start it.
    NotServing,
    /// All its threads accept.
    Serving,
}

impl Tracker {
    /// Begins with a proxy that is being started for the first time.
    pub fn new(now: Instant, entries: Vec<Tracked>) -> Self {
        Self {
            entries,
            proxy: Proxy::Starting {
                late_at: now + FIRST_START_TIMEOUT,
            },
            deaths: Vec::new(),
            pools: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// The proxy accepts connections on every listener.
    pub fn handle_proxy_serving(&mut self, _now: Instant) {
        self.proxy = Proxy::Serving;
    }

    /// The proxy died, or was killed because it was silent; it is being restarted.
    pub fn handle_proxy_died(&mut self, now: Instant) {
        self.forget_old_deaths(now);
        if self.deaths.len() == DEATHS_MAX {
            self.deaths.remove(0);
        }
        self.deaths.push(now);
        self.proxy = match self.proxy {
            Proxy::NotServing => Proxy::NotServing,
            // A first start that fails is given no new time: it is the same wait.
            Proxy::Starting { late_at } => Proxy::Starting { late_at },
            Proxy::Serving => Proxy::Starting {
                late_at: now + RESTART_TIMEOUT,
            },
        };
    }

    /// A pool was probed.
    pub fn handle_pool(&mut self, _now: Instant, pool: &str, state: PoolState) {
        self.pools.insert(pool.to_owned(), state);
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Proxy::Starting { late_at } = self.proxy
            && now >= late_at
        {
            self.proxy = Proxy::NotServing;
        }
        self.forget_old_deaths(now);
    }

    /// Returns when `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let late_at = match self.proxy {
            Proxy::Starting { late_at } => Some(late_at),
            Proxy::NotServing | Proxy::Serving => None,
        };
        let forgotten_at = self.deaths.first().map(|at| *at + DEATHS_WINDOW);
        [late_at, forgotten_at].into_iter().flatten().min()
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
        let Some(pools) = &tracked.pools else {
            return Verdict::at_base(tracked.priority);
        };
        if self.deaths.len() == DEATHS_MAX {
            return Verdict::fault(FaultCause::ProxyKeepsDying);
        }
        match self.proxy {
            Proxy::NotServing => return Verdict::fault(FaultCause::ProxyNotServing),
            // A restart is not a failover: as long as it is not late, what was said still holds.
            Proxy::Starting { .. } => {
                return self
                    .told
                    .get(&tracked.entry)
                    .cloned()
                    .unwrap_or_else(|| Verdict {
                        fitness: Fitness::Unready,
                        reason: "the proxy is starting".into(),
                    });
            }
            Proxy::Serving => {}
        }
        let state = |pool: &String| self.pools.get(pool).copied().unwrap_or(PoolState::Unknown);
        if let Some(pool) = pools.iter().find(|pool| state(pool) == PoolState::Unknown) {
            return Verdict {
                fitness: Fitness::Unready,
                reason: format!("pool {pool} has not been probed yet"),
            };
        }
        match pools.iter().find(|pool| state(pool) == PoolState::Lost) {
            Some(pool) => Verdict {
                fitness: Fitness::Ready(tracked.priority.lowered(LOST_POOL_LOWERS_BY)),
                reason: format!("pool {pool} has lost all its backends"),
            },
            None => Verdict::at_base(tracked.priority),
        }
    }

    fn forget_old_deaths(&mut self, now: Instant) {
        self.deaths
            .retain(|at| now.duration_since(*at) < DEATHS_WINDOW);
    }
}

impl Verdict {
    fn at_base(priority: Priority) -> Self {
        Self {
            fitness: Fitness::Ready(priority),
            reason: String::new(),
        }
    }

    fn fault(cause: FaultCause) -> Self {
        Self {
            fitness: Fitness::Fault(cause),
            reason: cause.to_string(),
        }
    }
}

/// How long the first start of the proxy may take before it is a fault.
const FIRST_START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a restarted proxy may not serve before it is a fault.
const RESTART_TIMEOUT: Duration = Duration::from_millis(200);
/// So many deaths of the proxy within [`DEATHS_WINDOW`] are a fault; also the bound of what is remembered.
const DEATHS_MAX: usize = 3;
/// How long a death of the proxy is remembered.
const DEATHS_WINDOW: Duration = Duration::from_secs(10);
/// By how much a pool without backends lowers the priority.
const LOST_POOL_LOWERS_BY: u8 = 100;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn tracked(pools: Option<&[&str]>) -> Tracked {
        Tracked {
            entry: "web".into(),
            priority: Priority::new(150).unwrap(),
            pools: pools.map(|pools| pools.iter().map(ToString::to_string).collect()),
        }
    }

    fn ready(priority: u8) -> Fitness {
        Fitness::Ready(Priority::new(priority).unwrap())
    }

    /// A tracker whose proxy serves and whose only pool is up.
    fn serving(now: Instant) -> Tracker {
        let mut tracker = Tracker::new(now, vec![tracked(Some(&["webfarm"]))]);
        tracker.handle_proxy_serving(now);
        tracker.handle_pool(now, "webfarm", PoolState::Serving);
        assert_eq!(fitness(&mut tracker), ready(150));
        tracker
    }

    fn fitness(tracker: &mut Tracker) -> Fitness {
        while tracker.poll_change().is_some() {}
        tracker.verdict("web").unwrap().fitness.clone()
    }

    #[test]
    fn entry_without_listeners_stands_at_once_with_its_base_priority() {
        let mut tracker = Tracker::new(Instant::now(), vec![tracked(None)]);
        assert_eq!(fitness(&mut tracker), ready(150));
        assert_eq!(tracker.poll_change(), None, "a verdict is said once");
    }

    #[test]
    fn node_is_unready_until_the_proxy_serves_and_its_pools_are_probed() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now, vec![tracked(Some(&["webfarm", "api"]))]);
        assert_eq!(fitness(&mut tracker), Fitness::Unready);
        tracker.handle_proxy_serving(now);
        assert_eq!(fitness(&mut tracker), Fitness::Unready);
        tracker.handle_pool(now, "webfarm", PoolState::Serving);
        assert_eq!(fitness(&mut tracker), Fitness::Unready);
        assert_eq!(
            tracker.verdict("web").unwrap().reason,
            "pool api has not been probed yet"
        );
        tracker.handle_pool(now, "api", PoolState::Serving);
        assert_eq!(fitness(&mut tracker), ready(150));
    }

    #[test]
    fn lost_pool_lowers_the_priority_and_is_never_a_fault() {
        let now = Instant::now();
        let mut tracker = serving(now);
        tracker.handle_pool(now, "webfarm", PoolState::Lost);
        assert_eq!(fitness(&mut tracker), ready(50));
        tracker.handle_pool(now, "webfarm", PoolState::Serving);
        assert_eq!(fitness(&mut tracker), ready(150));
    }

    #[test]
    fn lost_pool_never_lowers_below_one() {
        let now = Instant::now();
        let mut low = tracked(Some(&["webfarm"]));
        low.priority = Priority::new(60).unwrap();
        let mut tracker = Tracker::new(now, vec![low]);
        tracker.handle_proxy_serving(now);
        tracker.handle_pool(now, "webfarm", PoolState::Lost);
        assert_eq!(fitness(&mut tracker), Fitness::Ready(Priority::MIN));
    }

    #[test]
    fn restart_in_time_changes_nothing() {
        let now = Instant::now();
        let mut tracker = serving(now);
        tracker.handle_proxy_died(now);
        assert_eq!(tracker.poll_change(), None);
        tracker.handle_timeout(now + Duration::from_millis(199));
        assert_eq!(tracker.poll_change(), None);
        tracker.handle_proxy_serving(now + Duration::from_millis(199));
        assert_eq!(tracker.poll_change(), None);
    }

    #[test]
    fn proxy_that_does_not_serve_200_ms_after_its_restart_is_a_fault_until_it_does() {
        let now = Instant::now();
        let mut tracker = serving(now);
        tracker.handle_proxy_died(now);
        assert_eq!(
            tracker.poll_timeout(),
            Some(now + Duration::from_millis(200))
        );
        tracker.handle_timeout(now + Duration::from_millis(200));
        assert_eq!(
            fitness(&mut tracker),
            Fitness::Fault(FaultCause::ProxyNotServing)
        );
        tracker.handle_proxy_serving(now + Duration::from_millis(700));
        assert_eq!(fitness(&mut tracker), ready(150));
    }

    #[test]
    fn third_death_in_ten_seconds_is_a_fault_until_one_is_forgotten() {
        let now = Instant::now();
        let mut tracker = serving(now);
        for second in [0, 4, 8] {
            let at = now + Duration::from_secs(second);
            tracker.handle_proxy_died(at);
            tracker.handle_proxy_serving(at);
        }
        assert_eq!(
            fitness(&mut tracker),
            Fitness::Fault(FaultCause::ProxyKeepsDying)
        );
        let forgotten_at = now + Duration::from_secs(10);
        assert_eq!(tracker.poll_timeout(), Some(forgotten_at));
        tracker.handle_timeout(forgotten_at);
        assert_eq!(fitness(&mut tracker), ready(150));
    }

    #[test]
    fn proxy_that_never_serves_is_a_fault_in_the_end() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now, vec![tracked(Some(&["webfarm"]))]);
        assert_eq!(fitness(&mut tracker), Fitness::Unready);
        tracker.handle_proxy_died(now + Duration::from_secs(1));
        tracker.handle_timeout(now + Duration::from_secs(5));
        assert_eq!(
            fitness(&mut tracker),
            Fitness::Fault(FaultCause::ProxyNotServing)
        );
    }
}
