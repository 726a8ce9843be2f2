//! The connections of a worker, each in a place that is used again.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::process::proxy::downstream::eviction::Idle;
use crate::process::proxy::downstream::slot::ListenerSlot;
use crate::process::proxy::io::deadline::Deadline;

/// The register of them all.
#[derive(Default)]
pub(in crate::process::proxy) struct Connections {
    places: Vec<Option<Watched>>,
    free: Vec<usize>,
}

/// A connection, or a stream of one.
pub(in crate::process::proxy) struct Watched {
    /// Of its listener.
    pub(in crate::process::proxy) slot: Rc<ListenerSlot>,
    pub(in crate::process::proxy) deadline: Rc<Deadline>,
    pub(in crate::process::proxy) origin: Origin,
}

/// Where it comes from; for those who ask who is connected.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct Origin {
    pub(in crate::process::proxy) client: SocketAddr,
    /// Open as long as the connection is watched; a stream has none of its own.
    pub(in crate::process::proxy) socket: Option<RawFd>,
    /// By the coarse clock of its thread.
    pub(in crate::process::proxy) since_ms: u64,
}

impl Connections {
    /// Takes one in; returns its place.
    pub(in crate::process::proxy) fn insert(
        &mut self,
        slot: &Rc<ListenerSlot>,
        deadline: &Rc<Deadline>,
        origin: Origin,
    ) -> usize {
        let connection = Some(Watched {
            slot: Rc::clone(slot),
            deadline: Rc::clone(deadline),
            origin,
        });
        match self.free.pop() {
            Some(place) => {
                self.places[place] = connection;
                place
            }
            None => {
                self.places.push(connection);
                self.places.len() - 1
            }
        }
    }

    pub(in crate::process::proxy) fn remove(&mut self, place: usize) {
        self.places[place] = None;
        self.free.push(place);
    }

    pub(in crate::process::proxy) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Returns how many places there are, taken or free.
    pub(in crate::process::proxy) fn places(&self) -> usize {
        self.places.len()
    }

    pub(in crate::process::proxy) fn iter(&self) -> impl Iterator<Item = &Rc<Deadline>> {
        self.places.iter().flatten().map(|it| &it.deadline)
    }

    /// Returns those of a listener, or all.
    pub(in crate::process::proxy) fn of(
        &self,
        of: Option<&ListenerSlot>,
    ) -> impl Iterator<Item = &Rc<Deadline>> {
        let all = self.places.iter().flatten();
        let wanted = all.filter(move |it| of.is_none_or(|of| std::ptr::eq(&*it.slot, of)));
        wanted.map(|it| &it.deadline)
    }

    /// Returns a connection by its place.
    pub(in crate::process::proxy) fn at(&self, place: usize) -> Option<&Rc<Deadline>> {
        self.watched(place).map(|it| &it.deadline)
    }

    /// Returns all that is known of it.
    pub(in crate::process::proxy) fn watched(&self, place: usize) -> Option<&Watched> {
        self.places.get(place)?.as_ref()
    }

    /// Notes that somebody else is the client: a connection has said for whom it comes.
    pub(in crate::process::proxy) fn rename(&mut self, place: usize, client: SocketAddr) {
        if let Some(Some(watched)) = self.places.get_mut(place) {
            watched.origin.client = client;
        }
    }

    /// Returns a connection that is idle and one of a listener's, if one is given.
    pub(in crate::process::proxy) fn idle(
        &self,
        of: Option<&ListenerSlot>,
        place: usize,
    ) -> Option<Idle> {
        let Watched { slot, deadline, .. } = self.watched(place)?;
        let counts = of.is_none_or(|of| std::ptr::eq(&**slot, of));
        let since_ms = deadline.idle_since_ms().filter(|_| counts)?;
        Some(Idle {
            since_ms,
            slot: place,
        })
    }
}
