//! The connections of a worker, each in a place that is used again.

use std::rc::Rc;

use crate::process::proxy::downstream::eviction::Idle;
use crate::process::proxy::downstream::slot::ListenerSlot;
use crate::process::proxy::io::deadline::Deadline;

/// The register of them all.
#[derive(Default)]
pub(in crate::process::proxy) struct Connections {
    /// Each with its listener.
    places: Vec<Option<(Rc<ListenerSlot>, Rc<Deadline>)>>,
    free: Vec<usize>,
}

impl Connections {
    /// Takes one in; returns its place.
    pub(in crate::process::proxy) fn insert(
        &mut self,
        slot: &Rc<ListenerSlot>,
        deadline: &Rc<Deadline>,
    ) -> usize {
        let connection = Some((Rc::clone(slot), Rc::clone(deadline)));
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
        self.places.iter().flatten().map(|(_, deadline)| deadline)
    }

    /// Returns those of a listener, or all.
    pub(in crate::process::proxy) fn of(
        &self,
        of: Option<&ListenerSlot>,
    ) -> impl Iterator<Item = &Rc<Deadline>> {
        let all = self.places.iter().flatten();
        let wanted = all.filter(move |(slot, _)| of.is_none_or(|of| std::ptr::eq(&**slot, of)));
        wanted.map(|(_, deadline)| deadline)
    }

    /// Returns a connection by its place.
    pub(in crate::process::proxy) fn at(&self, place: usize) -> Option<&Rc<Deadline>> {
        let (_, deadline) = self.places.get(place)?.as_ref()?;
        Some(deadline)
    }

    /// Returns a connection that is idle and one of a listener's, if one is given.
    pub(in crate::process::proxy) fn idle(
        &self,
        of: Option<&ListenerSlot>,
        place: usize,
    ) -> Option<Idle> {
        let (slot, deadline) = self.places.get(place)?.as_ref()?;
        let counts = of.is_none_or(|of| std::ptr::eq(&**slot, of));
        let since_ms = deadline.idle_since_ms().filter(|_| counts)?;
        Some(Idle {
            since_ms,
            slot: place,
        })
    }
}
