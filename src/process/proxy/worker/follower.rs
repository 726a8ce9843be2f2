//! A worker that follows what is desired: it prepares the deployment that is next, and takes up the
//! one that runs.
//!
//! All that may fail, or takes long, is done while it prepares. To take a deployment up is one step
//! between two polls of connections.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use tokio::task::JoinSet;

use super::door::{Closing, Door, Worker, accept, accept_in_time};
use crate::process::proxy::access::Lines;
use crate::process::proxy::context::Installed;
use crate::process::proxy::context::parts::Parts;
use crate::process::proxy::deployment::{Deployment, Desired, Placed};
use crate::process::proxy::io::listening::{Listening, is_listening};

/// What a worker has taken up, and what it has prepared.
pub(in crate::process::proxy) struct Follower {
    worker: Worker,
    running: Option<Arc<Deployment>>,
    next: Option<Prepared>,
    /// The sockets that it accepts from.
    open: Vec<Open>,
}

/// A deployment, prepared.
struct Prepared {
    deployment: Arc<Deployment>,
    /// `None` where it was refused.
    made: Option<Made>,
}

/// What a worker has made for a deployment.
struct Made {
    parts: Parts,
    /// Sockets that it does not accept from yet.
    listening: Vec<(Arc<TcpListener>, Listening)>,
    /// Where it has another log than the running one.
    lines: Option<Lines>,
}

/// A socket that is accepted from.
struct Open {
    /// Its task alone holds it.
    socket: Weak<TcpListener>,
    door: Rc<Door>,
}

impl Open {
    fn is(&self, socket: &Arc<TcpListener>) -> bool {
        std::ptr::eq(self.socket.as_ptr(), Arc::as_ptr(socket))
    }
}

impl Follower {
    /// Returns a worker that has nothing.
    pub(in crate::process::proxy) fn new(worker: Worker) -> Self {
        Self {
            worker,
            running: None,
            next: None,
            open: Vec::new(),
        }
    }

    /// Takes up what is to run and prepares what is to follow, as far as that is new; `own` has the
    /// tasks that accept.
    ///
    /// # Errors
    /// When what is to run was not prepared, and the system refuses what it needs.
    pub(in crate::process::proxy) fn follow(
        &mut self,
        desired: &Desired,
        own: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let taken_up = self.take_up(&desired.running, own);
        match &desired.next {
            Some(next) if self.has_prepared(next) => {}
            Some(next) => {
                // What was prepared before may be known to the runtime, which takes nothing twice.
                self.next = None;
                let made = self.make(next);
                let (made, answer) = match made {
                    Ok(made) => (Some(made), Ok(())),
                    Err(error) => (None, Err(format!("a worker cannot take it up: {error}"))),
                };
                self.next = Some(Prepared {
                    deployment: Arc::clone(next),
                    made,
                });
                next.prepared.give(answer);
            }
            None => self.next = None,
        }
        taken_up
    }

    fn has_prepared(&self, deployment: &Arc<Deployment>) -> bool {
        let next = self.next.as_ref();
        next.is_some_and(|next| Arc::ptr_eq(&next.deployment, deployment))
    }

    /// Makes what a deployment needs beside what there is.
    fn make(&self, deployment: &Arc<Deployment>) -> io::Result<Made> {
        let context = &self.worker.context;
        if self.needs_nothing_of(deployment) {
            return Ok(Made {
                parts: Parts::default(),
                listening: Vec::new(),
                lines: None,
            });
        }
        // Some do not listen yet, as long as their configuration is not committed.
        let new = self.placed(deployment).into_iter().filter(|placed| {
            let mut open = self.open.iter();
            is_listening(&placed.socket) && !open.any(|open| open.is(&placed.socket))
        });
        let listening = new.filter_map(|placed| {
            match Listening::new(Arc::clone(&placed.socket)) {
                Ok(listening) => Some(Ok((placed.socket, listening))),
                // The task that accepted from it is not over yet.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            }
        });
        let is_logged = |log| {
            let lines = context.lines.borrow();
            lines.as_ref().is_some_and(|lines| lines.are_of(log))
        };
        let log = deployment.log.as_ref().filter(|log| !is_logged(log));
        Ok(Made {
            listening: listening.collect::<io::Result<_>>()?,
            parts: context.prepare(&deployment.generation),
            lines: log.map(Lines::new),
        })
    }

    /// Returns whether it accepts nothing, and has no connection from a time when it did.
    fn needs_nothing_of(&self, deployment: &Deployment) -> bool {
        let context = &self.worker.context;
        context.number >= deployment.threads && context.is_new()
    }

    /// Returns the sockets that it is to accept from.
    fn placed(&self, deployment: &Deployment) -> Vec<Placed> {
        let mut placed = deployment.sockets.placed(deployment.threads);
        placed.retain(|placed| placed.worker == self.worker.context.number);
        placed
    }

    /// Serves new requests by a deployment from now on, or by the sockets that it has got since.
    fn take_up(&mut self, deployment: &Arc<Deployment>, own: &mut JoinSet<()>) -> io::Result<()> {
        let running = self.running.as_ref();
        if running.is_some_and(|running| Arc::ptr_eq(running, deployment)) {
            self.open_and_close(deployment, Vec::new(), own);
            return Ok(());
        }
        let prepared = self
            .next
            .take_if(|next| Arc::ptr_eq(&next.deployment, deployment));
        let made = match prepared.and_then(|prepared| prepared.made) {
            Some(made) => made,
            None => self.make(deployment)?,
        };
        self.running = Some(Arc::clone(deployment));
        if !self.needs_nothing_of(deployment) {
            self.install(deployment, made, own);
        }
        deployment.committed.give(Ok(()));
        Ok(())
    }

    fn install(&mut self, deployment: &Arc<Deployment>, made: Made, own: &mut JoinSet<()>) {
        let context = &self.worker.context;
        let Made {
            parts,
            listening,
            lines,
        } = made;
        context.set_shares(&deployment.shares);
        match (&deployment.log, lines) {
            // The same log as before.
            (Some(_), None) => {}
            (Some(_), lines @ Some(_)) => context.set_lines(lines),
            (None, _) => context.set_lines(None),
        }
        let Installed { removed, changed } = context.install(parts);
        for changed in changed {
            let context = Rc::clone(context);
            tokio::task::spawn_local(async move { context.end_idle(Some(&changed)).await });
        }
        for removed in removed {
            let (context, within) = (Rc::clone(context), deployment.drain);
            tokio::task::spawn_local(async move { context.drain(removed, within).await });
        }
        self.open_and_close(deployment, listening, own);
    }

    /// Accepts from the sockets of a deployment and from no others; `listening` are known to the
    /// runtime already.
    fn open_and_close(
        &mut self,
        deployment: &Arc<Deployment>,
        mut listening: Vec<(Arc<TcpListener>, Listening)>,
        own: &mut JoinSet<()>,
    ) {
        let placed = self.placed(deployment);
        let all = deployment.sockets.placed(deployment.threads);
        let is_in = |list: &[Placed], open: &Open| {
            let mut list = list.iter();
            list.any(|placed| open.is(&placed.socket))
        };
        self.open.retain(|open| {
            let stays = is_in(&placed, open);
            if !stays {
                open.door.close(match is_in(&all, open) {
                    true => Closing::Moved,
                    false => Closing::Removed,
                });
            }
            stays
        });
        for Placed { bind, socket, .. } in placed {
            let listener = deployment.generation.listener_of(bind);
            let number = listener.map(|listener| listener.runtime.number);
            let Some(slot) = number.and_then(|number| self.worker.context.slot(number)) else {
                continue;
            };
            let mut open = self.open.iter();
            if let Some(open) = open.find(|open| open.is(&socket)) {
                open.door.lead_to(slot);
                continue;
            }
            let door = Door::new(slot, bind);
            self.open.push(Open {
                socket: Arc::downgrade(&socket),
                door: Rc::clone(&door),
            });
            let worker = self.worker.clone();
            let mut known = listening.iter();
            match known.position(|(known, _)| Arc::ptr_eq(known, &socket)) {
                Some(index) => {
                    let (_, known) = listening.swap_remove(index);
                    own.spawn_local(accept(worker, door, known));
                }
                None => drop(own.spawn_local(accept_in_time(worker, door, socket))),
            }
        }
    }
}
