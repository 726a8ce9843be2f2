//! Memory locked and a low realtime priority, so that a busy machine does not look like a dead one
//! to its peers.
//!
//! Both need a right that may be missing. The process then works, and says so loudly.

use std::io;

/// Locks the memory of this process and gives the calling thread SCHED_RR, as far as it may.
///
/// Threads that are started afterwards inherit it: the host thread too, because a takeover waits
/// for it. Returns what could not be had, for people.
pub fn enter() -> Vec<String> {
    let mut lacking = Vec::new();
    if let Err(error) = lock_memory() {
        let risk = "memory is not locked, so under memory pressure advertisements may be late";
        lacking.push(format!("{risk}: {error}"));
    }
    if let Err(error) = schedule(libc::SCHED_RR, PRIORITY) {
        let risk = "no realtime scheduling, so on a busy machine advertisements may be late";
        lacking.push(format!("{risk}: {error}"));
    }
    lacking
}

/// Gives the calling thread back to normal scheduling: what it does may wait.
///
/// # Errors
/// When the kernel refuses.
pub fn leave() -> io::Result<()> {
    schedule(libc::SCHED_OTHER, 0)
}

fn lock_memory() -> io::Result<()> {
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: mlockall takes no pointer.
    if unsafe { libc::mlockall(flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Under a limit every later allocation may fail, which is worse than memory that is not locked.
    if let Err(error) = try_headroom() {
        // SAFETY: munlockall takes no argument.
        unsafe { libc::munlockall() };
        return Err(error);
    }
    Ok(())
}

/// Fails if so much more memory could not be mapped now that everything is locked. Nothing of it is
/// touched.
fn try_headroom() -> io::Result<()> {
    let (nowhere, prot, no_file) = (std::ptr::null_mut(), libc::PROT_NONE, -1);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice; no memory of ours is
    // concerned.
    let mapping = unsafe { libc::mmap(nowhere, HEADROOM_BYTES, prot, flags, no_file, 0) };
    if mapping == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: exactly the mapping made above, to which nothing points.
    unsafe { libc::munmap(mapping, HEADROOM_BYTES) };
    Ok(())
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer is to a live sched_param, which the kernel only reads; 0 is the calling
    // thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Above every normal thread, below everything else that is realtime: interrupt threads have 50.
const PRIORITY: libc::c_int = 2;
/// More than this process will ever allocate.
const HEADROOM_BYTES: usize = 256 << 20;
