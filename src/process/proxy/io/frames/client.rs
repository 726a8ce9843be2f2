//! A stream to a backend: a request that goes in frames, and its answer.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::uri::Scheme;

use super::data::Data;
use super::incoming::{Coding, Incoming};
use super::outgoing::{Behind, Outgoing, has_no_body};
use super::text::{HeadText, broken};
use super::unsent::Unsent;
use crate::logic::http1::crossing::request::{self, Follows, Sent};
use crate::logic::http1::crossing::response::{self, Answers};
use crate::logic::http1::crossing::websocket::proof_of;
use crate::logic::http1::head::Framing;
use crate::logic::http1::response::AskedMethod;
use crate::process::proxy::io::socket::Ended;

/// How it stands with a connection that carries streams to a backend.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Standing {
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Good,
    /// An answer was missed since something of one has come.
    Doubtful,
    Ended,
}

impl Standing {
    /// Returns whether new requests may go there.
    pub(in crate::process::proxy) fn is_good(&self) -> bool {
        self.state.get() == State::Good
    }

    /// Returns whether it is over.
    pub(in crate::process::proxy) fn has_ended(&self) -> bool {
        self.state.get() == State::Ended
    }

    /// Notes that it is over.
    pub(in crate::process::proxy) fn end(&self) {
        self.state.set(State::Ended);
    }

    fn note(&self, state: State) {
        if !self.has_ended() {
            self.state.set(state);
        }
    }
}

/// A stream on which a backend is asked.
pub(in crate::process::proxy) struct ClientFrames {
    scheme: Scheme,
    asking: Asking,
    answer: Answer,
    method: AskedMethod,
    /// What was asked for besides HTTP, and what proves that it was understood.
    protocol: Option<(Box<str>, String)>,
    processing: Processing,
    behind: Behind,
    standing: Rc<Standing>,
    unsent: Rc<Unsent>,
}

/// Whether the backend may have done anything for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processing {
    Possible,
    /// It has said that it has not (RFC 9113 §8.7).
    Refused,
}

enum Asking {
    /// A head is due, and has come so far.
    Head(SendRequest<Data>, HeadText),
    /// A body is.
    Body(Outgoing),
    /// Nothing more.
    Over,
}

enum Answer {
    /// Nothing was asked yet.
    None,
    /// Nothing could be asked, nor will be.
    Failed,
    /// What is said in the name of a backend that was not asked.
    Instead(&'static [u8]),
    /// A head.
    Head(ResponseFuture, Interim),
    Body(Incoming),
}

/// A head that says that another follows, as far as nobody has taken it.
type Interim = Vec<u8>;

impl ClientFrames {
    /// Returns a stream that begins with what is written on it first; the connection must have room
    /// for one.
    pub(in crate::process::proxy) fn new(
        sender: SendRequest<Data>,
        scheme: Scheme,
        standing: Rc<Standing>,
        unsent: Rc<Unsent>,
    ) -> Self {
        Self {
            unsent,
            standing,
            scheme,
            asking: Asking::Head(sender, HeadText::default()),
            answer: Answer::None,
            method: AskedMethod::Other,
            protocol: None,
            processing: Processing::Possible,
            behind: Behind::Nothing,
        }
    }

    /// Returns whether the backend has said that it has done nothing for the request.
    pub(in crate::process::proxy) fn is_unprocessed(&self) -> bool {
        self.processing == Processing::Refused
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match &mut self.answer {
                Answer::None => return Poll::Pending,
                Answer::Failed => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                Answer::Instead([]) => return Poll::Pending,
                Answer::Instead(text) => {
                    let (now, rest) = text.split_at(text.len().min(into.len()));
                    into[..now.len()].copy_from_slice(now);
                    *text = rest;
                    return Poll::Ready(Ok(now.len()));
                }
                Answer::Body(body) => {
                    let read = body.poll_read(cx, into);
                    if body.take_news() {
                        self.standing.note(State::Good);
                    }
                    return read;
                }
                Answer::Head(head, interim) => {
                    if let Poll::Ready(Some(Ok(response))) = head.poll_informational(cx) {
                        self.standing.note(State::Good);
                        let answers = Answers {
                            method: self.method,
                            protocol: None,
                        };
                        let (parts, ()) = response.into_parts();
                        response::write(&parts, Follows::Nothing, answers, interim);
                    }
                    if !interim.is_empty() {
                        let len = interim.len().min(into.len());
                        into[..len].copy_from_slice(&interim[..len]);
                        interim.drain(..len);
                        return Poll::Ready(Ok(len));
                    }
                    let result = ready!(std::pin::Pin::new(head).poll(cx));
                    let response = result.map_err(|error| self.failed(error))?;
                    self.begin_body(response);
                }
            }
        }
    }

    fn begin_body(&mut self, response: http::Response<h2::RecvStream>) {
        self.standing.note(State::Good);
        let (parts, body) = response.into_parts();
        let follows = match body.is_end_stream() {
            true => Follows::Nothing,
            false => Follows::Body,
        };
        let protocol = self.protocol.as_ref();
        let answers = Answers {
            method: self.method,
            protocol: protocol.map(|(name, proof)| (&**name, proof.as_str())),
        };
        let mut text = Vec::new();
        let framing = response::write(&parts, follows, answers, &mut text);
        let coding = match framing {
            Framing::Chunked => Coding::Chunked,
            Framing::None | Framing::Length(_) | Framing::UntilClose => Coding::Plain,
        };
        let mut body = Incoming::new(body, coding);
        if framing == Framing::UntilClose {
            body.begin_tunnel();
        }
        body.lead_with(text);
        self.answer = Answer::Body(body);
    }

    /// Notes why there is no answer.
    fn failed(&mut self, error: h2::Error) -> io::Error {
        let is_refused = error.reason() == Some(Reason::REFUSED_STREAM)
            || error.is_go_away() && error.is_remote();
        if is_refused {
            self.processing = Processing::Refused;
        }
        if error.is_go_away() || error.is_io() {
            self.standing.note(State::Doubtful);
        }
        broken(error)
    }

    /// Writes up to the end of the head, or some of the body.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.asking {
            Asking::Head(_, text) => {
                let (mut taken, head) = text.take(bytes);
                if let Some(head) = head {
                    let sent = self.send(&head);
                    if sent.is_err() {
                        self.answer = Answer::Failed;
                    }
                    taken -= head.len() - sent?;
                }
                Poll::Ready(Ok(taken))
            }
            Asking::Body(body) => body.poll_write(cx, bytes),
            Asking::Over => Poll::Ready(Ok(bytes.len())),
        }
    }

    /// Sends the head that a text begins with; returns its length.
    fn send(&mut self, text: &[u8]) -> io::Result<usize> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let Sent {
            mut request,
            len,
            framing,
            protocol,
            websocket_key,
        } = request::read(text, self.scheme.clone()).ok_or_else(invalid)?;
        self.method = match *request.method() {
            http::Method::HEAD => AskedMethod::Head,
            _ => AskedMethod::Other,
        };
        let Asking::Head(sender, _) = &mut self.asking else {
            return Err(invalid());
        };
        if let Some(protocol) = protocol {
            if !sender.is_extended_connect_protocol_enabled() {
                self.answer = Answer::Instead(NOT_IMPLEMENTED);
                self.asking = Asking::Over;
                return Ok(len);
            }
            let proof = proof_of(&websocket_key.unwrap_or_default());
            let asked = h2::ext::Protocol::from(&*protocol);
            request.extensions_mut().insert(asked);
            self.protocol = Some((protocol, proof));
        }
        let framing = match self.protocol {
            Some(_) => Framing::UntilClose,
            None => framing,
        };
        let ends = has_no_body(framing, self.behind);
        let sent = sender.send_request(request, ends);
        let (answer, stream): (_, SendStream<Data>) = sent.map_err(|error| self.failed(error))?;
        self.answer = Answer::Head(answer, Interim::new());
        self.asking = match ends {
            true => Asking::Over,
            false => {
                let framing = (framing, self.behind);
                Asking::Body(Outgoing::new(stream, framing, Rc::clone(&self.unsent)))
            }
        };
        Ok(len)
    }

    /// Has what is left of an answer, all of whose stated length has been read, be read as a last
    /// chunk; returns whether anything is.
    pub(super) fn begin_last_chunk(&mut self) -> bool {
        match &mut self.answer {
            Answer::Body(body) => body.begin_last_chunk(),
            Answer::None | Answer::Failed | Answer::Instead(_) | Answer::Head(..) => false,
        }
    }

    /// A last chunk is written behind the request's body, whose length is stated.
    pub(super) fn await_last_chunk(&mut self) {
        self.behind = Behind::LastChunk;
        if let Asking::Body(body) = &mut self.asking {
            body.await_last_chunk();
        }
    }

    /// Returns how the stream has ended, as far as that is heard of before what has come is read:
    /// its backend has reset it, or the connection has failed.
    pub(super) fn ended(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        let Asking::Body(body) = &mut self.asking else {
            return None;
        };
        match body.poll_reset(cx) {
            Poll::Ready(Some(Reason::NO_ERROR)) => Some(Ended::InOrder),
            Poll::Ready(_) => Some(Ended::Failed),
            Poll::Pending => None,
        }
    }

    pub(super) fn end(&mut self) {
        if let Asking::Body(body) = &mut self.asking {
            body.end();
        }
    }

    pub(super) fn reset(&mut self) {
        if let Asking::Body(body) = &mut self.asking {
            body.reset(Reason::CANCEL);
        }
        self.asking = Asking::Over;
        self.answer = Answer::None;
    }
}

impl Drop for ClientFrames {
    /// An answer for which nobody waits any more is missed, whoever is to blame.
    fn drop(&mut self) {
        if matches!(self.answer, Answer::Head(..)) && self.processing == Processing::Possible {
            self.standing.note(State::Doubtful);
        }
    }
}

/// The answer of a backend that knows no WebSockets in HTTP/2 (RFC 8441 §3).
const NOT_IMPLEMENTED: &[u8] = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n";
