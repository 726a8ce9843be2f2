//! A node: the daemon itself, as it would be started on a machine, on a host of the lab.
//!
//! It is given a configuration and watched through its control socket, which lies in a directory of
//! its own. Nothing here is known of the daemon but its command line and the structures of
//! [`crate::ipc::control`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::LabError;
use super::namespace::host::Host;
use super::process::{self, Process};
use super::scratch::ScratchDir;
use crate::ipc::control::{self, Request, Response, Status};

/// A running daemon; it is killed with all its processes on drop.
#[derive(Debug)]
pub struct Node {
    name: String,
    // Before the directory, so that it is dead when its directory goes.
    process: Process,
    scratch: ScratchDir,
}

impl Node {
    /// Starts `binary run` on a host, as the node of this name, with this text as its
    /// configuration.
    ///
    /// Returns at once; [`Node::wait_for`] tells when it stands.
    ///
    /// # Errors
    /// When the files of the node cannot be written, or the program does not start.
    pub fn start(host: &Host, yaml: &str, node: &str, binary: &Path) -> Result<Self, LabError> {
        let scratch = ScratchDir::new()?;
        let config = scratch.path().join(CONFIG_FILE);
        let runtime_dir = scratch.path().join(RUNTIME_DIR);
        fs::write(&config, yaml)
            .map_err(LabError::system(format!("write {}", config.display())))?;
        fs::create_dir(&runtime_dir)
            .map_err(LabError::system(format!("make {}", runtime_dir.display())))?;
        Ok(Self {
            name: node.to_owned(),
            process: host.spawn(run(&scratch, node, binary))?,
            scratch,
        })
    }

    /// Starts it again where it was stopped.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn start_again(&mut self, host: &Host, binary: &Path) -> Result<(), LabError> {
        self.process = host.spawn(run(&self.scratch, &self.name, binary))?;
        Ok(())
    }

    /// Returns its name in the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the process of the supervisor, to harm it or its family.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns what the daemon logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns where its configuration lies.
    pub fn config_path(&self) -> PathBuf {
        self.scratch.path().join(CONFIG_FILE)
    }

    /// Returns the directory of its control socket.
    pub fn runtime_dir(&self) -> PathBuf {
        self.scratch.path().join(RUNTIME_DIR)
    }

    /// Writes another configuration and has the daemon read it (SIGHUP).
    ///
    /// # Errors
    /// When the configuration cannot be written, or the signal cannot be sent.
    pub fn reload(&mut self, yaml: &str) -> Result<(), LabError> {
        let config = self.config_path();
        let fresh = config.with_extension("new");
        fs::write(&fresh, yaml)
            .and_then(|()| fs::rename(&fresh, &config))
            .map_err(LabError::system(format!("write {}", config.display())))?;
        self.process.signal(nix::sys::signal::Signal::SIGHUP)
    }

    /// Asks the daemon for its status; `None` when it does not answer within a second.
    pub fn status(&self) -> Option<Status> {
        match control::ask(&self.runtime_dir(), &Request::Status, ANSWER_TIMEOUT) {
            Ok(Response::Status(status)) => Some(*status),
            Ok(
                Response::Events(_)
                | Response::Configuration(_)
                | Response::OverSocket
                | Response::Changed(_)
                | Response::Refused(_)
                | Response::Error(_),
            )
            | Err(_) => None,
        }
    }

    /// Waits until the status is as hoped.
    ///
    /// # Errors
    /// When the status is not as hoped within the time, or, early, when the daemon ends; both with
    /// the log.
    pub fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        hoped: impl Fn(&Status) -> bool,
    ) -> Result<(), LabError> {
        let deadline = Instant::now() + within;
        loop {
            let status = self.status();
            if status.as_ref().is_some_and(&hoped) {
                return Ok(());
            }
            self.process.check_runs()?;
            if Instant::now() >= deadline {
                return Err(LabError::Deadline {
                    what: format!("{} of node {}", what, self.name),
                    within,
                    seen: format!("; status: {status:#?}\nlog:\n{}", self.log()),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the process id of a process of the daemon by its name, `evenkeel-proxy` for one.
    pub fn pid_of(&mut self, name: &str) -> Option<u32> {
        let family = self.process.family().ok()?;
        let shown = name.get(..name.len().min(COMM_LEN))?;
        family
            .into_iter()
            .find(|pid| process::name_of(*pid).as_deref() == Some(shown))
    }

    /// Asks the daemon to end (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it cannot be signalled, or has not ended in time.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus, LabError> {
        self.process.terminate()?;
        self.process.wait(within)
    }
}

/// Returns the command that runs what lies in this directory.
fn run(scratch: &ScratchDir, node: &str, binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("run");
    command
        .arg("--config")
        .arg(scratch.path().join(CONFIG_FILE));
    command.arg("--node").arg(node);
    command
        .arg("--runtime-dir")
        .arg(scratch.path().join(RUNTIME_DIR));
    command.arg("--cache-dir").arg(scratch.path());
    command
}

const CONFIG_FILE: &str = "evenkeel.yaml";
const RUNTIME_DIR: &str = "run";
/// The kernel shows so many bytes of a process name.
const COMM_LEN: usize = 15;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
