//! The thread that writes and reads the spool's file: a disk may stall, and no worker may.
//!
//! Every body has one piece of work here at most. A file that nobody needs takes no room: what is
//! given back is taken off its end, or a hole in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{FallocateFlags, fallocate};
use tokio::sync::{mpsc, oneshot};

use super::blocks::Blocks;

/// So many bytes of a block, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) block: u32,
    pub(super) len: usize,
}

/// What the thread is told to do.
pub(super) enum Job {
    /// Write these bytes, of a block at most, to a block of its own.
    Write(Vec<u8>, oneshot::Sender<Done<Extent>>),
    /// Read an extent into this buffer.
    Read(Extent, Vec<u8>, oneshot::Sender<Done<()>>),
    /// Look what is needed no more.
    Look,
}

/// Blocks that are needed no more; as many as there are, at most.
pub(super) type Freed = Mutex<Vec<u32>>;

/// The buffer comes back, with what has become of the work.
pub(super) struct Done<T> {
    pub(super) buffer: Vec<u8>,
    pub(super) result: io::Result<T>,
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
            Job::Write(buffer, tell) => {
                let result = disk.write(&buffer);
                let block = result.as_ref().ok().map(|extent| extent.block);
                if tell.send(Done { buffer, result }).is_err() {
                    // Its request has ended meanwhile.
                    disk.free(block.as_slice());
                }
            }
            Job::Read(extent, mut buffer, tell) => {
                buffer.resize(extent.len, 0);
                let result = disk.file.read_exact_at(&mut buffer, offset(extent.block));
                let _ = tell.send(Done { buffer, result });
            }
            Job::Look => {}
        }
        // What is in it is whole at every moment.
        let mut freed = freed.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = std::mem::take(&mut *freed);
        drop(freed);
        disk.free(&blocks);
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
    fn write(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let block = self.blocks.take();
        self.end = self.end.max(block + 1);
        if let Err(error) = self.file.write_all_at(bytes, offset(block)) {
            self.free(&[block]);
            return Err(error);
        }
        let len = bytes.len();
        Ok(Extent { block, len })
    }

    fn free(&mut self, blocks: &[u32]) {
        let end = self.blocks.give_back(blocks);
        if end < self.end && self.file.set_len(offset(end)).is_ok() {
            self.end = end;
        }
        let inner = blocks.iter().filter(|&&block| block < end);
        for &block in inner {
            if self.makes_holes {
                self.makes_holes = self.make_hole(block);
            }
        }
    }

    fn make_hole(&self, block: u32) -> bool {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let from = i64::try_from(offset(block));
        let len = i64::try_from(BLOCK);
        let (Ok(from), Ok(len)) = (from, len) else {
            return false;
        };
        fallocate(&self.file, flags, from, len).is_ok()
    }
}

fn offset(block: u32) -> u64 {
    u64::from(block) * BLOCK as u64
}

/// What is written and read at a time.
pub(in crate::process::proxy) const BLOCK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn blocks_on_disk(file: &File) -> u64 {
        use std::os::unix::fs::MetadataExt;
        file.metadata().unwrap().blocks()
    }

    #[test]
    fn what_is_freed_takes_no_room_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        let seen = file.try_clone().unwrap();
        let mut disk = Disk {
            file,
            blocks: Blocks::default(),
            end: 0,
            makes_holes: true,
        };
        let bytes = vec![7; BLOCK];
        let extents: Vec<Extent> = (0..3).map(|_| disk.write(&bytes).unwrap()).collect();
        let full = blocks_on_disk(&seen);
        assert_eq!(seen.metadata().unwrap().len(), 3 * BLOCK as u64);
        disk.free(&[extents[0].block]);
        assert!(!disk.makes_holes || blocks_on_disk(&seen) < full);
        disk.free(&[extents[2].block]);
        assert_eq!(seen.metadata().unwrap().len(), 2 * BLOCK as u64);
        disk.free(&[extents[1].block]);
        assert_eq!(seen.metadata().unwrap().len(), 0);
        assert_eq!(
            disk.write(&bytes[..10]).unwrap(),
            Extent { block: 0, len: 10 }
        );
    }

    #[test]
    fn what_was_written_for_nobody_is_freed() {
        let file = tempfile::tempfile().unwrap();
        let seen = file.try_clone().unwrap();
        let (jobs, queue) = mpsc::channel(4);
        let (tell, heard) = oneshot::channel();
        drop(heard);
        jobs.blocking_send(Job::Write(vec![1; 10], tell)).unwrap();
        drop(jobs);
        run(file, queue, &Freed::default());
        assert_eq!(seen.metadata().unwrap().len(), 0);
    }
}
