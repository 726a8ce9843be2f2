//! One run of a program, to its end or to the end of its time.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::keeper;
use crate::process::role::{self, ProgramUser};

/// What is run.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// As the file names it.
    pub(super) program: &'a Path,
    /// Where that leads to without symbolic links.
    pub(super) resolved: &'a Path,
    pub(super) arguments: &'a [String],
    pub(super) user: &'a ProgramUser,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// How a run has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With exit status 0.
    Success,
    /// With another one, or by a signal; says which.
    Failure(String),
    /// It was killed, with all that it had started.
    TimedOut(Duration),
    /// It did not begin for want of something of ours.
    Short(io::Error),
    /// It did not begin.
    Unrunnable(io::Error),
}

/// Runs a program beneath its keeper.
pub(super) async fn execute(job: &Job<'_>) -> Ended {
    let limit = job.limit;
    let mut child = match command(job).spawn() {
        Ok(child) => child,
        Err(error) if is_shortage(&error) => return Ended::Short(error),
        Err(error) => return Ended::Unrunnable(error),
    };
    match tokio::time::timeout(limit + KEEPER_SPARE, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ended::Success,
        Ok(Ok(status)) if status.signal() == Some(Signal::SIGALRM as i32) => Ended::TimedOut(limit),
        Ok(Ok(status)) => Ended::Failure(status.to_string()),
        Ok(Err(error)) => Ended::Unrunnable(error),
        Err(_) => {
            // Killing what is already dead is no error.
            let _ = child.start_kill();
            let _ = tokio::time::timeout(REAP_TIMEOUT, child.wait()).await;
            Ended::TimedOut(limit + KEEPER_SPARE)
        }
    }
}

fn command(job: &Job<'_>) -> Command {
    let mut command = std::process::Command::new(job.resolved);
    command
        .arg0(job.program)
        .args(job.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    role::run_unprivileged(&mut command, job.user);
    keeper::keep(&mut command, job.limit);
    Command::from(command)
}

/// Returns whether an error says that something has run out here, not that the program is wrong.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE]
        .into_iter()
        .any(|short| errno == Some(short))
}

/// What the keeper may take longer, to kill what is left.
pub(super) const KEEPER_SPARE: Duration = Duration::from_secs(2);
/// How long the end of a killed program is waited for.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
