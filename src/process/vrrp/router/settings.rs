//! What of a configuration makes a virtual router what it is, and what its state machine is told.

use std::net::IpAddr;

use crate::config::{Authentication, VirtualRouterConfig};
use crate::logic::vrrp::{ChecksumForm, Parameters};
use crate::model::{Family, Priority, Vrid};

/// Returns what a virtual router is, whatever it is called: another link or VRID is another one.
pub fn identity(config: &VirtualRouterConfig) -> (&str, Vrid, Family) {
    (&config.interface, config.vrid, config.name.family)
}

/// Whether the configuration has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Configured,
    /// No longer: it gives its addresses up, is in no group and not shown, and goes when nothing is
    /// held any more.
    Leaving,
}

/// Returns what the state machine of a virtual router is told of it.
pub(super) fn parameters(config: &VirtualRouterConfig, in_sync_group: bool) -> Parameters {
    Parameters {
        vrid: config.vrid,
        version: config.version,
        priority: config.rank.well(),
        ill_max: config.rank.ill_max(),
        addresses: config
            .addresses
            .iter()
            .map(|virtual_| virtual_.address)
            .collect(),
        advertisement_interval: config.advertisement_interval,
        preempt: config.preempt,
        lease: config.lease,
        down_multiplier: config.down_multiplier,
        announcements: config.announcements,
        impaired: config.rank.ill().unwrap_or(Priority::OWNER),
        link: config.link,
        in_sync_group,
    }
}

/// What of an advertisement the state machine does not know: how it is written, and to whom it
/// goes.
pub(super) fn form(config: &VirtualRouterConfig) -> (ChecksumForm, Authentication, &[IpAddr]) {
    (config.checksum, config.authentication, &config.peers)
}
