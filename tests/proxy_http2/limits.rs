//! What a hostile client may have of a connection.

use std::time::{Duration, Instant};

use h2::Reason;
use h2::client::Builder;

use crate::client::{connect, connect_with, get, reason, request, run};
use crate::common::Backend;
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS, fields,
    head,
};
use crate::{http2, rig_of};

/// A backend that answers after a word, and the word.
fn waiting() -> (Backend, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let told = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
    let wait_for = std::sync::Arc::clone(&told);
    let backend = Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            crate::common::wait_until("it is told to answer", || {
                wait_for.load(std::sync::atomic::Ordering::SeqCst)
            });
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (backend, told)
}

/// RFC 9113 §5.1.2, §8.7.
#[test]
fn streams_beyond_the_limits_are_refused_and_the_others_answered() {
    let (backend, told) = waiting();
    // What the connection itself has, and six times a stream and twice its short head.
    let setup =
        http2(&[backend.address]).listener(|it| it.http2.memory_bytes = 393_216 + 6 * 14_700);
    let rig = setup.start();
    run(async {
        let sender = connect(rig.address).await;
        let asked: Vec<_> = (0..10)
            .map(|_| {
                let sender = sender.clone();
                tokio::task::spawn_local(async move { get(&sender, "/").await.map(|it| it.text()) })
            })
            .collect();
        let refused = asked.iter().skip(6);
        while !refused.clone().all(tokio::task::JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        told.store(true, std::sync::atomic::Ordering::SeqCst);
        let mut answers = Vec::new();
        for asked in asked {
            answers.push(asked.await.unwrap());
        }
        let ok = answers
            .iter()
            .filter(|it| **it == Ok("ok".to_owned()))
            .count();
        let refused = answers
            .iter()
            .filter(|it| **it == Err(Reason::REFUSED_STREAM))
            .count();
        assert_eq!((ok, refused), (6, 4), "{answers:?}");
        // What they held is free again.
        for _ in 0..20 {
            assert_eq!(get(&sender, "/").await.unwrap().text(), "ok");
        }
    });
    assert_eq!(backend.requests().len(), 26);
}

#[test]
fn clients_hear_how_many_streams_there_may_be() {
    let backend = Backend::named("b");
    let setup = http2(&[backend.address]).listener(|it| it.http2.streams = 7);
    let rig = setup.start();
    let mut raw = Raw::connect(rig.address);
    let settings = raw.next_of(SETTINGS).unwrap();
    let max = settings.payload.chunks(6).find(|it| it[1] == 3).unwrap();
    assert_eq!(max[2..], [0, 0, 0, 7]);
}

/// CVE-2023-44487.
#[test]
fn streams_that_are_reset_at_once_end_the_connection() {
    let backend = Backend::named("b");
    let rig = rig_of(&backend);
    let mut raw = Raw::connect(rig.address);
    let began_at = Instant::now();
    for number in 0..20_000_u32 {
        raw.get(2 * number + 1, "/");
        raw.frame(RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes());
    }
    let goaway = raw.next_of(GOAWAY);
    assert!(
        goaway.is_none_or(|it| it.number(4) == 11),
        "ENHANCE_YOUR_CALM, or a reset"
    );
    assert!(began_at.elapsed() < Duration::from_secs(10));
    assert!(
        backend.requests().len() < 2_000,
        "{}",
        backend.requests().len()
    );
    run(async {
        let sender = connect(rig.address).await;
        assert_eq!(get(&sender, "/").await.unwrap().text(), "b");
    });
}

/// CVE-2024-27316.
#[test]
fn a_head_without_an_end_ends_the_connection() {
    let backend = Backend::named("b");
    let rig = rig_of(&backend);
    let mut raw = Raw::connect(rig.address);
    raw.frame(HEADERS, 0, 1, &head("GET", "/"));
    let more = fields(&[("x", &"a".repeat(1_000))]);
    for _ in 0..5_000 {
        raw.frame(CONTINUATION, 0, 1, &more);
    }
    let goaway = raw.next_of(GOAWAY);
    assert!(
        goaway.is_none_or(|it| it.number(4) != 0),
        "an error, or a reset"
    );
}

#[test]
fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let backend = Backend::named("b");
    let rig = rig_of(&backend);
    let mut raw = Raw::connect(rig.address);
    let value = "a".repeat(1_000);
    let large = vec![("x-large", value.as_str()); 40];
    let block = [head("GET", "/"), fields(&large)].concat();
    let (first, rest) = block.split_at(16_000);
    raw.frame(HEADERS, 1, 1, first);
    for (index, part) in rest.chunks(16_000).enumerate() {
        let last = rest.chunks(16_000).count() == index + 1;
        raw.frame(CONTINUATION, if last { END_HEADERS } else { 0 }, 1, part);
    }
    let answer = raw.next_of(HEADERS).unwrap();
    // `:status: 431`, as text.
    assert!(answer.payload.windows(3).any(|it| it == b"431") || !answer.payload.is_empty());
    raw.get(3, "/");
    let answer = raw.next_of(DATA).unwrap();
    let of_refusal = answer.stream == 1;
    let answer = if of_refusal {
        raw.next_of(DATA).unwrap()
    } else {
        answer
    };
    assert_eq!((answer.stream, answer.payload.as_slice()), (3, &b"b"[..]));
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn pings_and_settings_are_answered_and_hold_nothing() {
    let backend = Backend::named("b");
    let rig = rig_of(&backend);
    let mut raw = Raw::connect(rig.address);
    for number in 0..1_000_u64 {
        raw.frame(PING, 0, 0, &number.to_be_bytes());
        let pong = loop {
            let frame = raw.next().unwrap();
            if frame.kind == PING {
                break frame;
            }
        };
        assert_eq!(
            (pong.flags, pong.payload),
            (ACK, number.to_be_bytes().to_vec())
        );
    }
    raw.get(1, "/");
    assert_eq!(raw.next_of(DATA).unwrap().payload, b"b");
}

/// A window that never opens holds up its own stream alone, and not for ever.
#[test]
fn an_answer_that_nobody_takes_ends_and_others_go_on() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let len = if request.line().contains("/large") {
                1_000_000
            } else {
                2
            };
            visit
                .wire
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n"));
            visit.wire.send(vec![b'a'; len]);
        }
    });
    let setup = http2(&[backend.address]).client_timeouts(30_000, 400);
    let rig = setup.start();
    run(async {
        let sender = connect_with(rig.address, Builder::new().initial_window_size(1_000)).await;
        let mut stalled = sender.clone().ready().await.unwrap();
        let (response, _) = stalled
            .send_request(request("GET", "/large"), true)
            .unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(get(&sender, "/").await.unwrap().text(), "aa");
        let mut came = 0;
        let ended = loop {
            // What comes is not taken.
            match body.data().await {
                Some(Ok(data)) => came += data.len(),
                Some(Err(error)) => break reason(error),
                None => panic!("it ended after {came} bytes"),
            }
        };
        assert_eq!(came, 1_000);
        assert_eq!(ended, Reason::INTERNAL_ERROR);
        assert_eq!(get(&sender, "/").await.unwrap().text(), "aa");
    });
}
