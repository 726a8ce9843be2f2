//! The process that keeps private keys, as the supervisor has it; and the files of certificates and
//! keys, which the supervisor opens and does not read.
//!
//! Whatever reads goes through `reader`, on a thread aside. Read `sources` for which files are
//! meant, `find` for what becomes of them, `watch` for what happens when they change.

pub(crate) mod authorities;
pub(crate) mod find;
pub(crate) mod held;
pub(crate) mod reader;
pub(crate) mod sources;
pub(crate) mod watch;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use self::held::{GroupSecrets, Held};
use self::reader::Reader;
use super::aside::Aside;
use super::child::Child;
use super::error::SupervisorError;
use crate::config::Config;
use crate::ipc::channel::{self, Bounds};
use crate::ipc::message::{Secrets, ToKeys};
use crate::model::{KeyId, SecretBytes};
use crate::process::role::Role;

/// The process that keeps private keys.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) child: Child,
    /// Whoever has files read asks over this, whichever process answers.
    pub(crate) reader: Arc<Reader>,
    /// The files whose keys it has, opened; read again by the next process.
    pub(crate) held: Held,
    /// Why it does not have some of them, for people.
    pub(crate) missing: Vec<String>,
    /// What is derived from the group's secret, as far as it is known.
    pub(crate) secrets: Option<Secrets>,
    /// Keys of cookies from a secret of the node's own: those of its first process, since a new one
    /// would send every session elsewhere.
    own_affinity: Option<Vec<SecretBytes>>,
    /// The files with the secrets of the group, opened.
    files: GroupSecrets,
}

/// Returns whether a configuration needs the process.
pub(crate) fn are_needed(config: &Config) -> bool {
    let of_listeners = config.listeners.iter().any(|it| it.tls.is_some());
    let shows = |pool: &crate::config::PoolConfig| {
        let tls = pool.tls.as_ref();
        tls.is_some_and(|tls| tls.certificate.is_some())
    };
    let has_affinity = config.pools.iter().any(|pool| pool.affinity.is_some());
    of_listeners
        || has_affinity
        || config.pools.iter().any(shows)
        || !config.group.secret.is_empty()
}

impl Keys {
    /// Starts it, with these secrets.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(files: GroupSecrets, now: Instant) -> Result<Self, SupervisorError> {
        let mut keys = Self {
            child: Child::new(Role::Keys, BOUNDS, now),
            reader: Arc::default(),
            held: Held::default(),
            missing: Vec::new(),
            secrets: None,
            own_affinity: None,
            files,
        };
        keys.start_again(now)?;
        Ok(keys)
    }

    /// Starts a process in the place of the one before; the keys that it had are read again by
    /// whoever is told to.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_again(&mut self, now: Instant) -> Result<(), SupervisorError> {
        self.child.start(now, 1)?;
        let (ours, theirs) = channel::pair()?;
        self.pass(&ToKeys::PassReader, &[theirs.as_fd()]);
        self.reader.connect(ours);
        // Before it has them: none of them is forgotten.
        self.say_what_is_kept();
        self.pass_secrets();
        Ok(())
    }

    /// Has these be the secrets of the group; the process sees whether they are others.
    pub(crate) fn follow(&mut self, files: GroupSecrets) {
        self.files = files;
        self.pass_secrets();
    }

    /// Takes what a process has derived; returns what holds.
    pub(crate) fn take_secrets(&mut self, mut secrets: Secrets) -> Secrets {
        if secrets.of_one_node {
            let first = self.own_affinity.get_or_insert(secrets.affinity);
            secrets.affinity = first.clone();
        }
        self.secrets.insert(secrets).clone()
    }

    fn pass_secrets(&mut self) {
        let files = Arc::clone(&self.files);
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        match files[..] {
            [] => self.child.send(&ToKeys::NoSecrets),
            [..] => self.pass(&ToKeys::Secrets, &files),
        }
    }

    /// Returns the workers' ends of so many new lines, of which it has the others from now on.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub(crate) fn new_lines(&mut self, count: usize) -> Result<Vec<OwnedFd>, Errno> {
        let pairs = (0..count).map(|_| {
            socketpair(
                AddressFamily::Unix,
                SockType::SeqPacket,
                None,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            )
        });
        let pairs: Vec<(OwnedFd, OwnedFd)> = pairs.collect::<Result<_, _>>()?;
        let (ours, theirs): (Vec<OwnedFd>, Vec<OwnedFd>) = pairs.into_iter().unzip();
        let ours: Vec<BorrowedFd<'_>> = ours.iter().map(AsFd::as_fd).collect();
        self.child.pass(&ToKeys::PassLines, &ours)?;
        Ok(theirs)
    }

    /// Has these files be those whose keys are needed; the process forgets others in a while, when
    /// no handshake needs them any more.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = held;
        self.missing.clear();
        self.say_what_is_kept();
    }

    fn say_what_is_kept(&mut self) {
        let ids: Vec<KeyId> = self.held.ids().collect();
        self.child.send(&ToKeys::Keep(ids));
    }

    /// A process without what it was to get is of no use; the next one gets it.
    fn pass(&mut self, message: &ToKeys, descriptors: &[BorrowedFd<'_>]) {
        if let Err(errno) = self.child.pass(message, descriptors) {
            tracing::error!(child = self.child.name(), error = %errno, "process is told nothing, killing it");
            self.child.kill();
        }
    }
}

/// Waits until the keys of a new process are read; for ever where none is.
pub(crate) async fn keys_read(
    reading: &mut Option<Aside<Vec<String>>>,
) -> std::io::Result<Vec<String>> {
    match reading {
        Some(reading) => reading.outcome(READ_TIMEOUT).await,
        None => std::future::pending().await,
    }
}

/// How long disks may take to show all keys again.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// What it says is short, and it lends nothing.
const BOUNDS: Bounds = Bounds {
    file_bytes: 256 * 1024,
    descriptors: 0,
};
