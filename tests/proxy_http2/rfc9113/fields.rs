//! RFC 9113 §8.2: fields of requests and of their trailers.

use h2::Reason;

use super::row::Hoped::{Connection, Status, Stream};
use super::row::{Row, bench, judge, row};
use crate::frames::{DATA, Raw, fields, head};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
type Field = (&'static str, &'static str);

/// Asks with a field more for what no backend may see.
fn bad(raw: &mut Raw, field: Field) {
    raw.ask(1, &[head("GET", "/bad"), fields(&[field])].concat());
}

/// Asks with fields more.
fn good(raw: &mut Raw, list: &[Field]) {
    raw.ask(1, &[head("GET", "/"), fields(list)].concat());
}

/// Asks with a trailer.
fn trailer(raw: &mut Raw, field: Field) {
    raw.post(1, "/bad");
    raw.frame(DATA, 0, 1, b"a");
    raw.ask(1, &fields(&[field]));
}

/// `h2` takes a name or value that cannot be for one that cannot be decoded.
const NAMES: &[Row] = &[
    row("§8.2.1", "all that a name may have", Status(200), |raw| {
        good(raw, &[("!#$%&'*+-.^_`|~09az", "a")]);
    }),
    row("§8.2.1", "a name in upper case", Stream(PROTOCOL), |raw| {
        bad(raw, ("Upper", "a"))
    })
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a name with a space", Stream(PROTOCOL), |raw| {
        bad(raw, ("a b", "a"))
    })
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a name that ends with a space",
        Stream(PROTOCOL),
        |raw| bad(raw, ("a ", "a")),
    )
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a name with NUL", Stream(PROTOCOL), |raw| {
        bad(raw, ("a\0", "a"))
    })
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a name with the end of a line",
        Stream(PROTOCOL),
        |raw| {
            bad(raw, ("a: b\r\nc", "a"));
        },
    )
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a name with DEL", Stream(PROTOCOL), |raw| {
        bad(raw, ("a\x7f", "a"))
    })
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a name with a letter of no English",
        Stream(PROTOCOL),
        |raw| {
            bad(raw, ("ä", "a"));
        },
    )
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a name with a colon", Stream(PROTOCOL), |raw| {
        bad(raw, ("a:b", "a"))
    })
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a name that is empty", Stream(PROTOCOL), |raw| {
        bad(raw, ("", "a"))
    })
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a trailer's name in upper case",
        Stream(PROTOCOL),
        |raw| {
            trailer(raw, ("Upper", "a"));
        },
    )
    .said(Connection(PROTOCOL)),
];

const VALUES: &[Row] = &[
    row("§8.2.1", "all that a value may have", Status(200), |raw| {
        good(raw, &[("x", ""), ("y", "a \tb"), ("z", "ä~!\"")]);
    }),
    row("§8.2.1", "a value with NUL", Stream(PROTOCOL), |raw| {
        bad(raw, ("x", "a\0b"))
    })
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a value with CR", Stream(PROTOCOL), |raw| {
        bad(raw, ("x", "a\rb"))
    })
    .said(Connection(PROTOCOL)),
    row("§8.2.1", "a value with LF", Stream(PROTOCOL), |raw| {
        bad(raw, ("x", "a\nb"))
    })
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a value with another field",
        Stream(PROTOCOL),
        |raw| {
            bad(raw, ("x", "a\r\ny: b"));
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a value that begins with a space",
        Stream(PROTOCOL),
        |raw| bad(raw, ("x", " a")),
    )
    .said(Status(400)),
    row(
        "§8.2.1",
        "a value that ends with a space",
        Stream(PROTOCOL),
        |raw| bad(raw, ("x", "a ")),
    )
    .said(Status(400)),
    row(
        "§8.2.1",
        "a value that begins with a tab",
        Stream(PROTOCOL),
        |raw| bad(raw, ("x", "\ta")),
    )
    .said(Status(400)),
    row(
        "§8.2.1",
        "a value that ends with a tab",
        Stream(PROTOCOL),
        |raw| bad(raw, ("x", "a\t")),
    )
    .said(Status(400)),
    row(
        "§8.2.1",
        "a value that is a space",
        Stream(PROTOCOL),
        |raw| bad(raw, ("x", " ")),
    )
    .said(Status(400)),
    row(
        "§8.2.1",
        "a cookie that ends with a space",
        Stream(PROTOCOL),
        |raw| {
            bad(raw, ("cookie", "a=b "));
        },
    )
    .said(Status(400)),
    row(
        "§8.2.1",
        "a trailer's value with LF",
        Stream(PROTOCOL),
        |raw| trailer(raw, ("x", "a\nb")),
    )
    .said(Connection(PROTOCOL)),
    row(
        "§8.2.1",
        "a trailer's value that ends with a space",
        Stream(PROTOCOL),
        |raw| {
            trailer(raw, ("x", "a "));
        },
    )
    .said(Stream(Reason::INTERNAL_ERROR)),
];

const OF_CONNECTIONS: &[Row] = &[
    row("§8.2.2", "Connection", Stream(PROTOCOL), |raw| {
        bad(raw, ("connection", "close"))
    }),
    row("§8.2.2", "Keep-Alive", Stream(PROTOCOL), |raw| {
        bad(raw, ("keep-alive", "timeout=5"))
    }),
    row("§8.2.2", "Proxy-Connection", Stream(PROTOCOL), |raw| {
        bad(raw, ("proxy-connection", "keep-alive"));
    }),
    row("§8.2.2", "Transfer-Encoding", Stream(PROTOCOL), |raw| {
        bad(raw, ("transfer-encoding", "chunked"));
    }),
    row("§8.2.2", "Upgrade", Stream(PROTOCOL), |raw| {
        bad(raw, ("upgrade", "websocket"))
    }),
    row("§8.2.2", "TE", Stream(PROTOCOL), |raw| {
        bad(raw, ("te", "gzip"))
    }),
    row(
        "§8.2.2",
        "TE of trailers and more",
        Stream(PROTOCOL),
        |raw| {
            bad(raw, ("te", "trailers, deflate"));
        },
    ),
    row("§8.2.2", "TE of trailers", Status(200), |raw| {
        good(raw, &[("te", "trailers")])
    }),
    row(
        "§8.2.2",
        "Connection as a trailer",
        Stream(PROTOCOL),
        |raw| {
            trailer(raw, ("connection", "close"));
        },
    ),
    row(
        "§8.2.2",
        "Transfer-Encoding as a trailer",
        Stream(PROTOCOL),
        |raw| {
            trailer(raw, ("transfer-encoding", "chunked"));
        },
    ),
    row("§8.2.3", "two cookies", Status(200), |raw| {
        good(raw, &[("cookie", "a=b"), ("x", "a"), ("cookie", "c=d")]);
    }),
];

#[test]
fn fields_follow_the_table() {
    let (backend, rig) = bench();
    judge(&[NAMES, VALUES, OF_CONNECTIONS], &rig);
    let seen = backend.requests();
    let bad = seen.iter().find(|it| it.line().contains("bad"));
    assert!(bad.is_none(), "a backend has seen {bad:?}");
    assert_eq!(
        seen.iter().find_map(|it| it.field("cookie")).as_deref(),
        Some("a=b; c=d")
    );
}
