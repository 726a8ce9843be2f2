//! What the access log is written to: opened here, because the proxy may open nothing, and lent to every proxy.
//!
//! A file is opened anew when an operator has moved it away; what cannot be opened leaves the old one in use.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::SupervisorError;
use super::child::Child;
use crate::config::{AccessLogTarget, Config};
use crate::ipc::message::ToProxy;

/// The access log, open.
#[derive(Debug)]
pub struct AccessLog {
    to: AccessLogTarget,
    descriptor: OwnedFd,
}

impl AccessLog {
    /// Opens the log that a configuration asks for, if it does, or says why that fails.
    pub fn open(config: &Config) -> Result<Option<Self>, SupervisorError> {
        let Some(log) = &config.access_log else {
            return Ok(None);
        };
        let to = log.to.clone();
        let descriptor = open(&to).map_err(|source| SupervisorError::AccessLog {
            to: to.to_string(),
            help: help(&to, &source),
            source,
        })?;
        Ok(Some(Self { to, descriptor }))
    }

    /// Opens it anew and lends it; where that fails the old one stays in use.
    pub fn reopen(&mut self, proxy: Option<&mut Child>) -> Result<(), SupervisorError> {
        let path = self.to.to_string();
        match open(&self.to) {
            Ok(descriptor) => {
                self.descriptor = descriptor;
                tracing::info!(path, "access log opened anew");
                proxy.map_or(Ok(()), |proxy| self.lend(proxy))
            }
            Err(error) => {
                tracing::error!(path, %error, "failed to open the access log anew, the old one stays in use");
                Ok(())
            }
        }
    }

    /// Lends it to a proxy.
    pub fn lend(&self, proxy: &mut Child) -> Result<(), SupervisorError> {
        proxy.send(&ToProxy::AccessLog, &[self.descriptor.as_fd()])
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
/// The log names clients: not for everybody to read.
const FILE_MODE: u32 = 0o640;
