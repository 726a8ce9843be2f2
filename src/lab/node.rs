//! A node: the daemon itself, as it would be started on a machine, on a host of the lab.
//!
//! It is given a configuration and watched through its control socket, which lies in a directory of its own. Nothing
//! here is known of the daemon but its command line and the structures of [`crate::ipc::control`].

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::LabError;
use super::host::Host;
use super::process::{self, Process};
use super::scratch::ScratchDir;
use crate::ipc::control::{Request, Response, Status};

/// A running daemon; it is killed with all its processes on drop.
#[derive(Debug)]
pub struct Node {
    name: String,
    // Before the directory, so that it is dead when its directory goes.
    process: Process,
    scratch: ScratchDir,
}

impl Node {
    /// Starts `binary run` on a host, as the node of this name, with this text as its configuration.
    ///
    /// Returns at once; [`Node::wait_for`] tells when it stands.
    pub fn start(host: &Host, yaml: &str, node: &str, binary: &Path) -> Result<Self, LabError> {
        let scratch = ScratchDir::new()?;
        let config = scratch.path().join(CONFIG_FILE);
        let runtime_dir = scratch.path().join(RUNTIME_DIR);
        fs::write(&config, yaml)
            .map_err(LabError::system(format!("write {}", config.display())))?;
        fs::create_dir(&runtime_dir)
            .map_err(LabError::system(format!("make {}", runtime_dir.display())))?;
        let mut command = Command::new(binary);
        command.arg("run");
        command.arg("--config").arg(&config);
        command.arg("--node").arg(node);
        command.arg("--runtime-dir").arg(&runtime_dir);
        Ok(Self {
            name: node.to_owned(),
            process: host.spawn(command)?,
            scratch,
        })
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
        ask(&self.runtime_dir().join(CONTROL_SOCKET)).ok().flatten()
    }

    /// Waits until the status is as hoped; errs early, with the log, when the daemon ends.
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
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus, LabError> {
        self.process.terminate()?;
        self.process.wait(within)
    }
}

/// Asks for the status over a control socket; `None` for an answer that says an error.
fn ask(socket: &Path) -> io::Result<Option<Status>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let mut question = serde_json::to_vec(&Request::Status)?;
    question.push(b'\n');
    stream.write_all(&question)?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line)?;
    match serde_json::from_str(&line)? {
        Response::Status(status) => Ok(Some(*status)),
        Response::Error(_) => Ok(None),
    }
}

const CONFIG_FILE: &str = "evenkeel.yaml";
const RUNTIME_DIR: &str = "run";
const CONTROL_SOCKET: &str = "control.sock";
/// The kernel shows so many bytes of a process name.
const COMM_LEN: usize = 15;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const POLL_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn answer_of_the_control_socket_is_read() {
        let scratch = ScratchDir::new().unwrap();
        let path = scratch.path().join(CONTROL_SOCKET);
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let answer = r#"{"status":{"node":"lb1","version":"1","virtual_routers":[],"listeners":[],"pools":[],"processes":[],"warnings":[]}}"#;
            writeln!(stream, "{answer}").unwrap();
            line
        });
        assert_eq!(ask(&path).unwrap().unwrap().node, "lb1");
        assert_eq!(daemon.join().unwrap(), "\"status\"\n");
    }
}
