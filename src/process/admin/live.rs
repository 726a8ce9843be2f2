//! What has changed of the page, told to those that are open (server-sent events, HTML §9.2).
//!
//! The page is made of pieces, each with an id. With every look the pieces are made anew, once for
//! all who look, and those go out that are not as they were. A page that comes, or comes back, says
//! which moment it shows, and gets what has changed since. Who does not read is left behind: its
//! browser comes back by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

use super::answer::Body;
use super::page;
use super::watched::{Viewer, Watched};

/// The pieces as they last were, and who is told of others.
#[derive(Debug, Default)]
pub(super) struct Live {
    pieces: RefCell<BTreeMap<String, Piece>>,
    readers: RefCell<Vec<Sender<Bytes>>>,
    /// While somebody reads.
    telling: RefCell<Option<AbortHandle>>,
}

#[derive(Debug)]
struct Piece {
    html: String,
    /// The moment since which it is so.
    since_ms: u64,
}

impl Live {
    /// Answers a page that wants to be told.
    pub(super) fn open(
        live: &Rc<Self>,
        watched: &Rc<Watched>,
        request: &Request<Incoming>,
    ) -> Response<Body> {
        let (sender, receiver) = channel(WAITING_MAX);
        // What it shows may be older than what was last told to others.
        let shown_ms = shown_ms(request);
        let missed = live.changed_since(shown_ms);
        if let Some(text) = missed {
            // There is room: it is the first.
            let _ = sender.try_send(text);
        }
        live.readers.borrow_mut().push(sender);
        let is_told =
            |telling: &Option<AbortHandle>| telling.as_ref().is_some_and(|it| !it.is_finished());
        if !is_told(&live.telling.borrow()) {
            let task = tokio::task::spawn_local(tell(Rc::clone(live), Rc::clone(watched)));
            live.telling.replace(Some(task.abort_handle()));
        }
        let reader = Reader {
            receiver,
            _viewer: watched.be_viewed(),
        };
        let mut response: Response<Body> = Response::new(Box::pin(reader));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// Returns an event with what has changed since a moment, where something has.
    fn changed_since(&self, shown_ms: u64) -> Option<Bytes> {
        let pieces = self.pieces.borrow();
        let changed = pieces.iter().filter(|(_, piece)| piece.since_ms > shown_ms);
        let changed: Vec<_> = changed.map(|(id, piece)| (id, &piece.html)).collect();
        let at_ms = pieces.values().map(|piece| piece.since_ms).max()?;
        (!changed.is_empty()).then(|| event("changed", at_ms, &changed))
    }

    /// Takes the pieces as they are now; returns the event that says what has changed.
    fn renew(&self, at_ms: u64, pieces: Vec<(String, String)>) -> Bytes {
        let mut known = self.pieces.borrow_mut();
        let has_shape = known.is_empty()
            || known.len() == pieces.len() && pieces.iter().all(|(id, _)| known.contains_key(id));
        let mut changed = Vec::new();
        if !has_shape {
            known.clear();
        }
        for (id, html) in pieces {
            if known.get(&id).is_none_or(|old| old.html != html) {
                changed.push((id.clone(), html.clone()));
                let since_ms = at_ms;
                known.insert(id, Piece { html, since_ms });
            }
        }
        match has_shape {
            true => event("changed", at_ms, &changed),
            // There is more or less to be seen than before: it is loaded anew.
            false => event("reshaped", at_ms, &()),
        }
    }

    fn send(&self, text: &Bytes) {
        let mut readers = self.readers.borrow_mut();
        readers.retain(|reader| reader.try_send(text.clone()).is_ok());
    }
}

/// Tells all readers of every look, until there is none.
async fn tell(live: Rc<Live>, watched: Rc<Watched>) {
    let mut looks = watched.subscribe();
    while looks.changed().await.is_ok() {
        let Some(snapshot) = looks.borrow_and_update().clone() else {
            continue;
        };
        let Some(status) = &snapshot.status else {
            continue;
        };
        let pieces = page::pieces(&snapshot, status, &watched.history.borrow());
        let text = live.renew(snapshot.at_ms, pieces);
        live.send(&text);
        if live.readers.borrow().is_empty() {
            return;
        }
    }
}

/// Returns the moment that a page shows: what it last heard, or what it was loaded with.
fn shown_ms(request: &Request<Incoming>) -> u64 {
    let heard = request.headers().get("last-event-id");
    let heard = heard.and_then(|value| value.to_str().ok()?.parse().ok());
    let loaded = || {
        let query = request.uri().query().unwrap_or_default();
        query.strip_prefix("since=")?.parse().ok()
    };
    heard.or_else(loaded).unwrap_or_default()
}

fn event(name: &str, at_ms: u64, data: &impl serde::Serialize) -> Bytes {
    // Of texts, which can always be written.
    let data = serde_json::to_string(data).unwrap_or_default();
    let mut text = String::with_capacity(data.len() + 64);
    // Nor does writing into a text fail.
    let _ = write!(text, "event: {name}\nid: {at_ms}\ndata: {data}\n\n");
    text.into()
}

/// What a page that is open reads.
struct Reader {
    receiver: Receiver<Bytes>,
    _viewer: Viewer,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.receiver.poll_recv(cx);
        next.map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}

/// Looks that wait for one who does not read; then it is left behind.
const WAITING_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(id, html): &(&str, &str)| ((*id).to_owned(), (*html).to_owned());
        texts.iter().map(own).collect()
    }

    #[test]
    fn what_has_changed_is_told_to_all_and_what_was_missed_to_who_comes() {
        let live = Live::default();
        live.renew(1, pieces(&[("a", "1"), ("b", "1")]));
        let told = live.renew(2, pieces(&[("a", "1"), ("b", "2")]));
        assert_eq!(told, "event: changed\nid: 2\ndata: [[\"b\",\"2\"]]\n\n");
        assert_eq!(live.changed_since(1).as_deref(), Some(&*told));
        assert_eq!(live.changed_since(2), None);
        let told = live.renew(3, pieces(&[("a", "1"), ("c", "1")]));
        assert_eq!(told, "event: reshaped\nid: 3\ndata: null\n\n");
    }

    #[test]
    fn who_does_not_read_is_left_behind() {
        let live = Live::default();
        let (sender, receiver) = channel(WAITING_MAX);
        live.readers.borrow_mut().push(sender);
        (0..WAITING_MAX).for_each(|_| live.send(&Bytes::new()));
        assert_eq!(live.readers.borrow().len(), 1);
        live.send(&Bytes::new());
        assert_eq!(live.readers.borrow().len(), 0);
        drop(receiver);
    }
}
