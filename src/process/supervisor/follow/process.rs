//! The process `names`, as the supervisor has it: there as long as a configuration has a pool with
//! names, running or about to.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::names::Resolver;
use crate::config::Config;
use crate::ipc::channel::{self, Bounds};
use crate::ipc::message::ToNames;
use crate::process::role::Role;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::error::SupervisorError;

/// The process that looks names up.
#[derive(Debug)]
pub(crate) struct NamesProcess {
    pub(crate) child: Child,
    /// Nothing is wrong with the one that ends now.
    is_relieved: bool,
    resolver: Arc<Resolver>,
}

/// Returns whether a configuration needs the process.
pub(crate) fn has_names(config: &Config) -> bool {
    let mut pools = config.pools.iter();
    pools.any(|pool| !pool.follow.names.is_empty())
}

impl NamesProcess {
    /// Starts it, and has it asked.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(resolver: Arc<Resolver>, now: Instant) -> Result<Self, SupervisorError> {
        let mut names = Self {
            child: Child::new(Role::Names, BOUNDS, now),
            is_relieved: false,
            resolver,
        };
        names.start_again(now)?;
        Ok(names)
    }

    /// Starts a process in the place of the one before, and has it asked.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_again(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let pairs = [channel::pair()?, channel::pair()?];
        self.child.start(now, 1)?;
        let theirs: Vec<BorrowedFd<'_>> = pairs.iter().map(|(_, theirs)| theirs.as_fd()).collect();
        if let Err(errno) = self.child.pass(&ToNames::PassLines, &theirs) {
            // The next one gets them.
            tracing::error!(child = self.child.name(), error = %errno, "process is told nothing, killing it");
            self.child.kill();
            return Ok(());
        }
        drop(theirs);
        self.resolver.connect(pairs.map(|(ours, _)| ours));
        Ok(())
    }

    /// Has another process take its place; returns whether that is news.
    pub(crate) fn relieve(&mut self) -> bool {
        self.child.kill();
        !std::mem::replace(&mut self.is_relieved, true)
    }

    /// Returns whether the one that has ended was relieved, once.
    pub(crate) fn take_relieved(&mut self) -> bool {
        std::mem::take(&mut self.is_relieved)
    }
}

/// What it says beside answers is short, and it lends nothing.
const BOUNDS: Bounds = Bounds {
    file_bytes: 64 * 1024,
    descriptors: 0,
};
