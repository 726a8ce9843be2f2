//! The backends that speak HTTP/2, without TLS: one steady, one that resets streams, says that it
//! leaves, and dies every few seconds with all its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::backends::{ALIVE, DEAD, Ends, IDLE, Manner};
use super::calls::{KIND, Messages, message};
use super::message::{EARLY, body};
use super::streams::{Failure, push};
use super::{Tally, WRONG};
use crate::wire::{Ask, TOKEN_LEN, is_body_at, parse_path, token_text};

/// Accepts, until backends are to end.
pub(super) fn live(
    manner: Manner,
    port: u16,
    ends: &Arc<Ends>,
    tally: &Arc<Tally>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        while !ends.is_over() {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
            let dies_at = Instant::now() + ALIVE;
            let mut connections = JoinSet::new();
            while !ends.is_over() && (!manner.comes_and_goes() || Instant::now() < dies_at) {
                let Ok(accepted) = timeout(POLL, listener.accept()).await else {
                    continue;
                };
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                connections.spawn(connection(manner, stream, Arc::clone(tally)));
                while connections.try_join_next().is_some() {}
            }
            drop(listener);
            connections.shutdown().await;
            if manner.comes_and_goes() && !ends.is_over() {
                tally.count(&format!("deaths of a backend ({manner:?}, HTTP/2)"));
                sleep(DEAD).await;
            }
        }
        Ok(())
    })
}

async fn connection(manner: Manner, stream: TcpStream, tally: Arc<Tally>) {
    let mut chance = fastrand::Rng::new();
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams([3, 1_000][chance.usize(..2)])
        .initial_window_size([10_000, 65_535, 1 << 20][chance.usize(..3)]);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut leaves_at = Instant::now() + Duration::from_millis(chance.u64(..4_000));
    // They end with their connection.
    let mut answers = JoinSet::new();
    loop {
        let left = leaves_at.saturating_duration_since(Instant::now());
        let accepted = match manner.comes_and_goes() {
            true => timeout(left, connection.accept()).await,
            false => Ok(connection.accept().await),
        };
        match accepted {
            Ok(Some(Ok((request, respond)))) => {
                answers.spawn(
                    Answering {
                        manner,
                        tally: Arc::clone(&tally),
                    }
                    .serve(request, respond, chance.fork()),
                );
                while answers.try_join_next().is_some() {}
            }
            Ok(Some(Err(error))) => {
                if error.is_library() {
                    tally.count(&format!("{WRONG} protocol at a backend: {error}"));
                }
                return;
            }
            Ok(None) => return,
            Err(_) => {
                connection.graceful_shutdown();
                leaves_at += IDLE;
            }
        }
    }
}

struct Answering {
    manner: Manner,
    tally: Arc<Tally>,
}

impl Answering {
    /// Answers a request; whatever ends it early is the stream's end, too.
    async fn serve(
        self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        mut chance: fastrand::Rng,
    ) {
        let Some(ask) = parse_path(request.uri().path().as_bytes()) else {
            self.wrong(&format!("request at a backend: {}", request.uri()));
            return;
        };
        let is_dying = self.manner == Manner::Dying;
        let token = token_text(ask.token);
        let reset = RESETS.get(chance.usize(..FAULTS));
        if let Some(reason) = reset.filter(|_| is_dying) {
            respond.send_reset(*reason);
            return;
        }
        let ended = match request.headers().get("content-type") {
            Some(kind) if kind == KIND => {
                let fails = is_dying && chance.u8(..8) == 0;
                self.converse(request.into_body(), respond, &token, fails)
                    .await
            }
            _ => self.answer(request, respond, ask, &mut chance).await,
        };
        // A stream that the proxy ends, ends with an error, which is meant.
        drop(ended);
    }

    async fn answer(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        ask: Ask,
        chance: &mut fastrand::Rng,
    ) -> Result<(), Failure> {
        let token = token_text(ask.token);
        let is_early = ask.request_bytes > 0 && chance.u8(..16) == 0;
        let mut upload = request.into_body();
        if !is_early {
            self.upload(&mut upload, ask, &token).await?;
        }
        let mut response = Response::new(());
        let fields = response.headers_mut();
        fields.insert(TOKEN, value(&token));
        if is_early {
            fields.insert(HeaderName::from_static(EARLY), value(b"yes"));
        }
        if chance.bool() {
            fields.insert("content-length", ask.response_bytes.into());
        }
        let mut stream = respond.send_response(response, false)?;
        let mut bytes = Bytes::from(body(ask.response_bytes, &token));
        let cut = CUTS.get(chance.usize(..FAULTS));
        if let Some(reason) = cut.filter(|_| self.manner == Manner::Dying) {
            bytes.truncate(chance.usize(..ask.response_bytes));
            push(&mut stream, bytes, false, IDLE).await?;
            stream.send_reset(*reason);
            return Ok(());
        }
        push(&mut stream, bytes, true, IDLE).await
    }

    /// Reads an upload, which must be its request's from the first byte to the last.
    async fn upload(
        &self,
        body: &mut RecvStream,
        ask: Ask,
        token: &[u8; TOKEN_LEN],
    ) -> Result<(), Failure> {
        let mut got = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            if !is_body_at(&data, got, ask.request_bytes, token) {
                self.wrong("upload at a backend of HTTP/2: bytes");
                return Err(Failure::Ended(Reason::INTERNAL_ERROR.into()));
            }
            got += data.len();
            body.flow_control().release_capacity(data.len())?;
        }
        if got < ask.request_bytes {
            self.wrong("upload at a backend of HTTP/2: end before its end");
            return Err(Failure::Ended(Reason::INTERNAL_ERROR.into()));
        }
        Ok(())
    }

    /// Says each message that is heard, and a status at the end.
    async fn converse(
        &self,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
        token: &[u8; TOKEN_LEN],
        fails: bool,
    ) -> Result<(), Failure> {
        let mut response = Response::new(());
        let fields = response.headers_mut();
        fields.insert("content-type", value(KIND.as_bytes()));
        fields.insert(TOKEN, value(token));
        let mut stream = respond.send_response(response, false)?;
        let mut hearing = Messages::new(body);
        while let Some(heard) = hearing.next(IDLE).await? {
            if !is_body_at(&heard, 0, heard.len(), token) {
                self.wrong("message at a backend");
            }
            if fails {
                break;
            }
            push(&mut stream, message(&heard), false, IDLE).await?;
        }
        if hearing.is_torn() && !fails {
            self.wrong("end of a call within a message at a backend");
        }
        let mut trailers = HeaderMap::new();
        // 14 is UNAVAILABLE.
        let status = if fails { "14" } else { "0" };
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        trailers.insert(TOKEN, value(token));
        Ok(stream.send_trailers(trailers)?)
    }

    fn wrong(&self, what: &str) {
        self.tally.count(&format!("{WRONG} {what}"));
    }
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).expect("it is a value")
}

const TOKEN: &str = "x-token";
/// What the dying one says instead of an answer, and how often: once in so many.
const RESETS: [Reason; 3] = [
    Reason::REFUSED_STREAM,
    Reason::INTERNAL_ERROR,
    Reason::CANCEL,
];
/// What it says in the middle of one.
const CUTS: [Reason; 3] = [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR];
const FAULTS: usize = 48;
const POLL: Duration = Duration::from_millis(50);
