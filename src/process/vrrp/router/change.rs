//! A virtual router under another configuration: what of it goes on, and what it is told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::RouterRuntime;
use crate::config::{Authentication, VirtualRouterConfig};
use crate::logic::vrrp::{ChecksumForm, Parameters};
use crate::model::{Family, Fitness, Priority, Vrid};
use crate::process::vrrp::routers::RouterId;

/// What a virtual router is, whatever it is called: another place or VRID is another one.
pub type Identity<'a> = (&'a str, Vrid, Family);

/// Returns what a configuration is of.
pub fn identity(config: &VirtualRouterConfig) -> Identity<'_> {
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

impl RouterRuntime {
    /// Puts it under another configuration of the same identity, with what tracking says of that;
    /// all that it has and that is not changed goes on.
    pub fn change(
        &mut self,
        config: VirtualRouterConfig,
        sync_group: Arc<[RouterId]>,
        fitness: &Fitness,
        now: Instant,
    ) {
        let form_changed = form(&self.config) != form(&config);
        self.sync_group = sync_group;
        if self.config != config {
            self.config = config;
        }
        let parameters = parameters(&self.config, self.is_in_group());
        if parameters != *self.machine.parameters() || fitness != self.machine.fitness() {
            self.machine.update(now, parameters, fitness.clone());
        }
        if form_changed {
            self.machine.advertise_now(now);
        }
    }

    /// Returns whether it moves with others.
    pub fn is_in_group(&self) -> bool {
        !self.sync_group.is_empty()
    }

    /// Returns whether the configuration has it.
    pub fn is_configured(&self) -> bool {
        self.standing == Standing::Configured
    }
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
fn form(config: &VirtualRouterConfig) -> (ChecksumForm, Authentication, &[IpAddr]) {
    (config.checksum, config.authentication, &config.peers)
}
