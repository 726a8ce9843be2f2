//! RFC 9113 §6.1–§6.8, §6.10: each kind of frame.

use h2::Reason;

use super::row::Hoped::{Connection, GoesOn, Status, Stream};
use super::row::{Row, bench, judge, row};
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, PADDED, PING,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, head,
};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const FRAME_SIZE: Reason = Reason::FRAME_SIZE_ERROR;
const FLOW: Reason = Reason::FLOW_CONTROL_ERROR;
/// What ends a request.
const ENDS: u8 = END_HEADERS | END_STREAM;

const MESSAGES: &[Row] = &[
    row("§6.1", "DATA on stream 0", Connection(PROTOCOL), |raw| {
        raw.frame(DATA, 0, 0, b"a")
    }),
    row("§6.1", "DATA with padding", Status(200), |raw| {
        raw.post(1, "/");
        raw.frame(DATA, PADDED, 1, &[2, b'a', 0, 0]);
        raw.frame(DATA, PADDED | END_STREAM, 1, &[0, b'a']);
    }),
    row("§6.1", "DATA of padding alone", Status(200), |raw| {
        raw.post(1, "/");
        raw.frame(
            DATA,
            PADDED | END_STREAM,
            1,
            &[&[255][..], &[0; 255]].concat(),
        );
    }),
    row(
        "§6.1",
        "DATA whose padding is as long as all",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/");
            raw.frame(DATA, PADDED | END_STREAM, 1, &[4, 0, 0, 0]);
        },
    ),
    row(
        "§6.1",
        "DATA whose padding is longer",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/");
            raw.frame(DATA, PADDED | END_STREAM, 1, &[255, 0]);
        },
    ),
    row(
        "§6.1",
        "DATA that should be padded and is empty",
        Connection(FRAME_SIZE),
        |raw| {
            raw.post(1, "/");
            raw.frame(DATA, PADDED | END_STREAM, 1, &[]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§6.2", "HEADERS on stream 0", Connection(PROTOCOL), |raw| {
        raw.get(0, "/")
    }),
    row(
        "§6.2",
        "HEADERS with padding and a priority",
        Status(200),
        |raw| {
            let block = [&[3, 0, 0, 0, 0, 15][..], &head("GET", "/"), &[0; 3]].concat();
            raw.frame(HEADERS, ENDS | PADDED | HAS_PRIORITY, 1, &block);
        },
    ),
    row(
        "§6.2",
        "HEADERS whose padding is longer",
        Connection(PROTOCOL),
        |raw| {
            let block = [&[200][..], &head("GET", "/")].concat();
            raw.frame(HEADERS, ENDS | PADDED, 1, &block);
        },
    ),
    row(
        "§6.2",
        "HEADERS whose padding is longer than what a priority leaves",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(
                HEADERS,
                ENDS | PADDED | HAS_PRIORITY,
                1,
                &[1, 0, 0, 0, 0, 15],
            );
        },
    ),
    row(
        "§6.2",
        "HEADERS that should be padded and are empty",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(HEADERS, ENDS | PADDED, 1, &[]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.2",
        "HEADERS with four bytes of a priority",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(HEADERS, ENDS | HAS_PRIORITY, 1, &[0; 4]);
        },
    )
    .said(Connection(PROTOCOL)),
];

const STREAM_KINDS: &[Row] = &[
    row(
        "§6.3",
        "PRIORITY on stream 0",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 15]);
        },
    ),
    row(
        "§6.3",
        "PRIORITY of four bytes",
        Stream(FRAME_SIZE),
        |raw| {
            raw.get(1, "/held");
            raw.frame(PRIORITY, 0, 1, &[0; 4]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§6.3", "PRIORITY of six bytes", Stream(FRAME_SIZE), |raw| {
        raw.get(1, "/held");
        raw.frame(PRIORITY, 0, 1, &[0; 6]);
    })
    .said(Connection(PROTOCOL)),
    row(
        "§6.4",
        "RST_STREAM on stream 0",
        Connection(PROTOCOL),
        |raw| raw.reset(0),
    ),
    row(
        "§6.4",
        "RST_STREAM of three bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.get(1, "/held");
            raw.frame(RST_STREAM, 0, 1, &[0; 3]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.4",
        "RST_STREAM of five bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.get(1, "/held");
            raw.frame(RST_STREAM, 0, 1, &[0; 5]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§7",
        "RST_STREAM with a code that nobody knows",
        GoesOn,
        |raw| {
            raw.get(1, "/held");
            raw.frame(RST_STREAM, 0, 1, &[0xff; 4]);
        },
    ),
    row(
        "§6.6",
        "PUSH_PROMISE on an open stream",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/");
            let promise = [&[0, 0, 0, 2][..], &head("GET", "/")].concat();
            raw.frame(PUSH_PROMISE, END_HEADERS, 1, &promise);
        },
    ),
    row(
        "§6.6",
        "PUSH_PROMISE on stream 0",
        Connection(PROTOCOL),
        |raw| {
            let promise = [&[0, 0, 0, 2][..], &head("GET", "/")].concat();
            raw.frame(PUSH_PROMISE, END_HEADERS, 0, &promise);
        },
    ),
];

const SETTINGS_KIND: &[Row] = &[
    row(
        "§6.5",
        "an ACK with settings",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 1]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.5",
        "SETTINGS on a stream",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(SETTINGS, 0, 1, &[]);
        },
    ),
    row(
        "§6.5",
        "SETTINGS of five bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.5",
        "SETTINGS of seven bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1, 0]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§6.5.2", "ENABLE_PUSH 0 and 1", GoesOn, |raw| {
        raw.settings(&[(2, 0), (2, 1)])
    }),
    row("§6.5.2", "ENABLE_PUSH 2", Connection(PROTOCOL), |raw| {
        raw.settings(&[(2, 2)])
    }),
    row("§6.5.2", "INITIAL_WINDOW_SIZE 2^31-1", GoesOn, |raw| {
        raw.settings(&[(4, 0x7fff_ffff)])
    }),
    row(
        "§6.5.2",
        "INITIAL_WINDOW_SIZE 2^31",
        Connection(FLOW),
        |raw| {
            raw.settings(&[(4, 0x8000_0000)]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§6.5.2", "MAX_FRAME_SIZE 2^14 and 2^24-1", GoesOn, |raw| {
        raw.settings(&[(5, 0x4000), (5, 0xff_ffff)]);
    }),
    row(
        "§6.5.2",
        "MAX_FRAME_SIZE 2^14-1",
        Connection(PROTOCOL),
        |raw| {
            raw.settings(&[(5, 0x3fff)]);
        },
    ),
    row(
        "§6.5.2",
        "MAX_FRAME_SIZE 2^24",
        Connection(PROTOCOL),
        |raw| {
            raw.settings(&[(5, 0x100_0000)]);
        },
    ),
    row(
        "§6.5.2",
        "the largest and the smallest of all others",
        GoesOn,
        |raw| {
            raw.settings(&[(1, u32::MAX), (3, u32::MAX), (6, u32::MAX)]);
            raw.settings(&[(1, 0), (3, 0), (6, 0)]);
        },
    ),
    row("§6.5.2", "settings that nobody knows", GoesOn, |raw| {
        raw.settings(&[(0, 0), (0xff, 1), (0xffff, u32::MAX)]);
    }),
    row(
        "RFC 8441 §3",
        "ENABLE_CONNECT_PROTOCOL 2",
        Connection(PROTOCOL),
        |raw| {
            raw.settings(&[(8, 2)]);
        },
    ),
];

const CONNECTION_KINDS: &[Row] = &[
    row("§6.7", "PING on a stream", Connection(PROTOCOL), |raw| {
        raw.frame(PING, 0, 1, &[0; 8])
    }),
    row(
        "§6.7",
        "PING of seven bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(PING, 0, 0, &[0; 7]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.7",
        "PING of nine bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(PING, 0, 0, &[0; 9]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§6.7", "an ACK of no PING", GoesOn, |raw| {
        raw.frame(PING, ACK, 0, &[0; 8])
    }),
    row("§6.8", "GOAWAY on a stream", Connection(PROTOCOL), |raw| {
        raw.frame(GOAWAY, 0, 1, &[0; 8]);
    }),
    row(
        "§6.8",
        "GOAWAY of seven bytes",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(GOAWAY, 0, 0, &[0; 7]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§6.8",
        "GOAWAY with a code that nobody knows",
        Connection(Reason::NO_ERROR),
        |raw| {
            raw.frame(GOAWAY, 0, 0, &[0xff; 20]);
        },
    ),
    row(
        "§6.10",
        "CONTINUATION on stream 0",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, END_STREAM, 1, &head("GET", "/"));
            raw.frame(CONTINUATION, END_HEADERS, 0, &[]);
        },
    ),
    row(
        "§6.10",
        "CONTINUATION on another stream",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, END_STREAM, 1, &head("GET", "/"));
            raw.frame(CONTINUATION, END_HEADERS, 3, &[]);
        },
    ),
    row(
        "§6.10",
        "CONTINUATION behind a head that has ended",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/held");
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row(
        "§6.10",
        "CONTINUATION behind one that has ended",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/held"));
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row(
        "§6.10",
        "CONTINUATION behind DATA",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/held");
            raw.frame(DATA, 0, 1, b"a");
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row(
        "§6.10",
        "CONTINUATION before all",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(CONTINUATION, END_HEADERS, 1, &head("GET", "/"));
        },
    ),
];

#[test]
fn data_and_headers_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[MESSAGES], &rig);
}

#[test]
fn frames_of_streams_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[STREAM_KINDS], &rig);
}

#[test]
fn settings_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[SETTINGS_KIND], &rig);
}

#[test]
fn frames_of_connections_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[CONNECTION_KINDS], &rig);
}
