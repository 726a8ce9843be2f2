//! A child process: its channel, whether it is alive, and when it is started again.
//!
//! A child beats over its channel, for each of its threads that makes progress. Silence is counted
//! in ticks of the supervisor, not by the clock: a supervisor that was itself held up has not
//! listened, and must not kill the others for its own absence.

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::error::SupervisorError;
use super::threads::Threads;
use crate::ipc::channel::{self, AsyncChannel, Bounds, Sent};
use crate::model::Chain;
use crate::process::role::Role;

/// A child process, running or to be started again.
#[derive(Debug)]
pub(super) struct Child {
    role: Role,
    /// What is taken from it at most.
    bounds: Bounds,
    running: Option<Running>,
    /// When it is started again; `None` while it runs.
    start_at: Option<Instant>,
    short_lives: u32,
    restarts: u64,
    /// What it could not be sent for, the last time, until it is asked for.
    short_of: Option<Errno>,
}

/// A process that was started.
#[derive(Debug)]
struct Running {
    process: tokio::process::Child,
    channel: AsyncChannel,
    /// Messages that wait for memory, in order; bounded by [`UNSENT_MAX`].
    unsent: VecDeque<Vec<u8>>,
    /// It said what it may not, and is listened to no more.
    condemned: bool,
    started_at: Instant,
    sources: Vec<Source>,
    /// So many ticks ago it was killed.
    killed_ticks: Option<u32>,
    /// Its threads when it began to be silent.
    suspected: Option<Threads>,
}

/// What came from a child.
#[derive(Debug)]
pub(super) enum Heard<T> {
    /// A message and its descriptors.
    Message(T, Vec<OwnedFd>),
    /// A message that could not be taken for want of this.
    Lost(Errno),
    /// Something that is not a message, and why.
    Unfit(String),
    /// Its channel is closed.
    End,
}

/// One thing that beats in a process.
#[derive(Clone, Debug)]
struct Source {
    silence: Silence,
    /// What it was last said to be doing while it made no progress.
    doing: Option<String>,
}

impl Source {
    /// Returns one that has not beaten yet.
    const fn starting() -> Self {
        Self {
            silence: Silence::Starting(0),
            doing: None,
        }
    }
}

/// How long a source has been silent.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// Not yet; so many ticks since the start.
    Starting(u32),
    /// So many ticks ago.
    Beating(u32),
}

impl Child {
    /// Returns a child that wants to be started at once.
    pub(super) fn new(role: Role, bounds: Bounds, now: Instant) -> Self {
        Self {
            role,
            bounds,
            running: None,
            start_at: Some(now),
            short_lives: 0,
            restarts: 0,
            short_of: None,
        }
    }

    /// Takes no more than this from it from now on.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        if let Some(running) = &mut self.running {
            running.channel.set_bounds(bounds);
        }
    }

    /// Expects beats of so many sources at least: one that was there stays, one that is new may
    /// take its time to the first.
    pub(super) fn expect_sources(&mut self, sources: usize) {
        if let Some(running) = &mut self.running
            && running.killed_ticks.is_none()
            && running.sources.len() < sources
        {
            running.sources.resize(sources, Source::starting());
        }
    }

    /// Returns its name in `ps`.
    pub(super) fn name(&self) -> &'static str {
        self.role.profile().name
    }

    /// Returns its process id while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running
            .as_ref()
            .and_then(|running| running.process.id())
    }

    /// Returns how often it was started again.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns whether it was started and its channel is open.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Returns when it wants to be started.
    pub(super) fn start_at(&self) -> Option<Instant> {
        self.start_at
    }

    /// Starts it; `sources` is how many beats it has to give (a proxy: one a thread).
    pub(super) fn start(&mut self, now: Instant, sources: usize) -> Result<(), SupervisorError> {
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
        let channel = AsyncChannel::new(ours, self.bounds)?;
        self.start_at = None;
        let sources = vec![Source::starting(); sources];
        self.running = Some(Running {
            process,
            channel,
            unsent: VecDeque::new(),
            condemned: false,
            started_at: now,
            sources,
            killed_ticks: None,
            suspected: None,
        });
        Ok(())
    }

    /// It could not be started: says when to try again.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.start_at = Some(now + self.pause_after_short_life());
    }

    /// Sends a message that matters; what there is no memory for now is sent later, in order.
    ///
    /// A child that does not read is hung: it is killed, and its end is seen on the channel.
    pub(super) fn send<T: Serialize>(&mut self, message: &T) {
        let encoded = channel::encode(message);
        let Some(running) = &mut self.running else {
            return;
        };
        match encoded {
            Ok(text) if running.unsent.len() < UNSENT_MAX => running.unsent.push_back(text),
            Ok(_) => self.give_up("too many messages wait for memory, killing the process"),
            Err(error) => tracing::error!(error = %Chain(&error), "a message cannot be written"),
        }
        self.resend();
    }

    /// Sends a message that is worth nothing later: now or not at all.
    pub(super) fn offer<T: Serialize>(&mut self, message: &T) {
        let Some(running) = &self.running else { return };
        if running.unsent.is_empty()
            && let Ok(text) = channel::encode(message)
            && let Ok(Sent::Short(errno)) = running.channel.send_encoded(&text, &[])
        {
            self.short_of = Some(errno);
        }
    }

    /// Sends a message with copies of descriptors, or says what there is not enough of.
    pub(super) fn pass<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        self.resend();
        let waits = |running: &Running| !running.unsent.is_empty();
        if self.running.as_ref().is_some_and(waits) {
            return Err(Errno::ENOBUFS);
        }
        let text = channel::encode(message).map_err(|_| Errno::EINVAL)?;
        self.try_send(&text, descriptors)
    }

    /// Sends what waits for memory, as far as there is some now.
    pub(super) fn resend(&mut self) {
        while let Some(running) = &mut self.running
            && let Some(text) = running.unsent.pop_front()
        {
            if self.try_send(&text, &[]).is_err() {
                if let Some(running) = &mut self.running {
                    running.unsent.push_front(text);
                }
                return;
            }
        }
    }

    /// Returns what there was too little of since this was last asked, to send it a message.
    pub(super) fn take_shortage(&mut self) -> Option<Errno> {
        self.short_of.take()
    }

    fn try_send(&mut self, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        match running.channel.send_encoded(text, descriptors) {
            // The end of the channel is seen where it is read.
            Ok(Sent::Queued | Sent::Closed) => {}
            Ok(Sent::Short(errno)) => {
                self.short_of = Some(errno);
                return Err(errno);
            }
            Ok(Sent::Full) => self.give_up("process does not read, killing it"),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a message cannot be sent");
                self.give_up("process cannot be talked to, killing it");
            }
        }
        Ok(())
    }

    fn give_up(&mut self, why: &'static str) {
        let killed = |running: &Running| running.killed_ticks.is_some();
        if !self.running.as_ref().is_some_and(killed) {
            tracing::error!(child = self.name(), "{why}");
        }
        self.kill();
    }

    /// It said what it may not: it is killed, and nothing more that it has said is listened to.
    pub(super) fn condemn(&mut self, what: &str) {
        tracing::error!(
            child = self.name(),
            error = what,
            "process says what it may not, killing it"
        );
        self.kill();
        if let Some(running) = &mut self.running {
            running.condemned = true;
        }
    }

    /// Waits for a message. Waits for ever while none runs. Cancel safe.
    pub(super) async fn receive<T: DeserializeOwned>(&self) -> Heard<T> {
        let Some(running) = &self.running else {
            return std::future::pending().await;
        };
        if running.condemned {
            return Heard::End;
        }
        match running.channel.receive().await {
            Ok(Some((message, descriptors))) => Heard::Message(message, descriptors),
            Ok(None) => Heard::End,
            Err(channel::ChannelError::Lost(errno)) => Heard::Lost(errno),
            Err(error) => Heard::Unfit(Chain(&error).to_string()),
        }
    }

    /// A beat of one source arrived.
    pub(super) fn handle_beat(&mut self, source: usize) {
        if let Some(source) = self.source(source) {
            source.silence = Silence::Beating(0);
            source.doing = None;
        }
    }

    /// A source makes no progress, and this is what it is doing.
    pub(super) fn handle_stuck(&mut self, source: usize, doing: String) {
        if let Some(source) = self.source(source) {
            source.doing = Some(doing);
        }
    }

    fn source(&mut self, source: usize) -> Option<&mut Source> {
        let running = self.running.as_mut()?;
        running.sources.get_mut(source)
    }

    /// A tick of the supervisor passed; kills the process when a source has been silent for too
    /// long, and says what it was doing. One that only waits for the processor gets more time.
    pub(super) fn handle_tick(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if let Some(ticks) = &mut running.killed_ticks {
            *ticks += 1;
        }
        let mut longest = 0;
        let mut silent = None;
        for source in &mut running.sources {
            let (ticks, allowed) = match &mut source.silence {
                Silence::Starting(ticks) => (ticks, START_TICKS),
                Silence::Beating(ticks) => (ticks, SILENT_TICKS_MAX),
            };
            *ticks += 1;
            longest = longest.max(*ticks);
            if *ticks > allowed {
                silent = Some((TICK * *ticks, source.doing.clone()));
            }
        }
        if longest < SUSPECT_TICKS {
            running.suspected = None;
            return;
        }
        let Some(pid) = running.process.id() else {
            return;
        };
        let before = running.suspected.get_or_insert_with(|| Threads::of(pid));
        let Some((silent, doing)) = silent else {
            return;
        };
        let threads = Threads::of(pid);
        if longest < STARVED_TICKS_MAX && threads.are_starved_since(before) {
            return;
        }
        let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        let child = self.role.profile().name;
        let cause = doing.unwrap_or_else(|| "it says nothing at all".to_owned());
        tracing::warn!(
            child,
            silent_ms,
            cause,
            %threads,
            "process makes no progress, killing it"
        );
        // It is killed once; its end comes on the channel.
        running.sources.clear();
        self.kill();
    }

    /// The channel closed: reaps the process and says when to start it again. Returns how it ended,
    /// for people.
    pub(super) async fn handle_end(&mut self, now: Instant) -> String {
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
            self.pause_after_short_life()
        };
        self.start_at = Some(now + pause);
        match ended {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it cannot be reaped".into(),
        }
    }

    fn pause_after_short_life(&mut self) -> Duration {
        self.short_lives += 1;
        (RESTART_PAUSE * (1 << self.short_lives.min(6))).min(RESTART_PAUSE_MAX)
    }

    /// Kills it, if it runs.
    pub(super) fn kill(&mut self) {
        let child = self.name();
        if let Some(running) = &mut self.running {
            let first = running.killed_ticks.is_none();
            running.killed_ticks.get_or_insert(0);
            if let Err(error) = running.process.start_kill()
                && first
                && running.process.id().is_some()
            {
                tracing::error!(child, %error, "process cannot be killed");
            }
        }
    }

    /// Returns whether it was killed and has not ended in all the time that a killed process needs.
    pub(super) fn is_undead(&self) -> bool {
        let killed_ticks = self
            .running
            .as_ref()
            .and_then(|running| running.killed_ticks);
        killed_ticks.is_some_and(|ticks| ticks > UNDEAD_TICKS)
    }

    /// Forgets a process that does not end, and says when another is started in its place.
    pub(super) fn leave_behind(&mut self, now: Instant) -> &'static str {
        // Dropped, it is reaped when it ends after all.
        self.running = None;
        self.restarts += 1;
        self.start_at = Some(now + self.pause_after_short_life());
        "it was killed and does not end"
    }
}

/// How often silence is counted.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// Six ticks, 300 ms, without a beat: the process is killed.
const SILENT_TICKS_MAX: u32 = 6;
/// From then on it is noted what processor time it gets.
const SUSPECT_TICKS: u32 = 2;
/// Four seconds: even a process that gets no processor is killed then.
const STARVED_TICKS_MAX: u32 = 80;
/// A process that starts may take two seconds to its first beat.
const START_TICKS: u32 = 40;
/// How long the end of a process that has closed its channel is waited for; the loop stands still
/// so long.
const REAP_TIMEOUT: Duration = Duration::from_millis(500);
/// Two seconds after its death sentence a process that still lives is left behind.
const UNDEAD_TICKS: u32 = 40;
/// Messages that wait for memory; a process for which more wait is killed, and told everything
/// anew.
const UNSENT_MAX: usize = 256;
/// A process that ended sooner is started again later and later.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// The first of these pauses, doubled each time.
const RESTART_PAUSE: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);
