//! The clients of gRPC: calls of one message, and calls that speak in turn; both hear what they
//! have said, and at last a status.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use tokio::time::sleep;

use super::message::{PATIENCE, SIZES, Wish, body};
use super::site::{Door, Pool, Ways};
use super::streams::{Asker, Failure, multiplex, push, within};
use super::{Notes, Tally};
use crate::wire::{TOKEN_LEN, is_body_at};

/// Calls until the soak is over.
pub(super) fn live(ways: Ways, tally: &Arc<Tally>) {
    let mut notes = Notes::new("calls", tally);
    let fits = |door: &Door| door.pool.is_http2();
    multiplex(&ways.by_http2(), &mut notes, fits, async |asker| {
        // Where bodies are read to their end first, nobody can speak in turn.
        let messages = match asker.pool == Pool::Streams && asker.chance.bool() {
            true => asker.chance.usize(2..12),
            false => 1,
        };
        call(asker, messages).await
    });
}

async fn call(asker: &mut Asker, messages: usize) -> Option<()> {
    let wish = asker.wish(64, 64);
    let fields = [
        ("content-type", KIND.to_owned()),
        ("te", "trailers".to_owned()),
    ];
    let (response, mut stream) = asker.begin(&wish, &fields).await?;
    // Before the first message is heard, there is no answer to wait for in some calls.
    say(asker, &mut stream, &wish, messages == 1).await;
    let Some(response) = asker.head(response, &wish).await else {
        return Some(());
    };
    let (head, body) = response.into_parts();
    if head
        .headers
        .get("content-type")
        .is_none_or(|kind| kind != KIND)
    {
        asker.notes.wrong("kind of an answer to a call", b"");
        return Some(());
    }
    let mut hearing = Messages::new(body);
    for said in 1..=messages {
        match asker.notes.come("message", hearing.next(PATIENCE).await)? {
            Some(message) if is_body_at(&message, 0, message.len(), &wish.token) => {}
            Some(message) => {
                asker.notes.wrong("message", &message);
                return Some(());
            }
            // The status says why.
            None => break,
        }
        if asker.chance.u8(..40) == 0 {
            stream.send_reset(Reason::CANCEL);
            asker.notes.note("canceled");
            return Some(());
        }
        if said < messages {
            sleep(Duration::from_micros(asker.chance.u64(..2_000))).await;
            say(asker, &mut stream, &wish, said + 1 == messages).await;
        }
    }
    let heard = hearing.count;
    let more = asker.notes.come("end", hearing.next(PATIENCE).await)?;
    if more.is_some() {
        asker.notes.wrong("message that was never said", b"");
        return Some(());
    }
    let trailers = within(PATIENCE, hearing.body.trailers()).await;
    let trailers = asker.notes.come("status", trailers)?;
    judge(
        &asker.notes,
        &wish,
        trailers.as_ref(),
        &head.headers,
        heard == messages,
    );
    Some(())
}

/// Looks at the status of a call.
fn judge(
    notes: &Notes,
    wish: &Wish,
    trailers: Option<&HeaderMap>,
    head: &HeaderMap,
    is_whole: bool,
) {
    let fields = trailers.unwrap_or(head);
    let tokens = fields.get_all("x-token").iter();
    if !notes.is_ours(tokens.map(|token| token.as_bytes()), wish, b"trailers") {
        return;
    }
    let status = fields.get("grpc-status").map(|status| status.as_bytes());
    match status {
        Some(b"0") if is_whole => notes.note("answered"),
        Some(b"0") => notes.wrong("success of a call without all messages", b""),
        Some(status) => notes.note(&format!("error {}", String::from_utf8_lossy(status))),
        None => notes.wrong("end of a call without a status", b""),
    }
}

/// Says a message; what hinders it is heard by who listens.
async fn say(asker: &mut Asker, stream: &mut SendStream<Bytes>, wish: &Wish, is_last: bool) {
    let size = SIZES[asker.chance.usize(..SIZES.len())] + asker.chance.usize(..50);
    let message = message(&body(size, &wish.token));
    // The end in a frame of its own, sometimes.
    let ends = is_last && asker.chance.bool();
    match push(stream, message, ends, PATIENCE).await {
        Ok(()) if is_last && !ends => {
            let _ = stream.send_data(Bytes::new(), true);
        }
        Ok(()) | Err(Failure::Ended(_)) => {}
        stuck @ Err(Failure::Stuck) => drop(asker.notes.come("room for a message", stuck)),
    }
}

/// The messages of a call, in either direction.
pub(super) struct Messages {
    pub(super) body: RecvStream,
    arrived: Vec<u8>,
    /// How many were whole.
    pub(super) count: usize,
}

impl Messages {
    pub(super) const fn new(body: RecvStream) -> Self {
        Self {
            body,
            arrived: Vec::new(),
            count: 0,
        }
    }

    /// Returns the next message, each part of which is waited for so long; `None` at the end, which
    /// may be in the middle of one.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(len) = len_of(&self.arrived).filter(|len| *len <= self.arrived.len()) {
                let message: Vec<u8> = self.arrived.drain(..len).skip(PREFIX).collect();
                self.count += 1;
                // What is shorter has no token.
                return Ok(Some(message).filter(|message| message.len() >= 2 * TOKEN_LEN));
            }
            let data = poll_fn(|cx| self.body.poll_data(cx).map(Option::transpose));
            let Some(data) = within(patience, data).await? else {
                return Ok(None);
            };
            self.body.flow_control().release_capacity(data.len())?;
            self.arrived.extend_from_slice(&data);
        }
    }

    /// Returns whether something is there that is no message.
    pub(super) fn is_torn(&self) -> bool {
        !self.arrived.is_empty()
    }
}

/// Returns the bytes of a message: whether it is compressed, its length, and itself.
pub(super) fn message(text: &[u8]) -> Bytes {
    let len = u32::try_from(text.len()).expect("it is short");
    [&[0], &len.to_be_bytes()[..], text].concat().into()
}

fn len_of(arrived: &[u8]) -> Option<usize> {
    let len = arrived.get(1..PREFIX)?.try_into().ok()?;
    Some(PREFIX + u32::from_be_bytes(len) as usize)
}

/// The type of what calls send.
pub(super) const KIND: &str = "application/grpc";
const PREFIX: usize = 5;
