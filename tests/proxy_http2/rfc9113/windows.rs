//! RFC 9113 §5.2, §6.9: what each side may send.

use evenkeel::config::{Rewrite, RouteAction, RouteConfig, RouteLimits, RouteTimeouts};
use evenkeel::logic::balance::queue::Urgency;
use evenkeel::logic::balance::route::{Access, Conditions, PathPattern};
use evenkeel::logic::http1::rewrite::edit::FieldEdits;
use h2::Reason;

use super::row::Hoped::{Connection, GoesOn, Status, Stream};
use super::row::{LARGE, Row, backend, bench, judge, row};
use crate::common::wait_until;
use crate::frames::{DATA, END_HEADERS, HEADERS, PADDED, Raw, WINDOW_UPDATE, fields};
use crate::http2;
use crate::rig::Setup;

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const FRAME_SIZE: Reason = Reason::FRAME_SIZE_ERROR;
const FLOW: Reason = Reason::FLOW_CONTROL_ERROR;
/// The largest window.
const MAX: u32 = 0x7fff_ffff;
/// INITIAL_WINDOW_SIZE.
const WINDOW: u16 = 4;
/// A window that nobody has changed.
const DEFAULT: u32 = 65_535;

const UPDATES: &[Row] = &[
    row(
        "§6.9",
        "0 more for the connection",
        Connection(PROTOCOL),
        |raw| raw.room(0, 0),
    ),
    row("§6.9", "0 more for a stream", Stream(PROTOCOL), |raw| {
        raw.get(1, "/held");
        raw.room(1, 0);
    })
    .said(Connection(PROTOCOL)),
    row(
        "§6.9",
        "WINDOW_UPDATE of three bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.9",
        "WINDOW_UPDATE of five bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1, 0]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§6.9", "the reserved bit", GoesOn, |raw| {
        raw.room(0, 1 | 1 << 31)
    }),
    row(
        "§6.9.1",
        "the largest window of the connection",
        GoesOn,
        |raw| {
            raw.room(0, MAX - DEFAULT);
        },
    ),
    row(
        "§6.9.1",
        "more than it for the connection",
        Connection(FLOW),
        |raw| {
            raw.room(0, MAX - DEFAULT);
            raw.room(0, 1);
        },
    ),
    row("§6.9.1", "the largest window of a stream", GoesOn, |raw| {
        raw.get(1, "/held");
        raw.room(1, MAX - DEFAULT);
    }),
    row("§6.9.1", "more than it for a stream", Stream(FLOW), |raw| {
        raw.get(1, "/held");
        raw.room(1, MAX - DEFAULT);
        raw.room(1, 1);
    }),
    row(
        "§6.9.2",
        "more than it by a setting",
        Connection(FLOW),
        |raw| {
            raw.get(1, "/held");
            raw.room(1, MAX - DEFAULT);
            raw.settings(&[(WINDOW, DEFAULT + 1)]);
        },
    ),
    row(
        "§6.9.2",
        "a setting after all is taken back",
        Status(200),
        |raw| {
            raw.settings(&[(WINDOW, 0)]);
            raw.get(1, "/");
            raw.settings(&[(WINDOW, DEFAULT)]);
        },
    ),
];

/// §6.9.1: what nobody reads is given back, far beyond what there is room for at a time.
const UNREAD: &[Row] = &[
    row(
        "§6.9",
        "DATA of a stream that the server has reset",
        GoesOn,
        |raw| {
            raw.frame(HEADERS, END_HEADERS, 1, &fields(&[("te", "gzip")]));
            flood(raw, 1, 0, 60);
        },
    ),
    row(
        "§6.9",
        "DATA of a stream that the client has reset",
        GoesOn,
        |raw| {
            raw.post(1, "/");
            raw.reset(1);
            flood(raw, 1, 0, 60);
        },
    ),
    row(
        "§6.9",
        "DATA of a stream that was answered",
        GoesOn,
        |raw| {
            raw.get(1, "/");
            raw.answered(1);
            flood(raw, 1, 0, 60);
        },
    ),
    row("§6.9", "padding", GoesOn, |raw| {
        raw.post(1, "/");
        flood(raw, 1, PADDED, 400);
    }),
];

/// The pool has one place, which is taken: little of a body is read, and no room is given for more.
/// What there is room for is heard first.
const OVERRUNS: &[Row] = &[
    row(
        "§6.9.1",
        "more of a stream than there is room for",
        Stream(FLOW),
        |raw| {
            raw.up_to_now();
            raw.post(1, "/queued");
            send(raw, 1, 65 * 1024);
        },
    ),
    row("§6.9.1", "padding counts", Stream(FLOW), |raw| {
        raw.up_to_now();
        raw.post(1, "/queued");
        send(raw, 1, 64 * 1024 - 10);
        raw.frame(DATA, PADDED, 1, &[&[10][..], &[0; 10]].concat());
    }),
    row(
        "§6.9.1",
        "more of all streams than there is room for",
        Connection(FLOW),
        |raw| {
            raw.up_to_now();
            for stream in [1, 3, 5, 7, 9, 11, 13] {
                raw.post(stream, "/queued");
                send(raw, stream, 60 * 1024);
            }
        },
    ),
];

fn send(raw: &mut Raw, stream: u32, mut len: usize) {
    while len > 0 {
        let part = len.min(16_384);
        raw.frame(DATA, 0, stream, &vec![b'a'; part]);
        len -= part;
    }
}

/// Has a route to a pool with room for one request.
fn with_queue(setup: &mut Setup) {
    let mut pool = setup.config.pools[0].clone();
    pool.name = "queued".to_owned();
    pool.backends[0].requests = Some(1);
    setup.config.pools.push(pool);
    let path = "/queued".to_owned();
    setup.config.listeners[0].routes = vec![RouteConfig {
        name: path.clone(),
        when: Conditions {
            path: Some(PathPattern::Prefix(path)),
            ..Conditions::default()
        },
        access: Access::Everybody,
        action: RouteAction::Pool {
            pool: "queued".to_owned(),
            rewrite: Rewrite::default(),
        },
        request_fields: FieldEdits::default(),
        response_fields: FieldEdits::default(),
        timeouts: RouteTimeouts::default(),
        limits: RouteLimits::default(),
        priority: Urgency::Normal,
    }];
}

/// Sends frames of 16384 bytes; where they have padding they are half of it, and of 512 bytes.
fn flood(raw: &mut Raw, stream: u32, flags: u8, frames: usize) {
    let mut payload = vec![0; if flags == PADDED { 512 } else { 16_384 }];
    payload[0] = 255;
    for _ in 0..frames {
        raw.frame(DATA, flags, stream, &payload);
        raw.up_to_now();
    }
}

#[test]
fn windows_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[UPDATES, UNREAD], &rig);
}

#[test]
fn overruns_follow_the_table() {
    let backend = backend();
    let mut setup = http2(&[backend.address]);
    with_queue(&mut setup);
    let rig = setup.start();
    let mut holder = Raw::connect(rig.address);
    holder.get(1, "/queued/held");
    wait_until("the place is taken", || !backend.requests().is_empty());
    judge(&[OVERRUNS], &rig);
}

/// Returns how many bytes of a stream's answer have come by now.
fn come(raw: &mut Raw, stream: u32) -> usize {
    let data = raw.up_to_now().into_iter();
    let data = data.filter(|it| it.kind == DATA && it.stream == stream);
    data.map(|it| it.payload.len()).sum()
}

/// Waits for so many bytes, behind which no more come.
#[track_caller]
fn come_exactly(raw: &mut Raw, stream: u32, hoped: usize) {
    let mut bytes = 0;
    wait_until("the window is used", || {
        bytes += come(raw, stream);
        bytes >= hoped
    });
    bytes += come(raw, stream);
    assert_eq!(bytes, hoped);
}

/// §6.9.1, §6.9.2.
#[test]
fn no_more_is_sent_than_there_is_room_for() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.settings(&[(WINDOW, 3)]);
    raw.get(1, "/large");
    come_exactly(&mut raw, 1, 3);
    // It is below zero now, and is until more is given than is missing.
    raw.settings(&[(WINDOW, 1)]);
    raw.room(1, 2);
    come_exactly(&mut raw, 1, 0);
    raw.room(1, 1);
    come_exactly(&mut raw, 1, 1);
    raw.settings(&[(WINDOW, 5)]);
    come_exactly(&mut raw, 1, 4);
    // The connection has its own, of which 8 are used.
    raw.room(1, MAX - 5);
    come_exactly(&mut raw, 1, 65_535 - 8);
    raw.room(0, 10);
    come_exactly(&mut raw, 1, 10);
    raw.room(0, 1 << 20);
    come_exactly(&mut raw, 1, LARGE - 65_535 - 10);
}
