//! What is done for a new configuration on a thread of its own, because a disk may be slow: the
//! file is read and checked, the access log opened, the users of programs looked up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::source::{Checked, ConfigSource};
use crate::config::{AccessLogTarget, Config};
use crate::ipc::control::FailureStatus;
use crate::process::role::ProgramUser;
use crate::process::supervisor::admin::Token;
use crate::process::supervisor::error::SupervisorError;
use crate::process::supervisor::keys::held::{GroupSecrets, Held};
use crate::process::supervisor::passed::access_log::AccessLog;
use crate::process::supervisor::passed::spool::Spool;

/// What is to be read, and what is there already.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) source: ConfigSource,
    /// `--node`.
    pub(crate) node: Option<String>,
    /// Where the access log goes now.
    pub(crate) log: Option<AccessLogTarget>,
    /// Where bodies of requests are kept; `None` where there is a file already.
    pub(crate) cache_dir: Option<PathBuf>,
    /// It is only asked what would change: nothing is made.
    pub(crate) dry_run: bool,
}

/// A configuration with what was slow to find for it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) checked: Checked,
    /// The access log where it goes somewhere else than before.
    pub(crate) log: Option<AccessLog>,
    /// The file for bodies of requests, where this is the first that needs one.
    pub(crate) spool: Option<Spool>,
    pub(crate) users: Users,
    /// Of a file that was refused, where this is none that has been read since.
    pub(crate) last_failure: Option<FailureStatus>,
    /// What others look for is found: names, certificates and keys.
    pub(crate) is_found: bool,
    /// The files of certificates and keys that it names, where it does and they are found.
    pub(crate) held: Option<Held>,
    /// The files with the secrets of the group, where they were looked for.
    pub(crate) secrets: Option<GroupSecrets>,
    /// What allows changes by the admin listener; `None`: as before.
    pub(crate) admin_token: Option<Token>,
}

/// Under whose names programs run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// By name.
    pub(crate) track_scripts: BTreeMap<String, Arc<ProgramUser>>,
    /// `None` where there is no notify program.
    pub(crate) notify: Option<Arc<ProgramUser>>,
}

impl Wanted {
    /// Reads it.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong, or what is to be passed cannot be opened.
    pub(crate) fn read(self) -> Result<Read, SupervisorError> {
        let checked = self.source.check(self.node.as_deref())?;
        let to = checked.config.access_log.as_ref().map(|log| &log.to);
        let log = match to {
            Some(to) if self.log.as_ref() != Some(to) && !self.dry_run => {
                AccessLog::open(&checked.config)?
            }
            Some(_) | None => None,
        };
        let spool = match &self.cache_dir {
            Some(directory) if !self.dry_run => Spool::for_config(&checked.config, directory)?,
            Some(_) | None => None,
        };
        let admin_token = Some(Token::read(&checked.config)?);
        Ok(Read {
            admin_token,
            log,
            spool,
            users: Users::of(&checked.config),
            last_failure: None,
            is_found: false,
            held: None,
            secrets: None,
            checked,
        })
    }
}

impl Read {
    /// Returns the configuration that runs, for a change that is none of its text.
    pub(crate) fn unchanged(checked: Checked, last_failure: Option<FailureStatus>) -> Self {
        Self {
            admin_token: None,
            checked,
            last_failure,
            log: None,
            spool: None,
            users: Users::default(),
            is_found: true,
            held: None,
            secrets: None,
        }
    }
}

impl Users {
    /// Looks up those that a configuration needs.
    pub(crate) fn of(config: &Config) -> Self {
        let mut track_scripts = BTreeMap::new();
        for script in &config.track_scripts {
            let look_up = || Arc::new(ProgramUser::of_track_scripts(&script.user));
            let user = track_scripts.entry(script.user.clone());
            user.or_insert_with(look_up);
        }
        let mut routers = config.virtual_routers.iter();
        let notifies = routers.any(|router| !router.notify.is_empty());
        Self {
            track_scripts,
            notify: notifies.then(|| Arc::new(ProgramUser::of_notify_programs())),
        }
    }
}
