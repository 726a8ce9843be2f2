//! What the lab's backend answers, and how slowly.
//!
//! The query of a request says what is wanted: `token=T` comes back in the answer, `delay_ms=N`
//! lets it come later. `/download?bytes=N&ms=M` gives a body of N bytes over M ms; of a request
//! with a body the answer tells the bytes and their [`Sum`]; `/websocket` upgrades and echoes.
//! Visitors (`super::super::visitors`) hold it to what it says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Interval};

use crate::lab::websocket::{self, Frame as WebSocketFrame};

/// What a backend does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Answers 200.
    Serves,
    /// Answers 503 below `/health`, and 200 elsewhere.
    FailsHealth,
    /// Answers 503 to everything.
    Fails,
    /// Has closed its connections, and the kernel refuses new ones.
    Refuses,
}

/// One connection of a backend: who answers, who asked, and the upgrade that was promised.
pub(super) struct Answerer<'a> {
    /// The backend's name.
    pub name: &'a str,
    /// Where the connection came from.
    pub peer: SocketAddr,
    upgrade: Mutex<Option<OnUpgrade>>,
}

impl<'a> Answerer<'a> {
    pub(super) fn new(name: &'a str, peer: SocketAddr) -> Self {
        Self {
            name,
            peer,
            upgrade: Mutex::new(None),
        }
    }

    /// Answers one request; errs when its body breaks off.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        behavior: Behavior,
    ) -> Result<Response<Content>, hyper::Error> {
        let fails = match behavior {
            Behavior::Serves => false,
            Behavior::FailsHealth => request.uri().path().starts_with("/health"),
            Behavior::Fails | Behavior::Refuses => true,
        };
        if fails {
            let mut response = Response::new(Content::whole(self.line(&request) + "\n"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(response);
        }
        let wish = Wish::of(request.uri().query().unwrap_or_default());
        if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
            let proof = websocket::accept_key(key.to_str().unwrap_or_default());
            return Ok(self.upgrade(request, &proof));
        }
        let mut line = self.line(&request);
        if let Some(token) = &wish.token {
            line.push_str(&format!(" token={token}"));
        }
        let downloads = request.uri().path() == "/download";
        if !request.body().is_end_stream() {
            let mut sum = Sum::default();
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    sum.add(&data);
                }
            }
            line.push_str(&format!(" {sum}"));
        }
        tokio::time::sleep(wish.delay).await;
        line.push('\n');
        Ok(Response::new(if downloads {
            Content::slow(&wish)
        } else {
            Content::whole(line)
        }))
    }

    /// Echoes what comes after an upgrade; returns at once when none was asked for.
    pub(super) async fn echo(&self) {
        let upgrade = self.lock().take();
        let Some(upgrade) = upgrade else { return };
        // A client that has gone meanwhile is no error of the lab.
        if let Ok(upgraded) = upgrade.await {
            let _ = echo(TokioIo::new(upgraded)).await;
        }
    }

    fn line(&self, request: &Request<Incoming>) -> String {
        let forwarded_for = request
            .headers()
            .get("x-forwarded-for")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("-");
        let node = self.peer.ip().to_canonical();
        format!("backend={} node={node} xff={forwarded_for}", self.name)
    }

    fn upgrade(&self, mut request: Request<Incoming>, proof: &str) -> Response<Content> {
        *self.lock() = Some(hyper::upgrade::on(&mut request));
        let mut response = Response::new(Content::whole(String::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let fields = response.headers_mut();
        for (name, value) in [
            (CONNECTION, "upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_ACCEPT, proof),
        ] {
            if let Ok(value) = value.parse() {
                fields.insert(name, value);
            }
        }
        response
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OnUpgrade>> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn echo<S>(mut stream: S) -> std::io::Result<()>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut arrived = Vec::new();
    while stream.read_buf(&mut arrived).await? > 0 {
        while let Some(frame) = websocket::take_frame(&mut arrived) {
            match frame {
                WebSocketFrame::Message(text) => {
                    let frame = websocket::text_frame(&text, None);
                    stream.write_all(&frame).await?;
                }
                WebSocketFrame::Close => return stream.shutdown().await,
            }
        }
    }
    Ok(())
}

/// The bytes and the FNV-1a sum of a body; both sides compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    bytes: u64,
    hash: u64,
}

impl Sum {
    /// Adds what comes next.
    pub fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hash = data.iter().fold(self.hash, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
        });
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            bytes: 0,
            hash: FNV_OFFSET,
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bytes={} sum={:016x}", self.bytes, self.hash)
    }
}

/// A body whose every byte is known from its token: the token and a space, again and again.
#[derive(Clone, Debug)]
pub struct Pattern {
    token: Vec<u8>,
    at: usize,
}

impl Pattern {
    /// Begins with the token's first byte.
    pub fn new(token: &str) -> Self {
        Self {
            token: format!("{token} ").into_bytes(),
            at: 0,
        }
    }

    /// Returns the next so many bytes.
    pub fn next(&mut self, bytes: usize) -> Vec<u8> {
        let rest = self.token.iter().cycle().skip(self.at).take(bytes);
        let next = rest.copied().collect();
        self.at = (self.at + bytes) % self.token.len();
        next
    }
}

/// What a query asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    token: Option<String>,
    delay: Duration,
    bytes: u64,
    span: Duration,
}

impl Wish {
    fn of(query: &str) -> Self {
        let mut wish = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let number = value.parse().unwrap_or(0_u64);
            let span = Duration::from_millis(number).min(SPAN_MAX);
            match name {
                "token" => wish.token = Some(value.to_owned()),
                "delay_ms" => wish.delay = span,
                "bytes" => wish.bytes = number.min(BYTES_MAX),
                "ms" => wish.span = span,
                _ => {}
            }
        }
        wish
    }
}

/// The body of an answer.
pub(super) enum Content {
    Whole(Option<Bytes>),
    Slow(Slow),
}

/// A body that comes in equal pieces, [`PIECE_INTERVAL`] apart.
pub(super) struct Slow {
    pattern: Pattern,
    left: u64,
    piece_bytes: u64,
    ticks: Interval,
}

impl Content {
    fn whole(text: String) -> Self {
        Self::Whole(Some(Bytes::from(text)).filter(|text| !text.is_empty()))
    }

    fn slow(wish: &Wish) -> Self {
        let begin = Instant::now();
        Self::Slow(Slow {
            pattern: Pattern::new(wish.token.as_deref().unwrap_or("-")),
            left: wish.bytes,
            piece_bytes: piece_bytes(wish.bytes, wish.span),
            ticks: tokio::time::interval_at(begin + PIECE_INTERVAL, PIECE_INTERVAL),
        })
    }
}

/// Returns how many bytes every [`PIECE_INTERVAL`] make so many within the span.
pub fn piece_bytes(bytes: u64, span: Duration) -> u64 {
    let pieces = span.as_millis() / PIECE_INTERVAL.as_millis();
    bytes
        .div_ceil(u64::try_from(pieces).unwrap_or(1).max(1))
        .max(1)
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(text) => text.take(),
            Self::Slow(slow) if slow.left == 0 => None,
            Self::Slow(slow) => {
                ready!(slow.ticks.poll_tick(cx));
                let bytes = slow.piece_bytes.min(slow.left);
                slow.left -= bytes;
                let bytes = usize::try_from(bytes).unwrap_or(0);
                Some(Bytes::from(slow.pattern.next(bytes)))
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(text) => text.is_none(),
            Self::Slow(slow) => slow.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(text) => text.as_ref().map_or(0, Bytes::len) as u64,
            Self::Slow(slow) => slow.left,
        })
    }
}

/// Between two pieces of a slow body, in both directions.
pub const PIECE_INTERVAL: Duration = Duration::from_millis(50);
/// The longest that a query may ask for.
const SPAN_MAX: Duration = Duration::from_secs(60);
/// The most that a query may ask for.
const BYTES_MAX: u64 = 64 << 20;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_says_what_is_wanted_within_bounds() {
        let wish = Wish::of("token=a7&delay_ms=1500&bytes=99999999999&ms=3000&other");
        let wanted = Wish {
            token: Some("a7".into()),
            delay: Duration::from_millis(1_500),
            bytes: BYTES_MAX,
            span: Duration::from_secs(3),
        };
        assert_eq!(wish, wanted);
        assert_eq!(Wish::of(""), Wish::default());
    }

    #[test]
    fn pattern_goes_on_where_it_was() {
        let mut pattern = Pattern::new("abc");
        let pieces = [pattern.next(2), pattern.next(5), pattern.next(1)];
        assert_eq!(pieces.concat(), b"abc abc ");
    }

    #[test]
    fn sum_does_not_depend_on_the_pieces() {
        let (mut whole, mut parts) = (Sum::default(), Sum::default());
        whole.add(b"foobar");
        parts.add(b"foo");
        parts.add(b"bar");
        assert_eq!(whole, parts);
        // From the test vectors of the FNV draft.
        assert_eq!(whole.to_string(), "bytes=6 sum=85944171f73967e8");
    }

    #[test]
    fn pieces_make_the_whole_in_the_span() {
        assert_eq!(piece_bytes(300_000, Duration::from_secs(3)), 5_000);
        assert_eq!(piece_bytes(10, Duration::from_secs(3)), 1);
        assert_eq!(piece_bytes(10, Duration::ZERO), 10);
    }
}
