//! What a configuration says of a stop.

use crate::config::{self, Config};
use crate::logic::lifecycle::Plan;

/// Returns what bounds a stop of this configuration.
pub(super) fn of_stop(config: &Config) -> Plan {
    let intervals = config.virtual_routers.iter();
    Plan {
        advertisement_interval: intervals
            .map(|router| router.advertisement_interval.duration())
            .max()
            .unwrap_or_default(),
        release: config::release_time(&config.virtual_routers),
        drain: config.proxy.drain,
        serves: !config.listeners.is_empty(),
    }
}
