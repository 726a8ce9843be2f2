//! The process that keeps private keys: what it says, how it ends, and the lines over which the
//! proxy's workers ask it.
//!
//! Without it connections go on, and handshakes wait. A new one has the files read again that
//! serve, and gets its lines when it has.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::ipc::message::{FromKeys, ToProxy};
use crate::logic::lifecycle::Phase;
use crate::process::role::Role;
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::child::Heard;
use crate::process::supervisor::daemon::Daemon;
use crate::process::supervisor::daemon::belief::Belief;
use crate::process::supervisor::daemon::shortage::Shortage;
use crate::process::supervisor::error::SupervisorError;
use crate::process::supervisor::reload::stages::Stage;

impl Daemon {
    pub(in crate::process::supervisor::daemon) async fn hear_keys(
        &mut self,
        heard: Heard<FromKeys>,
    ) {
        match heard {
            Heard::Message(message, descriptors) => match Belief::of_keys(message, &descriptors) {
                Ok(message) => self.handle_keys(message),
                Err(unfit) => self.condemn_keys(&unfit),
            },
            Heard::Lost(errno) => {
                let now = Instant::now();
                self.shortages
                    .note(now, Shortage::Receive(Role::Keys), &errno);
            }
            Heard::Unfit(unfit) => self.condemn_keys(&unfit),
            Heard::End => self.handle_keys_end(Instant::now()).await,
        }
    }

    /// Hears what is derived from the secret before a proxy starts that knows sessions by it: those
    /// that came first would be sent elsewhere.
    pub(in crate::process::supervisor::daemon) async fn hear_first_secrets(&mut self) {
        let mut pools = self.setup.config.pools.iter();
        let is_wanted = pools.any(|pool| pool.affinity.is_some());
        let until = Instant::now() + FIRST_SECRETS_TIMEOUT;
        if !is_wanted {
            return;
        }
        while let Some(keys) = &self.keys
            && keys.secrets.is_none()
            && keys.child.is_running()
        {
            let heard = tokio::time::timeout_at(until.into(), keys.child.receive());
            match heard.await {
                Ok(heard) => self.hear_keys(heard).await,
                Err(_) => return,
            }
        }
    }

    fn condemn_keys(&mut self, unfit: &str) {
        if let Some(keys) = &mut self.keys {
            keys.child.condemn(unfit);
        }
    }

    fn handle_keys(&mut self, message: FromKeys) {
        match message {
            FromKeys::Beat => {
                if let Some(keys) = &mut self.keys {
                    keys.child.handle_beat(0);
                }
            }
            FromKeys::Lacking(what) => self.note_lacking(Role::Keys, what),
            FromKeys::Secrets(secrets) => {
                let Some(keys) = &mut self.keys else { return };
                let secrets = keys.take_secrets(secrets);
                if let Some(proxy) = &mut self.proxy {
                    proxy.send(&ToProxy::Secrets(secrets));
                }
            }
            FromKeys::SecretsRefused(why) => {
                let why = format!("the secret of the group cannot be used: {why}");
                self.note_lacking(Role::Keys, vec![why]);
            }
            FromKeys::Log(line) => self.print(Role::Keys, line),
        }
    }

    async fn handle_keys_end(&mut self, now: Instant) {
        let Some(keys) = &mut self.keys else { return };
        let pid = keys.child.pid();
        let ended = keys.child.handle_end(now).await;
        self.keys_ended(pid, &ended);
    }

    pub(in crate::process::supervisor::daemon) fn keys_ended(
        &mut self,
        pid: Option<u32>,
        ended: &str,
    ) {
        // What it was to read is read by the next one.
        self.reading_again = None;
        if self.lifecycle.phase() == Phase::Running {
            let child = Role::Keys.profile().name;
            tracing::error!(child, pid, %ended, "process died, restarting it");
        }
    }

    /// Starts it again where it is due; the keys that it had are read on a thread aside.
    pub(in crate::process::supervisor::daemon) fn start_keys_again(&mut self, now: Instant) {
        let Some(keys) = &mut self.keys else { return };
        if keys.child.start_at().is_none_or(|at| at > now) {
            return;
        }
        let started = keys.start_again(now);
        let started = started.and_then(|()| {
            let (held, reader) = (keys.held.clone(), std::sync::Arc::clone(&keys.reader));
            let reading = Aside::begin("certificates", move || held.read_again(&*reader));
            reading.map_err(|source| SupervisorError::System {
                what: "start a thread",
                source,
            })
        });
        match started {
            Ok(reading) => self.reading_again = Some(reading),
            Err(error) => {
                let error = crate::model::Chain(&error);
                self.shortages
                    .note(now, Shortage::Start(Role::Keys), &error);
                keys.child.kill();
                keys.child.put_off(now);
            }
        }
    }

    /// The new process has its keys, or not all: the proxy may ask it.
    pub(in crate::process::supervisor::daemon) fn handle_keys_read(
        &mut self,
        read: std::io::Result<Vec<String>>,
    ) {
        self.reading_again = None;
        match read {
            Ok(wrong) => {
                for why in &wrong {
                    tracing::error!(error = why, "a key is missing, handshakes with it fail");
                }
                if let Some(keys) = &mut self.keys {
                    keys.missing = wrong;
                }
            }
            Err(error) => tracing::error!(%error, "keys cannot be read again"),
        }
        self.lend_lines();
    }

    /// Gives the workers lines to it.
    pub(in crate::process::supervisor::daemon) fn lend_lines(&mut self) {
        let (Some(keys), Some(proxy)) = (&mut self.keys, &mut self.proxy) else {
            return;
        };
        // It gets them when the keys are there.
        if !proxy.is_running() || !keys.child.is_running() || self.reading_again.is_some() {
            return;
        }
        // One for each worker, and one for the health checks.
        let lines = keys.new_lines(usize::from(self.threads) + 1);
        let passed = lines.and_then(|lines| {
            let lines: Vec<BorrowedFd<'_>> = lines.iter().map(AsFd::as_fd).collect();
            proxy.pass(&ToProxy::PassSigningLines, &lines)
        });
        self.lent_lines = match passed {
            Ok(()) => self.threads,
            Err(errno) => {
                // With the next tick.
                let now = Instant::now();
                self.shortages
                    .note(now, Shortage::Send(Role::Proxy), &errno);
                0
            }
        };
    }

    /// Lends lines where there are more workers than before, or where none could be lent, and lets
    /// the process go that nobody needs: also one that was started for a configuration that was
    /// refused.
    pub(in crate::process::supervisor::daemon) fn follow_keys(&mut self) {
        if !crate::process::supervisor::keys::are_needed(&self.setup.config) {
            // What is read or prepared may need it.
            if let Stage::Idle = self.reloads.stage {
                self.keys = None;
                self.reading_again = None;
                // The next one lends its own.
                self.lent_lines = 0;
            }
        } else if self.lent_lines < self.threads {
            self.lend_lines();
        }
    }
}

/// How long a start waits for the first of the process; the proxy follows what comes later.
const FIRST_SECRETS_TIMEOUT: Duration = Duration::from_secs(1);
