//! One request of each kind, and the proof that the answer is the answer to it.
//!
//! The request carries a token; [`crate::lab::backend::answer`] says how it comes back. Nothing is
//! asked twice here.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::line::{Head, Line, SWITCHING_PROTOCOLS};
use crate::lab::backend::answer::{PIECE_INTERVAL, Pattern, Sum, piece_bytes};
use crate::lab::probe::Failure;
use crate::lab::websocket::{self, Frame};

/// Why a request has no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It failed, and the connection with it.
    Failed(Failure),
    /// It was refused with a whole answer; the connection can be used again.
    Refused(Failure),
    /// The answer is not the answer to it.
    Wrong,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What an answer says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It can be used again.
    Keep,
    /// It is to be closed.
    Close,
}

/// Asks for a line that is to come after `delay`.
///
/// # Errors
/// How the answer failed to come, or that it is not the answer.
pub async fn request(line: &mut Line, token: &str, delay: Duration) -> Result<Then, Trouble> {
    let target = format!("/?token={token}&delay_ms={}", delay.as_millis());
    line.send(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n").as_bytes())
        .await?;
    let head = line.head(delay).await?;
    expect_words(line, &head, &[&format!("token={token}")]).await
}

/// Posts so many bytes at once.
///
/// # Errors
/// As [`upload`].
pub async fn post(line: &mut Line, token: &str, bytes: u64) -> Result<Then, Trouble> {
    upload(line, token, bytes, Duration::ZERO, &|| {}).await
}

/// Sends so many bytes over a span; `progress` is called with each piece.
///
/// # Errors
/// As [`request`], and when the answer does not sum up what was sent.
pub async fn upload(
    line: &mut Line,
    token: &str,
    bytes: u64,
    span: Duration,
    progress: &dyn Fn(),
) -> Result<Then, Trouble> {
    let head =
        format!("POST /?token={token} HTTP/1.1\r\nHost: lab\r\nContent-Length: {bytes}\r\n\r\n");
    line.send(head.as_bytes()).await?;
    let (mut pattern, mut sum, mut left) = (Pattern::new(token), Sum::default(), bytes);
    let mut ticks = interval_at(Instant::now(), PIECE_INTERVAL);
    while left > 0 {
        if !span.is_zero() {
            ticks.tick().await;
        }
        let piece = pattern.next(usize::try_from(piece_bytes(bytes, span).min(left)).unwrap_or(0));
        left -= piece.len() as u64;
        sum.add(&piece);
        line.send(&piece).await?;
        progress();
    }
    let head = line.head(Duration::ZERO).await?;
    expect_words(line, &head, &[&format!("token={token}"), &sum.to_string()]).await
}

/// Asks for so many bytes over a span; `progress` is called with each piece.
///
/// # Errors
/// As [`request`], and with the first wrong byte.
pub async fn download(
    line: &mut Line,
    token: &str,
    bytes: u64,
    span: Duration,
    progress: &dyn Fn(),
) -> Result<Then, Trouble> {
    let target = format!(
        "/download?token={token}&bytes={bytes}&ms={}",
        span.as_millis()
    );
    line.send(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n").as_bytes())
        .await?;
    let head = line.head(Duration::ZERO).await?;
    if head.status != 200 {
        return expect_words(line, &head, &[]).await;
    }
    if head.body_bytes != bytes {
        return Err(Trouble::Wrong);
    }
    let (mut pattern, mut left) = (Pattern::new(token), bytes);
    while left > 0 {
        let piece = line.piece(left).await?;
        left -= piece.len() as u64;
        if piece != pattern.next(piece.len()) {
            return Err(Trouble::Wrong);
        }
        progress();
    }
    Ok(then(&head))
}

/// Makes a WebSocket of the connection.
///
/// # Errors
/// As [`request`], and when the answer is another than the upgrade.
pub async fn upgrade(line: &mut Line, token: &str) -> Result<Then, Trouble> {
    let key = websocket::key(token);
    let request = format!(
        "GET /websocket?token={token} HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    line.send(request.as_bytes()).await?;
    let head = line.head(Duration::ZERO).await?;
    if head.status != SWITCHING_PROTOCOLS {
        // An answer that is none of an upgrade is not the answer to this request.
        expect_words(line, &head, &[]).await?;
        return Err(Trouble::Wrong);
    }
    if head.accept.as_deref() != Some(&websocket::accept_key(&key)) {
        return Err(Trouble::Wrong);
    }
    Ok(Then::Keep)
}

/// Sends a message over a WebSocket and waits for its echo.
///
/// # Errors
/// When the echo does not come, is another, or the other end closes.
pub async fn message(line: &mut Line, text: &str) -> Result<Then, Trouble> {
    let frame = websocket::text_frame(text.as_bytes(), Some(MASK));
    line.send(&frame).await?;
    loop {
        match websocket::take_frame(line.arrived()) {
            Some(Frame::Message(echo)) if echo == text.as_bytes() => return Ok(Then::Keep),
            Some(Frame::Message(_)) => return Err(Trouble::Wrong),
            Some(Frame::Close) => return Err(Trouble::Failed(Failure::Reset)),
            None => drop(line.wait().await?),
        }
    }
}

/// Reads a short body to its end; it must be a 200 and have all these words.
async fn expect_words(line: &mut Line, head: &Head, words: &[&str]) -> Result<Then, Trouble> {
    if head.body_bytes > SHORT_BYTES_MAX {
        return Err(Trouble::Wrong);
    }
    let mut body = Vec::new();
    while (body.len() as u64) < head.body_bytes {
        body.extend(line.piece(head.body_bytes - body.len() as u64).await?);
    }
    if head.status != 200 {
        let failure = Failure::Status(head.status);
        return Err(match then(head) {
            Then::Keep => Trouble::Refused(failure),
            Then::Close => Trouble::Failed(failure),
        });
    }
    let body = format!(" {} ", String::from_utf8_lossy(&body).trim_end());
    if words.iter().all(|word| body.contains(&format!(" {word} "))) {
        Ok(then(head))
    } else {
        Err(Trouble::Wrong)
    }
}

const fn then(head: &Head) -> Then {
    if head.keeps { Then::Keep } else { Then::Close }
}

/// Any mask is as good as another here: nothing between the two sides is to be kept from guessing.
const MASK: [u8; 4] = *b"mask";
const SHORT_BYTES_MAX: u64 = 64 << 10;
