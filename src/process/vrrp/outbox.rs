//! Messages to the supervisor that wait for room in the channel.

use std::collections::VecDeque;

use super::boundary::{Sent, Supervisor};
use crate::ipc::message::FromVrrp;

/// In the order in which they are to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<FromVrrp>,
}

impl Outbox {
    /// Appends a message.
    pub fn push(&mut self, message: FromVrrp) {
        if let FromVrrp::Observed { what: new, .. } = &message {
            // Of what is followed only the last word counts.
            let is_older =
                |old: &FromVrrp| matches!(old, FromVrrp::Observed { what, .. } if what == new);
            self.waiting.retain(|old| !is_older(old));
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    /// Sends what fits; returns what stopped it, or `Done` when nothing waits any more.
    pub fn flush(&mut self, supervisor: &mut impl Supervisor) -> Sent {
        while let Some(message) = self.waiting.front() {
            match supervisor.send(message, &[]) {
                Sent::Done => {
                    self.waiting.pop_front();
                }
                stopped @ (Sent::Full | Sent::Closed) => return stopped,
            }
        }
        Sent::Done
    }
}

/// When it is full the oldest is dropped: the state can be asked for at any time.
const WAITING_MAX: usize = 256;
