//! A configuration that is to follow, with all that was made for it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

use nix::errno::Errno;

use super::commanded;
use super::prepared::{Read, Users};
use super::running::Running;
use crate::config::overrides::Overrides;
use crate::config::{Config, checksum};
use crate::ipc::control::ChangeReport;
use crate::ipc::control::unix_ms;
use crate::ipc::message::ToProxy;
use crate::process::supervisor::admin::{AdminNext, Token};
use crate::process::supervisor::child::Child;
use crate::process::supervisor::keys::held::{GroupSecrets, Held};
use crate::process::supervisor::passed::access_log::AccessLog;
use crate::process::supervisor::passed::listeners::{self, Additional};
use crate::process::supervisor::passed::spool::Spool;
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
    /// The file for bodies of requests, where this is the first that needs one.
    pub(crate) spool: Option<Spool>,
    pub(crate) users: Users,
    /// The files of certificates and keys, where they were looked for.
    pub(crate) held: Option<Held>,
    /// The files with the secrets of the group, where they were looked for.
    pub(crate) secrets: Option<GroupSecrets>,
    /// What allows changes by the admin listener; `None`: as before.
    pub(crate) admin_token: Option<Token>,
    pub(crate) admin: Option<AdminNext>,
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
            spool,
            users,
            last_failure,
            is_found: _,
            held,
            secrets,
            admin_token,
        } = read;
        let known = commanded::renamed(overrides, &renamed(before, &checked.config));
        let overrides = commanded::pruned(&known, &checked.config);
        let mut notes = commanded::held(&overrides, before, &checked.config);
        notes.extend(commanded::lost(&known, &overrides));
        let mut config = checked.config.clone();
        overrides.apply(&mut config);
        let running = Running {
            checksum: checksum(&checked.yaml),
            file: checked.name,
            generation,
            since_ms: unix_ms(SystemTime::now()),
            last_failure,
        };
        Self {
            number: 0,
            running,
            notes,
            yaml: checked.yaml,
            base: checked.config,
            config,
            overrides,
            log,
            spool,
            users,
            held,
            secrets,
            admin_token,
            admin: None,
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

/// Returns the old name of each entry that has a new one.
pub(crate) fn renamed(old: &Config, new: &Config) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for router in &new.virtual_routers {
        let mut olds = old.virtual_routers.iter();
        if let Some(before) = olds.find(|before| before.is_same(router))
            && before.name.entry != router.name.entry
        {
            names.insert(router.name.entry.clone(), before.name.entry.clone());
        }
    }
    names
}
