//! How the descriptors that this process may have are shared out, for a configuration.

use nix::sys::resource::{Resource, getrlimit};

use crate::config::{Config, HealthCheckConfig};
use crate::logic::descriptors::{Shares, Wanted};
use crate::process::proxy::deployment::Deployment;

/// Returns the shares, among so many workers and with so many listening sockets.
pub(super) fn of(config: &Config, workers: usize, sockets: usize) -> Shares {
    // Without an answer there is hardly a limit.
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    let probed = config.pools.iter().filter(|pool| match pool.health_check {
        HealthCheckConfig::Probe(_) => true,
        HealthCheckConfig::None => false,
    });
    let probes: usize = probed.map(|pool| pool.backends.len()).sum();
    Shares::of(
        limit,
        Wanted {
            connections: u64::from(config.proxy.connections),
            threads: workers as u64,
            sockets: sockets as u64,
            probes: probes as u64,
        },
    )
}

/// Says so in the log.
pub(super) fn warn_of(lacking: &[String]) {
    for cause in lacking {
        tracing::warn!(cause, "process works without what it should have");
    }
}

/// Returns what a deployment should have and works without, for people.
pub(super) fn lacking(deployment: &Deployment) -> Vec<String> {
    let (shares, configured) = (&deployment.shares, deployment.connections);
    let (max, wanted) = (shares.connections, shares.limit_wanted);
    if max >= configured {
        return Vec::new();
    }
    vec![format!(
        "the limit of open files allows {max} client connections at once, not the {configured} of \
         `proxy: limits: connections`: raise it to {wanted} (LimitNOFILE= of the unit, ulimit -Hn)"
    )]
}
