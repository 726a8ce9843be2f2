//! A listener on one worker, for as long as it is configured: which generation of it connections
//! get for their next request.
//!
//! Connections and sockets hold the slot; a request takes what is in it when its head begins, and
//! keeps that to its end. So an idle connection keeps no old generation alive, and a reload touches
//! none.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use crate::process::proxy::downstream::eviction::Oldest;
use crate::process::proxy::downstream::local::{Full, WorkerListener};

/// The place of a listener on a worker.
pub(in crate::process::proxy) struct ListenerSlot {
    /// For the stamps of progress.
    pub(in crate::process::proxy) number: usize,
    current: RefCell<Rc<WorkerListener>>,
    presence: Cell<Presence>,
    /// Its own idle connections, where its own limit is reached.
    pub(in crate::process::proxy) oldest: RefCell<Oldest>,
}

/// Whether a listener is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Configured,
    /// The current generation does not have it: its connections end.
    Removed,
}

impl ListenerSlot {
    /// Returns the place of a listener that is new.
    pub(in crate::process::proxy) fn new(listener: &Rc<WorkerListener>) -> Self {
        Self {
            number: listener.runtime.number,
            current: RefCell::new(Rc::clone(listener)),
            presence: Cell::new(Presence::Configured),
            oldest: RefCell::default(),
        }
    }

    /// Returns the listener as the current generation has it, or the last one that had it.
    pub(in crate::process::proxy) fn current(&self) -> Rc<WorkerListener> {
        Rc::clone(&self.current.borrow())
    }

    /// Returns the same for a moment.
    pub(in crate::process::proxy) fn look(&self) -> Ref<'_, Rc<WorkerListener>> {
        self.current.borrow()
    }

    /// Has the next requests be those of another generation.
    pub(in crate::process::proxy) fn renew(&self, listener: &Rc<WorkerListener>) {
        *self.current.borrow_mut() = Rc::clone(listener);
    }

    /// Notes that no generation has it any more.
    pub(in crate::process::proxy) fn remove(&self) {
        self.presence.set(Presence::Removed);
    }

    /// Returns whether its connections end.
    pub(in crate::process::proxy) fn is_removed(&self) -> bool {
        match self.presence.get() {
            Presence::Configured => false,
            Presence::Removed => true,
        }
    }

    /// Returns whose connections may leave so that there is a place: its own, or all.
    pub(in crate::process::proxy) fn among(&self, full: Full) -> Option<&Self> {
        match full {
            Full::Proxy => None,
            Full::Listener => Some(self),
        }
    }
}
