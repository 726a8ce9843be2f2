//! The end of a lab by a signal: destructors do not run then, so this does what they would have
//! done.

use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::LabError;
use super::{process, scratch};

/// From now on SIGINT, SIGTERM and SIGHUP end the program after everything it started and wrote has
/// gone.
///
/// Must be called while the process has a single thread: the others inherit what is blocked here.
///
/// # Errors
/// When the signals cannot be blocked, or there is no thread to wait for them.
pub fn clean_up_on_signals() -> Result<(), LabError> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals
        .thread_block()
        .map_err(LabError::system("block signals"))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let Ok(signal) = signals.wait() else { return };
            // What cannot be killed or removed is not helped by staying.
            let _ = process::kill_descendants();
            scratch::remove_all();
            // And what was being started meanwhile.
            let _ = process::kill_descendants();
            end(signal);
        })
        .map(drop)
        .map_err(LabError::system("start a thread for signals"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the destructors would do has been done"
)]
fn end(signal: Signal) {
    std::process::exit(EXIT_BY_SIGNAL + signal as i32);
}

/// What a shell says of a program that a signal ended.
const EXIT_BY_SIGNAL: i32 = 128;
