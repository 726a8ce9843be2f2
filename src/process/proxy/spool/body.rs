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

use super::account::{Account, Taken};
use super::disk::{Done, Extent, Job, Lent};
use super::{Disk, Spool};
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
    /// Behind what is on the disk, in pieces.
    memory: VecDeque<Vec<u8>>,
    memory_bytes: usize,
    len: u64,
    writing: Option<Work<Vec<Extent>>>,
    replay: Replay,
    failure: Option<Failure>,
}

/// What the disk has been told to do, and with which buffer.
struct Work<T> {
    lent: Lent,
    done: oneshot::Receiver<Done<T>>,
}

/// How far it has been read.
#[derive(Default)]
struct Replay {
    /// The next of the extents to be read from the disk, and behind the last the next piece of what
    /// is in memory.
    next: usize,
    /// How much of that has been read, or handed on.
    at: usize,
    reading: Option<Work<()>>,
    /// What was read from the disk last.
    loaded: Vec<u8>,
    /// How much of that has been handed on.
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
        let Replay {
            loaded, reading, ..
        } = std::mem::take(&mut self.replay);
        let lent = reading.and_then(|reading| reading.lent.take());
        for buffer in lent.into_iter().chain([loaded]) {
            self.buffers.give_back(buffer);
        }
        self.note_memory();
    }

    /// Takes some of these bytes.
    pub(in crate::process::proxy) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.poll_room(cx)).map(|room| self.append(slices, room));
        self.note_memory();
        Poll::Ready(written.map_err(|failure| {
            self.failure = Some(failure);
            io::Error::from(ErrorKind::StorageFull)
        }))
    }

    /// Has its connection know what it holds.
    fn note_memory(&mut self) {
        if let Some(share) = &mut self.share {
            share.note(self.memory_bytes + self.replay.loaded.len());
        }
    }

    /// Ready with room in memory.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        loop {
            if let Some(writing) = &mut self.writing {
                let done = ready!(Pin::new(&mut writing.done).poll(cx));
                self.writing = None;
                let Done { buffer, result } = done.map_err(|_| gone())?;
                self.memory_bytes -= buffer.len();
                self.buffers.give_back(buffer);
                self.extents.extend(result.map_err(Failure::of)?);
            }
            let room = self.room();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            self.write_out()?;
        }
    }

    fn room(&self) -> usize {
        let most = match self.is_short() && self.bounds.disk > 0 {
            // The others on its connection need it more.
            true => self.bounds.memory.min(SHORT_BYTES),
            false => self.bounds.memory,
        };
        most.saturating_sub(self.memory_bytes)
    }

    /// Returns whether little is left for all that are on its connection.
    fn is_short(&self) -> bool {
        self.share.as_ref().is_some_and(Share::is_short)
    }

    /// Has the first of what is in memory be written to the disk.
    fn write_out(&mut self) -> Result<(), Failure> {
        let disk = self.disk.as_ref().ok_or_else(gone)?;
        let Some(first) = self.memory.pop_front() else {
            return Err(gone());
        };
        let Some(taken) = Taken::of(&self.account, first.len(), self.bounds.disk) else {
            self.memory.push_front(first);
            let why = format!("the bodies of the pool fill its {} bytes", self.bounds.disk);
            return Err(Failure::Full(why));
        };
        let (tell, done) = oneshot::channel();
        let lent = Lent::new(first);
        let told = disk.jobs.try_send(Job::Write(lent.clone(), taken, tell));
        self.writing = Some(Work { lent, done });
        told.map_err(|_| Failure::slow())
    }

    fn append(&mut self, slices: &[IoSlice<'_>], mut room: usize) -> usize {
        let mut written = 0;
        for slice in slices {
            let mut some = &slice[..slice.len().min(room)];
            room -= some.len();
            written += some.len();
            while !some.is_empty() {
                if self.memory.back().is_none_or(|last| last.len() == PIECE) {
                    self.memory.push_back(Vec::new());
                }
                let Some(last) = self.memory.back_mut() else {
                    break;
                };
                let (now, later) = some.split_at(some.len().min(PIECE - last.len()));
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
                self.note_memory();
            }
            let Replay { next, at, .. } = &mut self.replay;
            match self.memory.get(*next - self.extents.len()) {
                None => return Poll::Ready(Ok(0)),
                Some(piece) if *at == piece.len() => (*next, *at) = (*next + 1, 0),
                Some(piece) => return Poll::Ready(Ok(copy(piece, at, into))),
            }
        }
    }

    /// Has the next of what is on the disk be read.
    fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let most = match self.is_short() {
            true => SHORT_BYTES,
            false => PIECE,
        };
        let extent = &self.extents[self.replay.next];
        let replay = &mut self.replay;
        let reading = match &mut replay.reading {
            Some(reading) => reading,
            None => {
                let len = (extent.len - replay.at).min(most);
                let mut buffer = std::mem::take(&mut replay.loaded);
                buffer.clear();
                self.buffers.reserve(&mut buffer, len);
                replay.from = 0;
                let (tell, done) = oneshot::channel();
                let lent = Lent::new(buffer);
                let job = Job::Read(lent.clone(), (extent.offset(replay.at), len), tell);
                let reading = replay.reading.insert(Work { lent, done });
                let disk = self.disk.as_ref().ok_or_else(gone)?;
                disk.jobs.try_send(job).map_err(|_| Failure::slow())?;
                reading
            }
        };
        let done = ready!(Pin::new(&mut reading.done).poll(cx));
        replay.reading = None;
        let Done { buffer, result } = done.map_err(|_| gone())?;
        replay.at += buffer.len();
        replay.loaded = buffer;
        if let Err(error) = result {
            replay.from = replay.loaded.len();
            return Poll::Ready(Err(Failure::of(error)));
        }
        if replay.at == extent.len {
            (replay.next, replay.at) = (replay.next + 1, 0);
        }
        self.note_memory();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Body {
    /// What the disk is still at is let go by its thread.
    fn drop(&mut self) {
        self.account.bodies.fetch_sub(1, Relaxed);
        self.rewind();
        let lent = self.writing.take();
        let lent = lent.and_then(|writing| writing.lent.take());
        for buffer in self.memory.drain(..).chain(lent) {
            self.buffers.give_back(buffer);
        }
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.extents.is_empty()) {
            let freed = disk.freed.lock();
            let mut freed = freed.unwrap_or_else(PoisonError::into_inner);
            freed.append(&mut self.extents);
            drop(freed);
            // One that has much to do looks by itself.
            let _ = disk.jobs.try_send(Job::Look);
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

/// What is written and read at a time.
const PIECE: usize = 64 * 1024;
/// What one body holds in memory where its connection has little left for all.
const SHORT_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::task::Waker;

    use tokio::sync::mpsc;

    use super::*;

    const BOUNDS: RequestBuffering = RequestBuffering {
        memory: PIECE,
        disk: 100 * PIECE as u64,
    };

    /// A disk that does nothing, and what it is told.
    fn stalled() -> (Spool, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::channel(1000);
        let freed = Arc::default();
        let spool = Spool::default();
        *spool.disk.lock().unwrap() = Some(Disk { jobs, freed });
        (spool, queue)
    }

    /// Writes until the disk is waited for.
    fn fill(body: &mut Body) {
        let mut cx = Context::from_waker(Waker::noop());
        let bytes = vec![7; 48 * 1024];
        while body.poll_write(&mut cx, &[IoSlice::new(&bytes)]).is_ready() {}
    }

    /// The disk takes nothing: what was to be written is held by nobody whose request has ended,
    /// and counts until the disk has heard of it.
    #[test]
    fn a_disk_that_stalls_holds_no_memory_and_all_of_its_room() {
        let (spool, mut queue) = stalled();
        let account = Arc::<Account>::default();
        let body = || Body::new(&spool, BOUNDS, &account, &Rc::default(), None);
        for _ in 0..100 {
            let mut body = body();
            fill(&mut body);
            assert!(body.writing.is_some());
        }
        let mut last = body();
        fill_until_full(&mut last);
        assert_eq!((account.bodies(), account.disk_bytes()), (1, BOUNDS.disk));
        drop(last);
        let mut held = 0;
        while let Ok(job) = queue.try_recv() {
            match job {
                Job::Write(lent, ..) => held += usize::from(lent.take().is_some()),
                Job::Read(..) | Job::Look => {}
            }
        }
        assert_eq!((held, account.bodies(), account.disk_bytes()), (0, 0, 0));
    }

    /// Nor does one that was to be read for a request that has ended, or is read again.
    #[test]
    fn what_is_to_be_read_for_nobody_is_held_by_nobody() {
        let (spool, mut queue) = stalled();
        let mut cx = Context::from_waker(Waker::noop());
        let mut body = Body::new(&spool, BOUNDS, &Arc::default(), &Rc::default(), None);
        fill(&mut body);
        let Ok(Job::Write(lent, taken, tell)) = queue.try_recv() else {
            panic!("nothing is written");
        };
        let buffer = lent.take().unwrap();
        let result = Ok(vec![Extent::new(0, buffer.len(), taken)]);
        assert!(tell.send(Done { buffer, result }).is_ok());
        fill(&mut body);
        let mut into = vec![0; PIECE];
        for _ in 0..3 {
            assert!(body.poll_read(&mut cx, &mut into).is_pending());
            body.rewind();
        }
        assert!(body.poll_read(&mut cx, &mut into).is_pending());
        drop(body);
        let mut reads = 0;
        while let Ok(job) = queue.try_recv() {
            if let Job::Read(lent, ..) = job {
                reads += 1;
                assert!(lent.take().is_none(), "read {reads}");
            }
        }
        assert_eq!(reads, 4);
    }

    fn fill_until_full(body: &mut Body) {
        let mut cx = Context::from_waker(Waker::noop());
        let bytes = vec![7; PIECE];
        let slices = [IoSlice::new(&bytes)];
        assert!(matches!(
            body.poll_write(&mut cx, &slices),
            Poll::Ready(Ok(PIECE))
        ));
        assert!(matches!(
            body.poll_write(&mut cx, &slices),
            Poll::Ready(Err(_))
        ));
        assert!(matches!(body.take_failure(), Some(Failure::Full(_))));
    }
}
