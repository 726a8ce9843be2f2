//! Memory locked and a low realtime priority, so that a busy machine does not look like a dead one to its peers.
//!
//! Both need a right that may be missing. The process then works, and says so loudly.

use std::io;

use tracing::warn;

/// Locks the memory of this process and gives the calling thread SCHED_RR, as far as it may.
///
/// Threads that are started afterwards inherit it: the host thread too, because a takeover waits for it.
pub fn enter() {
    if let Err(error) = lock_memory() {
        warn!(%error, "memory is not locked: under memory pressure advertisements may be late");
    }
    if let Err(error) = schedule(libc::SCHED_RR, PRIORITY) {
        warn!(%error, "no realtime scheduling: on a busy machine advertisements may be late");
    }
}

fn lock_memory() -> io::Result<()> {
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: mlockall takes no pointer.
    match unsafe { libc::mlockall(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer is to a live sched_param, which the kernel only reads; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Above every normal thread, below everything else that is realtime: interrupt threads have 50.
const PRIORITY: libc::c_int = 2;
