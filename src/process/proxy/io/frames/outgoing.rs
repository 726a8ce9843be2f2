//! A body as it is written for HTTP/1.1, sent in frames.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::{Reason, SendStream};

use super::data::Data;
use super::text::broken;
use super::unsent::Unsent;
use crate::logic::http1::body::Body;
use crate::logic::http1::crossing::read_trailers;
use crate::logic::http1::head::Framing;
use crate::logic::http1::response::BodyCoding;

/// What is sent on a stream behind a head.
pub(super) struct Outgoing {
    stream: SendStream<Data>,
    body: Body,
    state: State,
    behind: Behind,
    unsent: Rc<Unsent>,
}

/// What is written behind a body whose length is stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behind {
    #[default]
    Nothing,
    /// A last chunk with trailers, of which HTTP/1.1 knows nothing there.
    LastChunk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// All has been sent but what a last chunk says.
    Trailing,
    /// The end has been sent.
    Ended,
}

impl Outgoing {
    /// Returns a body that is framed so, behind a head with or without an end of the stream.
    pub(super) fn new(
        stream: SendStream<Data>,
        (framing, behind): (Framing, Behind),
        unsent: Rc<Unsent>,
    ) -> Self {
        let mut outgoing = Self {
            stream,
            state: State::Open,
            body: Body::new(framing, BodyCoding::Unchunked),
            behind,
            unsent,
        };
        outgoing.state = outgoing.reached();
        outgoing
    }

    /// A last chunk is written behind the body, whose length is stated.
    pub(super) fn await_last_chunk(&mut self) {
        self.behind = Behind::LastChunk;
    }

    /// Returns where the bytes stand that were taken so far.
    fn reached(&mut self) -> State {
        match (self.body.is_ended(), self.behind, self.state) {
            (true, Behind::LastChunk, State::Open) => {
                self.body.await_last_chunk(BodyCoding::Unchunked);
                State::Trailing
            }
            (true, Behind::Nothing | Behind::LastChunk, _) => State::Ended,
            (false, Behind::Nothing | Behind::LastChunk, state) => state,
        }
    }

    /// Returns whether all of it has been sent.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Writes as much as the peer has room for; at least a byte.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut at = 0;
        while at < bytes.len() {
            if self.has_ended() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = match self.state {
                // No DATA has the bytes of a last chunk.
                State::Trailing => Poll::Ready(Ok(bytes.len() - at)),
                State::Open | State::Ended => self.poll_room(cx, bytes.len() - at),
            };
            let room = match room {
                Poll::Ready(room) => room?,
                Poll::Pending if at > 0 => break,
                Poll::Pending => return Poll::Pending,
            };
            at += self.send(&bytes[at..at + room])?;
        }
        Poll::Ready(Ok(at))
    }

    /// Ready with how many of so many bytes may be sent.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let wanted = wanted.min(FRAME_BYTES);
        ready!(self.unsent.poll_room(cx));
        self.stream.reserve_capacity(wanted);
        loop {
            match self.stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room.min(wanted))),
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    /// Sends bytes for which there is room; returns how many of them are done with.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let run = self.body.handle_bytes(bytes).map_err(io::Error::other)?;
        let trailers = match self.body.trailers() {
            [] | b"\r\n" => None,
            trailers => Some(read_trailers(trailers)),
        };
        self.state = self.reached();
        let has_ended = self.has_ended();
        let ends_here = has_ended && trailers.is_none();
        if run.pass > 0 || ends_here {
            let data = Data::of(&bytes[..run.pass], &self.unsent);
            self.stream.send_data(data, ends_here).map_err(broken)?;
        }
        if let Some(trailers) = trailers {
            self.stream.send_trailers(trailers).map_err(broken)?;
        }
        Ok(run.pass + run.skip)
    }

    /// Nothing more is written: the end is sent where that is one, and otherwise that it is none.
    pub(super) fn end(&mut self) {
        if self.has_ended() {
            return;
        }
        if self.body.handle_end().is_ok() {
            self.state = State::Ended;
            // Whoever does not hear of it has gone.
            let _ = self.stream.send_data(Data::default(), true);
        } else {
            self.reset(Reason::INTERNAL_ERROR);
        }
    }

    /// Resets the stream, unless its end has been sent.
    pub(super) fn reset(&mut self, why: Reason) {
        if !self.has_ended() {
            self.state = State::Ended;
            self.stream.send_reset(why);
        }
    }

    /// Ready where the peer has reset the stream, and says why, or the connection has failed.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        self.stream.poll_reset(cx).map(Result::ok)
    }
}

/// Returns whether a stream ends with a head whose body is framed so.
pub(super) const fn has_no_body(framing: Framing, behind: Behind) -> bool {
    match (framing, behind) {
        (Framing::None, _) | (Framing::Length(0), Behind::Nothing) => true,
        (Framing::Length(_) | Framing::Chunked | Framing::UntilClose, _) => false,
    }
}

/// The most of a body that is asked room for at once (RFC 9113 §4.2).
const FRAME_BYTES: usize = 16 * 1024;
