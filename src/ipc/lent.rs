//! Sockets that an operator's command lends the proxy, by way of the supervisor, for answers that
//! are too long or too many for the channel between the two.
//!
//! A lent socket keeps whole messages apart (SOCK_SEQPACKET), each one or more JSON lines. Who
//! sends what does not end never waits: what does not fit in the kernel's buffer is dropped and
//! counted, and the count is the first thing sent when there is room again. Who reads slowly loses
//! lines, and holds nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, getsockopt, recv, send, setsockopt, socketpair,
    sockopt,
};
use serde::{Deserialize, Serialize};

/// Returns what is kept and what is lent.
///
/// # Errors
/// When the system gives no sockets.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (kept, lent) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    // What is sent waits in the buffer of the sender; without it there is still the default.
    let _ = setsockopt(&lent, sockopt::SndBuf, &BUFFER_BYTES);
    Ok((kept, lent))
}

/// Returns whether a descriptor is such a socket; an operator may send anything.
pub fn is_lent(descriptor: &OwnedFd) -> bool {
    getsockopt(descriptor, sockopt::SockType).is_ok_and(|kind| kind == SockType::SeqPacket)
}

/// What the sender says beside what was asked for; each is a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aside {
    /// So many lines have been dropped since the last one.
    Dropped(u64),
    /// Nothing comes, and why.
    Refused(String),
    /// So many more were left out.
    LeftOut(u64),
    /// So many threads of the proxy have not said all in time.
    Missing(u64),
    /// That was all.
    Whole,
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the buffer.
    Whole,
    /// There is no room for it.
    Full,
    /// Nobody reads any more.
    Gone,
}

/// Sends a message whole or not at all, and does not wait.
pub fn try_send(socket: &OwnedFd, message: &[u8]) -> Sent {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(socket.as_raw_fd(), message, flags) {
        Ok(_) => Sent::Whole,
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR) => Sent::Full,
        Err(_) => Sent::Gone,
    }
}

/// Sends messages of whole lines, and waits for the reader for a while in all.
pub fn send_all(socket: &OwnedFd, lines: &[u8], within: Duration) {
    let until = Instant::now() + within;
    let mut rest = lines;
    while !rest.is_empty() {
        let (message, after) = rest.split_at(message_end(rest));
        match try_send(socket, message) {
            Sent::Whole => rest = after,
            Sent::Gone => return,
            Sent::Full => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                // Whatever comes of it, sending is tried again.
                let _ = poll(
                    &mut fds,
                    PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO),
                );
            }
        }
    }
}

/// Returns where the last line ends that fits in a message.
pub fn message_end(lines: &[u8]) -> usize {
    let some = &lines[..lines.len().min(MESSAGE_BYTES_MAX)];
    let end = some.iter().rposition(|byte| *byte == b'\n');
    // A line is shorter than a message.
    end.map_or(some.len(), |end| end + 1)
}

/// Returns whether nobody reads any more; an operator sends nothing.
pub fn has_left(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    let found = poll(&mut fds, PollTimeout::ZERO);
    found.is_ok_and(|_| fds[0].revents().is_some_and(|found| found.intersects(gone)))
}

/// Returns whether a message or the end has come, within this time.
pub fn wait(socket: &OwnedFd, within: Duration) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let within = PollTimeout::try_from(within).unwrap_or(PollTimeout::ZERO);
    poll(&mut fds, within).is_ok_and(|ready| ready > 0)
}

/// Waits for a message; an empty one is the end.
///
/// # Errors
/// When a signal comes, or the socket fails.
pub fn receive<'b>(socket: &OwnedFd, buf: &'b mut [u8]) -> io::Result<&'b [u8]> {
    match recv(socket.as_raw_fd(), buf, MsgFlags::empty()) {
        Ok(len) => Ok(&buf[..len]),
        // A proxy that dies with messages unread is an end like any other.
        Err(Errno::ECONNRESET) => Ok(&[]),
        Err(errno) => Err(errno.into()),
    }
}

/// The longest message; more is cut into several.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// How much may wait for a reader, where the system allows it.
const BUFFER_BYTES: usize = 1 << 20;
