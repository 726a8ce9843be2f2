//! Reading and writing one socket, without waiting; the only place where the data path calls the
//! kernel for bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads once; 0 is the end.
pub(super) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(into);
    let poll = Pin::new(stream).poll_read(cx, &mut buf);
    poll.map_ok(|()| buf.filled().len())
}

/// Writes once, at least a byte.
pub(super) fn poll_write(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let poll = match slices {
        [one] => Pin::new(stream).poll_write(cx, one),
        many => Pin::new(stream).poll_write_vectored(cx, many),
    };
    poll.map(|result| match result {
        Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        result => result,
    })
}

/// Ends our direction.
pub(super) fn shut(stream: &TcpStream) {
    // Where it fails the connection has gone already.
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

/// Returns whether nothing has come on a connection that should be quiet, by what the runtime knows
/// of it: no system call where nothing has happened.
pub(super) fn is_quiet(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Asks the kernel the same.
pub(super) fn is_quiet_in_the_kernel(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let peeked = SockRef::from(stream).peek(&mut byte);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
