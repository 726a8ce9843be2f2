//! How far a change of the configuration is, what it waits for, and who asks for it;
//! `daemon::reload` drives it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::next::Next;
use super::prepared::Read;
use super::renewal::Renewal;
use super::source::ConfigSource;
use crate::ipc::control::{BackendChange, ChangeReport, MaintenanceChange, Request, Response};
use crate::process::role::Role;
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::error::SupervisorError;

/// Changes that are under way, and those that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) stage: Stage,
    /// Bounded by [`WAITING_MAX`], and a signal; more are refused.
    pub(crate) waiting: VecDeque<Order>,
    /// Of the last that was prepared; a child knows a preparation by it.
    pub(crate) number: u64,
    /// What was found anew, until it is taken up: it takes the place of nobody who waits.
    pub(crate) renewal: Option<Renewal>,
}

/// What somebody asks for.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) change: Change,
    pub(crate) asker: Asker,
}

/// Who asks for it.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Say only what would change.
    pub(crate) dry_run: bool,
    /// `None`: nobody waits, it came as a signal.
    pub(crate) reply: Option<oneshot::Sender<Response>>,
}

impl Asker {
    /// Returns whether who asked does not wait any more.
    fn is_gone(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// What is to change.
#[derive(Debug)]
pub(crate) enum Change {
    /// Everything, to what a file says.
    File(ConfigSource),
    /// One backend.
    Backend {
        pool: String,
        backend: String,
        change: BackendChange,
    },
    /// One base priority.
    Router { entry: String, priority: Option<u8> },
    /// Whether one listener serves.
    Maintenance {
        listener: String,
        change: MaintenanceChange,
    },
}

#[derive(Debug, Default)]
pub(crate) enum Stage {
    #[default]
    Idle,
    Reading(Asker, Aside<Result<Read, SupervisorError>>),
    Preparing(Box<Preparing>),
    Committing(Committing),
}

#[derive(Debug)]
pub(crate) struct Preparing {
    pub(crate) asker: Asker,
    pub(crate) next: Next,
    pub(crate) children: Awaited,
    pub(crate) until: Instant,
    /// What was found anew, where nothing else changes.
    pub(crate) renewal: Option<Renewal>,
}

#[derive(Debug)]
pub(crate) struct Committing {
    pub(crate) reply: Option<oneshot::Sender<Response>>,
    pub(crate) report: ChangeReport,
    pub(crate) children: Awaited,
    pub(crate) until: Instant,
    /// Whether it is another configuration, and not only what was found anew.
    pub(crate) is_reload: bool,
}

/// Which children have not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) vrrp: bool,
    pub(crate) proxy: bool,
}

impl Awaited {
    pub(crate) fn answered(&mut self, role: Role) {
        match role {
            Role::Vrrp => self.vrrp = false,
            Role::Proxy => self.proxy = false,
            Role::Supervisor | Role::Keys | Role::Names | Role::Admin => {}
        }
    }

    pub(crate) const fn has(self, role: Role) -> bool {
        match role {
            Role::Vrrp => self.vrrp,
            Role::Proxy => self.proxy,
            Role::Supervisor | Role::Keys | Role::Names | Role::Admin => false,
        }
    }

    pub(crate) const fn nobody(self) -> bool {
        !self.vrrp && !self.proxy
    }

    pub(crate) fn names(self) -> String {
        let all = [(self.vrrp, Role::Vrrp), (self.proxy, Role::Proxy)];
        let late = all.into_iter().filter(|(late, _)| *late);
        let names: Vec<_> = late.map(|(_, role)| role.profile().name).collect();
        names.join(" and ")
    }
}

impl Reloads {
    /// Lets an order wait for its turn; gives it back where too many wait. A signal always finds a
    /// place: a second one that waits says nothing that the first does not.
    pub(crate) fn enqueue(&mut self, order: Order) -> Result<(), Order> {
        let is_signal = |order: &Order| order.asker.reply.is_none();
        if is_signal(&order) {
            if !self.waiting.iter().any(is_signal) {
                self.waiting.push_back(order);
            }
            return Ok(());
        }
        self.waiting.retain(|waiting| !waiting.asker.is_gone());
        if self.waiting.len() >= WAITING_MAX {
            return Err(order);
        }
        self.waiting.push_back(order);
        Ok(())
    }

    /// Returns the order whose turn it is. Who has been told that it is late is not surprised by
    /// it afterwards.
    pub(crate) fn next_order(&mut self) -> Option<Order> {
        while let Some(order) = self.waiting.pop_front() {
            if !order.asker.is_gone() {
                return Some(order);
            }
        }
        None
    }

    /// Returns whether this child may still be under the configuration before.
    pub(crate) const fn await_commitment_of(&self, role: Role) -> bool {
        match &self.stage {
            Stage::Committing(committing) => committing.children.has(role),
            Stage::Idle | Stage::Reading(..) | Stage::Preparing(_) => false,
        }
    }

    /// Waits for a file that is being read; for ever where none is. Cancel safe.
    pub(crate) async fn next_read(&mut self) -> Result<Read, SupervisorError> {
        let Stage::Reading(_, reading) = &mut self.stage else {
            return std::future::pending().await;
        };
        let read = reading.outcome(READ_TIMEOUT).await;
        read.unwrap_or_else(|source| {
            Err(SupervisorError::System {
                what: "read the configuration",
                source,
            })
        })
    }
}

impl Order {
    /// Returns what a question orders; `None` where it orders nothing.
    pub(crate) fn of(
        request: Request,
        own: &Path,
        file: Option<OwnedFd>,
        reply: oneshot::Sender<Response>,
    ) -> Option<Self> {
        let (change, dry_run) = match (request, file) {
            (
                Request::Status
                | Request::Configuration
                | Request::FollowLog
                | Request::Connections(_)
                | Request::Events { .. },
                _,
            ) => return None,
            (
                Request::Reload {
                    file: None,
                    dry_run,
                },
                _,
            ) => {
                let own = ConfigSource::Path(own.to_owned());
                (Change::File(own), dry_run)
            }
            (
                Request::Reload {
                    file: Some(name),
                    dry_run,
                },
                Some(file),
            ) => {
                let name = printable(&name).into();
                let source = ConfigSource::Descriptor { name, file };
                (Change::File(source), dry_run)
            }
            (Request::Reload { file: Some(_), .. }, None) => {
                refuse(Some(reply), "no descriptor has come with the question");
                return None;
            }
            (
                Request::Backend {
                    pool,
                    backend,
                    change,
                },
                _,
            ) => {
                let change = Change::Backend {
                    pool,
                    backend,
                    change,
                };
                (change, false)
            }
            (Request::Router { entry, priority }, _) => (Change::Router { entry, priority }, false),
            (Request::Maintenance { listener, change }, _) => {
                (Change::Maintenance { listener, change }, false)
            }
        };
        Some(Self {
            change,
            asker: Asker {
                dry_run,
                reply: Some(reply),
            },
        })
    }
}

/// Returns a name as it may stand in the log and on a terminal, whoever chose it.
fn printable(name: &str) -> String {
    let short = name.chars().take(NAME_CHARS_MAX);
    let clean = |c: char| match c.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    short.map(clean).collect()
}

/// Says why nothing was done.
pub(crate) fn refuse(reply: Option<oneshot::Sender<Response>>, why: &str) {
    answer(reply, Response::Error(why.to_owned()));
}

/// Gives the answer to who waits for it.
pub(crate) fn answer(reply: Option<oneshot::Sender<Response>>, response: Response) {
    if let Some(reply) = reply {
        // Who asked and left needs no answer.
        let _ = reply.send(response);
    }
}

/// Changes that wait for the one under way.
const WAITING_MAX: usize = 32;
/// The longest path of Linux.
const NAME_CHARS_MAX: usize = 4_096;
/// How long a disk may take to show a configuration.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn order(reply: Option<oneshot::Sender<Response>>) -> Order {
        Order {
            change: Change::Router {
                entry: "web".into(),
                priority: None,
            },
            asker: Asker {
                dry_run: false,
                reply,
            },
        }
    }

    #[test]
    fn a_signal_finds_a_place_among_any_number_of_commands_and_one_is_enough() {
        let mut reloads = Reloads::default();
        let mut asking = Vec::new();
        for _ in 0..WAITING_MAX {
            let (reply, answer) = oneshot::channel();
            reloads.enqueue(order(Some(reply))).unwrap();
            asking.push(answer);
        }
        let (reply, _answer) = oneshot::channel();
        assert!(reloads.enqueue(order(Some(reply))).is_err(), "one too many");
        reloads.enqueue(order(None)).unwrap();
        reloads.enqueue(order(None)).unwrap();
        assert_eq!(reloads.waiting.len(), WAITING_MAX + 1);
    }

    #[test]
    fn a_child_is_under_the_configuration_before_until_it_says_otherwise() {
        let mut committing = Committing {
            reply: None,
            report: ChangeReport {
                generation: 2,
                dry_run: false,
                steps: Vec::new(),
                notes: Vec::new(),
            },
            children: Awaited {
                vrrp: true,
                proxy: true,
            },
            until: Instant::now(),
            is_reload: true,
        };
        let awaited = |committing: Committing| {
            let mut reloads = Reloads::default();
            assert!(!reloads.await_commitment_of(Role::Vrrp), "nothing changes");
            reloads.stage = Stage::Committing(committing);
            reloads.await_commitment_of(Role::Vrrp)
        };
        committing.children.answered(Role::Proxy);
        let other = committing.children;
        assert!(awaited(committing), "{other:?}");
    }

    #[test]
    fn the_name_of_a_file_obeys_no_terminal() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a\u{fffd}[31m\u{fffd}b");
    }

    #[test]
    fn who_does_not_wait_any_more_is_not_served() {
        let mut reloads = Reloads::default();
        let (reply, answer) = oneshot::channel();
        reloads.enqueue(order(Some(reply))).unwrap();
        reloads.enqueue(order(None)).unwrap();
        drop(answer);
        assert!(reloads.next_order().unwrap().asker.reply.is_none());
        assert!(reloads.next_order().is_none());
    }
}
