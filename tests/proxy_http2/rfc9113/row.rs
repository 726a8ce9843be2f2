//! A row of the tables, and how it is judged.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use h2::Reason;

use crate::common::Backend;
use crate::frames::{Frame, GOAWAY, HEADERS, RST_STREAM, Raw};
use crate::http2;
use crate::rig::Rig;

/// What a client says, and what is to come of it.
pub(super) struct Row {
    section: &'static str,
    words: &'static str,
    hoped: Hoped,
    instead: Instead,
    begins: Begins,
    say: fn(&mut Raw),
}

/// What may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hoped {
    /// GOAWAY with this code, then the end (§5.4.1).
    Connection(Reason),
    /// The end, with or without a word.
    End,
    /// RST_STREAM with this code (§5.4.2), and the connection goes on.
    Stream(Reason),
    /// An answer, and the connection goes on.
    Status(u16),
    /// Neither an error nor a reset: the connection goes on.
    GoesOn,
}

/// What comes instead of what is hoped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instead {
    Nothing,
    /// An error too, but another one.
    Said(Hoped),
    /// A requirement is not kept.
    Broken(Hoped),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    /// With a preface and SETTINGS.
    AsItShould,
    /// With what the row says.
    Itself,
}

/// What has come.
#[derive(Debug, Default)]
struct Heard {
    goaway: Option<Reason>,
    resets: Vec<(u32, Reason)>,
    statuses: Vec<(u32, Option<u16>)>,
    /// The request behind all that is said has been answered.
    goes_on: bool,
    is_over: bool,
}

/// Returns a row.
pub(super) const fn row(
    section: &'static str,
    words: &'static str,
    hoped: Hoped,
    say: fn(&mut Raw),
) -> Row {
    Row {
        section,
        words,
        hoped,
        instead: Instead::Nothing,
        begins: Begins::AsItShould,
        say,
    }
}

impl Row {
    /// Another error comes, that is no less strict.
    pub(super) const fn said(mut self, hoped: Hoped) -> Self {
        self.instead = Instead::Said(hoped);
        self
    }

    /// The requirement is not kept: this comes instead.
    pub(super) const fn broken(mut self, hoped: Hoped) -> Self {
        self.instead = Instead::Broken(hoped);
        self
    }

    /// Nothing has been sent before.
    pub(super) const fn begins_itself(mut self) -> Self {
        self.begins = Begins::Itself;
        self
    }

    /// Returns what is wrong.
    fn judge(&self, to: SocketAddr) -> Option<String> {
        let due = match self.instead {
            Instead::Nothing => self.hoped,
            Instead::Said(due) | Instead::Broken(due) => due,
        };
        let heard = catch_unwind(AssertUnwindSafe(|| self.hear(to, due)));
        let wrong = match heard {
            Ok(_) if !self.is_marked_rightly() => "is to be marked as broken".to_owned(),
            Ok(heard) if heard.is(due) => return None,
            Ok(heard) => format!("hoped for {due:?}, heard {heard:?}"),
            Err(panic) => format!("hoped for {due:?}, {:?}", panic.downcast_ref::<String>()),
        };
        Some(format!("{} {}: {wrong}", self.section, self.words))
    }

    /// Says it, and asks for something behind it.
    fn hear(&self, to: SocketAddr, due: Hoped) -> Heard {
        let mut raw = match self.begins {
            Begins::AsItShould => Raw::connect(to),
            Begins::Itself => Raw::plain(to),
        };
        (self.say)(&mut raw);
        raw.get(PROBE, "/");
        let mut heard = Heard::default();
        while !heard.is(due) {
            match raw.next() {
                Some(frame) => heard.note(&frame),
                None => {
                    heard.is_over = raw.is_over();
                    break;
                }
            }
        }
        heard
    }

    /// §5.4.1: a connection may end for what is an error of a stream. §8.1.1: a request that is
    /// malformed may be answered first.
    const fn is_marked_rightly(&self) -> bool {
        let Instead::Said(said) = self.instead else {
            return true;
        };
        match self.hoped {
            Hoped::Connection(_) | Hoped::End => {
                matches!(said, Hoped::Connection(_) | Hoped::End)
            }
            Hoped::Stream(_) => {
                matches!(
                    said,
                    Hoped::Connection(_) | Hoped::Stream(_) | Hoped::Status(400..)
                )
            }
            Hoped::Status(_) => matches!(said, Hoped::Status(_)),
            Hoped::GoesOn => false,
        }
    }
}

impl Heard {
    fn note(&mut self, frame: &Frame) {
        match (frame.kind, frame.stream) {
            (GOAWAY, _) => self.goaway = Some(frame.number(4).into()),
            (RST_STREAM, stream) => self.resets.push((stream, frame.number(0).into())),
            (HEADERS, PROBE) => self.goes_on = status(&frame.payload) == Some(200),
            (HEADERS, stream) => self.statuses.push((stream, status(&frame.payload))),
            _ => {}
        }
    }

    fn is(&self, hoped: Hoped) -> bool {
        let on = self.goes_on && self.goaway.is_none();
        // §8.1: of a request that has been answered the rest may be refused so.
        let codes = self.resets.iter().map(|(_, code)| *code);
        let errors: Vec<_> = codes.filter(|code| *code != Reason::NO_ERROR).collect();
        match hoped {
            Hoped::Connection(code) => self.goaway == Some(code) && self.is_over,
            Hoped::End => self.is_over && !self.goes_on,
            Hoped::Stream(code) => on && !errors.is_empty() && errors.iter().all(|it| *it == code),
            Hoped::Status(status) => {
                let mut statuses = self.statuses.iter();
                on && errors.is_empty() && statuses.any(|it| it.1 == Some(status))
            }
            Hoped::GoesOn => on && errors.is_empty(),
        }
    }
}

/// Judges all rows of tables, and fails with all that are wrong.
pub(super) fn judge(tables: &[&[Row]], to: &Rig) {
    let rows = tables.iter().copied().flatten();
    let wrong: Vec<_> = rows.filter_map(|row| row.judge(to.address)).collect();
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Returns a proxy and its backend.
pub(super) fn bench() -> (Backend, Rig) {
    let backend = backend();
    let setup = http2(&[backend.address]).listener(|it| it.http2.streams = STREAMS);
    let rig = setup.start();
    (backend, rig)
}

/// Returns a backend that answers with a byte; with many where `large` is asked for, with a field
/// of many where `field` is, with another protocol where `switch` is, and not at all where `held`
/// is.
pub(super) fn backend() -> Backend {
    Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let asked = |path| request.line().contains(path);
            if asked("/held") {
                // Until the proxy leaves.
                visit.wire.rest();
                return;
            }
            if asked("/switch") {
                visit.wire.send(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
                );
                return;
            }
            let len = if asked("/large") { LARGE } else { 1 };
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n");
            if asked("/field") {
                answer += &format!("X-Large: {}\r\n", "{".repeat(FIELD));
            }
            answer += "\r\n";
            if !request.line().starts_with("HEAD ") {
                answer += &"b".repeat(len);
            }
            visit.wire.send(answer);
        }
    })
}

/// Returns the status that an answer begins with (RFC 7541 appendices A and B), unless it is one
/// that the connection has seen.
pub(super) fn status(block: &[u8]) -> Option<u16> {
    let is_resize = |byte: &u8| byte & 0xe0 == 0x20;
    let begin = block.iter().position(|byte| !is_resize(byte))?;
    match block[begin..] {
        [index @ 0x88..=0x8e, ..] => {
            Some([200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)])
        }
        [0x48 | 0x08, _, a, b, ..] => {
            let c = block.get(begin + 4).copied().unwrap_or_default();
            Some(digits(u32::from_be_bytes([a, b, c, 0])))
        }
        _ => None,
    }
}

/// Three digits in the code of Huffman: 0 to 2 have five bits, the others six.
fn digits(mut bits: u32) -> u16 {
    let mut number = 0;
    for _ in 0..3 {
        let (digit, len) = match bits >> 27 {
            short @ 0..3 => (short, 5),
            _ => ((bits >> 26) - 22, 6),
        };
        number = number * 10 + digit;
        bits <<= len;
    }
    u16::try_from(number).unwrap_or_default()
}

/// Each of what may be heard is one thing that may be hoped for.
#[test]
fn what_is_heard_is_told_apart() {
    let reset = |code| vec![(1, code)];
    let (protocol, closed) = (Reason::PROTOCOL_ERROR, Reason::STREAM_CLOSED);
    let answered = |goes_on| Heard {
        goes_on,
        statuses: vec![(1, Some(400))],
        ..Heard::default()
    };
    let gone = |is_over| Heard {
        goaway: Some(protocol),
        resets: reset(closed),
        is_over,
        ..Heard::default()
    };
    let was_reset = |resets, goes_on| Heard {
        resets,
        goes_on,
        ..Heard::default()
    };
    let hopes = [
        Hoped::Connection(protocol),
        Hoped::Connection(closed),
        Hoped::End,
        Hoped::Stream(protocol),
        Hoped::Stream(closed),
        Hoped::Status(400),
        Hoped::Status(200),
        Hoped::GoesOn,
    ];
    for (heard, met) in [
        (Heard::default(), &[][..]),
        (answered(false), &[]),
        (answered(true), &[Hoped::Status(400), Hoped::GoesOn]),
        (gone(false), &[]),
        (gone(true), &[Hoped::Connection(protocol), Hoped::End]),
        (was_reset(reset(protocol), false), &[]),
        (was_reset(reset(protocol), true), &[Hoped::Stream(protocol)]),
        (was_reset(reset(closed), true), &[Hoped::Stream(closed)]),
        (was_reset(vec![(1, protocol), (3, closed)], true), &[]),
        (was_reset(reset(Reason::NO_ERROR), true), &[Hoped::GoesOn]),
    ] {
        let is_met: Vec<_> = hopes.into_iter().filter(|it| heard.is(*it)).collect();
        assert_eq!(is_met, met, "{heard:?}");
    }
}

/// On this stream a client asks whether it is still answered.
const PROBE: u32 = 1_001;
/// How many streams a connection may have.
pub(super) const STREAMS: u32 = 8;
/// The length of the large answer.
pub(super) const LARGE: usize = 100_000;
/// The length of the large field, each byte of which has 15 bits in the code of Huffman.
const FIELD: usize = 20_000;
