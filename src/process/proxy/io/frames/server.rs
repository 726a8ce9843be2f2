//! A client's stream: a request that has come in frames, and its answer.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Response;

use super::data::Data;
use super::incoming::{Coding, Incoming};
use super::load::Load;
use super::outgoing::{Behind, Outgoing, has_no_body};
use super::text::{HeadText, broken};
use super::unsent::Unsent;
use crate::logic::http1::crossing::response::{self, Sent, Then};
use crate::logic::http1::head::Framing;
use crate::logic::http1::response::AskedMethod;

/// A stream on which a client has asked.
pub(in crate::process::proxy) struct ServerFrames {
    incoming: Incoming,
    answer: Answer,
    method: AskedMethod,
    behind: Behind,
    load: Rc<Load>,
    unsent: Rc<Unsent>,
}

enum Answer {
    /// A head is due, and has come so far.
    Head(SendResponse<Data>, HeadText),
    /// A body is.
    Body(Outgoing),
    /// Nothing more.
    Over,
}

impl ServerFrames {
    /// Returns a stream whose request has been read up to its body, which is framed so.
    pub(in crate::process::proxy) fn new(
        body: RecvStream,
        respond: SendResponse<Data>,
        method: AskedMethod,
        framing: Framing,
        load: Rc<Load>,
        unsent: Rc<Unsent>,
    ) -> Self {
        let coding = match framing {
            Framing::Chunked => Coding::Chunked,
            Framing::None | Framing::Length(_) | Framing::UntilClose => Coding::Plain,
        };
        Self {
            incoming: Incoming::new(body, coding),
            answer: Answer::Head(respond, HeadText::default()),
            method,
            behind: Behind::Nothing,
            load,
            unsent,
        }
    }

    pub(super) const fn load(&self) -> &Rc<Load> {
        &self.load
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(read) = self.incoming.poll_read(cx, into) {
            return Poll::Ready(read);
        }
        // Of a client that has said all nothing is heard but that it leaves.
        if self.incoming.has_ended() && self.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Pending
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Answer::Head(respond, _) => respond.poll_reset(cx).map(drop),
            Answer::Body(body) => body.poll_reset(cx).map(drop),
            Answer::Over => Poll::Pending,
        }
    }

    /// Writes up to the end of a head, or some of the body.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.answer {
            Answer::Head(respond, text) => {
                let (mut taken, head) = text.take(bytes);
                if let Some(head) = head {
                    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
                    let sent = response::read(&head, self.method).ok_or_else(invalid)?;
                    taken -= head.len() - sent.len;
                    let unsent = &self.unsent;
                    let body = send(respond, sent, self.behind, &mut self.incoming, unsent)?;
                    if let Some(answer) = body {
                        self.answer = answer;
                    }
                }
                Poll::Ready(Ok(taken))
            }
            Answer::Body(body) => body.poll_write(cx, bytes),
            // What belongs to no body is not missed.
            Answer::Over => Poll::Ready(Ok(bytes.len())),
        }
    }

    /// Has what is left of a request, all of whose stated length has been read, be read as a last
    /// chunk; returns whether anything is.
    pub(super) fn begin_last_chunk(&mut self) -> bool {
        self.incoming.begin_last_chunk()
    }

    /// A last chunk is written behind the answer, whose length is stated.
    pub(super) fn await_last_chunk(&mut self) {
        self.behind = Behind::LastChunk;
        if let Answer::Body(body) = &mut self.answer {
            body.await_last_chunk();
        }
    }

    pub(super) fn end(&mut self) {
        match &mut self.answer {
            Answer::Head(respond, _) => {
                respond.send_reset(Reason::INTERNAL_ERROR);
                self.answer = Answer::Over;
            }
            Answer::Body(body) => body.end(),
            Answer::Over => {}
        }
    }

    pub(super) fn reset(&mut self) {
        match &mut self.answer {
            Answer::Head(respond, _) => respond.send_reset(Reason::INTERNAL_ERROR),
            Answer::Body(body) => body.reset(Reason::INTERNAL_ERROR),
            Answer::Over => {}
        }
        self.answer = Answer::Over;
    }

    /// Returns whether its answer has begun and is not whole.
    pub(in crate::process::proxy) const fn is_within_answer(&self) -> bool {
        match &self.answer {
            Answer::Body(body) => !body.has_ended(),
            Answer::Head(..) | Answer::Over => false,
        }
    }

    pub(super) fn has_failed(&mut self) -> bool {
        self.incoming.has_failed()
    }
}

/// Sends a head; returns what is due then, where it is not another one.
fn send(
    respond: &mut SendResponse<Data>,
    sent: Sent,
    behind: Behind,
    incoming: &mut Incoming,
    unsent: &Rc<Unsent>,
) -> io::Result<Option<Answer>> {
    let mut response = Response::new(());
    *response.status_mut() = sent.status;
    *response.headers_mut() = sent.fields;
    if sent.then == Then::Head {
        respond.send_informational(response).map_err(broken)?;
        return Ok(None);
    }
    let framing = match sent.then {
        Then::Tunnel => {
            incoming.begin_tunnel();
            Framing::UntilClose
        }
        Then::Head | Then::Body => sent.framing,
    };
    let ends = has_no_body(framing, behind);
    let stream = respond.send_response(response, ends).map_err(broken)?;
    Ok(Some(match ends {
        true => Answer::Over,
        false => Answer::Body(Outgoing::new(stream, (framing, behind), Rc::clone(unsent))),
    }))
}
