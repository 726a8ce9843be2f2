//! The parent process: it starts the others again when they die or fall silent, and keeps what must outlive them.
//!
//! It holds the listening sockets, duplicates of the VRRP sockets, the last role of every virtual router and the last
//! health of every pool; it turns what it is told into fitness (`logic::track`) and answers operators. It parses
//! nothing that comes from the network. Losing it means giving the addresses up: its children see their channel
//! close. Read `daemon` for the loop, `child` for what "silent" means.

mod access_log;
mod aside;
mod child;
mod control;
mod daemon;
mod descriptors;
mod hooks;
mod event_log;
mod listeners;
mod notify;
mod runtime_dir;
mod threads;
mod tracking;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::sys::signal::SigSet;

use self::access_log::AccessLog;
use crate::config::{self, Config, ConfigErrors, check::NodeName};
use crate::ipc::channel::ChannelError;
use crate::ipc::log;
use crate::process::role::{self, ConfineError, Role};

/// What `evenkeel run` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// `--node`.
    pub node: Option<String>,
    /// Where the control socket and the lock live.
    pub runtime_dir: PathBuf,
}

impl SupervisorError {
    /// Returns whether the configuration is to blame, rather than the machine.
    pub const fn is_bad_config(&self) -> bool {
        match self {
            Self::Config(_) | Self::NotText(_) | Self::Notify { .. } => true,
            Self::ReadConfig { .. }
            | Self::RuntimeDir { .. }
            | Self::StrangeDir { .. }
            | Self::AlreadyRunning(_)
            | Self::Listen { .. }
            | Self::AccessLog { .. }
            | Self::Start { .. }
            | Self::Confine(_)
            | Self::Channel(_)
            | Self::System { .. } => false,
        }
    }
}

/// Why the daemon could not be started or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The file cannot be read.
    #[error("failed to read {}: {source}", path.display())]
    ReadConfig {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is no text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// The file is wrong.
    #[error("{0}")]
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
    /// The directory cannot be used.
    #[error("failed to use the runtime directory {}: {source}\nhelp: name another with --runtime-dir", path.display())]
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
    /// A listener cannot listen.
    #[error("listener {listener}: failed to listen on {bind}: {source}\nhelp: {help}")]
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
    #[error("failed to open the access log {to}: {source}\nhelp: {help}")]
    AccessLog {
        /// What it goes to.
        to: String,
        /// What the kernel said.
        source: io::Error,
        /// How to mend it.
        help: &'static str,
    },
    /// A process cannot be started.
    #[error("failed to start {name}: {source}")]
    Start {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The rights of this process cannot be set.
    #[error("failed to set the rights of the process: {0}")]
    Confine(#[from] ConfineError),
    /// A channel broke.
    #[error("failed to talk to a process of ours: {0}")]
    Channel(#[from] ChannelError),
    /// The runtime, a signal or a socket of ours was refused.
    #[error("failed to {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Runs the daemon until it is told to stop.
pub fn run(options: &Options) -> Result<(), SupervisorError> {
    role::confine(Role::Supervisor)?;
    // Whoever started us may have blocked what we must hear.
    SigSet::all()
        .thread_unblock()
        .map_err(|errno| SupervisorError::System {
            what: "unblock signals",
            source: errno.into(),
        })?;
    let (yaml, config) = read_config(&options.config, options.node.as_deref())?;
    let raised = descriptors::raise_limit();
    let _lock = runtime_dir::lock(&options.runtime_dir)?;
    let sockets = listeners::open(&config)?;
    let access_log = AccessLog::open(&config)?;
    let printer = log::to_standard_error();
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| SupervisorError::System {
            what: "start a runtime",
            source,
        })?;
    let result = runtime.block_on(daemon::serve(
        daemon::Setup {
            config,
            yaml,
            sockets,
            access_log,
            runtime_dir: options.runtime_dir.clone(),
        },
        &printer,
    ));
    printer.flush();
    result
}

/// Reads and checks a configuration for this machine; also what `evenkeel check` does.
pub fn read_config(path: &Path, node: Option<&str>) -> Result<(String, Config), SupervisorError> {
    let failed = |source| SupervisorError::ReadConfig {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(failed)?;
    let yaml = String::from_utf8(bytes).map_err(|_| SupervisorError::NotText(path.to_owned()))?;
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy();
    let name = node.map_or(NodeName::HostName(&host), NodeName::Given);
    let config = config::parse(&path.display().to_string(), &yaml, name)?;
    for router in &config.virtual_routers {
        for program in &router.notify {
            if let Some(why) = hooks::objection(program) {
                let (entry, program) = (router.name.entry.clone(), program.clone());
                return Err(SupervisorError::Notify {
                    entry,
                    program,
                    why,
                });
            }
        }
    }
    Ok((yaml, config))
}

/// The longest configuration that is read; `config::parse` refuses longer ones with a better message.
const CONFIG_BYTES_MAX: u64 = 2 * 1024 * 1024;
