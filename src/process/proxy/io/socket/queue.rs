//! What the kernel holds for the peer of a socket.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Returns how many bytes that were written the peer has not acknowledged; 0 where nobody knows.
pub(super) fn unacknowledged(socket: BorrowedFd<'_>) -> u32 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one number, for which there is room; the descriptor is open while it
    // is borrowed.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match done {
        0 => u32::try_from(bytes).unwrap_or(0),
        _ => 0,
    }
}
