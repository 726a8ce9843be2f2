//! What a configuration names of certificates and keys, found before it is considered: on a thread
//! aside, by the process that keeps keys, which is started where there is none yet.

use std::sync::Arc;
use std::time::Instant;

use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::daemon::Daemon;
use crate::process::supervisor::error::SupervisorError;
use crate::process::supervisor::keys::find::{find, has_tls};
use crate::process::supervisor::keys::{self, Keys, held};
use crate::process::supervisor::reload::prepared::Read;
use crate::process::supervisor::reload::stages::{Asker, Stage};

impl Daemon {
    /// Returns whether certificates are to be found yet.
    pub(super) fn is_unfound(read: &Read) -> bool {
        let config = &read.checked.config;
        read.held.is_none() && (has_tls(config) || keys::are_needed(config))
    }

    /// Begins to find them; the change goes on when they are found.
    pub(super) fn begin_finding(&mut self, asker: Asker, mut read: Read) {
        let begun = held::secrets(&read.checked.config.group).and_then(|secrets| {
            let reader = match &mut self.keys {
                Some(keys) => Arc::clone(&keys.reader),
                slot if keys::are_needed(&read.checked.config) => {
                    let keys = Keys::start(&read.checked.config.group, Instant::now())?;
                    Arc::clone(&slot.insert(keys).reader)
                }
                _ => Arc::default(),
            };
            let finding = Aside::begin("certificates", move || {
                read.secrets = secrets;
                read.held = Some(find(&mut read.checked.config, &*reader)?);
                Ok(read)
            });
            finding.map_err(|source| SupervisorError::System {
                what: "start a thread",
                source,
            })
        });
        match begun {
            Ok(finding) => self.reloads.stage = Stage::Reading(asker, finding),
            Err(error) => self.fail(asker, &error),
        }
    }
}
