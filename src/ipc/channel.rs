//! A framed channel between two processes that also passes descriptors.
//!
//! A SOCK_SEQPACKET socketpair: a message arrives whole or not at all, sending never waits, and the end of the
//! other process is seen at once. A message that is too large for a packet travels in a memory file, whose
//! descriptor is passed as the last one. Each frame is one byte (inline or in a file) and JSON.
//! The queue is the kernel's socket buffer; when it is full the sender is told so and decides itself.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One end of a channel, for a plain loop on `poll`.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// One end of a channel, for a tokio runtime.
#[derive(Debug)]
pub struct AsyncChannel {
    socket: tokio::net::UnixDatagram,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Queued,
    /// The other end does not read; nothing was sent.
    Full,
    /// The other end is gone.
    Closed,
}

/// What was found in the channel.
#[derive(Debug)]
pub enum Received<T> {
    /// A message and its descriptors.
    Message(T, Vec<OwnedFd>),
    /// Nothing now.
    Empty,
    /// The other end is gone, and everything it sent has been read.
    Closed,
}

/// Why a channel cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The kernel refused.
    #[error("{operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The other end sent something that is not a message; the two are not of one version.
    #[error("not a message: {0}")]
    Malformed(String),
}

/// Returns the two ends of a new channel; both close on exec.
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
    /// Returns the end that this descriptor, made by [`pair`], is.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a message and copies of `descriptors`, without ever waiting.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        send(self.socket.as_fd(), message, descriptors)
    }

    /// Takes the next message, without ever waiting.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        receive(self.socket.as_fd())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncChannel {
    /// Returns the end that this descriptor, made by [`pair`], is. Must be called within a runtime.
    pub fn new(socket: OwnedFd) -> Result<Self, ChannelError> {
        // The kind of socket does not matter to the runtime, which only waits on the descriptor.
        let socket =
            tokio::net::UnixDatagram::from_std(UnixDatagram::from(socket)).map_err(|source| {
                ChannelError::System {
                    operation: "register a channel",
                    source,
                }
            })?;
        Ok(Self { socket })
    }

    /// Sends a message and copies of `descriptors`, without ever waiting.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        send(self.socket.as_fd(), message, descriptors)
    }

    /// Waits for the next message; `None` when the other end is gone. Cancel safe.
    pub async fn receive<T: DeserializeOwned>(
        &self,
    ) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        loop {
            let received = self.socket.async_io(tokio::io::Interest::READABLE, || {
                match receive(self.socket.as_fd()) {
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

/// Sends one frame.
fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> Result<Sent, ChannelError> {
    let text =
        serde_json::to_vec(message).map_err(|error| ChannelError::Malformed(error.to_string()))?;
    let mut raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    if text.len() <= INLINE_BYTES_MAX {
        return send_frame(socket, &[&[INLINE], &text], &raw);
    }
    let mut file = memory_file(&text)?;
    file.rewind().map_err(|source| ChannelError::System {
        operation: "rewind",
        source,
    })?;
    raw.push(file.as_raw_fd());
    send_frame(socket, &[&[IN_FILE]], &raw)
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
            Err(Errno::EAGAIN | Errno::ENOBUFS) => return Ok(Sent::Full),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => return Ok(Sent::Closed),
            Err(errno) => return Err(system("send a message")(errno)),
        }
    }
}

/// Takes one frame.
fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Received<T>, ChannelError> {
    let mut packet = [0_u8; INLINE_BYTES_MAX + 1];
    let mut control = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut descriptors = Vec::new();
    let len = {
        let mut slices = [IoSliceMut::new(&mut packet)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags) {
                Ok(message) => message,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Empty),
                Err(Errno::ECONNRESET) => return Ok(Received::Closed),
                Err(errno) => return Err(system("receive a message")(errno)),
            };
        for part in message.cmsgs().map_err(system("read a control message"))? {
            if let ControlMessageOwned::ScmRights(raw) = part {
                // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                descriptors.extend(
                    raw.into_iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                );
            }
        }
        message.bytes
    };
    let Some((kind, text)) = packet[..len].split_first() else {
        return Ok(Received::Closed);
    };
    let message = if *kind == IN_FILE {
        let file = descriptors
            .pop()
            .ok_or_else(|| ChannelError::Malformed("a file was announced and none came".into()))?;
        let mut text = Vec::new();
        File::from(file)
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|source| ChannelError::System {
                operation: "read a message file",
                source,
            })?;
        serde_json::from_slice(&text)
    } else {
        serde_json::from_slice(text)
    };
    match message {
        Ok(message) => Ok(Received::Message(message, descriptors)),
        Err(error) => Err(ChannelError::Malformed(error.to_string())),
    }
}

/// Returns a memory file with this content.
fn memory_file(content: &[u8]) -> Result<File, ChannelError> {
    let fd =
        memfd_create("evenkeel-message", MFdFlags::MFD_CLOEXEC).map_err(system("memfd_create"))?;
    let mut file = File::from(fd);
    file.write_all(content)
        .map_err(|source| ChannelError::System {
            operation: "write a message file",
            source,
        })?;
    Ok(file)
}

/// Returns a function that says what was tried when the kernel refused.
fn system(operation: &'static str) -> impl Fn(Errno) -> ChannelError {
    move |errno| ChannelError::System {
        operation,
        source: errno.into(),
    }
}

/// The kind of a frame whose JSON follows.
const INLINE: u8 = 0;
/// The kind of a frame whose JSON is in the memory file passed as the last descriptor.
const IN_FILE: u8 = 1;
/// The longest JSON that is sent in the packet itself.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The longest JSON that is read from a memory file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most descriptors a message carries; the kernel's own limit (SCM_MAX_FD).
const DESCRIPTORS_MAX: usize = 253;
/// The bound of the queue. When it is full, `send` says so: a child drops log lines and repeats what matters, the
/// supervisor takes a child that does not read for hung.
const SEND_BUFFER_BYTES: usize = 208 * 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn message_arrives_whole_with_its_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
        let file = memory_file(b"lent").unwrap();
        assert_eq!(ours.send(&"hello", &[file.as_fd()]).unwrap(), Sent::Queued);
        let Received::Message(text, descriptors) = theirs.receive::<String>().unwrap() else {
            panic!("nothing arrived");
        };
        assert_eq!(text, "hello");
        let mut file = File::from(descriptors.into_iter().next().unwrap());
        file.rewind().unwrap();
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "lent", "the descriptor is the one that was sent");
    }

    #[test]
    fn large_message_travels_in_a_file() {
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
        let text = "x".repeat(3 * 1024 * 1024);
        assert_eq!(ours.send(&text, &[]).unwrap(), Sent::Queued);
        let Received::Message(got, descriptors) = theirs.receive::<String>().unwrap() else {
            panic!("nothing arrived");
        };
        assert_eq!(got.len(), text.len());
        assert!(
            descriptors.is_empty(),
            "the file of the message is not one of its descriptors"
        );
    }

    #[test]
    fn full_channel_says_so_and_loses_nothing() {
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
        let text = "x".repeat(10_000);
        let mut sent = 0;
        while ours.send(&text, &[]).unwrap() == Sent::Queued {
            sent += 1;
            assert!(sent < 10_000, "the queue has a bound");
        }
        let mut got = 0;
        while let Received::Message(message, _) = theirs.receive::<String>().unwrap() {
            assert_eq!(message.len(), text.len());
            got += 1;
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn end_of_the_other_process_is_seen_after_its_last_message() {
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
        ours.send(&1_u8, &[]).unwrap();
        drop(ours);
        assert!(matches!(
            theirs.receive::<u8>().unwrap(),
            Received::Message(1, _)
        ));
        assert!(matches!(theirs.receive::<u8>().unwrap(), Received::Closed));
        assert_eq!(theirs.send(&1_u8, &[]).unwrap(), Sent::Closed);
    }

    #[test]
    fn nonsense_is_an_error_not_a_panic() {
        let (ours, theirs) = pair().unwrap();
        let theirs = Channel::new(theirs);
        assert_eq!(
            send_frame(ours.as_fd(), &[&[INLINE], b"{"], &[]).unwrap(),
            Sent::Queued
        );
        assert!(matches!(
            theirs.receive::<u8>(),
            Err(ChannelError::Malformed(_))
        ));
        assert_eq!(
            send_frame(ours.as_fd(), &[&[IN_FILE]], &[]).unwrap(),
            Sent::Queued
        );
        assert!(matches!(
            theirs.receive::<u8>(),
            Err(ChannelError::Malformed(_))
        ));
    }
}
