//! The terminal while `evenkeel top` has it: the other screen, keys that come at once, and all of
//! it put back, however the program ends.
//!
//! The state from before is kept where a panic finds it too. Signals are blocked and read like
//! keys, so that none ends the program before the screen is restored.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Mutex;

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

use super::view::{Line, Look, Size};

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub(super) enum TerminalError {
    /// Standard output is something else.
    #[error(
        "top needs a terminal on standard output\nhelp: `evenkeel status --json` is for programs"
    )]
    NoTerminal,
    /// It knows no control sequences.
    #[error(
        "the terminal cannot move its cursor (TERM={0})\nhelp: `evenkeel status` needs no such terminal"
    )]
    Dumb(String),
    /// A system call failed.
    #[error("failed to {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// What has come since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// `q`.
    Quit,
    /// The program is to end.
    Ended(Signal),
}

/// The terminal; it is as before when this is dropped.
pub(super) struct Screen {
    signals: SignalFd,
    /// Whether keys come from a terminal.
    has_keys: bool,
    has_colors: bool,
}

impl Screen {
    /// Looks whether there is a terminal, and blocks signals; nothing is changed on it yet.
    ///
    /// # Errors
    /// When standard output is no terminal, or the system refuses.
    pub(super) fn prepare() -> Result<Self, TerminalError> {
        if !io::stdout().is_terminal() {
            return Err(TerminalError::NoTerminal);
        }
        let term = std::env::var("TERM").unwrap_or_default();
        if term.is_empty() || term == "dumb" {
            return Err(TerminalError::Dumb(term));
        }
        let system = |what| {
            move |errno: nix::Error| TerminalError::System {
                what,
                source: errno.into(),
            }
        };
        let signals = SigSet::from_iter(SIGNALS);
        signals.thread_block().map_err(system("block signals"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals, flags).map_err(system("read signals"))?;
        Ok(Self {
            signals,
            has_keys: io::stdin().is_terminal(),
            has_colors: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        })
    }

    /// Takes the terminal.
    pub(super) fn enter(&mut self) -> Result<(), TerminalError> {
        if self.has_keys {
            let stdin = io::stdin();
            let before = tcgetattr(&stdin).map_err(system("read the terminal's settings"))?;
            let mut raw = before.clone();
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            // A read takes what there is.
            raw.special_codes[SpecialCodeIndex::VMIN] = 0;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            keep(Some(Before {
                settings: Some(before),
            }));
            tcsetattr(&stdin, OptionalActions::Now, &raw)
                .map_err(system("change the terminal's settings"))?;
        } else {
            keep(Some(Before { settings: None }));
        }
        // A panic is to be read on the screen that stays.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            hook(info);
        }));
        write("\x1b[?1049h\x1b[?25l")
    }

    /// Returns its size now.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
            },
            Ok(_) | Err(_) => USUAL_SIZE,
        }
    }

    /// Shows these lines and nothing else.
    pub(super) fn draw(&self, lines: &[Line]) -> Result<(), TerminalError> {
        let mut text = String::from("\x1b[H");
        for (index, line) in lines.iter().enumerate() {
            let look = match (self.has_colors, line.look) {
                (true, Look::Heading) => "\x1b[1m",
                (true, Look::Bad) => "\x1b[31m",
                (true, Look::Plain) | (false, _) => "",
            };
            let end = if look.is_empty() { "" } else { "\x1b[0m" };
            let next = if index > 0 { "\r\n" } else { "" };
            text.push_str(&format!("{next}{look}{}{end}\x1b[K", line.text));
        }
        write(&(text + "\x1b[J"))
    }

    /// Returns what is to be waited for.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let keys = self.has_keys.then(rustix::stdio::stdin);
        std::iter::once(self.signals.as_fd()).chain(keys)
    }

    /// Reads signals and keys that have come.
    pub(super) fn heard(&mut self) -> Result<Heard, TerminalError> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            match Signal::try_from(number) {
                Ok(Signal::SIGTSTP) => self.pause()?,
                Ok(signal @ (Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP)) => {
                    return Ok(Heard::Ended(signal));
                }
                // Whoever draws next asks for the size.
                Ok(_) | Err(_) => {}
            }
        }
        if !self.has_keys {
            return Ok(Heard::Nothing);
        }
        let mut keys = [0; 64];
        let len = match rustix::io::read(io::stdin(), &mut keys) {
            Ok(len) => len,
            // The terminal has gone, and SIGHUP with it.
            Err(_) => return Ok(Heard::Quit),
        };
        match keys[..len].iter().any(|key| matches!(key, b'q' | b'Q')) {
            true => Ok(Heard::Quit),
            false => Ok(Heard::Nothing),
        }
    }

    /// Gives the terminal back until the program is continued.
    fn pause(&mut self) -> Result<(), TerminalError> {
        restore();
        let stopped = raise(Signal::SIGSTOP);
        stopped.map_err(|errno| TerminalError::System {
            what: "stop",
            source: errno.into(),
        })?;
        self.enter()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// What the terminal was like.
struct Before {
    /// `None` where keys come from elsewhere, and nothing was changed.
    settings: Option<Termios>,
}

/// Puts the terminal back, if it was taken.
fn restore() {
    let Some(before) = keep(None) else { return };
    // A terminal that has gone needs nothing.
    let _ = write("\x1b[?25h\x1b[?1049l");
    if let Some(settings) = before.settings {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &settings);
    }
}

/// Keeps what is to be put back, and returns what was kept before.
fn keep(before: Option<Before>) -> Option<Before> {
    let mut kept = KEPT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    std::mem::replace(&mut *kept, before)
}

fn write(text: &str) -> Result<(), TerminalError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| TerminalError::System {
        what: "write to the terminal",
        source,
    })
}

fn system(what: &'static str) -> impl Fn(rustix::io::Errno) -> TerminalError {
    move |errno| TerminalError::System {
        what,
        source: errno.into(),
    }
}

/// The one terminal of the process, where a panic finds it.
static KEPT: Mutex<Option<Before>> = Mutex::new(None);

/// What ends, stops or resizes.
const SIGNALS: [Signal; 5] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGTSTP,
    Signal::SIGWINCH,
];
/// Of a terminal that does not say.
const USUAL_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};
