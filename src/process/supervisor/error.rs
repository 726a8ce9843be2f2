//! Why the daemon cannot run, or a configuration is wrong.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigErrors;
use crate::config::diff::NeedsRestart;
use crate::ipc::channel::ChannelError;
use crate::process::role::ConfineError;
use crate::process::supervisor::follow::backends_file::BackendsFileErrors;
use crate::process::supervisor::keys::find::CertificateErrors;
use crate::process::supervisor::reload::pages::PageErrors;

/// Why the daemon could not be started or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The file cannot be read.
    #[error("failed to read {} as {reader}", path.display())]
    ReadConfig {
        /// Which file.
        path: PathBuf,
        /// The user who may not, or for whom it is not there.
        reader: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is a directory, a pipe, a device.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file is longer than any configuration.
    #[error("{} is larger than 16 MiB, and a configuration is not", .0.display())]
    ConfigTooLong(PathBuf),
    /// Something cannot change while the daemon runs.
    #[error(transparent)]
    NeedsRestart(#[from] NeedsRestart),
    /// The file is no text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// The file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A notify program cannot be trusted, or run.
    #[error("virtual router {entry}: notify program {} cannot be used: {why}\nhelp: it must be an executable file of root, and every directory above it and symbolic link to it must be root's and writable by nobody else", program.display())]
    Notify {
        /// The entry of `virtual_routers`.
        entry: String,
        /// Which program.
        program: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A track script cannot be trusted, or run.
    #[error("track script {name}: {} cannot be used: {why}\nhelp: it must be an executable file of root, and every directory above it and symbolic link to it must be root's and writable by nobody else", program.display())]
    Script {
        /// The entry of `track_scripts`.
        name: String,
        /// Which program.
        program: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Pages that it names cannot be used.
    #[error(transparent)]
    Pages(#[from] PageErrors),
    /// Files with backends that it names cannot be used.
    #[error(transparent)]
    BackendsFiles(#[from] BackendsFileErrors),
    /// Certificates or keys that it names cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateErrors),
    /// The secret of the group cannot be used.
    #[error("group: {0}")]
    Secret(String),
    /// What allows changes by the admin listener cannot be used.
    #[error("admin: {0}")]
    Token(String),
    /// The directory cannot be used.
    #[error("failed to use the runtime directory {}\nhelp: name another with --runtime-dir", path.display())]
    RuntimeDir {
        /// Which directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody else could change what is in the directory.
    #[error("the runtime directory {} cannot be trusted: {why}\nhelp: {help}", path.display())]
    StrangeDir {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// How to mend it.
        help: String,
    },
    /// Another daemon holds the lock.
    #[error("another evenkeel already runs with the runtime directory {}\nhelp: stop it, or name another directory with --runtime-dir", .0.display())]
    AlreadyRunning(PathBuf),
    /// Another daemon with virtual routers is in this network namespace.
    #[error("another evenkeel{} already has virtual routers in this network\nhelp: put its virtual routers and these into one configuration, or give one of the two a network namespace of its own", shown(*.0))]
    AnotherHere(Option<i32>),
    /// A listener cannot listen.
    #[error("listener {listener}: failed to listen on {bind}\nhelp: {help}")]
    Listen {
        /// Which listener.
        listener: String,
        /// Where.
        bind: std::net::SocketAddr,
        /// What the kernel said.
        source: io::Error,
        /// How to mend it.
        help: &'static str,
    },
    /// The access log cannot be opened.
    #[error("failed to open the access log {to}\nhelp: {help}")]
    AccessLog {
        /// What it goes to.
        to: String,
        /// What the kernel said.
        source: io::Error,
        /// How to mend it.
        help: &'static str,
    },
    /// No file can be had for bodies of requests.
    #[error("failed to open a file in the cache directory {}, which pools with `buffer_requests` need\nhelp: {help}", path.display())]
    Spool {
        /// Which directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
        /// How to mend it.
        help: &'static str,
    },
    /// A process cannot be started.
    #[error("failed to start {name}")]
    Start {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The rights of this process cannot be set.
    #[error("failed to set the rights of the process")]
    Confine(#[from] ConfineError),
    /// A channel broke.
    #[error("failed to talk to a process of ours")]
    Channel(#[from] ChannelError),
    /// The runtime, a signal or a socket of ours was refused.
    #[error("failed to {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

fn shown(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl SupervisorError {
    /// Returns whether the configuration is to blame, rather than the machine.
    pub const fn is_bad_config(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::NotText(_)
            | Self::Notify { .. }
            | Self::Script { .. }
            | Self::Pages(_)
            | Self::BackendsFiles(_)
            | Self::Certificates(_)
            | Self::Secret(_)
            | Self::Token(_)
            | Self::NeedsRestart(_) => true,
            Self::ReadConfig { .. }
            | Self::NotAFile(_)
            | Self::ConfigTooLong(_)
            | Self::RuntimeDir { .. }
            | Self::StrangeDir { .. }
            | Self::AlreadyRunning(_)
            | Self::AnotherHere(_)
            | Self::Listen { .. }
            | Self::AccessLog { .. }
            | Self::Spool { .. }
            | Self::Start { .. }
            | Self::Confine(_)
            | Self::Channel(_)
            | Self::System { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Chain;

    #[test]
    fn person_is_told_every_level_once_and_then_the_help() {
        let refused = || io::Error::from_raw_os_error(libc::EADDRINUSE);
        let listen = SupervisorError::Listen {
            listener: "web".to_owned(),
            bind: "192.0.2.1:80".parse().expect("it is an address"),
            source: refused(),
            help: "stop it",
        };
        let channel = SupervisorError::Channel(ChannelError::System {
            operation: "socketpair",
            source: refused(),
        });
        for (error, hoped) in [
            (
                listen,
                "listener web: failed to listen on 192.0.2.1:80: Address already in use \
                 (os error 98)\nhelp: stop it",
            ),
            (
                channel,
                "failed to talk to a process of ours: socketpair: Address already in use \
                 (os error 98)",
            ),
        ] {
            assert_eq!(Chain(&error).to_string(), hoped);
        }
    }
}
