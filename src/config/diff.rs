//! From the configuration that runs to the one that is to follow: what changes, in words.
//!
//! A virtual router is (interface, VRID, family), a listener, a pool and a track script its name, a
//! backend its pool and its name: what has the same identity in both goes on, whatever else about
//! it changes, and what is equal is not mentioned. Every structure is taken apart field by field,
//! so that a field that is added is one that is compared. Pure: who carries it out finds the same
//! identities by itself.

mod pools;
mod proxy;
mod rates;
mod routers;
mod routes;
mod tls;
mod words;

pub use words::Step;

use super::Config;

/// What cannot change while the daemon runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node cannot change from {from} to {to} while the daemon runs: restart it")]
pub struct NeedsRestart {
    /// The name of the node that runs.
    pub from: String,
    /// The name in the file.
    pub to: String,
}

/// Returns what changes from one configuration to another, in the order of the file; nothing where
/// they are equal.
///
/// # Errors
/// When something differs that cannot change while the daemon runs.
pub fn diff(old: &Config, new: &Config) -> Result<Vec<Step>, NeedsRestart> {
    let Config {
        node,
        virtual_routers: _,
        track_scripts: _,
        listeners: _,
        pools: _,
        proxy: _,
        access_log: _,
        group: _,
        admin: _,
    } = old;
    if *node != new.node {
        return Err(NeedsRestart {
            from: node.clone(),
            to: new.node.clone(),
        });
    }
    let mut steps = routers::routers(old, new);
    steps.extend(routers::scripts(&old.track_scripts, &new.track_scripts));
    steps.extend(proxy::listeners(&old.listeners, &new.listeners));
    steps.extend(pools::pools(&old.pools, &new.pools));
    steps.extend(proxy::proxy(&old.proxy, &new.proxy));
    steps.extend(proxy::access_log(
        old.access_log.as_ref(),
        new.access_log.as_ref(),
    ));
    steps.extend(proxy::group(&old.group, &new.group));
    steps.extend(proxy::admin(old.admin.as_ref(), new.admin.as_ref()));
    Ok(steps)
}

#[cfg(test)]
mod tests;
