//! What the kernel knows of a socket and its peer.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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

/// Returns how many bytes the peer has sent and has acknowledged, since its connection began;
/// `None` where the descriptor is no TCP socket, or the kernel is older than 4.1.
pub(in crate::process::proxy) fn traffic_of(socket: RawFd) -> Option<(u64, u64)> {
    let mut info = [0_u8; 256];
    let mut len = libc::socklen_t::try_from(info.len()).ok()?;
    // SAFETY: the call writes at most `len` bytes, for which there is room, and their number; a
    // descriptor of something else, or of nothing, is an error.
    let done = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let known = usize::try_from(len).ok().filter(|_| done == 0)?;
    let number = |at: usize| {
        let bytes = info[..known].get(at..at + 8)?;
        bytes.try_into().ok().map(u64::from_ne_bytes)
    };
    Some((number(BYTES_RECEIVED)?, number(BYTES_ACKED)?))
}

/// `tcpi_bytes_acked` of `struct tcp_info`, linux/tcp.h.
const BYTES_ACKED: usize = 120;
/// `tcpi_bytes_received`.
const BYTES_RECEIVED: usize = 128;
