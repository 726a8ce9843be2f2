//! How streams and connections end: early answers, backends that break off, clients that leave, a
//! stop.

use std::time::Duration;

use bytes::Bytes;
use evenkeel::config::{AccessLogConfig, AccessLogTarget, Format};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};

use crate::backends::{Framed, Stays, rig, setup_of};
use crate::client::{connect, get, read, request, run};
use crate::common::{Backend, wait_until};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, fields, frame, head,
};
use crate::{http2, rig_of};

/// RFC 9113 §8.1.
#[test]
fn an_early_answer_ends_and_the_rest_of_the_request_is_not_wanted() {
    let backend = Backend::scripted(|mut visit| {
        visit.wire.head();
        visit
            .wire
            .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        visit.wire.rest();
    });
    let rig = rig_of(&backend);
    let mut raw = Raw::connect(rig.address);
    raw.frame(HEADERS, END_HEADERS, 1, &head("POST", "/"));
    raw.frame(DATA, 0, 1, &[b'a'; 1_000]);
    let data = raw.next_of(DATA).unwrap();
    assert_eq!(
        (data.flags & END_STREAM, data.payload.as_slice()),
        (END_STREAM, &b"no"[..])
    );
    let reset = raw.next_of(RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number(0)), (1, 0), "NO_ERROR");
    raw.frame(DATA, END_STREAM, 1, b"late");
    raw.get(3, "/");
    assert_eq!(
        raw.next_of(DATA).unwrap().stream,
        3,
        "the connection goes on"
    );
}

#[test]
fn an_answer_that_breaks_off_is_reset() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let backend = Backend::scripted(move |mut visit| {
            visit.request();
            visit.wire.send(answer);
        });
        let rig = rig_of(&backend);
        run(async {
            let sender = connect(rig.address).await;
            for _ in 0..3 {
                let ended = get(&sender, "/").await.unwrap_err();
                assert_eq!(ended, Reason::INTERNAL_ERROR, "{answer}");
            }
        });
    }
}

/// As a client of HTTP/1.1 has it, which gets what was there.
#[test]
fn the_head_of_an_answer_that_breaks_off_behind_it_comes_before_the_reset() {
    for how in ["reset", "closed"] {
        let backend = Backend::scripted(move |visit| {
            let mut raw = Raw::accepted(&visit.wire);
            while let Some(asked) = raw.next_of(HEADERS) {
                let head = fields(&[(":status", "203"), ("x-what", "head")]);
                let head = frame(HEADERS, END_HEADERS, asked.stream, &head);
                if how == "closed" {
                    raw.send(&head);
                    return;
                }
                let reset = frame(RST_STREAM, 0, asked.stream, &2_u32.to_be_bytes());
                raw.send(&[head, reset].concat());
            }
        });
        let rig = rig(backend.address);
        let mut raw = Raw::connect(rig.address);
        for round in 0..10 {
            let stream = 2 * round + 1;
            raw.get(stream, "/");
            let head = raw.next_of(HEADERS).expect("it comes");
            assert_eq!(head.stream, stream, "{how}");
            assert_eq!(head.flags & END_STREAM, 0, "{how}");
            let reset = raw.next_of(RST_STREAM).unwrap();
            assert_eq!((reset.stream, reset.number(0)), (stream, 2), "{how}");
        }
    }
}

/// The client has taken less than there was, but the backend is to blame.
#[test]
fn a_backend_that_fails_behind_bytes_that_nobody_takes_is_named() {
    async fn floods(_: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        loop {
            stream.reserve_capacity(16 * 1024);
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
            let room = tokio::time::timeout(FULL_AFTER, room).await;
            let Ok(Some(Ok(room))) = room else { break };
            stream.send_data(vec![b'x'; room].into(), false).unwrap();
        }
        stream.send_reset(Reason::INTERNAL_ERROR);
    }
    let mut speaks = h2::server::Builder::new();
    speaks.enable_connect_protocol();
    let backend = Framed::start(speaks, Stays::Always, floods);
    let mut setup = setup_of(backend.address);
    setup.config.access_log = Some(AccessLogConfig {
        to: AccessLogTarget::StandardOutput,
        format: Format::parse("json").unwrap(),
    });
    let setup = setup.listener(|it| it.timeouts.client_fin = Duration::from_millis(500));
    let rig = setup.start();
    let log = tempfile::NamedTempFile::new().unwrap();
    rig.proxy.set_access_log(log.reopen().unwrap().into());
    let mut client = rig.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let lines = || std::fs::read_to_string(log.path()).unwrap();
    wait_until("it is over", || lines().ends_with('\n'));
    let line: serde_json::Value = serde_json::from_str(&lines()).unwrap();
    assert_eq!(
        (&line["termination"], &line["ended_by"]),
        (&"response_truncated".into(), &"backend".into()),
        "{line}"
    );
}

#[test]
fn a_backend_that_is_away_is_answered_for() {
    let (_held, address) = crate::common::refusing_address();
    let rig = http2(&[address]).start();
    run(async {
        let sender = connect(rig.address).await;
        for _ in 0..3 {
            let answer = get(&sender, "/").await.unwrap();
            assert_eq!(answer.status.as_u16(), 502);
            assert!(answer.fields.contains_key("date"), "{:?}", answer.fields);
        }
    });
}

#[test]
fn a_client_that_resets_its_stream_has_left() {
    let backend = Backend::scripted(|mut visit| {
        if let Some(request) = visit.request() {
            if request.line().contains("/slow") {
                assert!(visit.wire.is_ended(), "nobody waits");
                return;
            }
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        let mut asking = sender.clone().ready().await.unwrap();
        let (response, mut stream) = asking
            .send_request(request("POST", "/slow"), false)
            .unwrap();
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(get(&sender, "/").await.unwrap().text(), "ok");
        while backend.requests().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.send_reset(Reason::CANCEL);
        drop(response);
        assert_eq!(get(&sender, "/").await.unwrap().text(), "ok");
    });
    wait_until("the backend is left", || {
        rig.pool().backends[0].active_requests == 0
    });
}

/// RFC 9113 §6.8.
#[test]
fn at_a_stop_clients_are_told_first_and_those_in_flight_are_answered() {
    let backend = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            std::thread::sleep(Duration::from_millis(500));
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = rig_of(&backend);
    let mut raw = Raw::connect(rig.address);
    let mut idle = Raw::connect(rig.address);
    idle.get(1, "/");
    assert_eq!(idle.next_of(DATA).unwrap().payload, b"ok");
    raw.get(1, "/");
    wait_until("it has come", || backend.requests().len() == 2);
    let drained = std::thread::scope(|scope| {
        let draining = scope.spawn(|| rig.drain(Duration::from_secs(5)));
        let first = raw.next_of(GOAWAY).unwrap();
        assert_eq!((first.number(0), first.number(4)), (0x7fff_ffff, 0));
        // The client that has heard it, says that it has (a PING that is answered).
        let ping = raw.next_of(crate::frames::PING).unwrap();
        raw.frame(crate::frames::PING, crate::frames::ACK, 0, &ping.payload);
        let mut kinds = Vec::new();
        let mut last = None;
        while let Some(frame) = raw.next() {
            if frame.kind == GOAWAY {
                last = Some(frame.number(0));
            }
            kinds.push(frame.kind);
        }
        assert_eq!(last, Some(1), "{kinds:?}");
        assert!(kinds.contains(&DATA), "it is answered: {kinds:?}");
        while idle.next().is_some() {}
        draining.join().unwrap()
    });
    assert_eq!(drained.cut, 0, "{drained:?}");
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let backend = Backend::named("b");
    let rig = http2(&[backend.address])
        .client_timeouts(300, 30_000)
        .start();
    let mut raw = Raw::connect(rig.address);
    raw.get(1, "/");
    assert_eq!(raw.next_of(DATA).unwrap().payload, b"b");
    let goaway = raw.next_of(GOAWAY).unwrap();
    assert_eq!(goaway.number(4), 0, "NO_ERROR");
    while raw.next().is_some() {}
    let mut silent = Raw::plain(rig.address);
    silent.send(b"PRI * HTTP/2.0\r\n\r\n");
    while silent.next().is_some() {}
}

#[test]
fn a_long_upload_is_not_idle() {
    let backend = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = http2(&[backend.address])
        .client_timeouts(300, 30_000)
        .start();
    run(async {
        let sender = connect(rig.address).await;
        let mut asking = sender.clone().ready().await.unwrap();
        let (response, mut stream) = asking.send_request(request("POST", "/"), false).unwrap();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.send_data(Bytes::from_static(b"a"), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(body, b"ok");
    });
    assert_eq!(backend.requests()[0].body, b"aaaaaaaaaa");
}

/// When nothing more goes on the whole way.
const FULL_AFTER: Duration = Duration::from_millis(500);
