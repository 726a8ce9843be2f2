//! `evenkeel cleanup`: takes away what a daemon that was killed has left on this machine.

use super::outcome::{EXIT_DONE, EXIT_FAILED, print_error, refuse};
use crate::ipc::log;
use crate::process::supervisor;
use crate::process::vrrp::host;

/// Removes addresses and macvlans and puts settings back, unless a daemon runs; returns the exit
/// code.
pub(super) fn run() -> i32 {
    let _lock = match supervisor::lock_network() {
        Ok(lock) => lock,
        Err(error) => return refuse(&error),
    };
    let printer = log::to_standard_error();
    let outcome = host::remove_leftovers();
    printer.flush();
    match outcome {
        Ok(()) => EXIT_DONE,
        Err(error) => {
            print_error(&error);
            EXIT_FAILED
        }
    }
}
