//! How a pool picks, with what that needs: compiled before it is used, and on no worker.
//!
//! The table of a pool that hashes takes some milliseconds to make, which nothing that beats may
//! spend on every pool of a configuration: it is made where the configuration is read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, PoolConfig};
use crate::logic::balance::Balance;
use crate::logic::balance::hash::Table;

/// How the next backend of a pool is picked.
#[derive(Clone)]
pub(in crate::process::proxy) enum Method {
    RandomOfTwo,
    RoundRobin,
    LeastConnections,
    Hash(Arc<Table>),
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
                    Some((_, Self::Hash(table))) => Self::Hash(Arc::clone(table)),
                    Some((_, Self::RandomOfTwo | Self::RoundRobin | Self::LeastConnections))
                    | None => Self::Hash(table(config)),
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

fn named(pool: &PoolConfig) -> impl Iterator<Item = (&str, u16)> {
    let backends = pool.backends.iter();
    backends.map(|backend| (backend.name.as_str(), backend.weight))
}

fn table(pool: &PoolConfig) -> Arc<Table> {
    let named: Vec<_> = named(pool).collect();
    Arc::new(Table::new(&named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::proxy::generation::Generation;

    #[test]
    fn tables_are_made_anew_where_names_or_weights_change() {
        let yaml = |keys: &str, weight: u16, address: u8| {
            format!(
                "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\npools:\n  web:\n    \
                 {keys}\n    balance: {{hash: path}}\n    backends: {{a: \"10.0.0.{address}:80\", \
                 b: {{address: \"10.0.0.9:80\", weight: {weight}}}}}\n"
            )
        };
        let old = Generation::of_text(&yaml("keep_alive: {timeout: 1s}", 1, 1), None);
        let is_kept = |yaml: &str| {
            let new = Generation::of_text(yaml, Some(&old));
            let methods = [&old, &new].map(|generation| generation.pools[0].parts().1.clone());
            match methods {
                [Method::Hash(old), Method::Hash(new)] => Arc::ptr_eq(&old, &new),
                [_, _] => panic!("both hash"),
            }
        };
        assert!(is_kept(&yaml("keep_alive: {timeout: 2s}", 1, 1)));
        assert!(is_kept(&yaml("keep_alive: {timeout: 2s}", 1, 2)));
        assert!(!is_kept(&yaml("keep_alive: {timeout: 1s}", 2, 1)));
    }
}
