//! The thread that writes and reads the spool's file: a disk may stall, and no worker may.
//!
//! Every body has one piece of work here at most. A file that nobody needs takes no room: what is
//! given back is taken off its end, or a hole in it; only then it is another's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LockResult, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use tokio::sync::{mpsc, oneshot};

use super::account::Taken;
use super::blocks::{BLOCK, Blocks};

/// Bytes of the file, in whole blocks, and the room for them.
#[derive(Debug)]
pub(super) struct Extent {
    block: u32,
    pub(super) len: usize,
    taken: Taken,
}

/// What the thread is told to do.
pub(super) enum Job {
    /// Write what is lent, in the room that was taken for it.
    Write(Lent, Taken, oneshot::Sender<Done<Vec<Extent>>>),
    /// Read so many bytes from there on into what is lent.
    Read(Lent, (u64, usize), oneshot::Sender<Done<()>>),
    /// Look what is needed no more.
    Look,
}

/// A buffer that is lent; whoever has lent it takes it back where it is not in use yet.
#[derive(Clone, Debug)]
pub(super) struct Lent(Arc<Mutex<Option<Vec<u8>>>>);

/// What is needed no more; as much as there is, at most.
pub(super) type Freed = Mutex<Vec<Extent>>;

/// The buffer comes back, with what has become of the work.
pub(super) struct Done<T> {
    pub(super) buffer: Vec<u8>,
    pub(super) result: io::Result<T>,
}

impl Extent {
    pub(super) fn new(block: u32, len: usize, taken: Taken) -> Self {
        Self { block, len, taken }
    }

    /// Returns where it is in the file, from so many of its bytes on.
    pub(super) fn offset(&self, from: usize) -> u64 {
        offset(self.block) + from as u64
    }

    fn blocks(&self) -> impl Iterator<Item = u32> + use<> {
        (self.block..).take(self.len.div_ceil(BLOCK))
    }
}

impl Lent {
    pub(super) fn new(buffer: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Some(buffer))))
    }

    /// Returns the buffer, unless it has been taken.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        unpoisoned(self.0.lock()).take()
    }
}

/// Works until nobody is there who could ask.
pub(super) fn run(file: File, mut jobs: mpsc::Receiver<Job>, freed: &Freed) {
    let mut disk = Disk {
        file,
        blocks: Blocks::default(),
        end: 0,
        makes_holes: true,
    };
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Write(lent, taken, tell) => {
                if let Some(buffer) = lent.take() {
                    let result = disk.write(&buffer, taken);
                    if let Err(unheard) = tell.send(Done { buffer, result })
                        && let Ok(extents) = unheard.result
                    {
                        // Its request has ended meanwhile.
                        disk.free(extents);
                    }
                }
            }
            Job::Read(lent, (from, len), tell) => {
                if let Some(mut buffer) = lent.take() {
                    buffer.resize(len, 0);
                    let result = disk.file.read_exact_at(&mut buffer, from);
                    let _ = tell.send(Done { buffer, result });
                }
            }
            Job::Look => {}
        }
        let extents = std::mem::take(&mut *unpoisoned(freed.lock()));
        disk.free(extents);
    }
}

struct Disk {
    file: File,
    blocks: Blocks,
    /// Blocks that the file has.
    end: u32,
    /// Whether the file system can.
    makes_holes: bool,
}

impl Disk {
    /// Writes bytes to as many blocks as they need, in as few pieces as these make.
    fn write(&mut self, bytes: &[u8], mut taken: Taken) -> io::Result<Vec<Extent>> {
        let mut extents: Vec<Extent> = Vec::new();
        for bytes in bytes.chunks(BLOCK) {
            let (block, room) = (self.blocks.take(), taken.split());
            self.end = self.end.max(block + 1);
            match extents.last_mut() {
                Some(last) if last.blocks().last() == block.checked_sub(1) => {
                    last.len += bytes.len();
                    last.taken.join(room);
                }
                Some(_) | None => extents.push(Extent::new(block, bytes.len(), room)),
            }
        }
        let mut rest = bytes;
        for extent in &extents {
            let (now, later) = rest.split_at(extent.len);
            if let Err(error) = self.file.write_all_at(now, extent.offset(0)) {
                self.free(extents);
                return Err(error);
            }
            rest = later;
        }
        Ok(extents)
    }

    /// Gives the blocks back, and then the room for them.
    fn free(&mut self, extents: Vec<Extent>) {
        let blocks: Vec<u32> = extents.iter().flat_map(Extent::blocks).collect();
        let end = self.blocks.give_back(&blocks);
        if end < self.end && self.file.set_len(offset(end)).is_ok() {
            self.end = end;
        }
        for extent in &extents {
            if self.makes_holes && extent.block < end {
                self.makes_holes = self.make_hole(extent);
            }
        }
    }

    /// Returns whether the file system can.
    fn make_hole(&self, extent: &Extent) -> bool {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let from = i64::try_from(extent.offset(0));
        let len = i64::try_from(extent.len.next_multiple_of(BLOCK));
        let (Ok(from), Ok(len)) = (from, len) else {
            return false;
        };
        // What stays there for any other reason is written over one day.
        fallocate(&self.file, flags, from, len) != Err(Errno::EOPNOTSUPP)
    }
}

fn offset(block: u32) -> u64 {
    u64::from(block) * BLOCK as u64
}

/// What is in these locks is whole at every moment.
fn unpoisoned<'a, T>(lock: LockResult<MutexGuard<'a, T>>) -> MutexGuard<'a, T> {
    lock.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::process::proxy::spool::account::Account;

    const PIECE: usize = 4 * BLOCK;

    fn blocks_on_disk(file: &File) -> u64 {
        use std::os::unix::fs::MetadataExt;
        file.metadata().unwrap().blocks()
    }

    fn disk() -> (Disk, File, Arc<Account>) {
        let file = tempfile::tempfile().unwrap();
        let seen = file.try_clone().unwrap();
        let disk = Disk {
            file,
            blocks: Blocks::default(),
            end: 0,
            makes_holes: true,
        };
        (disk, seen, Arc::default())
    }

    fn write(disk: &mut Disk, account: &Arc<Account>, bytes: &[u8]) -> Vec<Extent> {
        let taken = Taken::of(account, bytes.len(), u64::MAX).unwrap();
        disk.write(bytes, taken).unwrap()
    }

    #[test]
    fn what_is_freed_takes_no_room_in_the_file() {
        let (mut disk, seen, account) = disk();
        let bytes = vec![7; PIECE];
        let mut pieces: Vec<_> = (0..3).map(|_| write(&mut disk, &account, &bytes)).collect();
        let full = blocks_on_disk(&seen);
        assert_eq!(seen.metadata().unwrap().len(), 3 * PIECE as u64);
        assert_eq!(account.disk_bytes(), 3 * PIECE as u64);
        disk.free(pieces.remove(0));
        assert!(!disk.makes_holes || blocks_on_disk(&seen) < full);
        disk.free(pieces.remove(1));
        assert_eq!(seen.metadata().unwrap().len(), 2 * PIECE as u64);
        assert_eq!(account.disk_bytes(), PIECE as u64);
        disk.free(pieces.remove(0));
        assert_eq!(seen.metadata().unwrap().len(), 0);
        assert_eq!(account.disk_bytes(), 0);
    }

    /// What lies apart is as many extents, and reads as it was written.
    #[test]
    fn pieces_go_where_there_is_room() {
        let (mut disk, seen, account) = disk();
        let bytes: Vec<u8> = (0..PIECE).map(|at| at.to_le_bytes()[1]).collect();
        let mut small: Vec<_> = (0..4)
            .map(|_| write(&mut disk, &account, &bytes[..BLOCK]))
            .collect();
        disk.free(small.remove(2));
        disk.free(small.remove(0));
        let extents = write(&mut disk, &account, &bytes[..PIECE - 5]);
        let lens: Vec<usize> = extents.iter().map(|extent| extent.len).collect();
        assert_eq!(lens, [BLOCK, BLOCK, 2 * BLOCK - 5]);
        let mut read = Vec::new();
        for extent in &extents {
            let mut part = vec![0; extent.len];
            seen.read_exact_at(&mut part, extent.offset(0)).unwrap();
            read.extend(part);
        }
        assert!(read == bytes[..PIECE - 5]);
        assert_eq!(account.disk_bytes(), 6 * BLOCK as u64);
    }

    #[test]
    fn what_was_written_for_nobody_is_freed_and_what_was_taken_back_is_not_written() {
        let file = tempfile::tempfile().unwrap();
        let seen = file.try_clone().unwrap();
        let (jobs, queue) = mpsc::channel(4);
        let account = Arc::<Account>::default();
        let taken = || Taken::of(&account, 10, u64::MAX).unwrap();
        let (tell, heard) = oneshot::channel();
        drop(heard);
        let lent = Lent::new(vec![1; 10]);
        jobs.blocking_send(Job::Write(lent, taken(), tell)).unwrap();
        let (tell, mut heard) = oneshot::channel();
        let lent = Lent::new(vec![1; 10]);
        jobs.blocking_send(Job::Write(lent.clone(), taken(), tell))
            .unwrap();
        assert_eq!(lent.take(), Some(vec![1; 10]));
        drop(jobs);
        assert_eq!(account.disk_bytes(), 2 * BLOCK as u64);
        run(file, queue, &Freed::default());
        assert!(heard.try_recv().is_err());
        assert_eq!(seen.metadata().unwrap().len(), 0);
        assert_eq!(account.disk_bytes(), 0);
    }
}
