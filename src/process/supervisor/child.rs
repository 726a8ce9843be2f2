//! A child process: its channel, whether it is alive, and when it is started again.
//!
//! A child beats over its channel, for each of its threads that makes progress. Silence is counted in ticks of the supervisor, not by the clock: a supervisor that
//! was itself held up has not listened, and must not kill the others for its own absence.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::SupervisorError;
use crate::ipc::channel::{self, AsyncChannel, Sent};
use crate::process::role::Role;

/// A child process, running or to be started again.
#[derive(Debug)]
pub struct Child {
    role: Role,
    running: Option<Running>,
    /// When it is started again; `None` while it runs.
    start_at: Option<Instant>,
    short_lives: u32,
    restarts: u64,
}

/// A process that was started.
#[derive(Debug)]
struct Running {
    process: tokio::process::Child,
    channel: AsyncChannel,
    started_at: Instant,
    sources: Vec<Source>,
}

/// One thing that beats in a process.
#[derive(Clone, Debug)]
struct Source {
    heard: Heard,
    /// What it was last said to be doing while it made no progress.
    doing: Option<String>,
}

/// When a source was last heard.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Not yet; so many ticks since the start.
    Starting(u32),
    /// So many ticks ago.
    Beating(u32),
}

impl Child {
    /// Returns a child that wants to be started at once.
    pub fn new(role: Role, now: Instant) -> Self {
        Self {
            role,
            running: None,
            start_at: Some(now),
            short_lives: 0,
            restarts: 0,
        }
    }

    /// Returns its name in `ps`.
    pub fn name(&self) -> &'static str {
        self.role.profile().name
    }

    /// Returns its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running
            .as_ref()
            .and_then(|running| running.process.id())
    }

    /// Returns how often it was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns whether it was started and its channel is open.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Returns when it wants to be started.
    pub fn start_at(&self) -> Option<Instant> {
        self.start_at
    }

    /// Starts it; `sources` is how many beats it has to give (a proxy: one a thread).
    pub fn start(&mut self, now: Instant, sources: usize) -> Result<(), SupervisorError> {
        let (ours, theirs) = channel::pair()?;
        let mut command = Command::from(self.role.command(theirs));
        let process =
            command
                .kill_on_drop(true)
                .spawn()
                .map_err(|source| SupervisorError::Start {
                    name: self.name(),
                    source,
                })?;
        let channel = AsyncChannel::new(ours)?;
        self.start_at = None;
        let starting = Source {
            heard: Heard::Starting(0),
            doing: None,
        };
        let sources = vec![starting; sources];
        self.running = Some(Running {
            process,
            channel,
            started_at: now,
            sources,
        });
        Ok(())
    }

    /// Sends a message. A child that does not read is hung: it is killed, and its end is seen on the channel.
    pub fn send<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SupervisorError> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        if running.channel.send(message, descriptors)? == Sent::Full {
            tracing::error!(
                child = self.role.profile().name,
                "process does not read, killing it"
            );
            // Killing what is already dead is no error.
            let _ = running.process.start_kill();
        }
        Ok(())
    }

    /// Waits for a message; `None` when the process has ended. Waits for ever while none runs. Cancel safe.
    pub async fn receive<T: DeserializeOwned>(&self) -> Option<(T, Vec<OwnedFd>)> {
        let Some(running) = &self.running else {
            return std::future::pending().await;
        };
        match running.channel.receive().await {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(child = self.role.profile().name, %error, "channel broke");
                None
            }
        }
    }

    /// A beat of one source arrived.
    pub fn handle_beat(&mut self, source: usize) {
        if let Some(source) = self.source(source) {
            source.heard = Heard::Beating(0);
            source.doing = None;
        }
    }

    /// A source makes no progress, and this is what it is doing.
    pub fn handle_stuck(&mut self, source: usize, doing: String) {
        if let Some(source) = self.source(source) {
            source.doing = Some(doing);
        }
    }

    fn source(&mut self, source: usize) -> Option<&mut Source> {
        let running = self.running.as_mut()?;
        running.sources.get_mut(source)
    }

    /// A tick of the supervisor passed; kills the process when a source has been silent for too long, and says what it
    /// was doing.
    pub fn handle_tick(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let mut silent = None;
        for source in &mut running.sources {
            let (ticks, allowed) = match &mut source.heard {
                Heard::Starting(ticks) => (ticks, START_TICKS),
                Heard::Beating(ticks) => (ticks, SILENT_TICKS_MAX),
            };
            *ticks += 1;
            if *ticks > allowed {
                silent = Some((TICK * allowed, source.doing.take()));
            }
        }
        if let Some((silent, doing)) = silent {
            let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
            let child = self.role.profile().name;
            let threads = running.process.id().map(threads_of).unwrap_or_default();
            let cause = doing.unwrap_or_else(|| "it says nothing at all".to_owned());
            tracing::warn!(
                child,
                silent_ms,
                cause,
                threads,
                "process makes no progress, killing it"
            );
            // Killing what is already dead is no error.
            let _ = running.process.start_kill();
            // It is killed once; its end comes on the channel.
            running.sources.clear();
        }
    }

    /// The channel closed: reaps the process and says when to start it again. Returns how it ended, for people.
    pub async fn handle_end(&mut self, now: Instant) -> String {
        let Some(mut running) = self.running.take() else {
            return String::new();
        };
        // A process that closed its channel without ending is of no use either.
        let _ = running.process.start_kill();
        let ended = tokio::time::timeout(REAP_TIMEOUT, running.process.wait()).await;
        self.restarts += 1;
        let pause = if now.duration_since(running.started_at) >= SHORT_LIFE {
            self.short_lives = 0;
            Duration::ZERO
        } else {
            self.short_lives += 1;
            (RESTART_PAUSE * (1 << self.short_lives.min(6))).min(RESTART_PAUSE_MAX)
        };
        self.start_at = Some(now + pause);
        match ended {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it cannot be reaped".into(),
        }
    }

    /// Kills it, if it runs.
    pub fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.process.start_kill();
        }
    }
}

/// Returns the threads of a process with the state of each (proc(5): R runs, S waits, D waits for a device, T is
/// stopped) and the processor time it has used, for the log.
fn threads_of(pid: u32) -> String {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return String::new();
    };
    let described = tasks.flatten().take(THREADS_TOLD_MAX).filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (begin, rest) = stat.rsplit_once(')')?;
        let (_, name) = begin.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The state is the third of all fields, the ticks of user and system time the 14th and 15th.
        let state = fields.first()?;
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(format!("{name} {state} {}ms", ticks * TICK_OF_PROC_MS))
    });
    described.collect::<Vec<_>>().join(", ")
}

/// How often silence is counted.
pub const TICK: Duration = Duration::from_millis(50);
/// Threads that are told of; more than there are cores on most machines.
const THREADS_TOLD_MAX: usize = 32;
/// What /proc counts processor time in (USER_HZ).
const TICK_OF_PROC_MS: u64 = 10;
/// Six ticks, 300 ms, without a beat: the process is killed.
const SILENT_TICKS_MAX: u32 = 6;
/// A process that starts may take two seconds to its first beat.
const START_TICKS: u32 = 40;
/// How long the end of a killed process is waited for.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);
/// A process that ended sooner is started again later and later.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// The first of these pauses, doubled each time.
const RESTART_PAUSE: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);
