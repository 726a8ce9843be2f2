//! A framed channel between two processes that also passes descriptors.
//!
//! A SOCK_SEQPACKET socketpair: a message arrives whole or not at all, sending never waits, and the
//! end of the other process is seen at once. A message that is too large for a packet travels in a
//! sealed memory file, whose descriptor is passed as the last one (`message_file`). Each frame is
//! one byte, its kind, and JSON. The kind is looked at before anything is taken, so that no
//! descriptor enters a process that its kind does not announce. The queue is the kernel's socket
//! buffer; when it is full the sender is told so and decides itself. A shortage of descriptors or
//! memory is never the end of a channel: nothing was sent ([`Sent::Short`]), or one message is lost
//! ([`ChannelError::Lost`]).

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, setsockopt,
    socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message_file::{self, Refusal};

/// One end of a channel, for a plain loop on `poll`.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    end: End,
}

/// One end of a channel, for a tokio runtime.
#[derive(Debug)]
pub struct AsyncChannel {
    socket: tokio::net::UnixDatagram,
    end: End,
}

/// What is taken from the other end at most; more is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest JSON in a memory file.
    pub file_bytes: usize,
    /// The most descriptors that come with a message.
    pub descriptors: usize,
}

impl Bounds {
    /// What a child takes from its parent, which it trusts.
    pub const FROM_PARENT: Self = Self {
        file_bytes: 64 * 1024 * 1024,
        descriptors: DESCRIPTORS_MAX,
    };
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Queued,
    /// The other end does not read; nothing was sent.
    Full,
    /// This machine or this process has no room for it, for the reason given; nothing was sent.
    Short(Errno),
    /// The other end is gone.
    Closed,
}

/// What was found in the channel.
#[derive(Debug)]
pub enum Received<T> {
    /// A message and its descriptors; fewer than were sent where this process had no room for more.
    Message(T, Vec<OwnedFd>),
    /// Nothing now.
    Empty,
    /// The other end is gone, and everything it sent has been read.
    Closed,
}

/// Why nothing can be had from a channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The kernel refused.
    #[error("{operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The other end sent something that is not a message, or more than it may.
    #[error("not a message: {0}")]
    Malformed(String),
    /// A message came and could not be taken for want of descriptors or memory; those after it are
    /// not concerned.
    #[error("a message was lost")]
    Lost(#[source] Errno),
}

impl ChannelError {
    /// Returns whether the channel goes on: the fault is a shortage on this side.
    pub const fn is_shortage(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::System { .. } | Self::Malformed(_) => false,
        }
    }
}

/// Returns the two ends of a new channel; both close on exec.
///
/// # Errors
/// When the kernel gives no sockets.
pub fn pair() -> Result<(OwnedFd, OwnedFd), ChannelError> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )
    .map_err(system("socketpair"))?;
    for end in [&ours, &theirs] {
        setsockopt(end, sockopt::SndBuf, &SEND_BUFFER_BYTES).map_err(system("SO_SNDBUF"))?;
    }
    Ok((ours, theirs))
}

impl Channel {
    /// Returns the end that this descriptor, made by [`pair`], is, whose other end is trusted.
    pub fn new(socket: OwnedFd) -> Self {
        Self::bounded(socket, Bounds::FROM_PARENT)
    }

    /// As [`Channel::new`], taking no more than `bounds` from the other end.
    pub fn bounded(socket: OwnedFd, bounds: Bounds) -> Self {
        let end = End::new(socket.as_fd(), bounds);
        Self { socket, end }
    }

    /// Sends a message and copies of `descriptors`, without ever waiting.
    ///
    /// # Errors
    /// When the message cannot be put as JSON, or the kernel refuses it for good.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        (self.end).send(self.socket.as_fd(), &encode(message)?, descriptors)
    }

    /// Takes the next message, without ever waiting.
    ///
    /// # Errors
    /// When what came is not a message, could not be taken for want of descriptors or memory, or
    /// the kernel refuses.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        self.end.receive(self.socket.as_fd())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncChannel {
    /// Returns the end that this descriptor, made by [`pair`], is, taking no more than `bounds`
    /// from the other end. Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime does not take the descriptor.
    pub fn new(socket: OwnedFd, bounds: Bounds) -> Result<Self, ChannelError> {
        let end = End::new(socket.as_fd(), bounds);
        // The kind of socket does not matter to the runtime, which only waits on the descriptor.
        let socket =
            tokio::net::UnixDatagram::from_std(UnixDatagram::from(socket)).map_err(|source| {
                ChannelError::System {
                    operation: "register a channel",
                    source,
                }
            })?;
        Ok(Self { socket, end })
    }

    /// Takes no more than this from the other end from now on.
    pub const fn set_bounds(&mut self, bounds: Bounds) {
        self.end.bounds = bounds;
    }

    /// Sends a message and copies of `descriptors`, without ever waiting.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        self.send_encoded(&encode(message)?, descriptors)
    }

    /// As [`AsyncChannel::send`], with a message from [`encode`].
    ///
    /// # Errors
    /// When the kernel refuses the message for good.
    pub fn send_encoded(
        &self,
        text: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        self.end.send(self.socket.as_fd(), text, descriptors)
    }

    /// Waits for the next message; `None` when the other end is gone. Cancel safe. After an error
    /// that [is a shortage](ChannelError::is_shortage) the next one can be waited for.
    ///
    /// # Errors
    /// As [`Channel::receive`].
    pub async fn receive<T: DeserializeOwned>(
        &self,
    ) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        loop {
            let received = self.socket.async_io(tokio::io::Interest::READABLE, || {
                match self.end.receive(self.socket.as_fd()) {
                    Ok(Received::Empty) => Err(io::ErrorKind::WouldBlock.into()),
                    other => Ok(other),
                }
            });
            let received = received.await.map_err(|source| ChannelError::System {
                operation: "wait for a channel",
                source,
            })?;
            match received? {
                Received::Message(message, descriptors) => return Ok(Some((message, descriptors))),
                Received::Closed => return Ok(None),
                Received::Empty => {}
            }
        }
    }
}

/// Returns the JSON of a message.
///
/// # Errors
/// When serde cannot put it as JSON.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ChannelError> {
    serde_json::to_vec(message).map_err(|error| ChannelError::Malformed(error.to_string()))
}

/// What both kinds of end have beside their socket.
#[derive(Debug)]
struct End {
    bounds: Bounds,
    /// Descriptors of no use but to be closed when a message needs one and there is none left.
    reserve: Mutex<Vec<OwnedFd>>,
}

impl End {
    fn new(socket: BorrowedFd<'_>, bounds: Bounds) -> Self {
        let end = Self {
            bounds,
            reserve: Mutex::default(),
        };
        end.refill(socket);
        end
    }

    /// Sends one frame.
    fn send(
        &self,
        socket: BorrowedFd<'_>,
        text: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        let mut raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        if text.len() <= INLINE_BYTES_MAX {
            let kind = if raw.is_empty() { PLAIN } else { LENDING };
            return send_frame(socket, &[&[kind], text], &raw);
        }
        let file = match message_file::write(text) {
            Err(errno) if is_shortage(errno) => {
                self.release();
                message_file::write(text)
            }
            other => other,
        };
        let sent = match file {
            Ok(file) => {
                raw.push(file.as_raw_fd());
                send_frame(socket, &[&[IN_FILE]], &raw)
            }
            Err(errno) if is_shortage(errno) => Ok(Sent::Short(errno)),
            Err(errno) => Err(system("write a message file")(errno)),
        };
        self.refill(socket);
        sent
    }

    /// Takes one frame.
    fn receive<T: DeserializeOwned>(
        &self,
        socket: BorrowedFd<'_>,
    ) -> Result<Received<T>, ChannelError> {
        let mut kind = [0];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let mut peeked = recv(socket.as_raw_fd(), &mut kind, flags);
        if peeked == Err(Errno::ECONNRESET) {
            // The other end has gone and left something unread. That is said once; what it sent
            // itself comes next.
            peeked = recv(socket.as_raw_fd(), &mut kind, flags);
        }
        match peeked {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(Received::Closed),
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOMEM | Errno::ENOBUFS) => {
                return Ok(Received::Empty);
            }
            Err(errno) => return Err(system("look at a message")(errno)),
        }
        let room = match kind[0] {
            PLAIN => 0,
            LENDING => self.bounds.descriptors,
            IN_FILE => self.bounds.descriptors.min(DESCRIPTORS_MAX - 1) + 1,
            kind => return Err(ChannelError::Malformed(format!("frame of kind {kind}"))),
        };
        if room > 0 {
            self.release();
        }
        let received = self.receive_frame(socket, room);
        if room > 0 {
            self.refill(socket);
        }
        received
    }

    /// Takes one frame that brings at most so many descriptors.
    fn receive_frame<T: DeserializeOwned>(
        &self,
        socket: BorrowedFd<'_>,
        room: usize,
    ) -> Result<Received<T>, ChannelError> {
        let mut packet = [0_u8; INLINE_BYTES_MAX + 1];
        let frame = match take_frame(socket, &mut packet, room) {
            Ok(frame) => frame,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Empty),
            Err(errno @ (Errno::ENOMEM | Errno::ENOBUFS)) => return Err(ChannelError::Lost(errno)),
            Err(errno) => return Err(system("receive a message")(errno)),
        };
        let Frame {
            len,
            mut descriptors,
            cut,
        } = frame;
        let (kind, text) = match packet[..len].split_first() {
            Some((kind, text)) if !cut.bytes => (*kind, text),
            Some(_) | None => return Err(ChannelError::Malformed("a frame too long".into())),
        };
        // What did not fit although there was room enough did not because this process may have no
        // more.
        let short = cut.descriptors && descriptors.len() < room;
        if cut.descriptors && !short {
            let why = format!("more descriptors than the {room} that may come");
            return Err(ChannelError::Malformed(why));
        }
        let message = if kind == IN_FILE {
            let file = match descriptors.pop() {
                Some(file) if !short => file,
                Some(_) | None if short => return Err(ChannelError::Lost(Errno::EMFILE)),
                Some(_) | None => {
                    let why = "a file was announced and none came";
                    return Err(ChannelError::Malformed(why.into()));
                }
            };
            let text = message_file::read(&file, self.bounds.file_bytes);
            serde_json::from_slice(&text.map_err(|refusal| match refusal {
                Refusal::Short(errno) => ChannelError::Lost(errno),
                Refusal::Unfit(why) => ChannelError::Malformed(format!("its file {why}")),
            })?)
        } else {
            serde_json::from_slice(text)
        };
        match message {
            Ok(message) => Ok(Received::Message(message, descriptors)),
            Err(error) => Err(ChannelError::Malformed(error.to_string())),
        }
    }

    /// Makes room for as many descriptors as are in reserve.
    fn release(&self) {
        // A thread that panicked here left the list whole.
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        reserve.clear();
    }

    /// Fills the reserve as far as possible; the next message tries again.
    fn refill(&self, socket: BorrowedFd<'_>) {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        while reserve.len() < RESERVE {
            let Ok(spare) = socket.try_clone_to_owned() else {
                return;
            };
            reserve.push(spare);
        }
    }
}

/// Takes what has come on a stream, as far as it fits, and at most `room` descriptors, without ever
/// waiting; nothing, where the other end has gone.
///
/// # Errors
/// When the kernel says so; `EAGAIN` where nothing has come.
pub fn take_from_stream(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    room: usize,
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let frame = take_frame(socket, buf, room)?;
    Ok((frame.len, frame.descriptors))
}

/// Sends the parts of one packet.
fn send_frame(
    socket: BorrowedFd<'_>,
    parts: &[&[u8]],
    descriptors: &[RawFd],
) -> Result<Sent, ChannelError> {
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &slices, control, flags, None) {
            Ok(_) => return Ok(Sent::Queued),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(Sent::Full),
            Err(errno) if is_shortage(errno) => return Ok(Sent::Short(errno)),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => return Ok(Sent::Closed),
            Err(errno) => return Err(system("send a message")(errno)),
        }
    }
}

/// Returns whether an error says that something has run out here, not that something is wrong.
fn is_shortage(errno: Errno) -> bool {
    [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOMEM,
        Errno::ENOBUFS,
        Errno::ENOSPC,
        Errno::ETOOMANYREFS,
    ]
    .contains(&errno)
}

/// A packet as it was taken.
struct Frame {
    len: usize,
    descriptors: Vec<OwnedFd>,
    cut: Cut,
}

/// What of a packet did not fit and is gone.
struct Cut {
    bytes: bool,
    descriptors: bool,
}

/// Takes one packet and at most `room` descriptors. The kernel closes what is beyond, before this
/// process has it.
///
/// Descriptors that did arrive are taken also from a message that was cut; nix returns none then,
/// and leaks them.
fn take_frame(socket: BorrowedFd<'_>, packet: &mut [u8], room: usize) -> Result<Frame, Errno> {
    let descriptors_bytes = u32::try_from(room * size_of::<RawFd>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: both compute a number from a number.
    let (space, control_len) = unsafe {
        let space = libc::CMSG_SPACE(descriptors_bytes) as usize;
        (space, libc::CMSG_LEN(descriptors_bytes) as usize)
    };
    // As aligned as a `cmsghdr` must be.
    let mut control = vec![0_u64; space.div_ceil(size_of::<u64>())];
    let mut slice = libc::iovec {
        iov_base: packet.as_mut_ptr().cast(),
        iov_len: packet.len(),
    };
    // SAFETY: a structure of numbers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    if room > 0 {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control_len as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `header` names one slice and a control buffer, both ours, alive and as long as it
    // says.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let len = usize::try_from(len).map_err(|_| Errno::last())?;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled `header` in; the macro reads the control buffer within its
    // length.
    let mut part = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !part.is_null() {
        // SAFETY: not null, so it points at a whole `cmsghdr` in the control buffer, which is
        // aligned for it.
        let (level, kind, part_len) = unsafe {
            let part = &*part;
            (part.cmsg_level, part.cmsg_type, part.cmsg_len as usize)
        };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: computes a number from a number.
            let data_len = part_len.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
            for index in 0..data_len / size_of::<RawFd>() {
                // SAFETY: within the data of this part, as its length says; it need not be aligned.
                let raw = unsafe {
                    let data = libc::CMSG_DATA(part).cast::<RawFd>();
                    data.add(index).read_unaligned()
                };
                // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        // SAFETY: as for the first one.
        part = unsafe { libc::CMSG_NXTHDR(&raw const header, part) };
    }
    Ok(Frame {
        len,
        descriptors,
        cut: Cut {
            bytes: header.msg_flags & libc::MSG_TRUNC != 0,
            descriptors: header.msg_flags & libc::MSG_CTRUNC != 0,
        },
    })
}

/// Returns a function that says what was tried when the kernel refused.
fn system(operation: &'static str) -> impl Fn(Errno) -> ChannelError {
    move |errno| ChannelError::System {
        operation,
        source: errno.into(),
    }
}

/// The kind of a frame whose JSON follows, without descriptors.
const PLAIN: u8 = 0;
/// The kind of a frame whose JSON is in the memory file passed as the last descriptor.
const IN_FILE: u8 = 1;
/// The kind of a frame whose JSON follows, with descriptors.
const LENDING: u8 = 2;
/// The longest JSON that is sent in the packet itself.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The most descriptors a message carries; the kernel's own limit (SCM_MAX_FD).
pub const DESCRIPTORS_MAX: usize = 253;
/// Descriptors that each end keeps for messages that need one: a memory file, and one that is lent.
const RESERVE: usize = 2;
/// The bound of the queue. When it is full, `send` says so: a child drops log lines and repeats
/// what matters, the supervisor takes a child that does not read for hung.
const SEND_BUFFER_BYTES: usize = 208 * 1024;

#[cfg(test)]
mod tests;
