//! What of bodies there is, pool by pool, and how much of the file each pool has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::blocks::BLOCK;

/// What the requests of one pool keep, whatever thread they are on.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Account {
    pub(super) bodies: AtomicU64,
    disk_bytes: AtomicU64,
    refused: AtomicU64,
}

impl Account {
    /// Returns how many bodies there are now.
    pub(in crate::process::proxy) fn bodies(&self) -> u64 {
        self.bodies.load(Relaxed)
    }

    /// Returns how much of the file they have now.
    pub(in crate::process::proxy) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Relaxed)
    }

    /// Returns for how many there was no room.
    pub(in crate::process::proxy) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Counts one.
    pub(in crate::process::proxy) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}

/// Room in the file that was taken from an account, whole blocks of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    account: Arc<Account>,
    blocks: usize,
}

impl Taken {
    /// Takes room for so many bytes, where a pool that may have so much has not got all of it.
    pub(super) fn of(account: &Arc<Account>, bytes: usize, bytes_max: u64) -> Option<Self> {
        let blocks = bytes.div_ceil(BLOCK);
        let wanted = (blocks * BLOCK) as u64;
        let more = |bytes: u64| bytes.checked_add(wanted).filter(|sum| *sum <= bytes_max);
        let taken = account.disk_bytes.fetch_update(Relaxed, Relaxed, more);
        taken.ok().map(|_| Self {
            account: Arc::clone(account),
            blocks,
        })
    }

    /// Returns one block of it, where it has one.
    pub(super) fn split(&mut self) -> Self {
        let blocks = self.blocks.min(1);
        self.blocks -= blocks;
        Self {
            account: Arc::clone(&self.account),
            blocks,
        }
    }

    pub(super) fn join(&mut self, mut other: Self) {
        self.blocks += std::mem::take(&mut other.blocks);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = (self.blocks * BLOCK) as u64;
        self.account.disk_bytes.fetch_sub(bytes, Relaxed);
    }
}
