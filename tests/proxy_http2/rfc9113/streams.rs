//! RFC 9113 §5: streams, their numbers and states.

use h2::Reason;

use super::row::Hoped::{Connection, GoesOn, Status, Stream};
use super::row::{Row, STREAMS, bench, judge, row};
use crate::common::wait_until;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PRIORITY, PUSH_PROMISE,
    RST_STREAM, Raw, fields, head,
};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const CLOSED: Reason = Reason::STREAM_CLOSED;

const IDLE: &[Row] = &[
    row("§5.1", "idle: DATA", Connection(PROTOCOL), |raw| {
        raw.frame(DATA, END_STREAM, 1, b"a");
    }),
    row("§5.1", "idle: RST_STREAM", Connection(PROTOCOL), |raw| {
        raw.reset(1)
    }),
    row("§5.1", "idle: WINDOW_UPDATE", Connection(PROTOCOL), |raw| {
        raw.room(1, 1)
    }),
    row("§5.1", "idle: CONTINUATION", Connection(PROTOCOL), |raw| {
        raw.frame(CONTINUATION, END_HEADERS, 1, &head("GET", "/"));
    }),
    row("§5.1", "idle: PUSH_PROMISE", Connection(PROTOCOL), |raw| {
        raw.frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]);
    }),
    row(
        "§5.1",
        "idle: PRIORITY, and the request then",
        Status(200),
        |raw| {
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            raw.get(1, "/");
        },
    ),
    row(
        "§5.1",
        "idle, of a server: DATA",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(DATA, END_STREAM, 2, b"a");
        },
    ),
    row(
        "§5.1",
        "idle, of a server: RST_STREAM",
        Connection(PROTOCOL),
        |raw| raw.reset(2),
    ),
    row(
        "§5.1",
        "idle, of a server: WINDOW_UPDATE",
        Connection(PROTOCOL),
        |raw| raw.room(2, 1),
    ),
    row("§5.1", "idle, of a server: PRIORITY", GoesOn, |raw| {
        raw.frame(PRIORITY, 0, 2, &[0, 0, 0, 0, 15]);
    }),
];

const OPEN: &[Row] = &[
    row(
        "§5.1",
        "open: WINDOW_UPDATE, PRIORITY, DATA",
        Status(200),
        |raw| {
            raw.post(1, "/");
            raw.room(1, 1);
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            raw.frame(DATA, END_STREAM, 1, b"a");
        },
    ),
    row("§5.1", "open: RST_STREAM", GoesOn, |raw| {
        raw.post(1, "/");
        raw.reset(1);
    }),
    row(
        "§5.1",
        "half-closed: WINDOW_UPDATE, PRIORITY, RST_STREAM",
        GoesOn,
        |raw| {
            raw.get(1, "/held");
            raw.room(1, 1);
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            raw.reset(1);
        },
    ),
    row("§5.1", "half-closed: DATA", Stream(CLOSED), |raw| {
        raw.get(1, "/held");
        raw.frame(DATA, END_STREAM, 1, b"a");
    })
    .said(Connection(PROTOCOL)),
    row("§5.1", "half-closed: HEADERS", Stream(CLOSED), |raw| {
        raw.get(1, "/held");
        raw.ask(1, &fields(&[("x", "a")]));
    })
    .said(Connection(PROTOCOL)),
    row(
        "§5.1",
        "half-closed: HEADERS that do not end it",
        Stream(CLOSED),
        |raw| {
            raw.get(1, "/held");
            raw.frame(HEADERS, END_HEADERS, 1, &head("GET", "/"));
        },
    )
    .said(Stream(PROTOCOL)),
    row(
        "§5.1",
        "half-closed: CONTINUATION",
        Connection(PROTOCOL),
        |raw| {
            raw.get(1, "/held");
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
];

const OVER: &[Row] = &[
    row("§5.1", "reset by the client: DATA", Stream(CLOSED), |raw| {
        raw.post(1, "/");
        raw.reset(1);
        raw.frame(DATA, END_STREAM, 1, b"a");
    }),
    row(
        "§5.1.1",
        "reset by the client: HEADERS",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/");
            raw.reset(1);
            raw.get(1, "/");
        },
    ),
    row(
        "§5.1",
        "reset by the client: CONTINUATION",
        Connection(PROTOCOL),
        |raw| {
            raw.post(1, "/");
            raw.reset(1);
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row("§5.1", "reset by the client: PRIORITY", GoesOn, |raw| {
        raw.post(1, "/");
        raw.reset(1);
        raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
    }),
    row(
        "§5.1",
        "reset by the server: all that was under way",
        Stream(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, END_HEADERS, 1, &fields(&[("te", "gzip")]));
            raw.room(1, 1);
            raw.frame(DATA, 0, 1, b"a");
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            raw.ask(1, &fields(&[("x", "trailer")]));
        },
    ),
    row("§5.1", "answered: DATA", Stream(CLOSED), |raw| {
        raw.get(1, "/");
        raw.answered(1);
        raw.frame(DATA, END_STREAM, 1, b"a");
    }),
    row(
        "§5.1",
        "answered: CONTINUATION",
        Connection(PROTOCOL),
        |raw| {
            raw.get(1, "/");
            raw.answered(1);
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row(
        "§5.1",
        "answered: WINDOW_UPDATE, PRIORITY, RST_STREAM",
        GoesOn,
        |raw| {
            raw.get(1, "/");
            raw.answered(1);
            raw.room(1, 1);
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            raw.reset(1);
            raw.reset(1);
        },
    ),
    row(
        "§5.4.2",
        "RST_STREAM is not answered with another",
        GoesOn,
        |raw| {
            raw.get(1, "/held");
            raw.reset(1);
            raw.reset(1);
            assert!(raw.up_to_now().iter().all(|it| it.kind != RST_STREAM));
            raw.reset(1);
        },
    ),
];

const NUMBERS: &[Row] = &[
    row("§5.1.1", "an even number", Connection(PROTOCOL), |raw| {
        raw.get(2, "/")
    }),
    row(
        "§5.1.1",
        "a number below the last",
        Connection(PROTOCOL),
        |raw| {
            raw.get(5, "/");
            raw.get(3, "/");
        },
    ),
    row(
        "§5.1.1",
        "the same number again",
        Connection(PROTOCOL),
        |raw| {
            raw.get(3, "/");
            raw.answered(3);
            raw.get(3, "/");
        },
    ),
    row("§5.1.1", "numbers that are left out", Status(200), |raw| {
        raw.get(11, "/")
    }),
    row(
        "§5.1.1",
        "DATA of a number that was left out",
        Stream(CLOSED),
        |raw| {
            raw.get(11, "/held");
            raw.frame(DATA, END_STREAM, 5, b"a");
        },
    ),
    row(
        "§5.1.1",
        "RST_STREAM of a number that was left out",
        GoesOn,
        |raw| {
            raw.get(11, "/held");
            raw.reset(5);
        },
    ),
    // Behind it no number is left for another stream.
    row(
        "§5.1.1",
        "the largest number",
        Connection(PROTOCOL),
        |raw| {
            raw.get(0x7fff_ffff, "/");
            raw.answered(0x7fff_ffff);
        },
    ),
    row(
        "§5.1.2",
        "a stream more than there may be",
        Stream(Reason::REFUSED_STREAM),
        |raw| {
            for number in 0..=STREAMS {
                raw.get(2 * number + 1, "/held");
            }
            raw.reset(1);
            raw.reset(3);
        },
    ),
    row(
        "§5.1.2",
        "streams that were reset leave their place",
        GoesOn,
        |raw| {
            for number in 0..2 * STREAMS {
                raw.get(2 * number + 1, "/held");
                raw.reset(2 * number + 1);
            }
        },
    ),
];

/// Of RFC 7540 §5.3.1; RFC 9113 §5.3.2 has it read, and no more.
const PRIORITIES: &[Row] = &[
    row(
        "RFC 7540 §5.3.1",
        "HEADERS that depend on another stream",
        Status(200),
        |raw| {
            let block = [&[0x80, 0, 0, 11, 0xff][..], &head("GET", "/")].concat();
            raw.frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, &block);
        },
    ),
    row(
        "RFC 7540 §5.3.1",
        "HEADERS that depend on themselves",
        Stream(PROTOCOL),
        |raw| {
            let block = [&[0, 0, 0, 1, 0xff][..], &head("GET", "/")].concat();
            raw.frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, &block);
        },
    ),
    row(
        "RFC 7540 §5.3.1",
        "PRIORITY of an open stream on itself",
        Stream(PROTOCOL),
        |raw| {
            raw.get(1, "/held");
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0xff]);
        },
    ),
    // §6.4: RST_STREAM must not be sent for a stream that is idle. The stream is lost with it.
    row(
        "RFC 7540 §5.3.1",
        "PRIORITY of an idle stream on itself",
        Status(200),
        |raw| {
            raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0xff]);
            raw.get(1, "/");
        },
    )
    .broken(Stream(PROTOCOL)),
];

#[test]
fn streams_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[IDLE, OPEN, OVER], &rig);
}

#[test]
fn numbers_of_streams_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[NUMBERS], &rig);
}

#[test]
fn priorities_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[PRIORITIES], &rig);
}

/// §5.4.2.
#[test]
fn what_is_reset_is_left() {
    let (_backend, rig) = bench();
    let mut raw = Raw::connect(rig.address);
    raw.get(1, "/held");
    raw.frame(RST_STREAM, 0, 1, &0xffff_u32.to_be_bytes());
    wait_until("the backend is left", || {
        rig.pool().backends[0].active_requests == 0
    });
}
