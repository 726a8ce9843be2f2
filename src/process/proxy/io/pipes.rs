//! The pipes of one worker: through them the bytes of a large body pass from socket to socket
//! without being copied (`splice`).
//!
//! A pipe is filled only while it is empty, so that a call that would wait says which side is
//! waited for, and what is held for a direction stays bounded by one fill. Where the system gives
//! no pipe, bytes are copied through `buffers` as ever. Knows nothing of messages: read `flow`
//! next.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;

use crate::process::proxy::io::stream::Stream;

/// The pipes that are free, and how many there are in all.
pub(in crate::process::proxy) struct Pipes {
    free: RefCell<Vec<Pipe>>,
    open: Rc<Cell<usize>>,
    open_max: Cell<usize>,
}

/// Two ends of the kernel's buffer, and the bytes in it. Dropping it closes them.
pub(in crate::process::proxy) struct Pipe {
    read_end: OwnedFd,
    write_end: OwnedFd,
    held: usize,
    open: Rc<Cell<usize>>,
}

impl Pipes {
    /// Returns no pipes yet, and later so many at most; further bodies are copied.
    pub(in crate::process::proxy) fn new(open_max: u64) -> Self {
        let pipes = Self {
            free: RefCell::default(),
            open: Rc::default(),
            open_max: Cell::default(),
        };
        pipes.set_open_max(open_max);
        pipes
    }

    /// Sets how many there may be; those that are too many then stay.
    pub(in crate::process::proxy) fn set_open_max(&self, open_max: u64) {
        let open_max = usize::try_from(open_max).unwrap_or(usize::MAX);
        self.open_max.set(open_max);
    }

    /// Returns an empty pipe; `None` where there are enough or the system gives none.
    pub(in crate::process::proxy) fn take(&self) -> Option<Pipe> {
        let kept = self.free.borrow_mut().pop();
        if kept.is_some() || self.open.get() >= self.open_max.get() {
            return kept;
        }
        let made = Pipe::new(Rc::clone(&self.open));
        if let Err(errno) = &made {
            tracing::debug!(%errno, "no pipe for a large body, copying it");
        }
        made.ok()
    }

    /// Takes a pipe back; one that still holds something is closed.
    pub(in crate::process::proxy) fn give_back(&self, pipe: Pipe) {
        if pipe.held == 0 {
            self.free.borrow_mut().push(pipe);
        }
    }
}

impl Pipe {
    fn new(open: Rc<Cell<usize>>) -> Result<Self, Errno> {
        let (read_end, write_end) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        fcntl(&write_end, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES))?;
        open.set(open.get() + 1);
        Ok(Self {
            read_end,
            write_end,
            held: 0,
            open,
        })
    }

    /// Returns the bytes in it.
    pub(in crate::process::proxy) fn held(&self) -> usize {
        self.held
    }

    /// Fills the empty pipe from a socket, with at most `len` bytes; 0 is the end.
    pub(in crate::process::proxy) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        debug_assert_eq!(self.held, 0, "a full pipe and an empty socket look alike");
        let source = source.register()?;
        let moved = loop {
            ready!(source.poll_read_ready(cx))?;
            let fill = || move_bytes(&*source, &self.write_end, len);
            if let Some(result) = done(source.try_io(Interest::READABLE, fill)) {
                break result?;
            }
        };
        self.held = moved;
        Poll::Ready(Ok(moved))
    }

    /// Empties the pipe into a socket, at least by a byte.
    pub(in crate::process::proxy) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        let sink = sink.register()?;
        let moved = loop {
            ready!(sink.poll_write_ready(cx))?;
            let drain = || move_bytes(&self.read_end, &*sink, self.held);
            if let Some(result) = done(sink.try_io(Interest::WRITABLE, drain)) {
                break result?;
            }
        };
        if moved == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held -= moved;
        Poll::Ready(Ok(moved))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    splice(from, None, to, None, len, flags).map_err(io::Error::from)
}

/// Returns `None` where the socket was not ready after all, and is waited for.
fn done(result: io::Result<usize>) -> Option<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => Some(result),
    }
}

/// What a pipe may hold: as much as a read. The kernel gives one user 64 MiB of such pipes.
const PIPE_BYTES: i32 = 256 * 1024;
