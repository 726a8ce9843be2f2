//! The clients of HTTP/2: many streams at once on a connection, some of which end early, as some
//! connections do.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::message::{EARLY, PATIENCE, SIZES, TOLD, UNTIL, Wish, body};
use super::site::{Door, Pool, Ways};
use super::wire::Registered;
use super::{Notes, Tally};
use crate::wire::{is_body_at, token_text};

/// Asks by HTTP/2 until the soak is over.
pub(super) fn live(ways: Ways, tally: &Arc<Tally>) {
    let mut notes = Notes::new("streams", tally);
    let fits = |door: &Door| door.pool != Pool::Echo;
    multiplex(
        &ways.by_http2(),
        &mut notes,
        fits,
        async |asker| match asker.chance.u8(..10) {
            0..4 => asker.download().await,
            4..7 => asker.upload().await,
            7 => asker.abort_upload().await,
            8 => asker.abort_download().await,
            _ => asker.refuse_to_read().await,
        },
    );
}

/// Opens connections, one after the other, on each of which several do the same over and over,
/// until it says that the connection has ended.
pub(super) fn multiplex(
    ways: &Ways,
    notes: &mut Notes,
    fits: impl Fn(&Door) -> bool,
    asks: impl AsyncFn(&mut Asker) -> Option<()> + Copy + 'static,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let mut chance = fastrand::Rng::new();
    while !notes.is_over() {
        let Some(door) = ways.pick(&mut chance, &fits) else {
            continue;
        };
        let visit = connection(ways, door, notes, &mut chance, asks);
        if let Err(error) = LocalSet::new().block_on(&runtime, visit) {
            notes.ended(&error);
        }
    }
}

async fn connection(
    ways: &Ways,
    door: &Door,
    notes: &mut Notes,
    chance: &mut fastrand::Rng,
    asks: impl AsyncFn(&mut Asker) -> Option<()> + Copy + 'static,
) -> Result<(), h2::Error> {
    let opened = ways.open(Some(door), chance, notes).and_then(|entry| {
        let is_agreed = entry.wire.is_for_http2();
        Registered::new(entry.wire).map(|wire| (wire, entry.told, is_agreed))
    });
    let (wire, told, is_agreed) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            notes.note(&format!("cut ({:?})", error.kind()));
            return Ok(());
        }
    };
    if !is_agreed {
        notes.wrong("protocol that was agreed upon", b"");
        return Ok(());
    }
    let (sender, connection) = builder(chance).handshake(wire).await?;
    let driver = spawn_local(connection);
    let mut askers = JoinSet::new();
    for _ in 0..chance.usize(1..=STREAMS) {
        let mut asker = Asker {
            sender: sender.clone(),
            notes: notes.clone(),
            chance: chance.fork(),
            told,
            pool: door.pool,
        };
        askers.spawn_local(async move {
            for _ in 0..asker.chance.usize(1..ASKS) {
                if asker.notes.is_over() || asks(&mut asker).await.is_none() {
                    break;
                }
                sleep(Duration::from_micros(asker.chance.u64(..3_000))).await;
            }
        });
    }
    drop(sender);
    let vanishes = chance.u8(..6) == 0;
    let all = async {
        while let Some(joined) = askers.join_next().await {
            joined.expect("a stream's task does not panic");
        }
    };
    if !vanishes {
        all.await;
        match timeout(PATIENCE, driver).await {
            Ok(ended) => return ended.expect("a connection's task does not panic"),
            Err(_) => notes.wrong("wait: a connection that does not end", b""),
        }
    } else if timeout(Duration::from_millis(chance.u64(..300)), all)
        .await
        .is_err()
    {
        askers.shutdown().await;
        driver.abort();
        notes.note("vanished, with all streams");
    }
    Ok(())
}

/// Windows of all sizes.
fn builder(chance: &mut fastrand::Rng) -> Builder {
    let mut builder = Builder::new();
    let window = [10_000, 65_535, 1 << 20][chance.usize(..3)];
    builder
        .initial_window_size(window)
        .initial_connection_window_size([65_535, 4 << 20][chance.usize(..2)])
        .max_concurrent_reset_streams(1_000)
        .enable_push(false);
    builder
}

/// One who asks on a connection, beside others.
pub(super) struct Asker {
    sender: SendRequest<Bytes>,
    pub(super) notes: Notes,
    pub(super) chance: fastrand::Rng,
    told: Option<IpAddr>,
    /// Who is behind the door.
    pub(super) pool: Pool,
}

impl Asker {
    pub(super) fn wish(&mut self, response_bytes: usize, request_bytes: usize) -> Wish {
        Wish {
            token: token_text(self.chance.u64(..)),
            response_bytes: response_bytes + self.chance.usize(..50),
            request_bytes,
            told: self.told,
        }
    }

    fn size(&mut self) -> usize {
        SIZES[self.chance.usize(..SIZES.len())] + self.chance.usize(..50)
    }

    /// Sends the head of a request; `None` where the connection takes no more.
    pub(super) async fn begin(
        &self,
        wish: &Wish,
        fields: &[(&'static str, String)],
    ) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let mut sender = {
            let ready = within(PATIENCE, self.sender.clone().ready()).await;
            self.notes.come("stream", ready)?
        };
        let uri = format!("http://www.example.org{}", wish.path());
        let mut request = Request::builder().method(wish.method()).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        if let Some(told) = wish.told {
            request = request.header(TOLD, told.to_string());
        }
        let request = request.body(()).expect("it is a request");
        let sent = sender.send_request(request, wish.request_bytes == 0);
        sent.inspect_err(|error| self.notes.ended(error)).ok()
    }

    async fn download(&mut self) -> Option<()> {
        let size = self.size();
        let wish = self.wish(size, 0);
        let (response, _stream) = self.begin(&wish, &[]).await?;
        self.hear(response, &wish).await;
        Some(())
    }

    /// Says everything, unless there is an answer before.
    async fn upload(&mut self) -> Option<()> {
        let size = self.size();
        let wish = self.wish(64, size);
        let length = [("content-length", size.to_string())];
        let fields = &length[..self.chance.usize(..=1)];
        let (response, mut stream) = self.begin(&wish, fields).await?;
        let mut sent = Ok(());
        let sending = async {
            let bytes = body(wish.request_bytes, &wish.token);
            sent = push(&mut stream, bytes.into(), true, PATIENCE).await;
        };
        let mut response = response;
        let early = tokio::select! {
            biased;
            answered = &mut response => Some(answered),
            () = sending => None,
        };
        let is_whole = early.is_none() && sent.is_ok();
        if let Err(Failure::Stuck) = sent {
            self.notes.come("room for an upload", sent);
            return Some(());
        }
        // What else has ended it is heard here.
        let response = async {
            match early {
                Some(answered) => answered,
                None => response.await,
            }
        };
        let fields = self.hear(response, &wish).await;
        if fields.is_some_and(|fields| !fields.contains_key(EARLY)) && !is_whole {
            self.notes
                .wrong("success of an upload that was not complete", b"");
        }
        Some(())
    }

    async fn abort_upload(&mut self) -> Option<()> {
        let size = self.size();
        let wish = self.wish(64, size);
        let (mut response, mut stream) = self.begin(&wish, &[]).await?;
        let bytes = Bytes::from(body(size, &wish.token)).slice(..self.chance.usize(..size));
        let pause = Duration::from_micros(self.chance.u64(..5_000));
        let answered = tokio::select! {
            answered = &mut response => Some(answered),
            () = async {
                // What has no room yet is not waited for longer than for all.
                let _ = timeout(pause * 10, push(&mut stream, bytes, false, PATIENCE)).await;
                sleep(pause).await;
            } => None,
        };
        stream.send_reset(Reason::CANCEL);
        let is_success = |response: &Response<RecvStream>| {
            response.status() == 200 && !response.headers().contains_key(EARLY)
        };
        if answered.is_some_and(|answered| answered.as_ref().is_ok_and(is_success)) {
            self.notes
                .wrong("success of an upload that was not complete", b"");
        }
        self.notes.note("aborted an upload");
        Some(())
    }

    async fn abort_download(&mut self) -> Option<()> {
        let wish = self.wish(2 << 20, 0);
        let (response, mut stream) = self.begin(&wish, &[]).await?;
        let Some(response) = self.notes.come("head", within(PATIENCE, response).await) else {
            return Some(());
        };
        if self.is_ours(&response, &wish) {
            let mut body = response.into_body();
            let mut got = 0;
            for _ in 0..self.chance.usize(..4) {
                let Some(Ok(data)) = timeout(PATIENCE, body.data()).await.ok().flatten() else {
                    break;
                };
                if !is_body_at(&data, got, wish.response_bytes, &wish.token) {
                    self.notes.wrong("bytes in a body", &data);
                }
                got += data.len();
            }
            stream.send_reset(Reason::CANCEL);
        }
        self.notes.note("aborted a download");
        Some(())
    }

    /// Lets an answer wait for its window, while others go on.
    async fn refuse_to_read(&mut self) -> Option<()> {
        let wish = self.wish(300_000, 0);
        let (response, _stream) = self.begin(&wish, &[]).await?;
        sleep(Duration::from_millis(self.chance.u64(..50))).await;
        self.hear(response, &wish).await;
        Some(())
    }

    fn is_ours(&self, response: &Response<RecvStream>, wish: &Wish) -> bool {
        let tokens = response.headers().get_all("x-token").iter();
        let head = format!("{response:?}");
        self.notes
            .is_ours(tokens.map(|token| token.as_bytes()), wish, head.as_bytes())
    }

    /// Waits for the head of an answer; returns it where it is one of success and this request's.
    pub(super) async fn head(
        &self,
        response: impl Future<Output = Result<Response<RecvStream>, h2::Error>>,
        wish: &Wish,
    ) -> Option<Response<RecvStream>> {
        let mut response = self.notes.come("head", within(PATIENCE, response).await)?;
        if !self.is_ours(&response, wish) {
            return None;
        }
        let status = response.status().as_u16();
        if status == 200 && response.headers().get_all("x-token").iter().count() == 1 {
            return Some(response);
        }
        if !ERRORS.contains(&status) {
            let head = format!("{response:?}");
            self.notes.wrong("status or token", head.as_bytes());
            return None;
        }
        self.notes.note(&format!("error {status}"));
        while let Some(data) = self.data(response.body_mut()).await {
            drop(data);
        }
        None
    }

    /// Looks at an answer; returns its fields where it was one of success.
    async fn hear(
        &self,
        response: impl Future<Output = Result<Response<RecvStream>, h2::Error>>,
        wish: &Wish,
    ) -> Option<HeaderMap> {
        let (head, mut body) = self.head(response, wish).await?.into_parts();
        let total = wish.response_bytes;
        let mut got = 0;
        while !body.is_end_stream() {
            let data = match timeout(PATIENCE, body.data()).await {
                Ok(Some(Ok(data))) => data,
                Ok(Some(Err(error))) => {
                    self.notes.ended(&error);
                    return None;
                }
                Ok(None) => break,
                Err(_) => {
                    self.notes
                        .wrong("wait: no data for seconds", &state(wish, got));
                    return None;
                }
            };
            if !is_body_at(&data, got, total, &wish.token) {
                self.notes
                    .wrong("bytes in a body", &[&state(wish, got), &data[..]].concat());
                return None;
            }
            got += data.len();
            let released = body.flow_control().release_capacity(data.len());
            released.expect("it was received");
        }
        if got < total && head.headers.contains_key(UNTIL) {
            self.notes.note("cut, delimited by close");
        } else if got < total {
            self.notes.wrong("length", &state(wish, got));
        } else {
            self.notes.note("answered");
        }
        Some(head.headers)
    }

    /// Returns what comes next of a body; `None` at its end, whatever that is.
    pub(super) async fn data(&self, body: &mut RecvStream) -> Option<Bytes> {
        let data = poll_fn(|cx| body.poll_data(cx).map(Option::transpose));
        let data = self.notes.come("data", within(PATIENCE, data).await)??;
        let released = body.flow_control().release_capacity(data.len());
        released.expect("it was received");
        Some(data)
    }
}

fn state(wish: &Wish, got: usize) -> Vec<u8> {
    let Wish { response_bytes, .. } = wish;
    format!("from byte {got} of {response_bytes}: ").into_bytes()
}

/// Why something of a stream has not come, or could not be sent.
pub(super) enum Failure {
    Ended(h2::Error),
    /// Nothing has moved for as long as anybody waits.
    Stuck,
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Ended(error)
    }
}

/// Waits so long for something of a stream.
pub(super) async fn within<T>(
    patience: Duration,
    coming: impl Future<Output = Result<T, h2::Error>>,
) -> Result<T, Failure> {
    match timeout(patience, coming).await {
        Ok(come) => come.map_err(Failure::Ended),
        Err(_) => Err(Failure::Stuck),
    }
}

/// Sends all of this, as there is room for it, which each part waits so long for.
pub(super) async fn push(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    ends: bool,
    patience: Duration,
) -> Result<(), Failure> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = poll_fn(|cx| {
            let room = stream.poll_capacity(cx);
            room.map(|room| room.unwrap_or(Err(Reason::CANCEL.into())))
        });
        let room = within(patience, room).await?;
        let part = bytes.split_to(room.min(bytes.len()));
        let is_last = bytes.is_empty();
        stream.send_data(part, ends && is_last)?;
    }
    Ok(())
}

impl Notes {
    /// Returns what has come; counts why it has not.
    pub(super) fn come<T>(&self, what: &str, come: Result<T, Failure>) -> Option<T> {
        match come {
            Ok(come) => return Some(come),
            Err(Failure::Ended(error)) => self.ended(&error),
            Err(Failure::Stuck) => self.wrong(&format!("wait: no {what} for seconds"), b""),
        }
        None
    }

    /// Counts what ended a stream or a connection of HTTP/2: what accuses the other side of an
    /// error of protocol, whoever says it, may not be.
    pub(super) fn ended(&self, error: &h2::Error) {
        match error.reason() {
            Some(
                Reason::PROTOCOL_ERROR
                | Reason::FLOW_CONTROL_ERROR
                | Reason::FRAME_SIZE_ERROR
                | Reason::COMPRESSION_ERROR
                | Reason::STREAM_CLOSED,
            ) => self.wrong("protocol", error.to_string().as_bytes()),
            Some(reason) => self.note(&format!("cut ({reason:?})")),
            None => self.note(&format!(
                "cut ({:?})",
                error.get_io().map(std::io::Error::kind)
            )),
        }
    }
}

const ERRORS: [u16; 5] = [408, 500, 502, 503, 504];
/// So many ask at once on a connection at most, fewer than a listener allows.
const STREAMS: usize = 24;
/// So often at most.
const ASKS: usize = 20;
