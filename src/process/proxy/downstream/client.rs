//! A client's connection: what reading its requests and answering them have in common.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::Deadline;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::table::Listener;

/// A client's connection.
pub(in crate::process::proxy) struct Client {
    pub(in crate::process::proxy) context: Rc<WorkerContext>,
    pub(in crate::process::proxy) listener: usize,
    pub(in crate::process::proxy) address: SocketAddr,
    /// The port it has connected to.
    pub(in crate::process::proxy) port: u16,
    pub(in crate::process::proxy) stream: Stream,
    pub(in crate::process::proxy) deadline: Rc<Deadline>,
    /// What it has sent and no request has used.
    pub(in crate::process::proxy) ahead: Held,
    pub(in crate::process::proxy) age: Age,
}

/// Whether a connection has carried a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Age {
    New,
    Kept,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed: nothing more is expected on it.
    Close,
    /// It is closed when the client has had time to read its answer.
    Linger,
    /// It is reset, so that the client does not take what was sent for the whole.
    Reset,
}

impl Client {
    /// Returns the listener that it has come to.
    pub(in crate::process::proxy) fn listener(&self) -> &Listener {
        &self.context.table.listeners[self.listener]
    }
}
