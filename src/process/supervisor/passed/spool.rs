//! The file in which the proxy keeps bodies of requests: opened here, because the proxy may open
//! nothing, without a name, so that it is gone with the proxy that has it.
//!
//! Each proxy has one of its own. Another is opened ahead, so that a proxy which takes the place of
//! one that died has it at once, whatever the disk does.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::ipc::message::ToProxy;
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::error::SupervisorError;

/// Files for proxies.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    spare: Option<OwnedFd>,
    opening: Option<Aside<io::Result<OwnedFd>>>,
    /// After a failure.
    open_at: Option<Instant>,
    /// The proxy has none yet.
    pending: bool,
}

impl Spool {
    /// Opens the first file in a directory where a configuration needs one, or says why that fails.
    pub(crate) fn for_config(
        config: &Config,
        directory: &Path,
    ) -> Result<Option<Self>, SupervisorError> {
        if !config.needs_spool() {
            return Ok(None);
        }
        let opened = open(directory).map_err(|source| SupervisorError::Spool {
            path: directory.to_owned(),
            help: help(&source),
            source,
        })?;
        Ok(Some(Self {
            directory: directory.to_owned(),
            spare: Some(opened),
            opening: None,
            open_at: None,
            pending: true,
        }))
    }

    /// Passes a file to a proxy that has none; where there is none for it yet, or no memory, it
    /// stays pending.
    pub(crate) fn pass(&mut self, proxy: &mut Child) {
        self.pending = true;
        if let Some(file) = &self.spare
            && proxy.pass(&ToProxy::Spool, &[file.as_fd()]).is_ok()
        {
            self.spare = None;
            self.pending = false;
        }
        self.open_ahead(Instant::now());
    }

    /// Passes it if that is still due.
    pub(crate) fn pass_pending(&mut self, proxy: &mut Child, now: Instant) {
        if self.pending && self.spare.is_some() {
            self.pass(proxy);
        } else {
            self.open_ahead(now);
        }
    }

    /// Returns whether the proxy should have it and does not.
    pub(crate) const fn is_pending(&self) -> bool {
        self.pending
    }

    /// Begins to open the next, beside the loop: a disk that does not answer keeps nobody waiting.
    fn open_ahead(&mut self, now: Instant) {
        let is_due = self.open_at.is_none_or(|at| at <= now);
        if self.spare.is_some() || self.opening.is_some() || !is_due {
            return;
        }
        let directory = self.directory.clone();
        match Aside::begin("spool", move || open(&directory)) {
            Ok(opening) => self.opening = Some(opening),
            Err(error) => self.failed(&error),
        }
    }

    /// Takes the next that was opened. Waits for ever while nobody opens it. Cancel safe.
    pub(crate) async fn opened(&mut self) {
        let Some(opening) = &mut self.opening else {
            return std::future::pending().await;
        };
        let opened = opening.outcome(OPEN_TIMEOUT).await;
        self.opening = None;
        match opened.and_then(|opened| opened) {
            Ok(file) => {
                self.spare = Some(file);
                self.open_at = None;
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.open_at = Some(Instant::now() + PAUSE);
        let path = self.directory.display();
        tracing::error!(%path, %error, "failed to open a file for bodies of requests, trying again");
    }
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .mode(FILE_MODE)
        // Nobody can give it a name.
        .custom_flags(libc::O_TMPFILE | libc::O_EXCL);
    options.open(directory).map(OwnedFd::from)
}

fn help(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "it is not there; under systemd write `CacheDirectory=evenkeel` into the unit, or name \
             another with --cache-dir"
        }
        Some(libc::EOPNOTSUPP | libc::EISDIR) => {
            "its file system has no files without a name (O_TMPFILE); name another with --cache-dir"
        }
        Some(_) | None => {
            "the user of the daemon must be able to write there; name another with --cache-dir"
        }
    }
}

/// How long a disk may take to open a file.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(5);
/// What clients send is for nobody else.
const FILE_MODE: u32 = 0o600;
