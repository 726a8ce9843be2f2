//! A configuration that is to follow, with all that was made for it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

use nix::errno::Errno;

use super::commanded;
use super::prepared::{Read, Users};
use super::running::{Running, unix_ms};
use crate::config::overrides::Overrides;
use crate::config::{Config, checksum};
use crate::ipc::control::ChangeReport;
use crate::ipc::message::ToProxy;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::passed::access_log::AccessLog;
use crate::process::supervisor::passed::listeners::{self, Additional};
use crate::process::supervisor::runtime_dir::NetworkLock;
use crate::process::supervisor::tracking::NewObservers;

/// A configuration that is to follow.
#[derive(Debug)]
pub(crate) struct Next {
    /// What the children know it by.
    pub(crate) number: u64,
    pub(crate) running: Running,
    pub(crate) yaml: String,
    /// Without what was changed by command.
    pub(crate) base: Config,
    /// With it.
    pub(crate) config: Config,
    pub(crate) overrides: Overrides,
    /// The access log where it goes somewhere else than before.
    pub(crate) log: Option<AccessLog>,
    pub(crate) users: Users,
    pub(crate) sockets: Option<Additional>,
    pub(crate) observers: Option<NewObservers>,
    /// Where the daemon has its first virtual routers.
    pub(crate) network_lock: Option<NetworkLock>,
    /// What changes, in words.
    pub(crate) steps: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Next {
    /// Lays what was changed by command over what was read; `before` is what runs, without that.
    pub(crate) fn new(before: &Config, generation: u64, read: Read, overrides: &Overrides) -> Self {
        let Read {
            checked,
            log,
            users,
        } = read;
        let overrides = commanded::pruned(overrides, &checked.config);
        let mut config = checked.config.clone();
        overrides.apply(&mut config);
        let running = Running {
            checksum: checksum(&checked.yaml),
            file: checked.name,
            generation,
            since_ms: unix_ms(SystemTime::now()),
            last_failure: None,
        };
        Self {
            number: 0,
            running,
            notes: commanded::held(&overrides, before, &checked.config),
            yaml: checked.yaml,
            base: checked.config,
            config,
            overrides,
            log,
            users,
            sockets: None,
            observers: None,
            network_lock: None,
            steps: Vec::new(),
        }
    }

    /// Returns what is said of it.
    pub(crate) fn report(&self, generation: u64, dry_run: bool) -> ChangeReport {
        ChangeReport {
            generation,
            dry_run,
            steps: self.steps.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Returns the number of workers.
    pub(crate) fn threads(&self) -> u16 {
        listeners::threads(&self.config)
    }

    /// Passes to the proxy what was opened for it.
    pub(crate) fn pass_to(&self, proxy: &mut Child) -> Result<(), Errno> {
        let opened = self.sockets.iter().flat_map(|sockets| &sockets.opened);
        for bound in opened {
            let sockets: Vec<BorrowedFd<'_>> = bound.sockets.iter().map(AsFd::as_fd).collect();
            let message = ToProxy::PassListener {
                listener: bound.listener.clone(),
                bind: bound.bind,
            };
            proxy.pass(&message, &sockets)?;
        }
        Ok(())
    }
}
