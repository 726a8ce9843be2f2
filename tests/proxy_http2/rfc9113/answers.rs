//! What the proxy says itself, by RFC 9113 and RFC 7541.

use super::row::{LARGE, bench, status};
use crate::client::{connect, get, run};
use crate::common::Backend;
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Raw, SETTINGS, head,
};
use crate::rig_of;

/// HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE (§6.5.2).
const TABLE: u16 = 1;
const WINDOW: u16 = 4;
const FRAME: u16 = 5;

/// §6.5.3, §6.7: each SETTINGS has an ACK without payload, in their order; an ACK has none.
#[test]
fn settings_and_pings_are_acknowledged_once() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.settings(&[(WINDOW, 1)]);
    raw.settings(&[(WINDOW, 2), (TABLE, 0)]);
    raw.frame(PING, ACK, 0, &[1; 8]);
    let frames = raw.up_to_now();
    let acks: Vec<_> = frames.iter().filter(|it| it.flags == ACK).collect();
    assert_eq!(acks.len(), 3, "{frames:?}");
    for ack in acks {
        assert_eq!((ack.kind, ack.stream, ack.payload.len()), (SETTINGS, 0, 0));
    }
    // The server's SETTINGS have been said, and are acknowledged now.
    raw.frame(SETTINGS, ACK, 0, &[]);
    let settings = |it: &crate::frames::Frame| it.kind == SETTINGS;
    assert!(!raw.up_to_now().iter().any(settings), "an ACK has no ACK");
}

/// §4.2, §6.5.2: no frame is larger than its reader allows.
#[test]
fn frames_are_as_large_as_is_allowed() {
    let (_backend, rig) = bench();
    for (settings, max) in [
        (&[(WINDOW, 1 << 20)][..], 16_384),
        (
            &[(WINDOW, 1 << 20), (FRAME, 1 << 20), (FRAME, 20_000)],
            20_000,
        ),
    ] {
        let mut raw = Raw::connect(rig.address);
        raw.settings(settings);
        raw.room(0, 1 << 20);
        raw.get(1, "/large");
        let mut len = 0;
        loop {
            let frame = raw.next().unwrap();
            assert!(frame.payload.len() <= max, "{max}: {}", frame.payload.len());
            if frame.kind == DATA {
                len += frame.payload.len();
                if frame.flags & END_STREAM != 0 {
                    break;
                }
            }
        }
        assert_eq!(len, LARGE);
    }
}

/// §4.3, §6.10: HEADERS and all its CONTINUATIONs follow each other, whatever else is to be said.
#[test]
fn a_head_of_many_frames_is_one_sequence() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.get(1, "/large");
    raw.get(3, "/field");
    raw.get(5, "/large");
    let mut parts = 0;
    loop {
        let frame = raw.next().unwrap();
        match (frame.stream, frame.kind) {
            (3, HEADERS) => {
                assert_eq!(status(&frame.payload), Some(200));
                assert_eq!(frame.flags & END_HEADERS, 0, "it is large");
                parts = 1;
            }
            (3, CONTINUATION) => parts += 1,
            _ => assert_eq!(parts, 0, "{frame:?}"),
        }
        assert!(frame.payload.len() <= 16_384);
        if parts > 1 && frame.flags & END_HEADERS != 0 {
            break;
        }
    }
    assert_eq!(parts, 3);
}

/// RFC 7541 §4.2: a table that is made smaller is said to be, before the next field; where there is
/// none, nothing is put into it.
#[test]
fn no_table_is_used_where_none_is_allowed() {
    let (_backend, rig) = bench();
    let blocks = |settings: &[(u16, u32)]| {
        let mut raw = Raw::connect(rig.address);
        raw.settings(settings);
        [1, 3].map(|stream| {
            raw.get(stream, "/");
            raw.next_of(HEADERS).unwrap().payload
        })
    };
    let [first, second] = blocks(&[]);
    assert!(second.len() < first.len(), "the second has indices");
    let [first, second] = blocks(&[(TABLE, 0)]);
    assert_eq!(first[0], 0x20);
    assert_eq!(second.len(), first.len() - 1, "{first:x?} {second:x?}");
    let [first, _] = blocks(&[(TABLE, 0), (TABLE, 4096)]);
    assert_eq!(status(&first), Some(200));
}

/// §5.4.1, §6.8: an error names the last stream that was acted on.
#[test]
fn an_error_names_the_last_stream() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.get(1, "/");
    raw.answered(1);
    raw.get(7, "/held");
    raw.frame(DATA, 0, 9, b"a");
    assert_eq!(raw.next_of(GOAWAY).unwrap().number(0), 7);
    assert!(raw.next().is_none() && raw.is_over());
}

/// §6.8: a client that goes is still answered.
#[test]
fn what_was_asked_before_a_goaway_is_answered() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.post(1, "/");
    raw.frame(GOAWAY, 0, 0, &[0; 8]);
    raw.frame(DATA, END_STREAM, 1, b"a");
    raw.answered(1);
    while raw.next().is_some() {}
    assert!(raw.is_over(), "nothing more is to be said");
}

/// §8.1: an answer is a head, DATA and an end; nothing is asked back.
#[test]
fn answers_have_the_form_of_answers() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.get(1, "/");
    raw.ask(3, &head("HEAD", "/"));
    raw.answered(3);
    let mut raw = Raw::connect(rig.address);
    raw.get(1, "/");
    let head = raw.next_of(HEADERS).unwrap();
    assert_eq!((head.stream, head.flags), (1, END_HEADERS));
    let data = raw.next().unwrap();
    assert_eq!(
        (data.kind, data.stream, data.payload),
        (DATA, 1, b"b".to_vec())
    );
    let ends = data.flags == END_STREAM || raw.next().unwrap().flags == END_STREAM;
    assert!(ends, "it ends");
}

/// §8.2.1, §8.2.2: `h2`'s client takes no name in upper case, and none of a connection.
#[test]
fn fields_of_a_connection_stay_behind() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x-gone\r\nX-Gone: a\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nX-STAYS: a\r\n\r\nb",
    );
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        let answer = get(&sender, "/").await.unwrap();
        assert_eq!(answer.fields["x-stays"], "a");
        for gone in ["connection", "x-gone", "keep-alive", "proxy-connection"] {
            assert!(!answer.fields.contains_key(gone), "{:?}", answer.fields);
        }
    });
}
