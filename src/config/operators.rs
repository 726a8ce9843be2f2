//! What operators see: the access log, and the listener with the status page.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::SecretSource;
use crate::logic::access::Format;

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// Where it goes.
    pub to: AccessLogTarget,
    /// How its lines look.
    pub format: Format,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// To a file, or a named pipe; an absolute path.
    File(PathBuf),
    /// To the standard output of the daemon.
    StandardOutput,
    /// To journald, in its own protocol.
    Journald,
}

impl fmt::Display for AccessLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::StandardOutput => f.write_str("stdout"),
            Self::Journald => f.write_str("journald"),
        }
    }
}

/// The section `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens; never empty.
    pub listen: Vec<SocketAddr>,
    /// Where what allows changes is; `None`: nobody changes anything there.
    pub token: Option<SecretSource>,
    /// Names of hosts under which it is asked, beside the node's own, in lower case.
    pub hosts: Vec<String>,
}
