//! A stream's part of what its connection may hold, and of whether that is idle.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::process::proxy::downstream::client::Client;
use crate::process::proxy::io::deadline::{Deadline, Phase};
use crate::process::proxy::io::frames::load::Reserved;

/// What a stream has of its connection, until it is dropped.
pub(super) struct Part {
    reserved: Reserved,
    /// Whose connection it is.
    pub(super) client: SocketAddr,
    /// Of the connection: it is idle without streams.
    deadline: Rc<Deadline>,
    keep_alive: Duration,
}

impl Part {
    pub(super) fn new(reserved: Reserved, client: &Client, keep_alive: Duration) -> Self {
        // Each stream has its own time.
        client.deadline.enter(Phase::Relaying, Duration::MAX);
        Self {
            reserved,
            client: client.address,
            deadline: Rc::clone(&client.deadline),
            keep_alive,
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.reserved.is_last() {
            self.deadline.enter(Phase::Idle, self.keep_alive);
        }
    }
}
