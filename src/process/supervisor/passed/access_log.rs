//! What the access log is written to: opened here, because the proxy may open nothing, and passed
//! to every proxy.
//!
//! A file is opened anew when an operator has moved it away; what cannot be opened leaves the old
//! one in use.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::config::{AccessLogTarget, Config};
use crate::ipc::message::ToProxy;
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::error::SupervisorError;

/// The access log, open.
#[derive(Debug)]
pub(crate) struct AccessLog {
    to: AccessLogTarget,
    descriptor: OwnedFd,
    /// The proxy does not have this descriptor yet.
    pending: bool,
    /// It is being opened anew.
    opening: Option<Aside<io::Result<OwnedFd>>>,
}

impl AccessLog {
    /// Opens the log that a configuration asks for, if it does, or says why that fails.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, SupervisorError> {
        let Some(log) = &config.access_log else {
            return Ok(None);
        };
        let to = log.to.clone();
        let descriptor = open(&to).map_err(|source| SupervisorError::AccessLog {
            to: to.to_string(),
            help: help(&to, &source),
            source,
        })?;
        Ok(Some(Self {
            to,
            descriptor,
            pending: false,
            opening: None,
        }))
    }

    /// Returns where it goes.
    pub(crate) const fn to(&self) -> &AccessLogTarget {
        &self.to
    }

    /// Notes that the proxy does not have it yet.
    pub(crate) const fn begin_passing(&mut self) {
        self.pending = true;
    }

    /// Begins to open it anew, beside the loop: a disk that does not answer keeps nobody waiting.
    pub(crate) fn begin_reopening(&mut self) {
        let to = self.to.clone();
        match Aside::begin("reopen", move || open(&to)) {
            Ok(opening) => self.opening = Some(opening),
            Err(error) => self.complain(&error),
        }
    }

    /// Waits until it has been opened anew; `None` where that fails and the old one stays in use.
    /// Waits for ever while nobody opens it. Cancel safe.
    pub(crate) async fn reopened(&mut self) -> Option<OwnedFd> {
        let Some(opening) = &mut self.opening else {
            return std::future::pending().await;
        };
        let opened = opening.outcome(OPEN_TIMEOUT).await;
        self.opening = None;
        match opened.and_then(|opened| opened) {
            Ok(descriptor) => Some(descriptor),
            Err(error) => {
                self.complain(&error);
                None
            }
        }
    }

    /// Takes what was opened anew into use; the proxy is passed it next.
    pub(crate) fn replace(&mut self, descriptor: OwnedFd) {
        self.descriptor = descriptor;
        self.pending = true;
        tracing::info!(path = %self.to, "access log opened anew");
    }

    /// Returns whether the proxy has an older one.
    pub(crate) const fn is_pending(&self) -> bool {
        self.pending
    }

    /// Passes it to a proxy; where there is no memory for it, it stays pending.
    pub(crate) fn pass(&mut self, proxy: &mut Child) {
        let passed = proxy.pass(&ToProxy::AccessLog, &[self.descriptor.as_fd()]);
        self.pending = passed.is_err();
    }

    fn complain(&self, error: &io::Error) {
        tracing::error!(path = %self.to, %error, "failed to open the access log anew, the old one stays in use");
    }
}

fn open(to: &AccessLogTarget) -> io::Result<OwnedFd> {
    match to {
        AccessLogTarget::File(path) => open_file(path),
        AccessLogTarget::StandardOutput => io::stdout().as_fd().try_clone_to_owned(),
        AccessLogTarget::Journald => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(JOURNALD)?;
            Ok(socket.into())
        }
    }
}

/// Opens a file for appending; a named pipe that nobody reads is refused instead of waited for.
fn open_file(path: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // The unit's umask is for everything that nobody else is to read; this has readers.
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).open(path)?
        }
        Err(error) => return Err(error),
    };
    // The writer waits for a pipe by itself.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file.into())
}

fn help(to: &AccessLogTarget, error: &io::Error) -> &'static str {
    match (to, error.raw_os_error()) {
        (AccessLogTarget::Journald, _) => "is journald running? write `to: stdout`, or a file",
        (AccessLogTarget::StandardOutput, _) => "write a file, or `to: journald`",
        (AccessLogTarget::File(_), Some(libc::ENOENT)) => {
            "its directory is not there; under systemd write `LogsDirectory=evenkeel` into the unit"
        }
        (AccessLogTarget::File(_), Some(libc::ENXIO)) => {
            "nobody reads the pipe; start its reader first"
        }
        (AccessLogTarget::File(_), Some(_) | None) => {
            "the user of the daemon must be able to write there"
        }
    }
}

/// Where journald takes datagrams of its own protocol (systemd-journald.service(8)).
const JOURNALD: &str = "/run/systemd/journal/socket";
/// How long a disk may take to open a file.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The log names clients: not for everybody to read.
const FILE_MODE: u32 = 0o640;
