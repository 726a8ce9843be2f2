//! The messages that the parts of the proxy hand each other: a head and a stream of body.
//!
//! Today the heads and the streams are hyper's. A body knows what its end means: a request's body
//! tells the relay that the backend has it all, a response's body gives the upstream connection
//! back and frees the client connection.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response};

use super::downstream::watch::{Phase, Watch};
use super::upstream::{InFlight, Lease};

/// A request on its way to a backend.
pub(super) type ClientRequest = Request<RequestBody>;

/// A response on its way to a client.
pub(super) type Answer = Response<AnswerBody>;

/// The body of a request.
pub(super) enum RequestBody {
    /// There is none.
    Empty,
    /// As the client sends it.
    Client {
        /// The stream.
        incoming: Incoming,
        /// What the relay watches.
        upload: Rc<Upload>,
    },
}

/// How far the body of a request has come.
pub(super) struct Upload {
    ended_at: Cell<Option<Instant>>,
    broken: Cell<bool>,
    watch: Arc<Watch>,
}

impl Upload {
    pub(super) fn new(watch: Arc<Watch>) -> Upload {
        Upload {
            ended_at: Cell::new(None),
            broken: Cell::new(false),
            watch,
        }
    }

    /// Returns when the last byte was taken from the client.
    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.ended_at.get()
    }

    /// Returns whether the client's body was malformed or broke off.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Says that there is nothing (more) to send.
    pub(super) fn end(&self) {
        if self.ended_at.get().is_none() {
            self.ended_at.set(Some(Instant::now()));
            if self.watch.phase() == Phase::Uploading {
                self.watch.enter(Phase::Waiting);
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let RequestBody::Client { incoming, upload } = self.get_mut() else {
            return Poll::Ready(None);
        };
        let poll = Pin::new(&mut *incoming).poll_frame(cx);
        match &poll {
            Poll::Ready(None) => upload.end(),
            Poll::Ready(Some(Ok(_))) if incoming.is_end_stream() => upload.end(),
            Poll::Ready(Some(Err(_))) => upload.broken.set(true),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// The body of an answer; when it is dropped, the exchange is over.
pub(super) struct AnswerBody {
    source: Source,
    watch: Arc<Watch>,
}

enum Source {
    Empty,
    Own(Bytes),
    Backend {
        incoming: Incoming,
        /// Given back at the clean end; dropped, and with it the connection, otherwise.
        lease: Option<Lease>,
        _in_flight: InFlight,
    },
}

impl AnswerBody {
    /// Returns a body of our own.
    pub(super) fn own(text: String, watch: Arc<Watch>) -> AnswerBody {
        let source = if text.is_empty() {
            Source::Empty
        } else {
            Source::Own(Bytes::from(text))
        };
        AnswerBody { source, watch }
    }

    /// Returns a body that relays a backend's.
    pub(super) fn relayed(
        incoming: Incoming,
        lease: Option<Lease>,
        in_flight: InFlight,
        watch: Arc<Watch>,
    ) -> AnswerBody {
        if incoming.is_end_stream() {
            if let Some(lease) = lease {
                lease.give_back();
            }
            return AnswerBody {
                source: Source::Empty,
                watch,
            };
        }
        AnswerBody {
            source: Source::Backend {
                incoming,
                lease,
                _in_flight: in_flight,
            },
            watch,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match &mut this.source {
            Source::Empty => Poll::Ready(None),
            Source::Own(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Backend {
                incoming, lease, ..
            } => {
                let poll = Pin::new(&mut *incoming).poll_frame(cx);
                let ended = match &poll {
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Ok(_))) => incoming.is_end_stream(),
                    Poll::Ready(Some(Err(_))) => {
                        drop(lease.take());
                        false
                    }
                    Poll::Pending => false,
                };
                if ended && let Some(lease) = lease.take() {
                    lease.give_back();
                }
                poll
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Own(_) => false,
            Source::Backend { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Own(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Source::Backend { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.watch.enter(Phase::Idle);
    }
}
