//! The way of one request: given to a backend, given to another if need be, and answered.
//!
//! The decisions are `logic::http1`'s and `logic::balance`'s; here they are carried out. Every way
//! out of `answer` says what becomes of the client's connection: nothing waits without a deadline.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::atomic::Ordering::Relaxed;

use tokio::net::TcpStream;

use super::downstream::connection::Client;
use super::downstream::watch::Phase;
use super::exchange::{Answered, Direction, Ending, Exchange, Relayed, Sides, Waited};
use super::shared::{Backend, Listener, Pool};
use super::stream;
use super::upstream::{self, InFlight, LookedAt, OpenError};
use crate::logic::balance::retry::{self, BACKENDS_TRIED_MAX, Connection, Failure, Next, Repeat};
use crate::logic::http1::head::{Framing, Persistence};
use crate::logic::http1::own::OwnAnswer;
use crate::logic::http1::refusal::RequestRefusal;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::AskedFor;

/// A request that may be relayed.
pub(super) struct Request {
    /// As the backend is sent it.
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) expectation: Expectation,
    pub(super) asked: AskedFor,
    pub(super) repeat: Repeat,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed: nothing more is expected on it.
    Close,
    /// It is closed when the client has had time to read its answer.
    Linger,
    /// It is reset, so that nobody takes what was sent for the whole.
    Reset,
}

/// Answers one request, in any case but that of a client that has gone.
pub(super) async fn answer(client: &mut Client, request: Request) -> After {
    let Request {
        head,
        framing,
        expectation,
        asked,
        repeat,
    } = request;
    let ahead = std::mem::take(&mut client.ahead);
    let exchange = Exchange::new(head, ahead, framing, asked, expectation);
    let mut attempts = Attempts {
        client,
        exchange,
        asked,
        framing,
        repeat,
        tried: [usize::MAX; BACKENDS_TRIED_MAX],
        tried_count: 0,
    };
    let after = match attempts.run().await {
        Ok(after) => after,
        Err(own) => attempts.say(own).await,
    };
    let Attempts {
        client,
        mut exchange,
        ..
    } = attempts;
    client.ahead = exchange.end(&client.thread);
    after
}

/// An answer of our own, or the word that there is nobody to tell.
enum Own {
    Answer(OwnAnswer),
    Nobody,
}

struct Attempts<'c> {
    client: &'c mut Client,
    exchange: Exchange,
    asked: AskedFor,
    framing: Framing,
    repeat: Repeat,
    tried: [usize; BACKENDS_TRIED_MAX],
    tried_count: usize,
}

impl Attempts<'_> {
    fn listener(&self) -> &Listener {
        self.client.listener()
    }

    fn pool_index(&self) -> usize {
        self.listener().pool
    }

    fn pool(&self) -> &Pool {
        &self.client.thread.table.pools[self.pool_index()]
    }

    fn backend(&self, index: usize) -> &Backend {
        &self.pool().backends[index]
    }

    async fn run(&mut self) -> Result<After, Own> {
        let mut backend = self.pick().ok_or_else(|| self.nobody_up())?;
        let mut on = Connection::Reused;
        loop {
            let in_flight = InFlight::new(&self.client.thread, self.pool_index(), backend);
            let (failure, own) = match self.lease(backend, on).await {
                Ok((mut stream, on)) => {
                    let waited = self.wait(&mut stream).await;
                    if let Waited::Answered(answered) = waited {
                        return Ok(self.relay(backend, answered, stream, in_flight).await);
                    }
                    self.failed(backend, on, waited)?
                }
                Err(error) => (Failure::Connect, self.no_connection(backend, error)?),
            };
            drop(in_flight);
            let next = retry::next(failure, self.repeat, self.tried_count);
            if next != Next::SameBackend {
                self.backend(backend).failures.fetch_add(1, Relaxed);
            }
            on = match next {
                Next::SameBackend => Connection::Fresh,
                Next::OtherBackend => match self.pick() {
                    Some(other) => {
                        backend = other;
                        self.pool().retries.fetch_add(1, Relaxed);
                        Connection::Reused
                    }
                    None => return Err(own),
                },
                Next::GiveUp => return Err(own),
            };
            self.exchange.rewind(&self.client.thread);
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let tried = &self.tried[..self.tried_count];
        let picked = self.client.thread.pick(self.pool_index(), tried)?;
        *self.tried.get_mut(self.tried_count)? = picked;
        self.tried_count += 1;
        Some(picked)
    }

    /// Returns a connection; `on` says whether a kept one may be used.
    async fn lease(
        &self,
        backend: usize,
        on: Connection,
    ) -> Result<(TcpStream, Connection), OpenError> {
        if on == Connection::Reused {
            let looked_at = match self.repeat {
                Repeat::Harmless => LookedAt::No,
                Repeat::Risky => LookedAt::Yes,
            };
            let upstreams = &self.client.thread.upstreams;
            if let Some(stream) = upstreams.take(self.pool_index(), backend, looked_at) {
                return Ok((stream, Connection::Reused));
            }
        }
        let watch = &self.client.watch;
        watch.enter(Phase::Connecting, self.pool().timeouts.connect);
        let stream = upstream::open(self.backend(backend).address, watch).await?;
        Ok((stream, Connection::Fresh))
    }

    /// Sends the request and waits for the head of its response.
    async fn wait(&mut self, upstream: &mut TcpStream) -> Waited {
        let client_timeouts = self.listener().timeouts;
        let pool_timeouts = self.pool().timeouts;
        let Client {
            stream,
            thread,
            watch,
            ..
        } = &mut *self.client;
        watch.enter(Phase::Uploading, client_timeouts.idle);
        let exchange = &mut self.exchange;
        let mut sides = Sides {
            client: stream,
            upstream,
            thread,
            watch,
            pool_timeouts,
        };
        poll_fn(|cx| exchange.poll_answer(cx, &mut sides)).await
    }

    /// Relays the response whose head has come.
    async fn relay(
        &mut self,
        backend: usize,
        answered: Answered,
        mut upstream: TcpStream,
        _in_flight: InFlight,
    ) -> After {
        let listener = self.client.listener();
        listener.count_response(answered.status);
        let idle = listener.timeouts.idle;
        let pool = listener.pool;
        let pool_timeouts = self.pool().timeouts;
        let Client {
            stream,
            thread,
            watch,
            ..
        } = &mut *self.client;
        let exchange = &mut self.exchange;
        let mut sides = Sides {
            client: stream,
            upstream: &mut upstream,
            thread,
            watch,
            pool_timeouts,
        };
        if answered.status == 101 {
            sides.watch.enter(Phase::Tunnel, idle);
            exchange.begin_tunnel();
            let mut down = Direction::Open;
            poll_fn(|cx| exchange.poll_tunnel(cx, &mut sides, &mut down)).await;
            return After::Close;
        }
        sides.watch.enter(Phase::Relaying, idle);
        let relayed = poll_fn(|cx| exchange.poll_relay(cx, &mut sides)).await;
        match relayed {
            Relayed::Whole => {}
            Relayed::Truncated if answered.ends == Ending::Close => return After::Reset,
            Relayed::Truncated | Relayed::Abandoned => return After::Close,
        }
        if !exchange.has_uploaded() {
            return After::Linger;
        }
        if answered.upstream == Persistence::Keep && !exchange.has_surplus() {
            thread.upstreams.keep(pool, backend, upstream);
        }
        match (answered.client, self.asked.persistence) {
            (Persistence::Keep, _) => After::Keep,
            // The client has said that nothing follows; closing would reset what does.
            (Persistence::Close, Persistence::Close)
                if !exchange.is_ahead() && stream::is_quiet(stream) =>
            {
                After::Close
            }
            (Persistence::Close, _) => After::Linger,
        }
    }

    /// Tells what an attempt without an answer means, and what the client is told if it was the
    /// last.
    fn failed(
        &self,
        backend: usize,
        on: Connection,
        waited: Waited,
    ) -> Result<(Failure, Own), Own> {
        let (failure, status, token, what) = match waited {
            // Relayed before anybody asks.
            Waited::Answered(_) | Waited::ClientGone | Waited::Cut => return Err(Own::Nobody),
            Waited::BrokenBody(error) => {
                return Err(Own::refusal(RequestRefusal::Body(error)));
            }
            Waited::ClientSilent => return Err(Own::late()),
            Waited::BackendSilent => {
                let what = "did not answer in time".to_owned();
                (Failure::Timeout, 504, "response_timeout", what)
            }
            Waited::Bad(refusal) => {
                let what = format!("sent an answer that is not relayed: {refusal}");
                (Failure::BadAnswer, 502, "bad_answer", what)
            }
            Waited::Lost => {
                let failure = if self.exchange.has_sent() {
                    Failure::Unanswered(on)
                } else {
                    Failure::Unsent(on)
                };
                let what = "closed the connection before it answered".to_owned();
                (failure, 502, "connection_lost", what)
            }
        };
        Ok((failure, self.own(status, token, backend, &what)))
    }

    fn own(&self, status: u16, token: &'static str, backend: usize, what: &str) -> Own {
        let backend = self.backend(backend);
        let why = format!(
            "backend {} ({}) of pool {} {what}",
            backend.name,
            backend.address,
            self.pool().name
        );
        Own::Answer(OwnAnswer { status, token, why })
    }

    fn no_connection(&self, backend: usize, error: OpenError) -> Result<Own, Own> {
        match error {
            OpenError::Cut => Err(Own::Nobody),
            OpenError::TimedOut => {
                let what = "did not accept the connection in time";
                Ok(self.own(504, "connect_timeout", backend, what))
            }
            OpenError::Refused(error) => {
                let what = format!("cannot be connected to: {error}");
                Ok(self.own(502, "connect_failed", backend, &what))
            }
        }
    }

    fn nobody_up(&self) -> Own {
        let pool = self.pool();
        let why = format!(
            "none of the {} backends of pool {} is up",
            pool.backends.len(),
            pool.name
        );
        Own::Answer(OwnAnswer {
            status: 503,
            token: "no_backend_up",
            why,
        })
    }

    /// Gives an answer of our own; the connection is kept where the request is over.
    async fn say(&mut self, own: Own) -> After {
        let Own::Answer(own) = own else {
            return After::Close;
        };
        let bodyless = matches!(self.framing, Framing::None | Framing::Length(0));
        let over = bodyless || self.exchange.has_uploaded();
        let keep = over && own.status != 400 && own.status != 408;
        let persistence = match self.asked.persistence {
            Persistence::Keep if keep => Persistence::Keep,
            Persistence::Keep | Persistence::Close => Persistence::Close,
        };
        say(self.client, &own, self.asked, persistence).await
    }
}

impl Own {
    fn refusal(refusal: RequestRefusal) -> Own {
        Own::Answer(refused(refusal))
    }

    fn late() -> Own {
        Own::Answer(late())
    }
}

/// Returns the answer to a request that is not relayed.
pub(super) fn refused(refusal: RequestRefusal) -> OwnAnswer {
    OwnAnswer {
        status: refusal.status(),
        token: refusal.token(),
        why: refusal.to_string(),
    }
}

/// Returns the answer to a request that does not come to its end.
pub(super) fn late() -> OwnAnswer {
    OwnAnswer {
        status: 408,
        token: "request_timeout",
        why: "the request did not come to its end in time".to_owned(),
    }
}

/// Writes an answer of our own.
pub(super) async fn say(
    client: &mut Client,
    own: &OwnAnswer,
    asked: AskedFor,
    persistence: Persistence,
) -> After {
    let persistence = if client.thread.draining.get() {
        Persistence::Close
    } else {
        persistence
    };
    let listener = client.listener();
    listener.count_response(own.status);
    client.watch.enter(Phase::Relaying, listener.timeouts.idle);
    let mut text = client.thread.buffers.small();
    let date = client.thread.date.get();
    own.write(asked.method, asked.version, persistence, &date, &mut text);
    let mut written = 0;
    let whole = poll_fn(|cx| {
        while written < text.len() {
            if client.watch.poll_interrupt(cx).is_ready() {
                return std::task::Poll::Ready(false);
            }
            let rest = [IoSlice::new(&text[written..])];
            match std::task::ready!(stream::poll_write(&mut client.stream, cx, &rest)) {
                Ok(count) => written += count,
                Err(_) => return std::task::Poll::Ready(false),
            }
        }
        std::task::Poll::Ready(true)
    })
    .await;
    client.thread.buffers.give_back(text);
    match (whole, persistence) {
        (false, _) => After::Close,
        (true, Persistence::Keep) => After::Keep,
        (true, Persistence::Close) => After::Linger,
    }
}
