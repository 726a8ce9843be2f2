//! A client's connection: what reading its requests and answering them have in common.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::downstream::slot::ListenerSlot;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::Deadline;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::context::Announced;
use crate::process::proxy::tls::acceptor::Acceptor;
use crate::process::proxy::tls::facts::TlsFacts;

/// A client's connection.
pub(in crate::process::proxy) struct Client {
    pub(in crate::process::proxy) context: Rc<WorkerContext>,
    /// Where it has come in: its next request is for the listener that stands there then.
    pub(in crate::process::proxy) slot: Rc<ListenerSlot>,
    pub(in crate::process::proxy) address: SocketAddr,
    /// The port it has connected to.
    pub(in crate::process::proxy) port: u16,
    /// What somebody else has said of both, where somebody has.
    pub(in crate::process::proxy) announced: Option<Rc<Announced>>,
    pub(in crate::process::proxy) stream: Stream,
    pub(in crate::process::proxy) deadline: Rc<Deadline>,
    /// What it has sent and no request has used.
    pub(in crate::process::proxy) ahead: Held,
    pub(in crate::process::proxy) age: Age,
    /// How TLS was to be spoken when it began, where it was.
    pub(in crate::process::proxy) acceptor: Option<Arc<Acceptor>>,
    /// What was agreed upon in its handshake, where there was one.
    pub(in crate::process::proxy) tls: Option<Rc<TlsFacts>>,
}

/// Whether a connection has carried a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Age {
    New,
    Kept,
}
