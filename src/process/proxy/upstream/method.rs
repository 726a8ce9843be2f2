//! How a pool picks, with what that needs: compiled before it is used, and on no worker.
//!
//! The table of a pool that hashes takes some milliseconds to make, which nothing that beats may
//! spend on every pool of a configuration: it is made where the configuration is read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, PoolConfig};
use crate::logic::balance::Balance;
use crate::logic::balance::hash::Table;
use crate::logic::balance::pick::Tier;

/// How the next backend of a pool is picked.
#[derive(Clone)]
pub(in crate::process::proxy) enum Method {
    RandomOfTwo,
    RoundRobin,
    LeastConnections,
    Hash(Arc<Tables>),
}

/// Who gets a key, of each tier: backups come and go, and the keys of primaries stay.
pub(in crate::process::proxy) struct Tables {
    primaries: Table,
    backups: Option<Table>,
}

impl Tables {
    fn of(config: &PoolConfig) -> Self {
        let table = |tier: Tier| {
            let weigh = |(name, weight, of)| (name, if of == tier { weight } else { 0 });
            let named: Vec<_> = named(config).map(weigh).collect();
            Table::new(&named)
        };
        let has_backups = named(config).any(|(.., tier)| tier == Tier::Backup);
        Self {
            primaries: table(Tier::Primary),
            backups: has_backups.then(|| table(Tier::Backup)),
        }
    }

    /// Returns that of a tier, which has all backends of the pool by index.
    pub(in crate::process::proxy) fn of_tier(&self, tier: Tier) -> &Table {
        match (tier, &self.backups) {
            (Tier::Backup, Some(backups)) => backups,
            (Tier::Primary, _) | (Tier::Backup, None) => &self.primaries,
        }
    }
}

impl Method {
    /// Returns how a pool picks. Its table is the one that it had `before`, where that is the same.
    pub(in crate::process::proxy) fn of(
        config: &PoolConfig,
        before: Option<(&PoolConfig, &Self)>,
    ) -> Self {
        match config.balance {
            Balance::RandomOfTwo => Self::RandomOfTwo,
            Balance::RoundRobin => Self::RoundRobin,
            Balance::LeastConnections => Self::LeastConnections,
            Balance::Hash(_) => {
                let same = before.filter(|(before, _)| named(before).eq(named(config)));
                match same {
                    Some((_, Self::Hash(tables))) => Self::Hash(Arc::clone(tables)),
                    Some((_, Self::RandomOfTwo | Self::RoundRobin | Self::LeastConnections))
                    | None => Self::Hash(Arc::new(Tables::of(config))),
                }
            }
        }
    }
}

/// How each pool of a configuration picks, by name.
pub(in crate::process::proxy) struct Methods(HashMap<String, Method>);

impl Methods {
    /// Returns those of `config`; `before` says how a pool of this name was and has picked.
    pub(in crate::process::proxy) fn of<'p>(
        config: &Config,
        before: impl Fn(&str) -> Option<(&'p PoolConfig, &'p Method)>,
    ) -> Self {
        let pools = config.pools.iter();
        let methods = pools.map(|pool| (pool.name.clone(), Method::of(pool, before(&pool.name))));
        Self(methods.collect())
    }

    /// Returns that of a pool, which is one of the configuration.
    pub(in crate::process::proxy) fn take(&mut self, pool: &PoolConfig) -> Method {
        let method = self.0.remove(&pool.name);
        method.unwrap_or_else(|| Method::of(pool, None))
    }
}

fn named(pool: &PoolConfig) -> impl Iterator<Item = (&str, u16, Tier)> {
    let backends = pool.backends.iter();
    backends.map(|backend| (backend.name.as_str(), backend.weight, backend.tier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::proxy::generation::Generation;

    #[test]
    fn tables_are_made_anew_where_names_weights_or_tiers_change() {
        let yaml = |keys: &str, more: &str, address: u8| {
            format!(
                "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\npools:\n  web:\n    \
                 {keys}\n    balance: {{hash: path}}\n    backends: {{a: \"10.0.0.{address}:80\", \
                 b: {{address: \"10.0.0.9:80\", {more}}}}}\n"
            )
        };
        let old = Generation::of_text(&yaml("keep_alive: {timeout: 1s}", "weight: 1", 1), None);
        let is_kept = |yaml: &str| {
            let new = Generation::of_text(yaml, Some(&old));
            let methods = [&old, &new].map(|generation| generation.pools[0].parts().1.clone());
            match methods {
                [Method::Hash(old), Method::Hash(new)] => Arc::ptr_eq(&old, &new),
                [_, _] => panic!("both hash"),
            }
        };
        for (keys, more, address, hoped) in [
            ("keep_alive: {timeout: 2s}", "weight: 1", 1, true),
            ("keep_alive: {timeout: 2s}", "requests: 5", 2, true),
            ("keep_alive: {timeout: 1s}", "weight: 2", 1, false),
            ("keep_alive: {timeout: 1s}", "backup: true", 1, false),
        ] {
            assert_eq!(is_kept(&yaml(keys, more, address)), hoped, "{keys} {more}");
        }
    }
}
