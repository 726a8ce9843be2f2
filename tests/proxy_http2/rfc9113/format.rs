//! RFC 9113 §4, §5.5: the format of frames, of fields in them, and what extends it.

use h2::Reason;

use super::row::Hoped::{Connection, GoesOn, Status, Stream};
use super::row::{Row, STREAMS, bench, judge, row};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, fields, head,
};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const FRAME_SIZE: Reason = Reason::FRAME_SIZE_ERROR;
const COMPRESSION: Reason = Reason::COMPRESSION_ERROR;
/// What is allowed unless a setting says more.
const SIZE: usize = 16_384;
/// A kind that nobody knows.
const UNKNOWN: u8 = 0x16;
/// A field that is put into the table of the connection (RFC 7541 §6.2.1), and its index (§6.1).
const REMEMBER: &[u8] = &[0x40, 1, b'x', 1, b'y'];
const REMEMBERED: &[u8] = &[0xbe];
/// The reserved bit of a stream's number.
const RESERVED: u32 = 1 << 31;

const FRAMES: &[Row] = &[
    row("§4.1", "an unknown kind on the connection", GoesOn, |raw| {
        raw.frame(UNKNOWN, 0xff, 0, &[0; 8]);
    }),
    row("§4.1", "PING with flags that it has not", GoesOn, |raw| {
        raw.frame(PING, 0xfe, 0, &[0; 8]);
    }),
    row(
        "§4.1",
        "HEADERS with flags that it has not",
        Status(200),
        |raw| {
            let flags = 0xd2 | END_HEADERS | END_STREAM;
            raw.frame(HEADERS, flags, 1, &head("GET", "/"));
        },
    ),
    row(
        "§4.1",
        "DATA with flags that it has not",
        Status(200),
        |raw| {
            raw.post(1, "/");
            raw.frame(DATA, 0xf6 | END_STREAM, 1, b"a");
        },
    ),
    row("§4.1", "the reserved bit with PING", GoesOn, |raw| {
        raw.frame(PING, 0, RESERVED, &[0; 8]);
    }),
    row(
        "§4.1",
        "the reserved bit with HEADERS",
        Status(200),
        |raw| {
            raw.ask(RESERVED | 1, &head("GET", "/"));
        },
    ),
    row("§4.2", "DATA of 2^14 bytes", Status(200), |raw| {
        raw.post(1, "/");
        raw.frame(DATA, END_STREAM, 1, &[b'a'; SIZE]);
    }),
    row("§4.2", "DATA that is larger", Stream(FRAME_SIZE), |raw| {
        raw.post(1, "/");
        raw.frame(DATA, END_STREAM, 1, &[b'a'; SIZE + 1]);
    })
    .said(Connection(FRAME_SIZE)),
    row(
        "§4.2",
        "HEADERS that are larger",
        Connection(FRAME_SIZE),
        |raw| {
            let value = "a".repeat(SIZE);
            let large = fields(&[("x", &value)]);
            raw.ask(1, &[head("GET", "/"), large].concat());
        },
    ),
    row(
        "§4.2",
        "CONTINUATION that is larger",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(HEADERS, END_STREAM, 1, &head("GET", "/"));
            let value = "a".repeat(SIZE);
            raw.frame(CONTINUATION, END_HEADERS, 1, &fields(&[("x", &value)]));
        },
    ),
    row(
        "§4.2",
        "SETTINGS that are larger",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(SETTINGS, 0, 0, &[0xff; SIZE + 2]);
        },
    ),
    row(
        "§4.2",
        "an unknown kind that is larger",
        Connection(FRAME_SIZE),
        |raw| {
            raw.frame(UNKNOWN, 0, 0, &[0; SIZE + 1]);
        },
    ),
    row(
        "§4.2",
        "a length of 2^24-1",
        Connection(FRAME_SIZE),
        |raw| {
            raw.send(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]);
        },
    ),
];

const FIELDS: &[Row] = &[
    row(
        "§4.3",
        "HEADERS and two CONTINUATIONs",
        Status(200),
        |raw| {
            let head = head("GET", "/");
            raw.frame(HEADERS, END_STREAM, 1, &head[..5]);
            raw.frame(CONTINUATION, 0, 1, &head[5..20]);
            raw.frame(CONTINUATION, END_HEADERS, 1, &head[20..]);
        },
    ),
    row(
        "§4.3",
        "HEADERS of no bytes, and CONTINUATION",
        Status(200),
        |raw| {
            raw.frame(HEADERS, END_STREAM, 1, &[]);
            raw.frame(CONTINUATION, END_HEADERS, 1, &head("GET", "/"));
        },
    ),
    row(
        "§4.3",
        "fields that break off",
        Connection(COMPRESSION),
        |raw| {
            let head = head("GET", "/");
            raw.ask(1, &head[..head.len() - 1]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§4.3",
        "trailers that break off",
        Connection(COMPRESSION),
        |raw| {
            raw.post(1, "/");
            raw.ask(1, &[0, 5, b'x']);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§4.3",
        "a head, and PRIORITY within",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.frame(PRIORITY, 0, 1, &[0; 5]);
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row(
        "§4.3",
        "a head, and another within",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.get(3, "/");
        },
    ),
    row(
        "§4.3",
        "a head, and DATA within",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.frame(DATA, END_STREAM, 1, b"a");
        },
    ),
    row(
        "§4.3",
        "a head, and PING within",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.frame(PING, 0, 0, &[0; 8]);
        },
    ),
    row(
        "§4.3",
        "a head, and RST_STREAM within",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.frame(RST_STREAM, 0, 1, &[0; 4]);
        },
    ),
    row(
        "§4.3",
        "a head, and WINDOW_UPDATE within",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
        },
    ),
    row(
        "§4.3",
        "what a malformed request has is known",
        Stream(PROTOCOL),
        |raw| {
            let bad = fields(&[("te", "gzip")]);
            raw.ask(1, &[&head("GET", "/"), &bad, REMEMBER].concat());
            raw.ask(3, &[&head("GET", "/"), REMEMBERED].concat());
        },
    ),
    row(
        "§8.1.1",
        "a malformed request in two frames",
        Stream(PROTOCOL),
        |raw| {
            let bad = [head("GET", "/"), fields(&[("te", "gzip")])].concat();
            raw.frame(HEADERS, END_STREAM, 1, &bad);
            raw.frame(CONTINUATION, END_HEADERS, 1, REMEMBER);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§4.3",
        "what a refused request has is known",
        Stream(Reason::REFUSED_STREAM),
        |raw| {
            for number in 0..STREAMS {
                raw.get(2 * number + 1, "/held");
            }
            raw.ask(99, &[&head("GET", "/"), REMEMBER].concat());
            raw.reset(1);
            raw.ask(101, &[&head("GET", "/"), REMEMBERED].concat());
            raw.reset(3);
        },
    ),
    row(
        "§4.3",
        "what trailers of a stream that was reset have is known",
        Stream(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, END_HEADERS, 1, &fields(&[("te", "gzip")]));
            raw.ask(1, REMEMBER);
            raw.ask(3, &[&head("GET", "/"), REMEMBERED].concat());
        },
    ),
    // RFC 7540 §5.3.1 resets the stream; `h2` leaves the block unread.
    row(
        "§4.3",
        "what a request has that depends on itself is known",
        Stream(PROTOCOL),
        |raw| {
            let flags = END_HEADERS | END_STREAM | HAS_PRIORITY;
            let block = [&[0, 0, 0, 1, 0][..], &head("GET", "/"), REMEMBER].concat();
            raw.frame(HEADERS, flags, 1, &block);
            raw.ask(3, &[&head("GET", "/"), REMEMBERED].concat());
        },
    )
    .broken(Connection(PROTOCOL)),
];

const EXTENSIONS: &[Row] = &[
    row(
        "§5.5",
        "an unknown kind on a stream that is idle",
        Status(200),
        |raw| {
            raw.frame(UNKNOWN, 0, 1, &[0; 8]);
            raw.get(1, "/");
        },
    ),
    row(
        "§5.5",
        "an unknown kind on a stream that is open",
        Status(200),
        |raw| {
            raw.post(1, "/");
            raw.frame(UNKNOWN, END_STREAM, 1, &[0; 8]);
            raw.frame(DATA, END_STREAM, 1, b"a");
        },
    ),
    row(
        "§5.5",
        "an unknown kind within a head",
        Connection(PROTOCOL),
        |raw| {
            raw.frame(HEADERS, 0, 1, &head("GET", "/"));
            raw.frame(UNKNOWN, 0, 1, &[0; 8]);
            raw.frame(CONTINUATION, END_HEADERS, 1, &[]);
        },
    ),
    row(
        "§5.5",
        "kinds of extensions that are not ours",
        GoesOn,
        |raw| {
            // ALTSVC, ORIGIN, PRIORITY_UPDATE.
            raw.frame(0x0a, 0, 0, &[0; 4]);
            raw.frame(0x0c, 0, 0, &[0; 4]);
            raw.frame(0x10, 0, 0, &[0, 0, 0, 1, b'u', b'=', b'1']);
        },
    ),
    row("§5.5", "all kinds that are unknown", GoesOn, |raw| {
        for kind in 0x0a..=0xff {
            raw.frame(kind, 0xff, 0, &[0xff; 3]);
        }
    }),
    row("§5.5", "an unknown kind of no bytes", GoesOn, |raw| {
        raw.frame(0xff, 0, 0, &[])
    }),
];

#[test]
fn frames_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[FRAMES], &rig);
}

#[test]
fn fields_in_frames_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[FIELDS], &rig);
}

#[test]
fn extensions_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[EXTENSIONS], &rig);
}
