//! RFC 7541: what cannot be decoded ends the connection (RFC 9113 §4.3).

use h2::Reason;

use super::row::Hoped::{Connection, Status};
use super::row::{Row, bench, judge, row};
use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Raw, head};

const COMPRESSION: Reason = Reason::COMPRESSION_ERROR;
/// What `h2` says of all that it cannot decode.
const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;

/// Asks with a head between other bytes.
fn ask_with(raw: &mut Raw, before: &[u8], behind: &[u8]) {
    raw.ask(1, &[before, &head("GET", "/"), behind].concat());
}

const TABLE: &[Row] = &[
    row(
        "RFC 7541 §2.3.3",
        "an index beyond the tables",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0xc6]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §2.3.3",
        "a name's index beyond the tables",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0x7e, 1, b'a']);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §4.1",
        "the table forgets what has no room",
        Status(200),
        |raw| {
            // 0x3f 0x2d: 76 bytes, which are two entries of one byte each side (34 each).
            ask_with(
                raw,
                &[0x3f, 0x2d],
                &[0x40, 1, b'a', 1, b'b', 0x40, 1, b'c', 1, b'd', 0xbf],
            );
        },
    ),
    row(
        "RFC 7541 §4.4",
        "an entry that was forgotten",
        Connection(COMPRESSION),
        |raw| {
            let entry = |name| [0x40, 1, name, 1, b'b'];
            let behind = [&entry(b'a')[..], &entry(b'c'), &entry(b'd'), &[0xc0]].concat();
            ask_with(raw, &[0x3f, 0x2d], &behind);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §4.4",
        "an entry larger than the table",
        Status(200),
        |raw| {
            ask_with(raw, &[0x20], &[0x40, 1, b'a', 1, b'b']);
        },
    ),
    row(
        "RFC 7541 §4.4",
        "an entry larger than the table, and its index",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[0x20], &[0x40, 1, b'a', 1, b'b', 0xbe]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §4.2",
        "a size at the end",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0x20]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §4.2",
        "a size between fields",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[0x00, 1, b'a', 1, b'b', 0x20], &[]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §4.2",
        "a size between fields, where CONTINUATION begins",
        Connection(COMPRESSION),
        |raw| {
            raw.frame(HEADERS, END_STREAM, 1, &head("GET", "/"));
            raw.frame(CONTINUATION, END_HEADERS, 1, &[0x20]);
        },
    )
    .broken(Status(200)),
    row(
        "RFC 7541 §4.2",
        "two sizes at the beginning",
        Status(200),
        |raw| {
            ask_with(raw, &[0x20, 0x3f, 0xe1, 0x1f], &[]);
        },
    ),
    row(
        "RFC 7541 §5.1",
        "a number beyond all bounds",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §5.1",
        "a number that does not end",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0xff, 0xff]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §5.1",
        "a number with zeros behind it",
        Status(200),
        |raw| {
            // 127 + 0: beyond the tables as an index, and well as a size (31).
            ask_with(raw, &[0x3f, 0x80, 0x00], &[]);
        },
    ),
    row(
        "RFC 7541 §5.2",
        "a text longer than what comes",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0x00, 1, b'x', 9, b'a']);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §5.2",
        "a text in the code of Huffman",
        Status(200),
        |raw| {
            ask_with(raw, &[], &[0x00, 1, b'x', 0x81, 0x1f]);
        },
    ),
    row(
        "RFC 7541 §5.2",
        "padding of more than seven bits",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0x00, 1, b'x', 0x82, 0x1f, 0xff]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §5.2",
        "padding of zeros",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0x00, 1, b'x', 0x81, 0x18]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §5.2",
        "EOS in a text",
        Connection(COMPRESSION),
        |raw| {
            ask_with(
                raw,
                &[],
                &[0x00, 1, b'x', 0x85, 0x1f, 0xff, 0xff, 0xff, 0xff],
            );
        },
    )
    .said(Connection(PROTOCOL)),
    row("RFC 7541 §6.1", "index 0", Connection(COMPRESSION), |raw| {
        ask_with(raw, &[], &[0x80]);
    })
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §6.2.1",
        "an entry, and its index",
        Status(200),
        |raw| {
            ask_with(raw, &[], &[0x40, 1, b'x', 1, b'y', 0xbe]);
        },
    ),
    row(
        "RFC 7541 §6.2.2",
        "a field that is not put into the table, and its index",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[], &[0x00, 1, b'x', 1, b'y', 0xbe]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "RFC 7541 §6.2",
        "names by their index, in each of three ways",
        Status(200),
        |raw| {
            // User-Agent (58).
            let behind = [
                &[0x7a, 1, b'a'][..],
                &[0x0f, 0x2b, 1, b'a'],
                &[0x1f, 0x2b, 1, b'a'],
            ];
            ask_with(raw, &[], &behind.concat());
        },
    ),
    row(
        "RFC 7541 §6.1",
        "a request of indices alone",
        Status(200),
        |raw| {
            // GET, http, /; no authority has one.
            raw.ask(1, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
        },
    ),
    row(
        "RFC 7541 §6.2.3",
        "a field that is never put into a table",
        Status(200),
        |raw| {
            ask_with(raw, &[], &[0x10, 1, b'x', 1, b'y']);
        },
    ),
    row("RFC 7541 §6.3", "the largest size", Status(200), |raw| {
        ask_with(raw, &[0x3f, 0xe1, 0x1f], &[]);
    }),
    row(
        "RFC 7541 §6.3",
        "a size larger than was allowed",
        Connection(COMPRESSION),
        |raw| {
            ask_with(raw, &[0x3f, 0xe2, 0x1f], &[]);
        },
    )
    .said(Connection(PROTOCOL)),
];

#[test]
fn compression_follows_the_table() {
    let (_backend, rig) = bench();
    judge(&[TABLE], &rig);
}
