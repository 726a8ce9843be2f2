//! A program that runs on a host, and the harm that can be done to it.
//!
//! Whoever holds a [`Process`] may stop, freeze and kill it, alone or with everything that it
//! started; when it is dropped, its whole family is killed. It knows nothing of what the program
//! does.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, Signal};
use nix::unistd::Pid;

use super::LabError;
use super::scratch::ScratchDir;

/// A child process and the file with what it printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    scratch: ScratchDir,
}

impl Process {
    /// Starts a program in the namespace of the calling thread; it is killed when that thread ends.
    ///
    /// Use `Host::spawn`. Its input is empty; its output and errors go to a file, see
    /// [`Process::log`].
    ///
    /// # Errors
    /// When its log cannot be made, or the program does not start.
    pub fn spawn(mut command: Command) -> Result<Self, LabError> {
        let name = command.get_program().to_string_lossy().into_owned();
        let scratch = ScratchDir::new()?;
        let log = File::create(scratch.path().join(LOG_FILE))
            .map_err(LabError::system("make the log of a process"))?;
        let errors = log
            .try_clone()
            .map_err(LabError::system("make the log of a process"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        command.process_group(0);
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                // What `interrupt` blocks for this program must not be blocked for others.
                SigSet::empty().thread_set_mask()?;
                prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from)
            });
        }
        let child = command
            .spawn()
            .map_err(LabError::system(format!("start {name}")))?;
        Ok(Self {
            name,
            child,
            ended: None,
            scratch,
        })
    }

    /// Returns the process id; it stays reserved until the end was seen by [`Process::wait`] or
    /// similar.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has printed so far, output and errors together.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.scratch.path().join(LOG_FILE)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns its exit status if it has ended.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, LabError> {
        if self.ended.is_none() {
            self.ended = self
                .child
                .try_wait()
                .map_err(LabError::system(format!("wait for {}", self.name)))?;
        }
        Ok(self.ended)
    }

    /// Waits until it has ended, at most so long.
    ///
    /// # Errors
    /// When it still runs then; its log is in the error.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, LabError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(LabError::Deadline {
                    what: format!("the end of {} (pid {})", self.name, self.pid()),
                    within,
                    seen: format!("; its log:\n{}", self.log()),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Checks that it has not ended.
    ///
    /// # Errors
    /// When it has ended; its log is in the error.
    pub fn check_runs(&mut self) -> Result<(), LabError> {
        match self.try_wait()? {
            None => Ok(()),
            Some(status) => Err(LabError::EndedEarly {
                name: self.name.clone(),
                status: status.to_string(),
                log: self.log(),
            }),
        }
    }

    /// Kills it and waits for its end; what it started is left to itself.
    ///
    /// # Errors
    /// When the kernel refuses the signal, or it does not end in time.
    pub fn kill(&mut self) -> Result<ExitStatus, LabError> {
        self.signal(Signal::SIGKILL)?;
        self.wait(KILL_TIMEOUT)
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn terminate(&mut self) -> Result<(), LabError> {
        self.signal(Signal::SIGTERM)
    }

    /// Stops its execution (SIGSTOP), its sockets stay open.
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn freeze(&mut self) -> Result<(), LabError> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn thaw(&mut self) -> Result<(), LabError> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends a signal, unless it has ended.
    ///
    /// # Errors
    /// When the kernel refuses the signal.
    pub fn signal(&mut self, signal: Signal) -> Result<(), LabError> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        send(self.pid(), signal)
    }

    /// Returns its process id and those of all its descendants, ancestors first; empty when it has
    /// ended.
    ///
    /// # Errors
    /// As [`Process::try_wait`].
    pub fn family(&mut self) -> Result<Vec<u32>, LabError> {
        if self.try_wait()?.is_some() {
            return Ok(Vec::new());
        }
        Ok(family_of(self.pid()))
    }

    /// Freezes it and all its descendants, as a machine that stalls.
    ///
    /// # Errors
    /// When the kernel refuses a signal.
    pub fn freeze_family(&mut self) -> Result<(), LabError> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        self.halt_family().map(drop)
    }

    /// Lets all of the family go on, descendants first.
    ///
    /// # Errors
    /// When the kernel refuses a signal.
    pub fn thaw_family(&mut self) -> Result<(), LabError> {
        for pid in self.family()?.into_iter().rev() {
            send(pid, Signal::SIGCONT)?;
        }
        Ok(())
    }

    /// Kills it and all its descendants at one stroke, and waits until they are gone.
    ///
    /// If it has ended by itself, what is left of its process group is killed. Does nothing once
    /// its end was seen.
    ///
    /// # Errors
    /// When the kernel refuses a signal, or one of them does not end in time.
    pub fn kill_family(&mut self) -> Result<(), LabError> {
        if self.ended.is_some() {
            return Ok(());
        }
        let family = self.halt_family()?;
        // Descendants first: the kernel lets stopped orphans go on, and they would say that they
        // are leaving.
        for pid in family.iter().rev() {
            send(*pid, Signal::SIGKILL)?;
        }
        // Not reaped yet, so the number still means this group. Orphans are in it and in no family.
        if let Ok(group) = i32::try_from(self.pid()) {
            match signal::killpg(Pid::from_raw(group), Signal::SIGKILL) {
                Ok(()) | Err(nix::Error::ESRCH) => {}
                Err(error) => {
                    return Err(
                        LabError::system(format!("kill the group of {}", self.name))(error),
                    );
                }
            }
        }
        self.wait(KILL_TIMEOUT)?;
        let deadline = Instant::now() + KILL_TIMEOUT;
        while family.iter().any(|pid| runs(*pid)) {
            if Instant::now() >= deadline {
                return Err(LabError::Deadline {
                    what: format!("the end of all that {} started", self.name),
                    within: KILL_TIMEOUT,
                    seen: String::new(),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Freezes the family until no member is left that could start another, and returns it.
    ///
    /// Only before its end was seen: until then the process id means this process.
    fn halt_family(&self) -> Result<Vec<u32>, LabError> {
        let mut halted: Vec<u32> = Vec::new();
        loop {
            let fresh: Vec<u32> = family_of(self.pid())
                .into_iter()
                .filter(|pid| !halted.contains(pid))
                .collect();
            if fresh.is_empty() {
                return Ok(halted);
            }
            for pid in fresh {
                send(pid, Signal::SIGSTOP)?;
                halted.push(pid);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell; the kernel kills what remains when the host's thread ends.
        let _ = self.kill_family();
    }
}

/// Sends a signal to a process of the lab; one that is gone already is no error.
///
/// # Errors
/// When the kernel refuses the signal.
pub fn send(pid: u32, signal: Signal) -> Result<(), LabError> {
    let Some(target) = i32::try_from(pid).ok().filter(|pid| *pid > 1) else {
        return Ok(());
    };
    match signal::kill(Pid::from_raw(target), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(LabError::system(format!("send {signal} to {pid}"))(error)),
    }
}

/// Kills everything that this process has started, and what that has started.
///
/// # Errors
/// When the kernel refuses a signal; what comes after it is not killed then.
pub fn kill_descendants() -> Result<(), LabError> {
    let own = std::process::id();
    for pid in family_of(own).into_iter().filter(|pid| *pid != own) {
        send(pid, Signal::SIGKILL)?;
    }
    Ok(())
}

/// Returns the name a process has in the process list, at most 15 bytes.
pub fn name_of(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Returns whether an exit status says that this signal was the end.
pub fn ended_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal as i32)
}

fn family_of(root: u32) -> Vec<u32> {
    let mut family = vec![root];
    let mut next = 0;
    while let Some(pid) = family.get(next).copied() {
        next += 1;
        for child in children_of(pid) {
            if !family.contains(&child) {
                family.push(child);
            }
        }
    }
    family
}

/// The children of all threads of a process; none when it is gone.
fn children_of(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(PathBuf::from(format!("/proc/{pid}/task"))) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Returns whether a process still runs; a zombie that its new parent has not reaped does not.
pub fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.starts_with(['Z', 'X'])
}

const LOG_FILE: &str = "log";
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The kernel needs milliseconds; a busy machine gets seconds.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn(command).unwrap()
    }

    /// Polls until the family has so many members.
    fn family_with(process: &mut Process, members: usize) -> Vec<u32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let family = process.family().unwrap();
            if family.len() == members {
                return family;
            }
            assert!(Instant::now() < deadline, "hoped for {members}: {family:?}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    #[test]
    fn log_has_output_and_errors() {
        let mut process = shell("echo out; echo err >&2");
        assert!(process.wait(Duration::from_secs(10)).unwrap().success());
        assert_eq!(process.log(), "out\nerr\n");
    }

    #[test]
    fn drop_kills_grandchildren_too() {
        let mut process = shell("sh -c 'sleep 1000; true' & sleep 1000; true");
        let family = family_with(&mut process, 4);
        drop(process);
        assert!(!family.iter().any(|pid| runs(*pid)), "{family:?}");
    }

    #[test]
    fn kill_ends_a_frozen_process() {
        let mut process = shell("sleep 1000; true");
        family_with(&mut process, 2);
        process.freeze_family().unwrap();
        process.kill_family().unwrap();
        let status = process.wait(Duration::ZERO).unwrap();
        assert!(ended_by(status, Signal::SIGKILL), "{status}");
    }

    #[test]
    fn wait_ends_at_its_deadline() {
        let mut process = shell("sleep 1000; true");
        let error = process.wait(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LabError::Deadline { .. }), "{error}");
    }
}
