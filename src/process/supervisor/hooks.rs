//! Notify programs: told of every change of state, in order, one at a time for each virtual router.
//!
//! A program runs as a user that owns nothing, without a capability or a descriptor of ours, in a process group of
//! its own that is killed when its time is over. While one runs, only the latest change waits: what is outdated is
//! not told. Its arguments are NAME STATE PRIORITY EPOCH; an epoch only grows, so that a program that acts on
//! something slow can see that it is late.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::ipc::control::Event;
use crate::model::RouterName;
use crate::process::role;

/// The notify programs of all virtual routers.
#[derive(Debug)]
pub struct Hooks {
    lines: BTreeMap<RouterName, Line>,
    done: mpsc::Sender<RouterName>,
    finished: mpsc::Receiver<RouterName>,
}

/// The programs of one virtual router.
#[derive(Debug)]
struct Line {
    programs: Vec<PathBuf>,
    progress: Progress,
}

/// What a virtual router's programs are doing.
#[derive(Debug)]
enum Progress {
    Idle,
    /// Running, and perhaps something newer waits.
    Running {
        next: Option<[String; 4]>,
    },
}

impl Hooks {
    /// Returns the programs that the configuration names.
    pub fn new(config: &Config) -> Self {
        let with_some = config
            .virtual_routers
            .iter()
            .filter(|router| !router.notify.is_empty());
        let line = |programs: &Vec<PathBuf>| Line {
            programs: programs.clone(),
            progress: Progress::Idle,
        };
        let lines: BTreeMap<_, _> = with_some
            .map(|router| (router.name.clone(), line(&router.notify)))
            .collect();
        // At most one message a virtual router is on its way.
        let (done, finished) = mpsc::channel(lines.len().max(1));
        Self {
            lines,
            done,
            finished,
        }
    }

    /// Tells of an event, now or as soon as the programs that run have ended.
    pub fn handle_event(&mut self, event: &Event, priority: u8) {
        let Some(line) = self.lines.get_mut(&event.router) else {
            return;
        };
        let arguments = [
            event.router.to_string(),
            event.to.clone(),
            priority.to_string(),
            event.epoch.to_string(),
        ];
        match &mut line.progress {
            Progress::Running { next } => *next = Some(arguments),
            Progress::Idle => line.start(&event.router, arguments, &self.done),
        }
    }

    /// Waits until the programs of a virtual router have ended, and starts them again if something newer waits.
    /// Cancel safe; waits for ever while none runs.
    pub async fn next_finished(&mut self) {
        let Some(router) = self.finished.recv().await else {
            return std::future::pending().await;
        };
        let Some(line) = self.lines.get_mut(&router) else {
            return;
        };
        match std::mem::replace(&mut line.progress, Progress::Idle) {
            Progress::Running { next: Some(next) } => line.start(&router, next, &self.done),
            Progress::Running { next: None } | Progress::Idle => {}
        }
    }

    /// Waits until everything has been told, but not longer than `within`.
    pub async fn finish(&mut self, within: Duration) {
        let all = async {
            while self
                .lines
                .values()
                .any(|line| matches!(line.progress, Progress::Running { .. }))
            {
                self.next_finished().await;
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!("notify programs still run at the end");
        }
    }
}

impl Line {
    fn start(
        &mut self,
        router: &RouterName,
        arguments: [String; 4],
        done: &mpsc::Sender<RouterName>,
    ) {
        self.progress = Progress::Running { next: None };
        let (programs, router, done) = (self.programs.clone(), router.clone(), done.clone());
        tokio::spawn(async move {
            for program in &programs {
                if let Err(failure) = run(program, &arguments, TIME_LIMIT).await {
                    let program = program.display();
                    tracing::warn!(%router, %program, error = %failure, "notify program failed");
                }
            }
            // Nobody listens any more only where the daemon has ended.
            let _ = done.send(router).await;
        });
    }
}

/// Runs one program to its end, or to the end of its time.
async fn run(program: &Path, arguments: &[String; 4], limit: Duration) -> Result<(), String> {
    let mut command = std::process::Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    role::run_as_stranger(&mut command);
    let mut command = Command::from(command);
    let mut child = command
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let group = child.id();
    let ended = tokio::time::timeout(limit, child.wait()).await;
    // Whatever it has started and left behind ends with it.
    if let Some(group) = group.and_then(|pid| i32::try_from(pid).ok()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            // Killed just now; it is reaped before the next one starts.
            let _ = tokio::time::timeout(REAP_TIMEOUT, child.wait()).await;
            Err(format!("killed after {limit:?}"))
        }
    }
}

/// Says what is wrong with a program that is to be run on every change of state, if anything is.
pub fn objection(program: &Path) -> Option<String> {
    let metadata = match std::fs::metadata(program) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("it does not exist".into());
        }
        Err(error) => return Some(error.to_string()),
    };
    let mode = metadata.permissions().mode();
    if !metadata.is_file() {
        Some("it is not a file".into())
    } else if mode & 0o111 == 0 {
        Some("it is not executable".into())
    } else if mode & 0o022 != 0 {
        Some("its group or everybody may write to it".into())
    } else if metadata.uid() != 0 && metadata.uid() != Uid::effective().as_raw() {
        Some(format!(
            "it belongs to user id {}, not to root",
            metadata.uid()
        ))
    } else {
        None
    }
}

/// How long a program may run.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long the end of a killed program is waited for.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use std::fs;

    fn program(directory: &Path, mode: u32) -> PathBuf {
        let path = directory.join(format!("notify-{mode:o}"));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn program_that_hangs_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let (path, pid) = (
            program(directory.path(), 0o755),
            directory.path().join("pid"),
        );
        let text = format!("#!/bin/sh\nsleep 600 & echo $! > {}\nwait\n", pid.display());
        fs::write(&path, text).unwrap();
        let arguments = ["web/ipv4", "Active", "100", "7"].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let ended = runtime.block_on(run(&path, &arguments, Duration::from_millis(500)));
        assert_eq!(ended.unwrap_err(), "killed after 500ms");
        let sleeper = fs::read_to_string(pid).unwrap();
        let stat = format!("/proc/{}/stat", sleeper.trim());
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // Gone, or a zombie that nobody has reaped yet.
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
            assert!(
                std::time::Instant::now() < deadline,
                "what it started lives on"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[test]
    fn program_that_others_may_change_or_nobody_may_run_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(objection(&program(directory.path(), 0o755)), None);
        for (mode, hoped) in [
            (0o644, "it is not executable"),
            (0o775, "its group or everybody may write to it"),
            (0o757, "its group or everybody may write to it"),
        ] {
            assert_eq!(objection(&program(directory.path(), mode)).unwrap(), hoped);
        }
        assert_eq!(objection(directory.path()).unwrap(), "it is not a file");
        assert_eq!(
            objection(&directory.path().join("none")).unwrap(),
            "it does not exist"
        );
    }
}
