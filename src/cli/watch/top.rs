//! `evenkeel top`: what `status` says, once a second, with rates, until `q`.
//!
//! The daemon is asked on a thread of its own, so that a key and a signal are heard at once also
//! while it does not answer. What is shown is the matter of `view`, how of `terminal`.

mod terminal;
mod view;

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use self::terminal::{Heard, Screen, TerminalError};
use self::view::{Sample, view};
use crate::cli::outcome::{EXIT_DONE, EXIT_FAILED, print_error};
use crate::cli::status::{self, StatusError};
use crate::ipc::control::Status;

/// Shows the daemon of this runtime directory; returns the exit code.
pub(crate) fn run(runtime_dir: &Path) -> i32 {
    // Signals are blocked before there is a second thread.
    let screen = match Screen::prepare() {
        Ok(screen) => screen,
        Err(error) => {
            print_error(&error);
            return EXIT_FAILED;
        }
    };
    // A daemon that is not there is said where it stays to be read.
    let first = match status::ask(runtime_dir) {
        Ok(status) => status,
        Err(error) => {
            print_error(&error);
            return EXIT_FAILED;
        }
    };
    match Top::begin(screen, first, runtime_dir).and_then(|mut top| top.run()) {
        Ok(None) => EXIT_DONE,
        Ok(Some(signal)) => EXIT_BY_SIGNAL + signal as i32,
        Err(error) => {
            print_error(&error);
            EXIT_FAILED
        }
    }
}

/// What is shown, and where the next answer comes from.
struct Top {
    screen: Screen,
    answers: Receiver<Result<Status, StatusError>>,
    /// A byte for each answer.
    bell: UnixStream,
    began_at: Instant,
    before: Option<Sample>,
    now: Sample,
    trouble: Option<String>,
}

impl Top {
    fn begin(screen: Screen, first: Status, runtime_dir: &Path) -> Result<Self, TerminalError> {
        let system = |what| move |source: io::Error| TerminalError::System { what, source };
        let (bell, ring) = UnixStream::pair().map_err(system("make a pair of sockets"))?;
        let (sender, answers) = sync_channel(1);
        let runtime_dir = runtime_dir.to_owned();
        thread::Builder::new()
            .name("asking".into())
            .spawn(move || ask_for_ever(&runtime_dir, &sender, ring))
            .map_err(system("start a thread"))?;
        let now = Sample {
            status: first,
            at: Duration::ZERO,
        };
        let mut top = Self {
            screen,
            answers,
            bell,
            began_at: Instant::now(),
            before: None,
            now,
            trouble: None,
        };
        top.screen.enter()?;
        Ok(top)
    }

    /// Shows it until it is told to end; returns by which signal, if it was one.
    fn run(&mut self) -> Result<Option<Signal>, TerminalError> {
        loop {
            let size = self.screen.size();
            let lines = view(
                self.before.as_ref(),
                &self.now,
                self.trouble.as_deref(),
                size,
            );
            self.screen.draw(&lines)?;
            self.wait()?;
            if let Ok(answer) = self.answers.try_recv() {
                let _ = self.bell.read(&mut [0; 16]);
                self.take(answer);
            }
            match self.screen.heard()? {
                Heard::Nothing => {}
                Heard::Quit => return Ok(None),
                Heard::Ended(signal) => return Ok(Some(signal)),
            }
        }
    }

    fn take(&mut self, answer: Result<Status, StatusError>) {
        match answer {
            Ok(status) => {
                let at = self.began_at.elapsed();
                let now = Sample { status, at };
                self.before = Some(std::mem::replace(&mut self.now, now));
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    /// Waits for an answer, a key or a signal.
    fn wait(&self) -> Result<(), TerminalError> {
        let mut fds = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        let sources = self.screen.sources();
        fds.extend(sources.map(|source| PollFd::new(source, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::from(WAIT_MS)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(TerminalError::System {
                what: "wait",
                source: errno.into(),
            }),
        }
    }
}

/// Asks once a second, until nobody takes the answers.
fn ask_for_ever(
    runtime_dir: &Path,
    answers: &SyncSender<Result<Status, StatusError>>,
    mut ring: UnixStream,
) {
    loop {
        thread::sleep(INTERVAL);
        let answer = status::ask(runtime_dir);
        if answers.send(answer).is_err() || ring.write_all(&[0]).is_err() {
            return;
        }
    }
}

/// From an answer to the next question.
const INTERVAL: Duration = Duration::from_secs(1);
/// The size of the terminal is looked at as often at least.
const WAIT_MS: u16 = 1000;
/// What a shell says of a program that a signal ended.
const EXIT_BY_SIGNAL: i32 = 128;
