//! The beginning of a connection on which TLS is spoken.
//!
//! Until its first byte the connection is as idle as one without TLS, and leaves for another where
//! all places are taken. Where the process that signs does not answer nothing is read: the client
//! waits, the worker does not.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::config::Mode;
use crate::logic::access::{self, Termination};
use crate::logic::http1::head::{Persistence, Version};
use crate::logic::http1::response::AskedMethod;
use crate::process::proxy::downstream::client::Client;
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::io::deadline::{Interrupt, Phase};
use crate::process::proxy::io::tls::{HandshakeError, Session};
use crate::process::proxy::request::answer;
use crate::process::proxy::request::context::After;
use crate::process::proxy::tls::acceptor::Acceptor;
use crate::process::proxy::tls::facts::TlsFacts;
use crate::process::proxy::tls::signing::{self, Line};

/// How a handshake has ended.
enum Shaken {
    Agreed,
    Failed(HandshakeError),
    /// Its time was over; whether anything had come.
    Late(Begun),
    /// Its place was wanted, or everything ends.
    Over,
}

/// Whether the client has sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Yes,
    No,
}

/// Whether a connection stands in line for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    NotAsked,
    Asked,
}

impl Client {
    /// Begins TLS; the connection is kept where both agree.
    pub(super) async fn shake_hands(
        &mut self,
        listener: &WorkerListener,
        acceptor: &Acceptor,
    ) -> After {
        let scratch = &self.context.scratch;
        match Session::server(&acceptor.config, scratch) {
            Ok(session) => self.stream.secure(session),
            Err(error) => {
                self.note_failed(listener, Termination::HandshakeFailed, error.to_string());
                return After::Close;
            }
        }
        // A look at the clock a handshake is nothing beside it.
        let began_at = Instant::now();
        self.deadline
            .enter(Phase::Idle, listener.timeouts.handshake);
        let line = signing::line();
        let turn = Cell::new(Turn::NotAsked);
        let shaken = loop {
            let shaken = poll_fn(|cx| self.poll_shaken(cx, listener, &line, &turn)).await;
            let is_unsigned = matches!(shaken, Shaken::Failed(HandshakeError::Unsigned));
            // It waits until somebody answers, as all others do.
            if !is_unsigned || !self.stream.begin_again(&acceptor.config) {
                break shaken;
            }
        };
        match shaken {
            Shaken::Agreed => {
                let agreed = self.stream.session().and_then(Session::agreed);
                let took = began_at.elapsed();
                self.tls = agreed.map(|agreed| Rc::new(TlsFacts::new(agreed, Some(took))));
                listener.counters.handshakes.count();
                After::Keep
            }
            Shaken::Failed(HandshakeError::Gone) if !self.has_begun() => After::Close,
            Shaken::Late(Begun::No) | Shaken::Over => After::Close,
            Shaken::Failed(error) => {
                if let HandshakeError::Plain = error
                    && listener.mode == Mode::Http
                {
                    self.answer_plain();
                }
                self.note_failed(listener, Termination::HandshakeFailed, error.to_string());
                After::Close
            }
            Shaken::Late(Begun::Yes) => {
                let why = "the handshake did not come to its end in time";
                self.note_failed(listener, Termination::HandshakeTimeout, why.to_owned());
                After::Close
            }
        }
    }

    fn poll_shaken(
        &mut self,
        cx: &mut Context<'_>,
        listener: &WorkerListener,
        line: &Line,
        turn: &Cell<Turn>,
    ) -> Poll<Shaken> {
        if let Poll::Ready(interrupt) = self.deadline.poll_interrupt(cx) {
            return Poll::Ready(match interrupt {
                Interrupt::Overdue if self.has_begun() => Shaken::Late(Begun::Yes),
                Interrupt::Overdue => Shaken::Late(Begun::No),
                Interrupt::Drain | Interrupt::Cut => Shaken::Over,
            });
        }
        let budget = &self.context.budget;
        ready!(budget.poll());
        if self.poll_turn(cx, line, turn).is_ready() {
            let shaken = self.stream.poll_handshake(cx);
            if self.has_begun() && self.deadline.phase() == Phase::Idle {
                let within = listener.timeouts.handshake;
                self.deadline.enter(Phase::Handshake, within);
            }
            if let Poll::Ready(shaken) = shaken {
                budget.charge(HANDSHAKE_COST);
                return Poll::Ready(match shaken {
                    Ok(()) => Shaken::Agreed,
                    Err(error) => Shaken::Failed(error),
                });
            }
        }
        if self.deadline.take_wanted() && self.leaves() {
            return Poll::Ready(Shaken::Over);
        }
        Poll::Pending
    }

    /// Ready when the handshake may go on: what is to be signed keeps the whole worker waiting, and
    /// comes in turn.
    fn poll_turn(&self, cx: &mut Context<'_>, line: &Line, turn: &Cell<Turn>) -> Poll<()> {
        let session = self.stream.session();
        if session.is_some_and(|session| !session.is_to_be_signed()) {
            return Poll::Ready(());
        }
        let before = turn.replace(Turn::NotAsked);
        ready!(line.poll_answering(cx));
        if before == Turn::Asked {
            // Nothing polls it before its turn.
            return Poll::Ready(());
        }
        turn.set(Turn::Asked);
        self.context.budget.wait_for_slow_turn();
        Poll::Pending
    }

    fn has_begun(&self) -> bool {
        self.stream.session().is_some_and(Session::has_begun)
    }

    /// Tells a browser that has come without TLS what it wants.
    fn answer_plain(&mut self) {
        self.stream.expose();
        let reply = answer::tls_required();
        let mut text = Vec::new();
        let date = self.context.date.get();
        reply.write_head(Version::Http11, Persistence::Close, &date, &mut text);
        reply.write_body(AskedMethod::Other, &mut text);
        // Where it does not fit, closing says enough.
        self.stream.try_write(&text);
    }

    /// Takes note of a handshake that has failed.
    fn note_failed(&mut self, listener: &WorkerListener, termination: Termination, why: String) {
        listener.counters.handshakes_failed.count();
        self.note_unserved(listener, 0, (access::Phase::Handshake, termination), why);
    }
}

/// What a handshake takes, as moving so many bytes.
const HANDSHAKE_COST: usize = 256 * 1024;
