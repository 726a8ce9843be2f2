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
            let oldest = self.waiting.iter().position(may_be_lost);
            self.waiting.remove(oldest.unwrap_or(0));
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

/// Returns whether nobody waits for a message, so that it may be dropped: the state can be asked
/// for at any time.
fn may_be_lost(message: &FromVrrp) -> bool {
    match message {
        FromVrrp::Transition(_) | FromVrrp::Log(_) | FromVrrp::Beat { .. } => true,
        FromVrrp::KeepSockets { .. }
        | FromVrrp::Lacking(_)
        | FromVrrp::Ready
        | FromVrrp::Prepared { .. }
        | FromVrrp::Committed { .. }
        | FromVrrp::Status { .. }
        | FromVrrp::Observed { .. }
        | FromVrrp::HandedOver
        | FromVrrp::Stopped => false,
    }
}

/// When it is full the oldest is dropped that may be lost.
const WAITING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::message::{StateName, TransitionReport};
    use crate::model::{Family, RouterName};

    #[test]
    fn answers_outlive_more_transitions_than_there_is_room() {
        let mut outbox = Outbox::default();
        let answer = FromVrrp::Committed { generation: 7 };
        outbox.push(answer.clone());
        for at_ns in 0..1000 {
            outbox.push(FromVrrp::Transition(TransitionReport {
                router: RouterName {
                    entry: "web".into(),
                    family: Family::Ipv4,
                },
                from: StateName::Backup,
                to: StateName::Active,
                cause: String::new(),
                at_ns,
            }));
        }
        assert_eq!(outbox.waiting.len(), WAITING_MAX, "it has a bound");
        assert_eq!(outbox.waiting.front(), Some(&answer));
    }
}
