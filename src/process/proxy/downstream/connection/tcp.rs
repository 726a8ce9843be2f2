//! A client's connection that carries bytes: its backend is picked by the name that it asks for in
//! TLS, where routes look at names, and by where it comes from.
//!
//! Nothing is decrypted for that: the first message of the handshake is looked at where it is, and
//! the backend reads it again.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::{Futures, Read, UNKNOWN};
use crate::logic::access::{self, Termination};
use crate::logic::balance::retry::{Order, Repeat};
use crate::logic::balance::route::{Asked, Found};
use crate::logic::http1::head::Framing;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::request::message::Message;
use crate::process::proxy::downstream::client::Client;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::io::deadline::{Interrupt, Phase};
use crate::process::proxy::request::attempts;
use crate::process::proxy::request::context::{After, Request};
use crate::process::proxy::request::moments::Moments;
use crate::process::proxy::tls::hello::{HELLO_BYTES_MAX, Hello, hello};
use crate::process::proxy::upstream::local::WorkerPool;

/// How the wait for a name has ended.
enum Named {
    /// With it, or with the knowledge that there is none.
    Name(Option<Box<str>>),
    /// Its time was over.
    Late,
    /// The connection has ended, or has to.
    Over,
}

/// Who carries what a client sends.
enum Carrier {
    Pool(Rc<WorkerPool>),
    /// Nobody.
    None(Termination, String),
}

impl Client {
    /// Serves a connection that carries bytes, to its end.
    pub(super) async fn serve_tcp(mut self: Box<Self>, futures: Rc<Futures>) {
        let listener = self.slot.current();
        let name = match self.hear_name(&listener).await {
            Some(name) => name,
            None => return,
        };
        let mut slot = futures.requests.take();
        slot.start((self, listener, Read::Bytes(name)));
        let (client, _) = poll_fn(|cx| slot.poll(cx)).await;
        futures.requests.give_back(slot);
        drop(client);
    }

    /// Returns the name that the client asks for, where somebody wants to know; `None` where the
    /// connection is not served.
    async fn hear_name(&mut self, listener: &WorkerListener) -> Option<Option<Box<str>>> {
        if let Some(tls) = &self.tls {
            return Some(tls.server_name.clone());
        }
        let mut routes = listener.routes.iter();
        if routes.all(|route| route.when.hosts.is_empty()) {
            return Some(None);
        }
        let within = listener.timeouts.handshake;
        self.deadline.enter(Phase::Idle, within);
        let seen = Cell::new(0);
        match poll_fn(|cx| self.poll_name(cx, listener, &seen)).await {
            Named::Name(name) => Some(name),
            // Who connects to see whether somebody listens has nothing to say.
            Named::Late if seen.get() > 0 => {
                let how = (access::Phase::Handshake, Termination::HandshakeTimeout);
                let why = "the name of a server did not come in time".to_owned();
                self.note_unserved(listener, 0, how, why);
                None
            }
            Named::Late | Named::Over => None,
        }
    }

    fn poll_name(
        &mut self,
        cx: &mut Context<'_>,
        listener: &WorkerListener,
        seen: &Cell<usize>,
    ) -> Poll<Named> {
        if let Poll::Ready(interrupt) = self.deadline.poll_interrupt(cx) {
            return Poll::Ready(match interrupt {
                Interrupt::Overdue => Named::Late,
                Interrupt::Drain | Interrupt::Cut => Named::Over,
            });
        }
        ready!(self.context.budget.poll());
        let mut buffer = self.context.buffers.large();
        let room = buffer.len().min(HELLO_BYTES_MAX);
        let named = loop {
            match self.stream.poll_peek(cx, &mut buffer[..room], seen.get()) {
                Poll::Ready(Ok(len @ 1..)) => {
                    self.context.budget.charge(len);
                    seen.set(len);
                    if self.deadline.phase() == Phase::Idle {
                        let within = listener.timeouts.handshake;
                        self.deadline.enter(Phase::Handshake, within);
                    }
                    match hello(&buffer[..len]) {
                        Hello::Partial if len < room => {}
                        Hello::Partial | Hello::Nameless => break Poll::Ready(Named::Name(None)),
                        Hello::Named(name) => break Poll::Ready(Named::Name(Some(name))),
                    }
                }
                Poll::Ready(Ok(_) | Err(_)) => break Poll::Ready(Named::Over),
                Poll::Pending if self.deadline.take_wanted() && self.leaves() => {
                    break Poll::Ready(Named::Over);
                }
                Poll::Pending => break Poll::Pending,
            }
        };
        self.context.buffers.give_back(buffer);
        named
    }

    /// Carries what comes to the backend of the route that is for it.
    pub(super) async fn carry(&mut self, listener: &WorkerListener, name: Option<&str>) -> After {
        listener.counters.requests.count();
        let (rules, carrier) = self.carrier(listener, name.unwrap_or_default());
        let pool = match carrier {
            Carrier::Pool(pool) => pool,
            Carrier::None(termination, why) => {
                let how = (access::Phase::Queue, termination);
                self.note_unserved(listener, rules, how, why);
                return After::Reset;
            }
        };
        let moment = self.context.moment();
        let mut request = Request {
            message: Message::new(Vec::new()),
            edits: None,
            asked_as: None,
            rules,
            origin: self.address.ip(),
            framing: Framing::UntilClose,
            expectation: Expectation::None,
            asked: UNKNOWN,
            // Nothing is sent before there is a connection.
            repeat: Repeat::Harmless,
            order: Order::First,
            moments: Moments {
                began_at: moment,
                head_at: moment,
                ..Moments::default()
            },
        };
        listener.route_counters[rules].requests.count();
        let (context, stream, ahead) = self.split(listener, rules);
        let sent = std::mem::take(ahead);
        let (after, mut left) = attempts::answer(context, stream, sent, &mut request, pool).await;
        left.clear(&self.context.buffers);
        after
    }

    /// Finds who carries what the client of this name sends, and whose rules hold, by index.
    fn carrier(&self, listener: &WorkerListener, name: &str) -> (usize, Carrier) {
        let client = self.address.ip();
        let found = listener.table.find(&Asked {
            host: name.as_bytes(),
            path: "",
            query: "",
            method: "",
            client,
            has_field: &|_, _| false,
        });
        let rules = match found {
            Found::None => 0,
            Found::Route(index) | Found::Denied(index) => index + 1,
        };
        if let Found::Denied(index) = found {
            let route = listener.routes.get(index).map_or("", |route| &route.name);
            let why = format!("route {route} denies it");
            return (rules, Carrier::None(Termination::Denied, why));
        }
        if listener.is_in_maintenance_for(client) {
            let why = format!("listener {} is in maintenance", listener.name);
            return (rules, Carrier::None(Termination::Maintenance, why));
        }
        let carrier = match &listener.worker_pools[rules] {
            Some(pool) => Carrier::Pool(Rc::clone(pool)),
            None => {
                let why = "no route is for it, and there is no pool".to_owned();
                Carrier::None(Termination::NoRoute, why)
            }
        };
        (rules, carrier)
    }
}
