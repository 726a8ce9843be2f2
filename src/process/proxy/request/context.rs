//! A request that may be relayed, where it stands, and what becomes of its connection: the same for
//! every protocol that it may have come by.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::logic::balance::retry::{Order, Repeat};
use crate::logic::http1::head::Framing;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::request::message::Message;
use crate::logic::http1::response::AskedFor;
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::io::deadline::Deadline;
use crate::process::proxy::request::moments::Moments;
use crate::process::proxy::upstream::local::WorkerPool;

/// A request that may be relayed.
pub(in crate::process::proxy) struct Request {
    /// What is asked for, and the fields that travel.
    pub(in crate::process::proxy) message: Message,
    /// What answers it.
    pub(in crate::process::proxy) pool: Rc<WorkerPool>,
    /// The client's own address.
    pub(in crate::process::proxy) origin: IpAddr,
    pub(in crate::process::proxy) framing: Framing,
    pub(in crate::process::proxy) expectation: Expectation,
    pub(in crate::process::proxy) asked: AskedFor,
    pub(in crate::process::proxy) repeat: Repeat,
    pub(in crate::process::proxy) order: Order,
    pub(in crate::process::proxy) moments: Moments,
}

/// Where a request stands.
#[derive(Clone, Copy)]
pub(in crate::process::proxy) struct RequestContext<'c> {
    pub(in crate::process::proxy) worker: &'c WorkerContext,
    /// Of the generation that the request began with.
    pub(in crate::process::proxy) listener: &'c WorkerListener,
    /// Who has connected.
    pub(in crate::process::proxy) peer: SocketAddr,
    pub(in crate::process::proxy) deadline: &'c Deadline,
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
