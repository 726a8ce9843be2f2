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
    /// Of virtual routers that the configuration has no more, as long as they may have something to
    /// tell.
    leaving: BTreeMap<RouterName, Line>,
    /// Of the last line that was begun.
    last_id: u64,
    /// `None` where there is no program.
    user: Option<Arc<ProgramUser>>,
    done: mpsc::Sender<u64>,
    finished: mpsc::Receiver<u64>,
}

/// The programs of one virtual router.
#[derive(Debug)]
struct Line {
    /// The virtual router may get another name while they run.
    id: u64,
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
            leaving: BTreeMap::new(),
            last_id: 0,
            user: None,
            done,
            finished,
        }
    }

    /// Follows a configuration after another one: those of a virtual router go on, whatever its
    /// name, and those of one that leaves are told so until `forget_the_old`. `user` is under whose
    /// name they run, where none is known yet.
    pub(crate) fn follow(
        &mut self,
        before: Option<&Config>,
        config: &Config,
        user: Option<Arc<ProgramUser>>,
    ) {
        let mut known = std::mem::take(&mut self.lines);
        for router in &config.virtual_routers {
            let mut olds = before.iter().flat_map(|before| &before.virtual_routers);
            let old = olds.find(|old| old.is_same(router));
            let line = old.and_then(|old| known.remove(&old.name));
            let (id, progress) = match line {
                Some(line) => (line.id, line.progress),
                None => {
                    self.last_id += 1;
                    (self.last_id, Progress::Idle)
                }
            };
            if !router.notify.is_empty() {
                let programs = router.notify.clone();
                let line = Line {
                    id,
                    programs,
                    progress,
                };
                self.lines.insert(router.name.clone(), line);
            }
        }
        self.leaving.extend(known);
        self.user = self.user.take().or(user);
    }

    /// Those of the configuration before have said what they had to.
    pub(crate) fn forget_the_old(&mut self) {
        self.leaving.retain(|_, line| match line.progress {
            Progress::Idle => false,
            Progress::Running { .. } => true,
        });
    }

    /// Returns what they should have and do not, as lines for the log.
    pub(crate) fn shortcomings(&self) -> &[String] {
        self.user.as_deref().map_or(&[], ProgramUser::shortcomings)
    }

    /// Tells of an event, now or as soon as the programs that run have ended.
    pub(crate) fn handle_event(&mut self, event: &Event, priority: u8) {
        let line = self.lines.get_mut(&event.router);
        let line = line.or_else(|| self.leaving.get_mut(&event.router));
        let (Some(line), Some(user)) = (line, &self.user) else {
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
        let Some(id) = self.finished.recv().await else {
            return std::future::pending().await;
        };
        let mut all = self.lines.iter_mut().chain(&mut self.leaving);
        let line = all.find(|(_, line)| line.id == id);
        let (Some((router, line)), Some(user)) = (line, &self.user) else {
            return;
        };
        match std::mem::replace(&mut line.progress, Progress::Idle) {
            Progress::Running { next: Some(next) } => line.start(router, next, user, &self.done),
            Progress::Running { next: None } | Progress::Idle => {}
        }
    }

    /// Waits until everything has been told, but not longer than `within`.
    pub(crate) async fn finish(&mut self, within: Duration) {
        let all = async {
            while self
                .lines
                .values()
                .chain(self.leaving.values())
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
        done: &mpsc::Sender<u64>,
    ) {
        self.progress = Progress::Running { next: None };
        let id = self.id;
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
            let _ = done.send(id).await;
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
    use crate::config::{self, NodeName};
    use crate::model::Family;

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
    fn programs_go_on_under_another_name_and_hear_that_their_virtual_router_leaves() {
        let config = |entries: &[(&str, u8)]| {
            let entries = entries.iter().map(|(name, vrid)| {
                format!(
                    "  {name}: {{interface: eth0, vrid: {vrid}, addresses: [192.0.2.{vrid}/24], \
                     notify: [/bin/true]}}\n"
                )
            });
            let yaml = format!("virtual_routers:\n{}", entries.collect::<String>());
            config::parse("t.yaml", &yaml, NodeName::Given("lb1")).unwrap()
        };
        let event = |entry: &str| Event {
            epoch: 1,
            at_ms: 0,
            router: RouterName {
                entry: entry.into(),
                family: Family::Ipv4,
            },
            from: "Active".into(),
            to: "Initialize".into(),
            cause: String::new(),
        };
        let (before, after) = (config(&[("web", 1), ("old", 2)]), config(&[("shop", 1)]));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut all = NotifyPrograms::new();
            let user = Arc::new(ProgramUser::of_notify_programs());
            all.follow(None, &before, Some(user));
            all.handle_event(&event("web"), 100);
            all.follow(Some(&before), &after, None);
            all.handle_event(&event("shop"), 100);
            all.handle_event(&event("old"), 0);
            let running = |all: &NotifyPrograms, name: &str| {
                let mut lines = all.lines.iter().chain(&all.leaving);
                let line = lines.find(|(known, _)| known.entry == name);
                line.map(|(_, line)| match &line.progress {
                    Progress::Idle => "idle",
                    Progress::Running { next: None } => "running",
                    Progress::Running { next: Some(_) } => "one waits",
                })
            };
            let both = (running(&all, "shop"), running(&all, "old"));
            assert_eq!(both, (Some("one waits"), Some("running")));
            all.finish(Duration::from_secs(10)).await;
            all.forget_the_old();
            let both = (running(&all, "shop"), running(&all, "old"));
            assert_eq!(both, (Some("idle"), None));
        });
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
