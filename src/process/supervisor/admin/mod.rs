//! The process `admin`, as the supervisor has it: there as long as a configuration has a section
//! `admin`, with the sockets that it answers on and the lines that it asks over.
//!
//! What strangers send to that listener is parsed there, where there is nothing to be had: it can
//! show what everybody who may ask can see, and change something only where a token is configured.
//! Of that token it has a digest.

mod line;

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::mpsc;

use super::child::Child;
use super::control::socket::Question;
use super::error::SupervisorError;
use super::keys::held::open_secret;
use super::passed::listeners::listen_alone;
use crate::config::{AdminConfig, Config};
use crate::ipc::channel::Bounds;
use crate::ipc::message::{AdminSettings, ToAdmin};
use crate::model::SecretBytes;
use crate::process::role::Role;

/// The process, where a configuration has it.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    process: Option<Process>,
    /// Where its questions go.
    questions: Option<mpsc::Sender<Question>>,
    /// The file that the daemon was started with.
    own: PathBuf,
}

#[derive(Debug)]
struct Process {
    child: Child,
    sockets: Vec<Listening>,
    settings: AdminSettings,
    /// Whether it may change something.
    may_change: Arc<AtomicBool>,
}

type Listening = (SocketAddr, OwnedFd);

/// What a configuration needs, made before it is taken into use.
#[derive(Debug)]
pub(crate) struct AdminNext {
    /// Sockets beside those that there are.
    opened: Vec<Listening>,
    token: Option<Token>,
}

/// A digest of what allows changes, where something does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token(Option<SecretBytes>);

impl Token {
    /// Reads the token that a configuration names.
    pub(crate) fn read(config: &Config) -> Result<Self, SupervisorError> {
        let source = config.admin.as_ref().and_then(|it| it.token.as_ref());
        let Some(source) = source else {
            return Ok(Self(None));
        };
        let read = || {
            let (file, path) = open_secret(source)?;
            let (mut text, shown) = (String::new(), path.display());
            let read = file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text);
            read.map_err(|error| format!("{shown}: {error}"))?;
            let token = text.trim();
            let is_good =
                token.len() >= TOKEN_BYTES_MIN && token.bytes().all(|byte| byte.is_ascii_graphic());
            match is_good {
                true => Ok(SecretBytes(digest_of(token))),
                false => Err(format!(
                    "{shown}: a token is one line of at least {TOKEN_BYTES_MIN} letters, digits \
                     and signs\nhelp: `openssl rand -hex 32` makes one"
                )),
            }
        };
        read()
            .map(|token| Self(Some(token)))
            .map_err(SupervisorError::Token)
    }
}

impl Admin {
    /// Opens what the first configuration needs; `own` is the file that the daemon is started with.
    pub(crate) fn open(config: &Config, own: &Path) -> Result<Self, SupervisorError> {
        let mut admin = Self {
            process: None,
            questions: None,
            own: own.to_owned(),
        };
        let next = admin.prepare(config, Some(Token::read(config)?))?;
        admin.commit(config, next);
        Ok(admin)
    }

    /// Its questions go there.
    pub(crate) fn be_asked_over(&mut self, questions: mpsc::Sender<Question>) {
        self.questions = Some(questions);
    }

    /// Returns the process, where there is to be one.
    pub(crate) fn child(&self) -> Option<&Child> {
        self.process.as_ref().map(|process| &process.child)
    }

    /// As [`child`](Self::child), to be changed.
    pub(crate) fn child_mut(&mut self) -> Option<&mut Child> {
        self.process.as_mut().map(|process| &mut process.child)
    }

    /// Opens what a configuration needs beside what there is, or says what cannot be opened.
    pub(crate) fn prepare(
        &self,
        config: &Config,
        token: Option<Token>,
    ) -> Result<AdminNext, SupervisorError> {
        let listen = config.admin.iter().flat_map(|admin| &admin.listen);
        let there = self.process.iter().flat_map(|it| &it.sockets);
        let there: Vec<SocketAddr> = there.map(|(bind, _)| *bind).collect();
        let opened = listen.filter(|bind| !there.contains(bind));
        let opened: Result<_, SupervisorError> = opened
            .map(|bind| Ok((*bind, listen_alone(*bind, "admin")?)))
            .collect();
        Ok(AdminNext {
            opened: opened?,
            token,
        })
    }

    /// Follows a configuration for which `next` was prepared.
    pub(crate) fn commit(&mut self, config: &Config, next: AdminNext) {
        let Some(AdminConfig { listen, hosts, .. }) = &config.admin else {
            self.process = None;
            return;
        };
        let process = self.process.get_or_insert_with(|| Process {
            child: Child::new(Role::Admin, BOUNDS, Instant::now()),
            sockets: Vec::new(),
            settings: AdminSettings {
                hosts: Vec::new(),
                token: None,
            },
            may_change: Arc::default(),
        });
        let before = (process.settings.clone(), process.sockets.len());
        let is_listened = |(bind, _): &Listening| listen.contains(bind);
        process.sockets.retain(is_listened);
        let is_kept = process.sockets.len() == before.1 && next.opened.is_empty();
        process.sockets.extend(next.opened);
        process.settings.hosts = hosts.clone();
        process
            .settings
            .hosts
            .push(config.node.to_ascii_lowercase());
        if let Some(Token(token)) = next.token {
            process.settings.token = token;
        }
        let may_change = process.settings.token.is_some();
        process.may_change.store(may_change, Ordering::Relaxed);
        if !is_kept || process.settings != before.0 {
            process.serve();
        }
    }

    /// Starts the process where it is due.
    pub(crate) fn start_if_due(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let (Some(process), Some(questions)) = (&mut self.process, &self.questions) else {
            return Ok(());
        };
        if process.child.start_at().is_none_or(|at| at > now) {
            return Ok(());
        }
        let asking = line::Asking {
            questions: questions.clone(),
            own: self.own.clone(),
            may_change: Arc::clone(&process.may_change),
        };
        let theirs = [line::open(asking.clone())?, line::open(asking)?];
        process.child.start(now, 1)?;
        let theirs: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        process.pass(&ToAdmin::PassLines, &theirs);
        process.serve();
        Ok(())
    }
}

impl Process {
    /// Has it answer on its sockets, as it is configured.
    fn serve(&mut self) {
        let copies = self.sockets.iter().map(|(_, socket)| socket.try_clone());
        let copies: Result<Vec<OwnedFd>, _> = copies.collect();
        let sockets = copies.unwrap_or_default();
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        self.pass(&ToAdmin::Serve(self.settings.clone()), &sockets);
    }

    fn pass(&mut self, message: &ToAdmin, descriptors: &[BorrowedFd<'_>]) {
        if let Err(errno) = self.child.pass(message, descriptors) {
            // The next one gets all.
            let child = self.child.name();
            tracing::error!(child, error = %errno, "process is told nothing, killing it");
            self.child.kill();
        }
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

/// What it says is short, and it lends nothing.
const BOUNDS: Bounds = Bounds {
    file_bytes: 64 * 1024,
    descriptors: 0,
};
/// One that can be guessed is none.
const TOKEN_BYTES_MIN: usize = 16;
/// A longer file has no token.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
