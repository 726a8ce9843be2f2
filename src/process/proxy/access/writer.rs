//! The one thread that writes the access log, and may wait for a disk or a reader.
//!
//! It waits with a short deadline, over and over, so that it hears of a new sink also while the old
//! one takes nothing. A line goes to one sink as a whole; what a sink does not take is dropped and
//! counted, said once, and tried again with the next lines.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};

use super::job::{Filled, Job, Shared};
use crate::config::AccessLogTarget;

/// The writer.
pub(super) struct Writer {
    shared: Arc<Shared>,
    sink: Option<Sink>,
    /// The rest of a line is missing at the end of what the sink has.
    torn: bool,
    complained_at: Option<Instant>,
    /// A datagram for journald.
    datagram: Vec<u8>,
}

/// What is written to.
struct Sink {
    descriptor: Arc<OwnedFd>,
    kind: Kind,
}

/// How it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As much as there is at a time: a file takes it all.
    File,
    /// As much as can be taken without waiting when it says that it takes anything.
    Stream,
    /// A datagram a line.
    Journald,
}

/// Why lines are not written.
enum Failure {
    /// The sink refuses them.
    Refused(Errno),
    /// The proxy ends, and the sink takes nothing.
    Closing,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            sink: None,
            torn: false,
            complained_at: None,
            datagram: Vec::new(),
        }
    }

    /// Writes what comes until it is told to end.
    pub(super) fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Write(mut filled) => {
                    self.write(&filled);
                    filled.lines.clear();
                    // It may have ended.
                    let _ = filled.owner.try_send(filled.lines);
                }
                Job::Follow(lines) => self.shared.followers.send(&lines),
                Job::Look => drop(self.look()),
                Job::End => break,
            }
        }
    }

    /// Takes a new sink, if there is one, and says so.
    fn look(&mut self) -> bool {
        let Some(descriptor) = self.shared.sink().take() else {
            return false;
        };
        let kind = match self.shared.config.to {
            AccessLogTarget::Journald => Kind::Journald,
            AccessLogTarget::File(_) | AccessLogTarget::StandardOutput => kind_of(&descriptor),
        };
        self.sink = Some(Sink { descriptor, kind });
        self.torn = false;
        true
    }

    fn write(&mut self, filled: &Filled) {
        let lines = filled.lines.as_slice();
        let mut reached = 0;
        let result = self.write_from(lines, &mut reached);
        let (written, whole) = match result {
            Ok(()) => (filled.count, lines.len()),
            // A line that was written in part is not written.
            Err(_) => {
                let whole = line_start(lines, reached);
                (count_lines(&lines[..whole]), whole)
            }
        };
        let dropped = filled.count.saturating_sub(written);
        if let Err(Failure::Refused(errno)) = &result {
            // Whoever sees the loss sees why.
            *self.shared.error() = io::Error::from(*errno).to_string();
        }
        self.shared.counts.written.fetch_add(written, Relaxed);
        self.shared.counts.dropped.fetch_add(dropped, Relaxed);
        match result {
            Ok(()) => self.note_success(),
            Err(Failure::Refused(errno)) => {
                self.torn |= reached > whole;
                self.note_failure(errno);
            }
            Err(Failure::Closing) => {}
        }
    }

    /// Writes, from one sink to the next if need be; `written` says how far it came.
    fn write_from(&mut self, lines: &[u8], written: &mut usize) -> Result<(), Failure> {
        while *written < lines.len() {
            if self.look() {
                *written = line_start(lines, *written);
            }
            if !self.wait()? {
                continue;
            }
            let Some(sink) = &self.sink else { continue };
            let rest = &lines[*written..];
            let result = match sink.kind {
                Kind::Journald => write_datagram(sink, rest, &mut self.datagram),
                Kind::File | Kind::Stream if self.torn => {
                    let result = nix::unistd::write(&*sink.descriptor, b"\n");
                    self.torn = result.is_err();
                    result.map(|_| 0)
                }
                Kind::File => nix::unistd::write(&*sink.descriptor, rest),
                Kind::Stream => {
                    let some = &rest[..rest.len().min(STREAM_BYTES_MAX)];
                    nix::unistd::write(&*sink.descriptor, some)
                }
            };
            match result {
                Ok(count) => *written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => std::thread::park_timeout(FULL_PAUSE),
                Err(errno) => return Err(Failure::Refused(errno)),
            }
        }
        Ok(())
    }

    /// Waits a moment for the sink; returns whether it takes something.
    fn wait(&self) -> Result<bool, Failure> {
        let Some(sink) = &self.sink else {
            std::thread::park_timeout(NO_SINK_PAUSE);
            return self.go_on();
        };
        let mut fds = [PollFd::new(sink.descriptor.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, POLL_MS) {
            // An error or a hang-up is told by the write.
            Ok(1..) => Ok(true),
            Ok(_) | Err(_) => self.go_on(),
        }
    }

    fn go_on(&self) -> Result<bool, Failure> {
        let closes_at = self.shared.closes_at.lock();
        let closes_at = *closes_at.unwrap_or_else(PoisonError::into_inner);
        match closes_at {
            Some(at) if at <= Instant::now() => Err(Failure::Closing),
            Some(_) | None => Ok(false),
        }
    }

    fn note_success(&mut self) {
        if self.complained_at.take().is_some() {
            self.shared.error().clear();
            tracing::info!("access log is written again");
        }
    }

    fn note_failure(&mut self, errno: Errno) {
        let error = io::Error::from(errno);
        let now = Instant::now();
        let quiet = self
            .complained_at
            .is_some_and(|at| now.duration_since(at) < COMPLAINT_INTERVAL);
        if !quiet {
            self.complained_at = Some(now);
            let dropped = self.shared.counts.dropped.load(Relaxed);
            let path = &self.shared.config.to;
            tracing::warn!(%path, %error, dropped, "access log cannot be written, lines are lost");
        }
    }
}

fn kind_of(descriptor: &OwnedFd) -> Kind {
    let is_file = fstat(descriptor).is_ok_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
    });
    if is_file { Kind::File } else { Kind::Stream }
}

/// Returns how many lines there are; each has its end.
fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Returns where the line begins that has come so far.
fn line_start(lines: &[u8], at: usize) -> usize {
    let before = lines[..at].iter().rposition(|byte| *byte == b'\n');
    before.map_or(0, |end| end + 1)
}

/// Sends the first line, in journald's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL); returns
/// its length.
fn write_datagram(sink: &Sink, lines: &[u8], datagram: &mut Vec<u8>) -> nix::Result<usize> {
    let end = lines.iter().position(|byte| *byte == b'\n');
    let line = &lines[..end.map_or(lines.len(), |end| end + 1)];
    datagram.clear();
    datagram.extend_from_slice(b"PRIORITY=6\nSYSLOG_IDENTIFIER=evenkeel-access\nMESSAGE=");
    datagram.extend_from_slice(line);
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    send(sink.descriptor.as_raw_fd(), datagram, flags)?;
    Ok(line.len())
}

/// What a pipe takes at once or not at all (PIPE_BUF).
const STREAM_BYTES_MAX: usize = 4096;
/// How long a sink is waited for before it is asked whether there is another, milliseconds.
const POLL_MS: u16 = 100;
/// The same, where there is none yet.
const NO_SINK_PAUSE: Duration = Duration::from_millis(10);
/// After a sink that said it takes something and did not.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// From one complaint to the next.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);
