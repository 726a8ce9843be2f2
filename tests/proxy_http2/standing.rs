//! A connection to a backend on which an answer was missed: it gets new requests again once
//! something has come on it since.

use std::future::{pending, poll_fn};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::sync::Semaphore;

use crate::backends::{Framed, rig, tell_number};
use crate::client::{connect, request, run};
use crate::frames::{DATA, HEADERS, Raw};

/// A request has come to the backend.
static ASKED: Semaphore = Semaphore::const_new(0);
/// The backend has heard that one is not waited for.
static LEFT: Semaphore = Semaphore::const_new(0);
/// The backend says something of an answer.
static GO: Semaphore = Semaphore::const_new(0);
/// The backend answers a request with the number of its connection.
static TELL: Semaphore = Semaphore::const_new(0);

/// All tests here have these in common.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(permits: &Semaphore) {
    permits.acquire().await.unwrap().forget();
}

async fn script(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, number: usize) {
    ASKED.add_permits(1);
    let path = request.uri().path();
    match path {
        "/silent" => {
            let left = poll_fn(|cx| respond.poll_reset(cx)).await;
            assert_eq!(left.unwrap(), Reason::CANCEL);
            LEFT.add_permits(1);
        }
        "/interim" => {
            take(&GO).await;
            let early = Response::builder().status(103).body(()).unwrap();
            respond.send_informational(early).unwrap();
            pending::<()>().await;
        }
        "/data" | "/trailers" | "/old" => {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            if path == "/old" {
                stream.send_data(vec![0; OLD_BYTES].into(), false).unwrap();
                pending::<()>().await;
            }
            take(&GO).await;
            match path {
                "/data" => stream.send_data(Bytes::from_static(b"a"), false).unwrap(),
                _ => stream.send_trailers(HeaderMap::new()).unwrap(),
            }
            pending::<()>().await;
        }
        _ => {
            take(&TELL).await;
            tell_number(request, respond, number).await;
        }
    }
}

/// Asks; returns when it has come to the backend.
async fn asked(
    sender: &SendRequest<Bytes>,
    path: &'static str,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut sender = sender.clone().ready().await.unwrap();
    let sent = sender.send_request(request("GET", path), true).unwrap();
    take(&ASKED).await;
    sent
}

/// Asks in vain, and leaves.
async fn miss(sender: &SendRequest<Bytes>) {
    let (_, mut silent) = asked(sender, "/silent").await;
    silent.send_reset(Reason::CANCEL);
    take(&LEFT).await;
}

/// Returns which connections so many requests go to that are there at once.
async fn numbers(sender: &SendRequest<Bytes>, count: usize) -> Vec<String> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(asked(sender, "/").await);
    }
    TELL.add_permits(count);
    let mut numbers = Vec::new();
    for (answer, _stream) in open {
        let answer = answer.await.unwrap();
        numbers.push(answer.headers()["x-number"].to_str().unwrap().to_owned());
    }
    numbers
}

#[test]
fn a_missed_answer_is_made_good_by_whatever_comes_of_another() {
    let _alone = alone();
    for sign in ["/data", "/trailers", "/interim"] {
        let rig = rig(Framed::new(script).address);
        run(async {
            let sender = connect(rig.address).await;
            let (mut long, _stream) = asked(&sender, sign).await;
            miss(&sender).await;
            assert_eq!(numbers(&sender, 1).await, ["1"], "{sign}");
            GO.add_permits(1);
            if sign == "/interim" {
                let early = poll_fn(|cx| long.poll_informational(cx)).await;
                assert_eq!(early.unwrap().unwrap().status(), 103);
            } else {
                let mut body = long.await.unwrap().into_body();
                assert!(!matches!(body.data().await, Some(Err(_))), "{sign}");
            }
            let numbers = numbers(&sender, 3).await;
            assert!(numbers.contains(&"0".to_owned()), "{sign}: {numbers:?}");
        });
    }
}

/// That its client takes it only now says nothing of the backend.
#[test]
fn a_missed_answer_is_not_made_good_by_what_had_come_before() {
    let _alone = alone();
    let rig = rig(Framed::new(script).address);
    let mut slow = Raw::connect(rig.address);
    // INITIAL_WINDOW_SIZE.
    slow.settings(&[(4, 10)]);
    slow.get(1, "/old");
    slow.next_of(HEADERS).unwrap();
    let mut got = slow.next_of(DATA).unwrap().payload.len();
    run(async {
        take(&ASKED).await;
        let sender = connect(rig.address).await;
        miss(&sender).await;
        assert_eq!(numbers(&sender, 1).await, ["1"]);
        slow.room(1, 60_000);
        while got < OLD_BYTES {
            got += slow.next_of(DATA).unwrap().payload.len();
        }
        assert_eq!(numbers(&sender, 3).await, ["1"; 3]);
    });
}

/// More than is read at a time, and less than may come unread.
const OLD_BYTES: usize = 60_000;
