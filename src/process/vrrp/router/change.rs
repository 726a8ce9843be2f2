//! A virtual router under another configuration: what of it goes on, and what it is told.

use std::sync::Arc;
use std::time::Instant;

use super::RouterRuntime;
use super::settings::{Standing, form, parameters};
use crate::config::VirtualRouterConfig;
use crate::model::Fitness;
use crate::process::vrrp::routers::RouterId;

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
