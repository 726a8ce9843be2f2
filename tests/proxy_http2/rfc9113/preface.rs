//! RFC 9113 §3.4: how a connection begins.

use h2::Reason;

use super::row::Hoped::{Connection, End, GoesOn};
use super::row::{Row, bench, judge, row};
use crate::frames::{PING, Raw, SETTINGS};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// GOAWAY may be left out; who speaks no HTTP/2 is answered in HTTP/1.1.
const TABLE: &[Row] = &[
    row("§3.4", "a word that is no preface", End, |raw| {
        raw.send(b"INVALID CONNECTION PREFACE\r\n\r\n");
    })
    .begins_itself(),
    row("§3.4", "a preface whose end is another", End, |raw| {
        raw.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    })
    .begins_itself(),
    row("§3.4", "a preface in lower case", End, |raw| {
        raw.send(b"pri * http/2.0\r\n\r\nsm\r\n\r\n");
    })
    .begins_itself(),
    row("§3.4", "frames without a preface", End, |raw| {
        raw.settings(&[]);
    })
    .begins_itself(),
    row("§3.4", "a preface, and PING", Connection(PROTOCOL), |raw| {
        raw.send(PREFACE);
        raw.frame(PING, 0, 0, &[0; 8]);
    })
    .begins_itself()
    .said(End),
    row(
        "§3.4",
        "a preface, and a request",
        Connection(PROTOCOL),
        |raw| {
            raw.send(PREFACE);
            raw.get(1, "/");
        },
    )
    .begins_itself()
    .said(End),
    row("§3.4", "a preface byte by byte", GoesOn, |raw| {
        for byte in PREFACE {
            raw.send(&[*byte]);
        }
        raw.settings(&[]);
    })
    .begins_itself(),
    // As a frame it is too large.
    row(
        "§3.4",
        "two prefaces",
        Connection(Reason::FRAME_SIZE_ERROR),
        |raw| {
            raw.send(PREFACE);
        },
    ),
];

#[test]
fn prefaces_follow_the_table() {
    let (_backend, rig) = bench();
    judge(&[TABLE], &rig);
}

/// The server's preface is SETTINGS, before all else and without waiting for more of the client's.
#[test]
fn settings_are_said_first() {
    let (_backend, rig) = bench();
    let mut raw = Raw::plain(rig.address);
    raw.send(PREFACE);
    let first = raw.next().unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (SETTINGS, 0, 0));
    for setting in first.payload.chunks(6) {
        let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
        let is_allowed = match setting[1] {
            // ENABLE_PUSH of a server; INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE (§6.5.2).
            2 => value == 0,
            4 => value <= 0x7fff_ffff,
            5 => (0x4000..=0xff_ffff).contains(&value),
            _ => true,
        };
        assert!(is_allowed, "{setting:?}");
    }
}
