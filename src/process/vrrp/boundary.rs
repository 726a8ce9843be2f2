//! The supervisor as the vrrp process sees it: a channel that never makes the protocol thread wait.
//!
//! The real channel is `ipc::channel`; tests have their own. Messages that do not fit in the
//! channel at the moment are kept by the loop and sent again, but for beats, which are dropped: the
//! next one comes 50 ms later.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::ipc::message::{FromVrrp, ToVrrp};

/// The other end of the channel. No method waits.
pub trait Supervisor {
    /// Returns the descriptor that becomes readable when there is something to receive.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Takes the next message, if a whole one is there.
    ///
    /// # Errors
    /// When the channel breaks.
    fn receive(&mut self) -> io::Result<Received>;

    /// Sends a message with descriptors, or says that it does not fit now.
    fn send(&mut self, message: &FromVrrp, descriptors: &[BorrowedFd<'_>]) -> Sent;
}

/// What `receive` found.
#[derive(Debug)]
pub enum Received {
    /// A message and the descriptors that came with it.
    Message(ToVrrp, Vec<OwnedFd>),
    /// Nothing at the moment.
    Nothing,
    /// A message came and could not be taken for want of descriptors or memory.
    Lost,
    /// The supervisor is gone.
    Closed,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Done,
    /// There is no room; nothing of it was sent.
    Full,
    /// The supervisor is gone.
    Closed,
}
