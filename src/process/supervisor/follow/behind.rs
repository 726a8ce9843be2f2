//! Which backends a pool has behind its names: one at each address of the last good answer; and
//! those of before, for as long as none of the answer is up.
//!
//! An answer may be wrong without looking so. What nobody answers at, or what is another site's,
//! does not take the place of what serves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::check::{addresses_of_a_name, backends_of_name};
use crate::config::{Config, FoundBackend, NamedBackend, Origin, PoolConfig};
use crate::ipc::message::PoolHealth;

/// What there is now.
#[derive(Clone, Debug, Default)]
pub(super) struct Present {
    /// The configuration that runs, without what was changed by command.
    running: Option<Arc<Config>>,
    /// By pool, which of its backends are up, and which are not.
    health: BTreeMap<String, Arc<BTreeMap<String, bool>>>,
    /// Another number with each change.
    pub(super) changes: u64,
}

impl Present {
    /// Takes what the proxy says of a pool.
    pub(super) fn note(&mut self, health: &PoolHealth) {
        let backends = Arc::new(health.backends.clone());
        self.health.insert(health.pool.clone(), backends);
        self.changes += 1;
    }

    /// Takes the configuration that runs now, and what the proxy last said of its pools.
    pub(super) fn run(&mut self, config: Arc<Config>, healths: &BTreeMap<String, PoolHealth>) {
        self.health.clear();
        healths.values().for_each(|health| self.note(health));
        self.running = Some(config);
        self.changes += 1;
    }

    /// Returns whether a name is followed.
    pub(super) fn follows(&self, host: &str) -> bool {
        let running = self.running.iter();
        let mut names = running
            .flat_map(|config| &config.pools)
            .flat_map(|pool| &pool.follow.names);
        names.any(|named| named.host == host)
    }

    /// Returns the backends behind a pool's names, and what is to be said of them.
    pub(super) fn of_pool(
        &self,
        config: &Config,
        pool: &PoolConfig,
        known: &BTreeMap<String, Vec<IpAddr>>,
    ) -> (Vec<FoundBackend>, Vec<String>) {
        let running = self.running.as_ref();
        let running = running.and_then(|running| running.pool(&pool.name));
        let before = running.map(PoolConfig::of_names).unwrap_or_default();
        let mut warnings = Vec::new();
        let mut found = Vec::new();
        for named in &pool.follow.names {
            let prefix = format!("{}/", named.name);
            let is_own = |one: &&FoundBackend| {
                one.name.starts_with(&prefix) && one.origin == Origin::Name(named.host.clone())
            };
            let own = before.iter().filter(is_own);
            let own: Vec<IpAddr> = own.map(|one| one.address.ip()).collect();
            let Some(addresses) = known.get(&named.host) else {
                found.extend(own.into_iter().map(|address| named.at(address)));
                continue;
            };
            let (some, why) = backends_of_name(config, pool, named, addresses);
            let most = addresses_of_a_name(config);
            let (some, stay) = self.with_those_of_before(&pool.name, named, some, own, most);
            found.extend(some);
            let whys = why.into_iter().chain(stay);
            warnings.extend(whys.map(|why| format!("pool {}: {}: {why}", pool.name, named.host)));
        }
        (found, warnings)
    }

    /// Adds backends of before to those of the answer while none of these is up: such as are up, or
    /// all where none is, at most so many.
    fn with_those_of_before(
        &self,
        pool: &str,
        named: &NamedBackend,
        mut found: Vec<FoundBackend>,
        before: Vec<IpAddr>,
        most: usize,
    ) -> (Vec<FoundBackend>, Option<String>) {
        let health = self.health.get(pool);
        let verdict = |one: &FoundBackend| health?.get(&one.name).copied();
        let is_up = |one: &FoundBackend| verdict(one) == Some(true);
        let mut stay: Vec<_> = before
            .into_iter()
            .map(|address| named.at(address))
            .collect();
        stay.retain(|one| found.iter().all(|new| new.name != one.name));
        if stay.is_empty() || found.iter().any(is_up) {
            return (found, None);
        }
        if stay.iter().any(is_up) {
            stay.retain(is_up);
        }
        stay.truncate(most);
        // A new one is given the time of its first probe.
        let are_down = found.iter().all(|one| verdict(one) == Some(false));
        let why = are_down.then(|| STAY.to_owned());
        found.extend(stay);
        found.sort_by_key(|one| one.address);
        (found, why)
    }
}

const STAY: &str = "none of its addresses is up, those of before stay";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::config::{NodeName, parse};

    fn config() -> Config {
        let yaml = "listeners: {http: {bind: [\"192.0.2.200:80\"], pool: web}}\n\
                    pools: {web: {backends: {a: \"a.example:80\"}}}\n";
        parse("t.yaml", yaml, NodeName::Given("lb1")).unwrap()
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn name(last: u8) -> String {
        format!("a/192.0.2.{last}")
    }

    /// Says who runs, who of them is up, and what the answer is; returns who is there then.
    fn taken(running: &[u8], up: &[u8], answer: &[u8]) -> Vec<u8> {
        let mut before = config();
        let named = before.pools[0].follow.names[0].clone();
        let found: Vec<_> = running
            .iter()
            .map(|last| named.at(address(*last)))
            .collect();
        before.pools[0].set_found(found);
        let backends = running.iter().map(|last| (name(*last), up.contains(last)));
        let health = PoolHealth {
            pool: "web".to_owned(),
            backends: backends.collect(),
            probed: true,
        };
        let healths = BTreeMap::from([("web".to_owned(), health)]);
        let mut present = Present::default();
        present.run(Arc::new(before), &healths);
        let addresses = answer.iter().map(|last| address(*last)).collect();
        let known = BTreeMap::from([("a.example".to_owned(), addresses)]);
        // As after a reload: what is found is not there yet.
        let config = config();
        let (found, warnings) = present.of_pool(&config, &config.pools[0], &known);
        let found: Vec<u8> = found
            .iter()
            .map(|one| one.name.rsplit('.').next().unwrap().parse().unwrap())
            .collect();
        let stays = found.iter().any(|last| !answer.contains(last));
        let mut probed = answer.iter().filter(|last| **last != 200);
        let are_down = probed.all(|last| running.contains(last));
        let is_said = warnings.iter().any(|why| why.ends_with(STAY));
        assert_eq!(stays && are_down, is_said, "{warnings:?}");
        found
    }

    #[test]
    fn who_serves_stays_until_one_of_the_answer_is_up() {
        assert_eq!(taken(&[], &[], &[1, 2]), [1, 2], "there is none before");
        assert_eq!(taken(&[1, 2], &[1, 2], &[9]), [1, 2, 9]);
        assert_eq!(taken(&[1, 2, 9], &[1], &[9]), [1, 9], "one of them is down");
        assert_eq!(taken(&[1, 2, 9], &[1, 2], &[8]), [1, 2, 8], "another lie");
        assert_eq!(taken(&[1, 2, 9], &[1, 9], &[9]), [9], "it is no lie");
        assert_eq!(taken(&[1, 2], &[2], &[2]), [2], "one of them goes");
        assert_eq!(taken(&[1, 2], &[1], &[2]), [1, 2], "who goes is up alone");
        assert_eq!(taken(&[1, 2], &[], &[9]), [1, 2, 9], "nobody is up");
        assert_eq!(taken(&[1], &[1], &[200]), [1], "it is the listener's own");
    }

    #[test]
    fn names_share_what_the_proxy_can_have() {
        for (names, hoped) in [(1, 64), (64, 64), (65, 63), (1000, 4), (5000, 1)] {
            let mut config = config();
            let name = config.pools[0].follow.names[0].clone();
            config.pools[0].follow.names = vec![name; names];
            let known = (1..=100).map(address).collect();
            let known = BTreeMap::from([("a.example".to_owned(), known)]);
            let pool = config.pools[0].clone();
            let (found, _) = Present::default().of_pool(&config, &pool, &known);
            assert_eq!(found.len(), names * hoped, "of {names}");
        }
    }

    #[test]
    fn an_answer_that_is_always_another_does_not_gather_backends() {
        let mut running: Vec<u8> = vec![1];
        for lie in 2..150 {
            running = taken(&running, &[], &[lie]);
            assert!(running.len() <= 65, "{running:?}");
        }
        assert_eq!(taken(&[1, 7, 8], &[1], &[9]), [1, 9]);
    }
}
