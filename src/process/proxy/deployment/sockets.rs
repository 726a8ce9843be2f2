//! The listening sockets of a deployment: known by their bind address, each accepted from by one
//! worker.
//!
//! There may be more of them than workers, after their number was lowered: a socket is not closed
//! while its address is configured, since that would reset what waits in it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A socket, and who accepts from it.
#[derive(Clone, Debug)]
pub(in crate::process::proxy) struct Placed {
    pub(in crate::process::proxy) bind: SocketAddr,
    pub(in crate::process::proxy) socket: Arc<TcpListener>,
    /// By number.
    pub(in crate::process::proxy) worker: usize,
}

/// All sockets. Whoever accepts holds its own besides.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Sockets(Mutex<BTreeMap<SocketAddr, Vec<Arc<TcpListener>>>>);

impl Sockets {
    /// Adds sockets of an address, behind those that are there.
    pub(in crate::process::proxy) fn add(
        &self,
        bind: SocketAddr,
        sockets: impl IntoIterator<Item = Arc<TcpListener>>,
    ) {
        self.all().entry(bind).or_default().extend(sockets);
    }

    /// Returns how many there are of an address.
    pub(in crate::process::proxy) fn count(&self, bind: SocketAddr) -> usize {
        self.all().get(&bind).map_or(0, Vec::len)
    }

    /// Returns how many there are in all.
    pub(in crate::process::proxy) fn len(&self) -> usize {
        self.all().values().map(Vec::len).sum()
    }

    /// Adds those of other lists whose address `is_wanted`, each once.
    pub(in crate::process::proxy) fn take_from<const N: usize>(
        &self,
        lists: [&Self; N],
        is_wanted: impl Fn(SocketAddr) -> bool,
    ) {
        let mut all = self.all();
        for list in lists {
            let list = list.all();
            for (bind, sockets) in list.iter().filter(|(bind, _)| is_wanted(**bind)) {
                let known = all.entry(*bind).or_default();
                for socket in sockets {
                    if !known.iter().any(|known| Arc::ptr_eq(known, socket)) {
                        known.push(Arc::clone(socket));
                    }
                }
            }
        }
    }

    /// Lets go of all; returns them.
    pub(in crate::process::proxy) fn take(&self) -> Self {
        Self(Mutex::new(std::mem::take(&mut *self.all())))
    }

    /// Returns who accepts from which, among so many workers: those of an address are dealt out in
    /// turn.
    pub(in crate::process::proxy) fn placed(&self, workers: usize) -> Vec<Placed> {
        let all = self.all();
        let placed = all.iter().flat_map(|(bind, sockets)| {
            let numbered = sockets.iter().enumerate();
            numbered.map(|(index, socket)| Placed {
                bind: *bind,
                socket: Arc::clone(socket),
                worker: index % workers.max(1),
            })
        });
        placed.collect()
    }

    /// A thread that panicked here left the lists whole.
    fn all(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Vec<Arc<TcpListener>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_dealt_out_in_turn_and_those_of_other_addresses_left() {
        let socket = || {
            let socket = TcpListener::bind("127.0.0.1:0").expect("there is a port");
            let bind = socket.local_addr().expect("it is bound");
            (bind, Arc::new(socket))
        };
        let [(a, one), (b, other)] = [socket(), socket()];
        let [(_, another), (_, third)] = [socket(), socket()];
        let (running, passed, next) = (Sockets::default(), Sockets::default(), Sockets::default());
        running.add(a, [Arc::clone(&one), Arc::clone(&another)]);
        running.add(b, [other]);
        passed.add(a, [one, third]);
        next.take_from([&running, &passed], |bind| bind == a);
        assert_eq!((next.count(a), next.count(b), next.len()), (3, 0, 3));
        let workers = |count| {
            let placed = next.placed(count);
            placed
                .iter()
                .map(|placed| placed.worker)
                .collect::<Vec<_>>()
        };
        assert_eq!(workers(2), [0, 1, 0]);
        assert_eq!(workers(1), [0, 0, 0]);
    }
}
