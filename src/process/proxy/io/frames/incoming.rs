//! A body as it comes in frames (RFC 9113 §8.1), read as one of HTTP/1.1.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::RecvStream;

use super::text::broken;
use crate::logic::http1::body::write_chunk_size;
use crate::logic::http1::crossing::{has_padded, write_trailers};

/// What comes on a stream, and what of it nobody has taken yet.
pub(super) struct Incoming {
    stream: Option<RecvStream>,
    coding: Coding,
    at_end: AtEnd,
    /// Read first.
    lead: Bytes,
    /// Read then; it takes room of the peer's window until it is.
    data: Bytes,
    /// Read last.
    close: &'static [u8],
    news: News,
}

/// Whether something has come that was not there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Nothing is known of when what comes has come.
    Unknown,
    /// There was nothing the last time.
    Awaited,
    Come,
}

/// How a body is framed in HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// By its length, or not at all.
    Plain,
    /// In chunks (RFC 9112 §7.1).
    Chunked,
}

/// What is read behind the end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// Nothing, for ever: that a peer has said all does not mean that it leaves.
    Quiet,
    /// An end.
    End,
}

impl Incoming {
    /// Returns what comes behind a head.
    pub(super) fn new(stream: RecvStream, coding: Coding) -> Self {
        Self {
            stream: (!stream.is_end_stream()).then_some(stream),
            coding,
            at_end: AtEnd::Quiet,
            lead: Bytes::new(),
            data: Bytes::new(),
            close: b"",
            news: News::Unknown,
        }
    }

    /// Has a head, or what stands for one, be read first.
    pub(super) fn lead_with(&mut self, text: Vec<u8>) {
        self.lead = text.into();
    }

    /// The bytes that come are those of another protocol.
    pub(super) fn begin_tunnel(&mut self) {
        self.coding = Coding::Plain;
        self.at_end = AtEnd::End;
    }

    /// Has what is left of a body, all of whose stated length has been read, be read as a last
    /// chunk with its trailers; returns whether anything is.
    pub(super) fn begin_last_chunk(&mut self) -> bool {
        let is_stated = (self.coding, self.at_end) == (Coding::Plain, AtEnd::Quiet);
        let stream = self.stream.as_ref().filter(|_| is_stated);
        let is_left = stream.is_some_and(|stream| !stream.is_end_stream());
        if is_left {
            self.coding = Coding::Chunked;
        }
        is_left
    }

    /// Returns whether nothing more comes.
    pub(super) fn has_ended(&self) -> bool {
        self.stream.is_none() && self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.lead.is_empty() && self.data.is_empty() && self.close.is_empty()
    }

    /// Reads once; pending behind the end where that means nothing.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let len = self.take(into);
            if len > 0 || into.is_empty() {
                return Poll::Ready(Ok(len));
            }
            match (&mut self.stream, self.at_end) {
                (Some(_), _) => ready!(self.poll_more(cx))?,
                (None, AtEnd::End) => return Poll::Ready(Ok(0)),
                (None, AtEnd::Quiet) => return Poll::Pending,
            }
        }
    }

    /// Returns whether something has come since there was nothing: what waits to be read may be as
    /// old as it likes.
    pub(super) fn take_news(&mut self) -> bool {
        let has_come = self.news == News::Come;
        if has_come {
            self.news = News::Unknown;
        }
        has_come
    }

    /// Looks whether the stream has failed, where nobody waits for what comes.
    pub(super) fn has_failed(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.is_empty()
            && self.stream.is_some()
            && matches!(self.poll_more(&mut cx), Poll::Ready(Err(_)))
    }

    /// Gets the next of what comes.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let more = self.poll_frame(cx);
        self.news = match (&more, self.news) {
            (Poll::Pending, News::Unknown | News::Awaited) => News::Awaited,
            (Poll::Ready(Ok(())), News::Awaited) | (_, News::Come) => News::Come,
            (Poll::Ready(_), News::Unknown | News::Awaited) => News::Unknown,
        };
        more
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                if self.coding == Coding::Chunked && !data.is_empty() {
                    let mut line = Vec::with_capacity(CHUNK_LINE_BYTES);
                    write_chunk_size(&mut line, data.len());
                    self.lead = line.into();
                    self.close = b"\r\n";
                }
                self.data = data;
            }
            Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            None => {
                let trailers = ready!(stream.poll_trailers(cx)).map_err(broken)?;
                let trailers = trailers.unwrap_or_default();
                if has_padded(&trailers) {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                if self.coding == Coding::Chunked {
                    let mut end = b"0\r\n".to_vec();
                    write_trailers(&trailers, &mut end);
                    self.lead = end.into();
                }
                self.stream = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is there, and gives the peer room for as much.
    fn take(&mut self, into: &mut [u8]) -> usize {
        let mut len = copy(&mut self.lead, into);
        let of_data = copy(&mut self.data, &mut into[len..]);
        if of_data > 0
            && let Some(stream) = &mut self.stream
        {
            // More than has come is never given.
            let _ = stream.flow_control().release_capacity(of_data);
        }
        len += of_data;
        if self.lead.is_empty() && self.data.is_empty() {
            let of_close = self.close.len().min(into.len() - len);
            into[len..len + of_close].copy_from_slice(&self.close[..of_close]);
            self.close = &self.close[of_close..];
            len += of_close;
        }
        len
    }
}

fn copy(from: &mut Bytes, into: &mut [u8]) -> usize {
    let len = from.len().min(into.len());
    into[..len].copy_from_slice(&from[..len]);
    from.advance(len);
    len
}

/// A size in hexadecimal digits, and the end of its line.
const CHUNK_LINE_BYTES: usize = 18;
