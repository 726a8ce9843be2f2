//! The way of one request: refused, or prepared, given to a backend, given to another if need be,
//! and answered.
//!
//! The decisions are `logic::http1`'s and `logic::balance`'s; here they are carried out. Every way
//! out of `answer` is an answer with a status: nothing waits without a deadline.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::answer::{Own, Then};
use super::downstream::tunnel::Tunnel;
use super::downstream::watch::{Framing, Phase, Watch};
use super::message::{Answer, AnswerBody, ClientRequest, RequestBody, Upload};
use super::shared::{Backend, Listener, Pool};
use super::upstream::{InFlight, Lease, LookedAt, OpenError};
use super::worker::Thread;
use crate::logic::balance::retry::{self, Connection, Failure, Next, Repeat};
use crate::logic::http1::hyper_fields::{
    Arrival, Upgrade, prepare_request, prepare_response, upgrade_of,
};
use crate::logic::http1::hyper_refusal::{RequestRefusal, check_request, check_response};

/// What the requests of one client connection have in common.
pub(super) struct ClientConnection {
    pub(super) thread: Rc<Thread>,
    pub(super) listener: usize,
    pub(super) client: SocketAddr,
    /// Where the client connected to.
    pub(super) local: String,
    pub(super) watch: Arc<Watch>,
    /// Set with an answer 101: what the connection becomes.
    pub(super) tunnel: RefCell<Option<Tunnel>>,
}

impl ClientConnection {
    pub(super) fn listener(&self) -> &Listener {
        &self.thread.table.listeners[self.listener]
    }
}

/// Answers one request, in any case.
pub(super) async fn answer(
    connection: Rc<ClientConnection>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let watch = &connection.watch;
    let uploading = !request.body().is_end_stream();
    watch.enter(if uploading {
        Phase::Uploading
    } else {
        Phase::Waiting
    });
    let mut answer = match relay(&connection, request).await {
        Ok(answer) => answer,
        Err(own) => own.into_answer(Arc::clone(watch)),
    };
    watch.enter(Phase::Relaying);
    connection
        .listener()
        .count_response(answer.status().as_u16());
    if connection.thread.is_draining() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

async fn relay(
    connection: &Rc<ClientConnection>,
    mut request: Request<Incoming>,
) -> Result<Answer, Own> {
    check(connection, &request).map_err(|refusal| Own {
        status: refusal.status(),
        token: refusal.token(),
        why: refusal.to_string(),
        then: Then::Close,
    })?;
    let upgrade = upgrade_of(request.method(), request.version(), request.headers());
    let upgraded = (upgrade == Upgrade::WebSocket).then(|| hyper::upgrade::on(&mut request));
    let upload = Rc::new(Upload::new(Arc::clone(&connection.watch)));
    let bodyless = request.body().is_end_stream();
    let repeat = match bodyless && upgrade == Upgrade::None && is_idempotent(request.method()) {
        true => Repeat::Harmless,
        false => Repeat::Risky,
    };
    let mut exchange = Exchange {
        connection: Rc::clone(connection),
        pool: connection.listener().pool,
        method: request.method().clone(),
        upgrade,
        upgraded,
        upload,
        repeat,
        tried: Vec::new(),
    };
    let request = exchange.outgoing(request);
    exchange.run(request).await
}

fn check(connection: &ClientConnection, request: &Request<Incoming>) -> Result<(), RequestRefusal> {
    if connection.watch.count_request() == Framing::Ambiguous {
        return Err(RequestRefusal::BothFramings);
    }
    check_request(
        request.method(),
        request.uri(),
        request.version(),
        request.headers(),
    )
}

struct Exchange {
    connection: Rc<ClientConnection>,
    pool: usize,
    method: Method,
    upgrade: Upgrade,
    upgraded: Option<OnUpgrade>,
    upload: Rc<Upload>,
    repeat: Repeat,
    tried: Vec<usize>,
}

/// An attempt that brought no answer.
struct Failed {
    failure: Failure,
    /// What the client is told if it was the last attempt.
    own: Own,
    /// The request, where it can be sent again.
    request: Option<Box<ClientRequest>>,
}

impl Exchange {
    fn pool(&self) -> &Pool {
        &self.connection.thread.table.pools[self.pool]
    }

    fn backend(&self, index: usize) -> &Backend {
        &self.pool().backends[index]
    }

    /// Turns the client's request into the backend's.
    fn outgoing(&self, request: Request<Incoming>) -> ClientRequest {
        let (mut parts, incoming) = request.into_parts();
        let arrival = Arrival {
            client: self.connection.client.ip(),
            scheme: "http",
            fallback_host: &self.connection.local,
        };
        prepare_request(&mut parts.headers, arrival, self.upgrade);
        if parts.uri.scheme().is_some() {
            parts.uri = origin_form(&parts.uri);
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let body = if incoming.is_end_stream() {
            self.upload.end();
            RequestBody::Empty
        } else {
            RequestBody::Client {
                incoming,
                upload: Rc::clone(&self.upload),
            }
        };
        Request::from_parts(parts, body)
    }

    async fn run(&mut self, mut request: ClientRequest) -> Result<Answer, Own> {
        let mut backend = self.pick().ok_or_else(|| self.nobody_up())?;
        let mut on = Connection::Reused;
        loop {
            let failed = match self.attempt(backend, request, on).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if self.upload.is_broken() {
                return Err(self.broken_body());
            }
            let Failed {
                failure,
                own,
                request: again,
            } = failed;
            let next = retry::next(failure, self.repeat, self.tried.len());
            if next != Next::SameBackend {
                self.backend(backend).failures.fetch_add(1, Relaxed);
            }
            let (Some(again), true) = (again, next != Next::GiveUp) else {
                return Err(own);
            };
            on = match next {
                Next::SameBackend => Connection::Fresh,
                Next::OtherBackend | Next::GiveUp => {
                    let Some(other) = self.pick() else {
                        return Err(own);
                    };
                    backend = other;
                    self.pool().retries.fetch_add(1, Relaxed);
                    Connection::Reused
                }
            };
            request = *again;
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let picked = self.connection.thread.pick(self.pool, &self.tried)?;
        self.tried.push(picked);
        Some(picked)
    }

    /// Sends the request to `backend`; `on` says whether a kept connection may be used.
    async fn attempt(
        &mut self,
        backend: usize,
        request: ClientRequest,
        on: Connection,
    ) -> Result<Answer, Failed> {
        let table = Arc::clone(&self.connection.thread.table);
        let in_flight = InFlight::new(table, self.pool, backend);
        let (mut lease, on) = match self.lease(backend, on).await {
            Ok(leased) => leased,
            Err(error) => {
                let own = self.no_connection(backend, error);
                return Err(Failed {
                    failure: Failure::Connect,
                    own,
                    request: Some(Box::new(request)),
                });
            }
        };
        let copy = (self.repeat == Repeat::Harmless).then(|| copy_of(&request));
        let sending = lease.sender.try_send_request(request);
        let within = self.pool().timeouts.response_head;
        let Some(sent) = in_time(sending, &self.upload, within).await else {
            let own = self.no_answer(backend);
            return Err(Failed {
                failure: Failure::Timeout,
                own,
                request: None,
            });
        };
        match sent {
            Ok(response) => self.accept(backend, response, lease, in_flight),
            Err(error) => Err(self.send_failed(backend, error, on, copy)),
        }
    }

    async fn lease(
        &self,
        backend: usize,
        on: Connection,
    ) -> Result<(Lease, Connection), OpenError> {
        let upstreams = &self.connection.thread.upstreams;
        if on == Connection::Reused {
            let looked_at = match self.repeat {
                Repeat::Harmless => LookedAt::No,
                Repeat::Risky => LookedAt::Yes,
            };
            if let Some(lease) = upstreams.take(self.pool, backend, looked_at) {
                return Ok((lease, Connection::Reused));
            }
        }
        let address = self.backend(backend).address;
        let within = self.pool().timeouts.connect;
        let lease = upstreams.open(self.pool, backend, address, within).await?;
        Ok((lease, Connection::Fresh))
    }

    fn send_failed(
        &self,
        backend: usize,
        mut error: TrySendError<ClientRequest>,
        on: Connection,
        copy: Option<ClientRequest>,
    ) -> Failed {
        let unsent = error.take_message();
        let error = error.into_error();
        let failure = match (&unsent, error.is_parse()) {
            (Some(_), _) => Failure::Unsent(on),
            (None, true) => Failure::BadAnswer,
            (None, false) => Failure::Unanswered(on),
        };
        let own = if failure == Failure::BadAnswer {
            self.bad_answer(backend, &error.to_string())
        } else {
            self.own(
                StatusCode::BAD_GATEWAY,
                "connection_lost",
                backend,
                "closed the connection before it answered",
            )
        };
        Failed {
            failure,
            own,
            request: unsent.or(copy).map(Box::new),
        }
    }

    /// Turns the backend's response into the client's.
    fn accept(
        &mut self,
        backend: usize,
        mut response: Response<Incoming>,
        lease: Lease,
        in_flight: InFlight,
    ) -> Result<Answer, Failed> {
        let status = response.status();
        if let Err(refusal) = check_response(status, response.headers(), self.upgrade) {
            let own = self.bad_answer(backend, &refusal.to_string());
            return Err(Failed {
                failure: Failure::BadAnswer,
                own,
                request: None,
            });
        }
        let watch = Arc::clone(&self.connection.watch);
        if status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(client) = self.upgraded.take()
        {
            let upstream = hyper::upgrade::on(&mut response);
            let tunnel = Tunnel::new(client, upstream, in_flight);
            self.connection.tunnel.replace(Some(tunnel));
            let (mut parts, _) = response.into_parts();
            prepare_response(status, &mut parts.headers);
            parts.extensions.clear();
            return Ok(Response::from_parts(
                parts,
                AnswerBody::own(String::new(), watch),
            ));
        }
        let (mut parts, incoming) = response.into_parts();
        // The end of a HEAD's answer that states no length may be the end of the connection.
        let stated = parts.headers.contains_key(CONTENT_LENGTH)
            || parts.headers.contains_key(TRANSFER_ENCODING);
        let lease = (self.method != Method::HEAD || stated).then_some(lease);
        prepare_response(status, &mut parts.headers);
        parts.version = Version::HTTP_11;
        let body = AnswerBody::relayed(incoming, lease, in_flight, watch);
        Ok(Response::from_parts(parts, body))
    }

    fn own(&self, status: StatusCode, token: &'static str, backend: usize, what: &str) -> Own {
        let backend = self.backend(backend);
        let why = format!(
            "backend {} ({}) of pool {} {what}",
            backend.name,
            backend.address,
            self.pool().name
        );
        let then = match self.upload.ended_at() {
            Some(_) => Then::Keep,
            None => Then::Close,
        };
        Own {
            status,
            token,
            why,
            then,
        }
    }

    fn no_connection(&self, backend: usize, error: OpenError) -> Own {
        match error {
            OpenError::TimedOut => {
                let what = "did not accept the connection in time";
                self.own(
                    StatusCode::GATEWAY_TIMEOUT,
                    "connect_timeout",
                    backend,
                    what,
                )
            }
            OpenError::Refused(error) => {
                let what = format!("cannot be connected to: {error}");
                self.own(StatusCode::BAD_GATEWAY, "connect_failed", backend, &what)
            }
        }
    }

    fn no_answer(&self, backend: usize) -> Own {
        let what = "did not answer in time";
        self.own(
            StatusCode::GATEWAY_TIMEOUT,
            "response_timeout",
            backend,
            what,
        )
    }

    fn bad_answer(&self, backend: usize, why: &str) -> Own {
        let what = format!("sent an answer that is not relayed: {why}");
        self.own(StatusCode::BAD_GATEWAY, "bad_answer", backend, &what)
    }

    fn nobody_up(&self) -> Own {
        let pool = self.pool();
        let why = format!(
            "none of the {} backends of pool {} is up",
            pool.backends.len(),
            pool.name
        );
        let then = match self.upload.ended_at() {
            Some(_) => Then::Keep,
            None => Then::Close,
        };
        Own {
            status: StatusCode::SERVICE_UNAVAILABLE,
            token: "no_backend_up",
            why,
            then,
        }
    }

    fn broken_body(&self) -> Own {
        Own {
            status: StatusCode::BAD_REQUEST,
            token: "body_invalid",
            why: "the body of the request is malformed or broke off".to_owned(),
            then: Then::Close,
        }
    }
}

/// Waits for a response's head, `within` from the end of the request; `None` when the time is over.
///
/// While the request's body is on its way, the client connection's own watch keeps the time.
async fn in_time<F: Future>(sending: F, upload: &Upload, within: Duration) -> Option<F::Output> {
    let mut sending = pin!(sending);
    let began_at = Instant::now();
    let mut wait = within;
    loop {
        if let Ok(sent) = tokio::time::timeout(wait, sending.as_mut()).await {
            return Some(sent);
        }
        wait = match upload.ended_at() {
            Some(ended_at) => within.checked_sub(ended_at.max(began_at).elapsed())?,
            None => within,
        };
        if wait.is_zero() {
            return None;
        }
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::TRACE,
    ]
    .contains(method)
}

fn copy_of(request: &ClientRequest) -> ClientRequest {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn origin_form(target: &Uri) -> Uri {
    target
        .path_and_query()
        .map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()))
}
