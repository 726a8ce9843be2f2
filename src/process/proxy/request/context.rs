//! A request that may be relayed, where it stands, and what becomes of its connection: the same for
//! every protocol that it may have come by.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::logic::access::Termination;
use crate::logic::balance::retry::{Order, Repeat};
use crate::logic::http1::head::Framing;
use crate::logic::http1::local_reply::LocalReply;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::request::message::Message;
use crate::logic::http1::response::AskedFor;
use crate::logic::http1::rewrite::edit::Edits;
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::downstream::rules::Rules;
use crate::process::proxy::io::deadline::Deadline;
use crate::process::proxy::request::moments::{AskedAs, Moments};
use crate::process::proxy::tls::facts::TlsFacts;
use crate::process::proxy::upstream::local::WorkerPool;

/// A request that may be relayed.
pub(in crate::process::proxy) struct Request {
    /// What is asked for, and the fields that travel.
    pub(in crate::process::proxy) message: Message,
    /// What is edited of the response.
    pub(in crate::process::proxy) edits: Option<Rc<Edits>>,
    /// What the client has asked for, where a backend is asked something else.
    pub(in crate::process::proxy) asked_as: Option<Box<AskedAs>>,
    /// Whose rules hold for it, by index.
    pub(in crate::process::proxy) rules: usize,
    /// The client's own address.
    pub(in crate::process::proxy) origin: IpAddr,
    pub(in crate::process::proxy) framing: Framing,
    pub(in crate::process::proxy) expectation: Expectation,
    pub(in crate::process::proxy) asked: AskedFor,
    pub(in crate::process::proxy) repeat: Repeat,
    pub(in crate::process::proxy) order: Order,
    pub(in crate::process::proxy) moments: Moments,
}

/// What answers a request.
pub(in crate::process::proxy) enum Answerer {
    /// Backends.
    Pool(Rc<WorkerPool>),
    /// The proxy itself.
    Local(Box<Local>),
}

/// What the proxy answers itself.
pub(in crate::process::proxy) struct Local {
    pub(in crate::process::proxy) reply: LocalReply,
    pub(in crate::process::proxy) termination: Termination,
}

/// Where a request stands.
#[derive(Clone, Copy)]
pub(in crate::process::proxy) struct RequestContext<'c> {
    pub(in crate::process::proxy) worker: &'c Rc<WorkerContext>,
    /// Of the generation that the request began with.
    pub(in crate::process::proxy) listener: &'c WorkerListener,
    /// What holds for it.
    pub(in crate::process::proxy) rules: &'c Rules,
    /// Who has connected, or is said to have.
    pub(in crate::process::proxy) peer: &'c SocketAddr,
    /// Who has said so, where somebody has.
    pub(in crate::process::proxy) announced: Option<&'c Announced>,
    pub(in crate::process::proxy) deadline: &'c Deadline,
    /// What is known of the TLS that it has come by, where it has.
    pub(in crate::process::proxy) tls: Option<&'c TlsFacts>,
}

/// What a connection has begun with (PROXY protocol).
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct Announced {
    /// Who has said it; `None`: it is known of the connection that carries this stream.
    pub(in crate::process::proxy) by: Option<IpAddr>,
    /// Where the client has connected to.
    pub(in crate::process::proxy) destination: SocketAddr,
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
