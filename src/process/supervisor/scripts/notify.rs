//! Notify programs: told of every change of state, in order, one at a time for each virtual router.
//!
//! While one runs, only the latest change waits: what is outdated is not told. Its arguments are
//! NAME STATE PRIORITY EPOCH; an epoch only grows, so that a program that acts on something slow
//! can see that it is late.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::run::{Ended, Job, execute};
use super::trust;
use crate::config::Config;
use crate::ipc::control::Event;
use crate::model::RouterName;
use crate::process::role::ProgramUser;
use crate::process::supervisor::aside::Aside;

/// The notify programs of all virtual routers.
#[derive(Debug)]
pub(crate) struct NotifyPrograms {
    lines: BTreeMap<RouterName, Line>,
    /// `None` where there is no program.
    user: Option<Arc<ProgramUser>>,
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

impl NotifyPrograms {
    /// Returns none yet.
    pub(crate) fn new() -> Self {
        let (done, finished) = mpsc::channel(ENDS_MAX);
        Self {
            lines: BTreeMap::new(),
            user: None,
            done,
            finished,
        }
    }

    /// Follows a configuration: those of a virtual router go on under its name. `user` is under
    /// whose name they run, where none is known yet.
    pub(crate) fn follow(&mut self, config: &Config, user: Option<Arc<ProgramUser>>) {
        let mut before = std::mem::take(&mut self.lines);
        for router in &config.virtual_routers {
            let known = before.remove(&router.name).map(|line| line.progress);
            if !router.notify.is_empty() {
                let line = Line {
                    programs: router.notify.clone(),
                    progress: known.unwrap_or(Progress::Idle),
                };
                self.lines.insert(router.name.clone(), line);
            }
        }
        self.user = self.user.take().or(user);
    }

    /// Returns what they should have and do not, as lines for the log.
    pub(crate) fn shortcomings(&self) -> &[String] {
        self.user.as_deref().map_or(&[], ProgramUser::shortcomings)
    }

    /// Tells of an event, now or as soon as the programs that run have ended.
    pub(crate) fn handle_event(&mut self, event: &Event, priority: u8) {
        let (Some(line), Some(user)) = (self.lines.get_mut(&event.router), &self.user) else {
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
            Progress::Idle => line.start(&event.router, arguments, user, &self.done),
        }
    }

    /// Waits until the programs of a virtual router have ended, and starts them again if something
    /// newer waits. Cancel safe; waits for ever while none runs.
    pub(crate) async fn next_finished(&mut self) {
        let Some(router) = self.finished.recv().await else {
            return std::future::pending().await;
        };
        let (Some(line), Some(user)) = (self.lines.get_mut(&router), &self.user) else {
            return;
        };
        match std::mem::replace(&mut line.progress, Progress::Idle) {
            Progress::Running { next: Some(next) } => line.start(&router, next, user, &self.done),
            Progress::Running { next: None } | Progress::Idle => {}
        }
    }

    /// Waits until everything has been told, but not longer than `within`.
    pub(crate) async fn finish(&mut self, within: Duration) {
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
        user: &Arc<ProgramUser>,
        done: &mpsc::Sender<RouterName>,
    ) {
        self.progress = Progress::Running { next: None };
        let (programs, router, done) = (self.programs.clone(), router.clone(), done.clone());
        let user = Arc::clone(user);
        tokio::spawn(async move {
            for program in &programs {
                if let Err(failure) = run(program, &arguments, &user, TIME_LIMIT).await {
                    let program = program.display();
                    tracing::warn!(%router, %program, error = %failure, "notify program failed");
                }
            }
            // Nobody listens any more only where the daemon has ended.
            let _ = done.send(router).await;
        });
    }
}

/// Runs one program to its end, or to the end of its time, if it can still be trusted.
async fn run(
    program: &Path,
    arguments: &[String; 4],
    user: &ProgramUser,
    limit: Duration,
) -> Result<(), String> {
    let path = program.to_owned();
    let look = Aside::begin("look", move || trust::trusted_path(&path));
    let mut look = look.map_err(|error| error.to_string())?;
    let resolved = look.outcome(LOOK_TIMEOUT).await;
    let resolved = resolved.map_err(|error| error.to_string())??;
    let job = Job {
        program,
        resolved: &resolved,
        arguments,
        user,
        limit,
    };
    tell(&job).await
}

/// Runs what the path of a program leads to; a shortage of ours is waited for: its news still
/// matters.
async fn tell(job: &Job<'_>) -> Result<(), String> {
    let begun_at = Instant::now();
    loop {
        match execute(job).await {
            Ended::Success => return Ok(()),
            Ended::Short(_) if begun_at.elapsed() < job.limit => {
                tokio::time::sleep(FORK_PAUSE).await;
            }
            Ended::Short(error) | Ended::Unrunnable(error) => return Err(error.to_string()),
            Ended::Failure(how) => return Err(how),
            Ended::TimedOut(limit) => return Err(format!("killed after {limit:?}")),
        }
    }
}

/// Ends that nobody has taken notice of yet; more wait.
const ENDS_MAX: usize = 64;
/// How long a program may run.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long a disk may take to show the way to a program.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a program that could not be started for want of something is tried again.
const FORK_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn execute_in(directory: &Path, script: &str, limit: Duration) -> Result<(), String> {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o1777)).unwrap();
        let path = directory.join("notify");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let arguments = ["web/ipv4", "Active", "100", "7"].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let user = ProgramUser::of_notify_programs();
        let job = Job {
            program: &path,
            resolved: &path,
            arguments: &arguments,
            user: &user,
            limit,
        };
        runtime.block_on(tell(&job))
    }

    /// Waits until the processes whose ids are in these files are gone, or zombies that nobody has
    /// reaped yet.
    fn wait_for_the_end_of(directory: &Path, files: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(5);
        for file in files {
            let pid = fs::read_to_string(directory.join(file)).unwrap();
            let stat = format!("/proc/{}/stat", pid.trim());
            while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
                assert!(Instant::now() < deadline, "{file} lives on");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn program_that_hangs_is_killed_with_what_it_started_in_any_session() {
        let directory = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\ncd {}\nsleep 600 & echo $! > child\n\
             setsid sh -c 'echo $$ > session; exec sleep 600' &\n\
             sh -c 'setsid sh -c \"echo \\$\\$ > orphan; exec sleep 600\" &'\n\
             while [ ! -s session ] || [ ! -s orphan ]; do sleep 0.01; done\nwait\n",
            directory.path().display()
        );
        let ended = execute_in(directory.path(), &script, Duration::from_secs(2));
        assert_eq!(ended.unwrap_err(), "killed after 2s");
        wait_for_the_end_of(directory.path(), &["child", "session", "orphan"]);
    }

    #[test]
    fn program_that_ends_leaves_nothing_behind_and_its_end_is_told() {
        for (last, hoped) in [
            ("exit 0", Ok(())),
            ("exit 3", Err("exit status: 3")),
            ("kill -KILL $$", Err("signal: 9 (SIGKILL)")),
            ("kill -TERM $$", Err("signal: 15 (SIGTERM)")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let script = format!(
                "#!/bin/sh\ncd {}\nsetsid sh -c 'echo $$ > session; exec sleep 600' &\n\
                 while [ ! -s session ]; do sleep 0.01; done\n{last}\n",
                directory.path().display()
            );
            let ended = execute_in(directory.path(), &script, Duration::from_secs(10));
            assert_eq!(ended, hoped.map_err(str::to_owned), "{last}");
            wait_for_the_end_of(directory.path(), &["session"]);
        }
    }

    #[test]
    fn program_has_no_capability_to_inherit_and_no_descriptor_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let script = format!(
            "#!/bin/sh\n{{ grep -E '^(Cap(Inh|Prm|Eff|Amb)|SigBlk|SigIgn)' /proc/self/status; \
             ls -l /proc/$$/fd; }} > {}\n",
            out.display()
        );
        execute_in(directory.path(), &script, Duration::from_secs(10)).unwrap();
        let told = fs::read_to_string(out).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk"] {
            assert!(
                told.contains(&format!("{set}:\t0000000000000000")),
                "{told}"
            );
        }
        let others = told.lines().filter(|line| line.contains("->"));
        let others = others.filter(|l| !l.contains("/dev/null") && !l.contains("/notify"));
        let others: Vec<&str> = others.filter(|line| !line.ends_with("/out")).collect();
        assert_eq!(others, [""; 0], "{told}");
    }

    #[test]
    fn program_that_cannot_be_trusted_any_more_is_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let ran = directory.path().join("ran");
        let path = directory.path().join("notify");
        fs::write(&path, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let arguments = ["web/ipv4", "Active", "100", "7"].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let ended = runtime.block_on(run(
            &path,
            &arguments,
            &ProgramUser::of_notify_programs(),
            Duration::from_secs(10),
        ));
        assert!(ended.unwrap_err().starts_with("the directory "));
        assert!(!ran.exists(), "temporary directories are everybody's");
    }
}
