//! A generation with all that the threads need to serve by it: who accepts from which socket, the
//! shares of the descriptors, the access log; and the answers of the threads to it.
//!
//! The main thread says what it desires, the threads follow: a deployment that is next is
//! prepared, and one that runs is taken up, which cannot fail where it was prepared. Each thread
//! answers each step once. Nothing waits: the last answer tells.

mod answers;
mod sockets;

use std::sync::Arc;
use std::time::Duration;

pub(super) use self::answers::Answers;
pub(super) use self::sockets::{Placed, Sockets};

use super::access::Log;
use super::generation::Generation;
use crate::logic::descriptors::Shares;

/// A generation, deployed or to be.
pub(super) struct Deployment {
    pub(super) generation: Arc<Generation>,
    /// So many workers accept, the first ones; the others keep what they have.
    pub(super) threads: usize,
    pub(super) sockets: Sockets,
    /// How the descriptors are shared out.
    pub(super) shares: Shares,
    /// As the configuration has it.
    pub(super) connections: u64,
    /// How long the connections of a listener may take that this generation does not have.
    pub(super) drain: Duration,
    pub(super) log: Option<Arc<Log>>,
    /// Of all workers: whether they can.
    pub(super) prepared: Answers,
    /// Of all workers and the health checks: that they do.
    pub(super) committed: Answers,
}

/// What the threads are to do.
#[derive(Clone)]
pub(super) struct Desired {
    /// New requests are served by this.
    pub(super) running: Arc<Deployment>,
    /// This is to be prepared.
    pub(super) next: Option<Arc<Deployment>>,
}
