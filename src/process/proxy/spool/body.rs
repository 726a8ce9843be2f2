//! The body of one request, which is written here as it comes and read as often as it is wanted.
//!
//! What does not fit into memory is written to the file, a block at a time; what came last stays in
//! memory. While the disk works nothing more is taken, so that no more is held.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::disk::{Done, Extent, Job};
use super::{Account, BLOCK, Disk, Spool};
use crate::config::RequestBuffering;
use crate::process::proxy::io::buffers::Buffers;
use crate::process::proxy::io::frames::load::{Load, Share};

/// A body.
pub(in crate::process::proxy) struct Body {
    disk: Option<Disk>,
    account: Arc<Account>,
    bounds: RequestBuffering,
    buffers: Rc<Buffers>,
    /// Where many are on a connection.
    share: Option<Share>,
    /// On the disk, in order.
    extents: Vec<Extent>,
    /// Taken from the account, also while it is being written.
    blocks: usize,
    /// Behind what is on the disk, in pieces of a block at most.
    memory: VecDeque<Vec<u8>>,
    memory_bytes: usize,
    len: u64,
    writing: Option<oneshot::Receiver<Done<Extent>>>,
    replay: Replay,
    failure: Option<Failure>,
}

/// How far it has been read.
#[derive(Default)]
struct Replay {
    /// The next of the extents to be read from the disk, and behind the last the next piece of what
    /// is in memory.
    next: usize,
    reading: Option<oneshot::Receiver<Done<()>>>,
    /// What was read from the disk last.
    loaded: Vec<u8>,
    /// How much of that, or of the next piece, has been handed on.
    from: usize,
}

/// Why a body is not kept.
#[derive(Debug)]
pub(in crate::process::proxy) enum Failure {
    /// There is no room for it now.
    Full(String),
    /// The disk failed.
    Disk(io::Error),
}

impl Body {
    /// Returns an empty one of a pool that has this account and may use so much.
    pub(in crate::process::proxy) fn new(
        spool: &Spool,
        bounds: RequestBuffering,
        account: &Arc<Account>,
        buffers: &Rc<Buffers>,
        load: Option<&Rc<Load>>,
    ) -> Box<Self> {
        account.bodies.fetch_add(1, Relaxed);
        Box::new(Self {
            disk: spool.disk().filter(|_| bounds.disk > 0),
            account: Arc::clone(account),
            bounds,
            buffers: Rc::clone(buffers),
            share: load.map(Share::new),
            extents: Vec::new(),
            blocks: 0,
            memory: VecDeque::new(),
            memory_bytes: 0,
            len: 0,
            writing: None,
            replay: Replay::default(),
            failure: None,
        })
    }

    /// Returns how long it is.
    pub(in crate::process::proxy) fn len(&self) -> u64 {
        self.len
    }

    /// Returns why nothing more is taken or read.
    pub(in crate::process::proxy) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Begins to be read again.
    pub(in crate::process::proxy) fn rewind(&mut self) {
        self.buffers
            .give_back(std::mem::take(&mut self.replay).loaded);
    }

    /// Takes some of these bytes.
    pub(in crate::process::proxy) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.poll_room(cx)).map(|room| self.append(slices, room));
        if let Some(share) = &mut self.share {
            share.note(self.memory_bytes);
        }
        Poll::Ready(written.map_err(|failure| {
            if matches!(failure, Failure::Full(_)) {
                self.account.refused.fetch_add(1, Relaxed);
            }
            self.failure = Some(failure);
            io::Error::from(ErrorKind::StorageFull)
        }))
    }

    /// Ready with room in memory.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        loop {
            if let Some(writing) = &mut self.writing {
                let done = ready!(Pin::new(writing).poll(cx));
                self.writing = None;
                let Done { buffer, result } = done.map_err(|_| gone())?;
                self.memory_bytes -= buffer.len();
                self.buffers.give_back(buffer);
                self.extents.push(result.map_err(Failure::of)?);
            }
            let room = self.room();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            self.write_out()?;
        }
    }

    fn room(&self) -> usize {
        let is_short = self.share.as_ref().is_some_and(Share::is_short);
        let most = match is_short && self.bounds.disk > 0 {
            // The others on its connection need it more.
            true => self.bounds.memory.min(SHORT_BYTES),
            false => self.bounds.memory,
        };
        most.saturating_sub(self.memory_bytes)
    }

    /// Has the first of what is in memory be written to the disk.
    fn write_out(&mut self) -> Result<(), Failure> {
        let disk = self.disk.as_ref().ok_or_else(gone)?;
        let Some(first) = self.memory.pop_front() else {
            return Err(gone());
        };
        if !self.account.take_block(self.bounds.disk) {
            let why = format!("the bodies of the pool fill its {} bytes", self.bounds.disk);
            return Err(Failure::Full(why));
        }
        self.blocks += 1;
        let (tell, done) = oneshot::channel();
        let told = disk.jobs.try_send(Job::Write(first, tell));
        told.map_err(|_| Failure::slow())?;
        self.writing = Some(done);
        Ok(())
    }

    fn append(&mut self, slices: &[IoSlice<'_>], mut room: usize) -> usize {
        let mut written = 0;
        for slice in slices {
            let mut some = &slice[..slice.len().min(room)];
            room -= some.len();
            written += some.len();
            while !some.is_empty() {
                if self.memory.back().is_none_or(|last| last.len() == BLOCK) {
                    self.memory.push_back(Vec::new());
                }
                let Some(last) = self.memory.back_mut() else {
                    break;
                };
                let (now, later) = some.split_at(some.len().min(BLOCK - last.len()));
                self.buffers.reserve(last, now.len());
                last.extend_from_slice(now);
                some = later;
            }
        }
        self.memory_bytes += written;
        self.len += written as u64;
        written
    }

    /// Reads on; 0 is the end.
    pub(in crate::process::proxy) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.replay.from < self.replay.loaded.len() {
                let Replay { loaded, from, .. } = &mut self.replay;
                return Poll::Ready(Ok(copy(loaded, from, into)));
            }
            if self.replay.next < self.extents.len() {
                if let Err(failure) = ready!(self.poll_load(cx)) {
                    self.failure = Some(failure);
                    return Poll::Ready(Err(ErrorKind::Other.into()));
                }
                continue;
            }
            if !self.replay.loaded.is_empty() {
                let loaded = std::mem::take(&mut self.replay.loaded);
                self.buffers.give_back(loaded);
                self.replay.from = 0;
            }
            let Replay { next, from, .. } = &mut self.replay;
            match self.memory.get(*next - self.extents.len()) {
                None => return Poll::Ready(Ok(0)),
                Some(piece) if *from == piece.len() => (*next, *from) = (*next + 1, 0),
                Some(piece) => return Poll::Ready(Ok(copy(piece, from, into))),
            }
        }
    }

    /// Has the next of what is on the disk be read.
    fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Self {
            replay,
            extents,
            disk,
            ..
        } = self;
        if replay.reading.is_none() {
            let (tell, done) = oneshot::channel();
            let buffer = std::mem::take(&mut replay.loaded);
            replay.from = 0;
            let job = Job::Read(extents[replay.next], buffer, tell);
            let disk = disk.as_ref().ok_or_else(gone)?;
            disk.jobs.try_send(job).map_err(|_| Failure::slow())?;
            replay.reading = Some(done);
        }
        let Some(reading) = &mut replay.reading else {
            return Poll::Ready(Err(gone()));
        };
        let done = ready!(Pin::new(reading).poll(cx));
        replay.reading = None;
        let Done { buffer, result } = done.map_err(|_| gone())?;
        result.map_err(Failure::of)?;
        replay.loaded = buffer;
        replay.next += 1;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Body {
    /// What the disk is still at is let go by its thread.
    fn drop(&mut self) {
        self.account.bodies.fetch_sub(1, Relaxed);
        self.account.give_back(self.blocks);
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.extents.is_empty()) {
            let freed = disk.freed.lock();
            let mut freed = freed.unwrap_or_else(PoisonError::into_inner);
            freed.extend(self.extents.iter().map(|extent| extent.block));
            drop(freed);
            // One that has much to do looks by itself.
            let _ = disk.jobs.try_send(Job::Look);
        }
        let loaded = std::mem::take(&mut self.replay.loaded);
        for buffer in self.memory.drain(..).chain([loaded]) {
            self.buffers.give_back(buffer);
        }
    }
}

impl Failure {
    /// The disk has not done in time what it was told.
    pub(in crate::process::proxy) fn slow() -> Self {
        Self::Full("the disk does not keep up".to_owned())
    }

    fn of(error: io::Error) -> Self {
        use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            true => Self::Full(error.to_string()),
            false => Self::Disk(error),
        }
    }
}

/// Copies what is left of a piece from there on, as much as fits.
fn copy(piece: &[u8], from: &mut usize, into: &mut [u8]) -> usize {
    let rest = &piece[*from..];
    let len = rest.len().min(into.len());
    into[..len].copy_from_slice(&rest[..len]);
    *from += len;
    len
}

fn gone() -> Failure {
    Failure::Disk(io::Error::other("there is no file for bodies"))
}

/// What one body holds in memory where its connection has little left for all.
const SHORT_BYTES: usize = 16 * 1024;
