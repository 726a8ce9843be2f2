//! RFC 9113 §8.1, §8.3–§8.6: messages and what they must have.
//!
//! What is malformed is an error of its stream; it may be answered first (§8.1.1).

use h2::Reason;

use super::row::Hoped::{Connection, Status, Stream};
use super::row::{Row, bench, judge, row};
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, fields, head};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
type Field = (&'static str, &'static str);
const METHOD: Field = (":method", "GET");
const SCHEME: Field = (":scheme", "http");
const AUTHORITY: Field = (":authority", "a");
const PATH: Field = (":path", "/bad");

/// Asks with fields alone.
fn ask(raw: &mut Raw, list: &[Field]) {
    raw.ask(1, &fields(list));
}

/// Asks for what no backend may see.
fn ask_with(raw: &mut Raw, more: &[Field]) {
    ask(raw, &[&[METHOD, SCHEME, AUTHORITY, PATH], more].concat());
}

/// Asks with a path.
fn ask_for(raw: &mut Raw, method: &'static str, path: &'static str) {
    ask(
        raw,
        &[(":method", method), SCHEME, AUTHORITY, (":path", path)],
    );
}

/// Begins a request with fields, and sends a body.
fn post_with(raw: &mut Raw, more: &[Field], body: &[&[u8]]) {
    let block = [head("POST", "/bad"), fields(more)].concat();
    raw.frame(HEADERS, END_HEADERS, 1, &block);
    for (index, part) in body.iter().enumerate() {
        let flags = if index + 1 == body.len() {
            END_STREAM
        } else {
            0
        };
        raw.frame(DATA, flags, 1, part);
    }
}

const FRAMING: &[Row] = &[
    row("§8.1", "trailers", Status(200), |raw| {
        raw.post(1, "/");
        raw.frame(DATA, 0, 1, b"a");
        raw.ask(1, &fields(&[("x", "a")]));
    }),
    row("§8.1", "trailers without DATA", Status(200), |raw| {
        raw.post(1, "/");
        raw.ask(1, &fields(&[("x", "a")]));
    }),
    row(
        "§8.1",
        "a second head that does not end the stream",
        Stream(PROTOCOL),
        |raw| {
            raw.post(1, "/bad");
            raw.post(1, "/bad");
        },
    ),
    row(
        "§8.1",
        "trailers that do not end the stream",
        Stream(PROTOCOL),
        |raw| {
            raw.post(1, "/bad");
            raw.frame(DATA, 0, 1, b"a");
            raw.frame(HEADERS, END_HEADERS, 1, &fields(&[("x", "a")]));
        },
    ),
    row(
        "§8.1",
        "a pseudo-header in trailers",
        Stream(PROTOCOL),
        |raw| {
            raw.post(1, "/");
            raw.frame(DATA, 0, 1, b"a");
            raw.ask(1, &fields(&[(":path", "/")]));
        },
    )
    .broken(Status(200)),
    row("§8.1", "a status in trailers", Stream(PROTOCOL), |raw| {
        raw.post(1, "/");
        raw.ask(1, &fields(&[(":status", "200")]));
    })
    .broken(Status(200)),
    row("§8.1.1", "a length as it is", Status(200), |raw| {
        let block = [head("POST", "/"), fields(&[("content-length", "3")])].concat();
        raw.frame(HEADERS, END_HEADERS, 1, &block);
        raw.frame(DATA, 0, 1, b"a");
        raw.frame(DATA, END_STREAM, 1, b"bc");
    }),
    row("§8.1.1", "a length, and less", Stream(PROTOCOL), |raw| {
        post_with(raw, &[("content-length", "3")], &[b"ab"]);
    }),
    row(
        "§8.1.1",
        "a length, and less in two parts",
        Stream(PROTOCOL),
        |raw| {
            post_with(raw, &[("content-length", "3")], &[b"a", b"b"]);
        },
    ),
    row("§8.1.1", "a length, and more", Stream(PROTOCOL), |raw| {
        post_with(raw, &[("content-length", "3")], &[b"abcd"]);
    }),
    row(
        "§8.1.1",
        "a length, and more in two parts",
        Stream(PROTOCOL),
        |raw| {
            post_with(raw, &[("content-length", "3")], &[b"ab", b"cd"]);
        },
    ),
    row("§8.1.1", "a length, and nothing", Stream(PROTOCOL), |raw| {
        ask_with(raw, &[("content-length", "3")]);
    }),
    row(
        "§8.1.1",
        "a length, and trailers before it",
        Stream(PROTOCOL),
        |raw| {
            raw.frame(
                HEADERS,
                END_HEADERS,
                1,
                &[head("POST", "/bad"), fields(&[("content-length", "3")])].concat(),
            );
            raw.ask(1, &fields(&[("x", "a")]));
        },
    ),
    row(
        "§8.1.1",
        "a length of 0, and a byte",
        Stream(PROTOCOL),
        |raw| {
            // The backend has seen a whole request before.
            let block = [head("POST", "/"), fields(&[("content-length", "0")])].concat();
            raw.frame(HEADERS, END_HEADERS, 1, &block);
            raw.frame(DATA, END_STREAM, 1, b"a");
        },
    ),
    row("§8.1.1", "two lengths", Stream(PROTOCOL), |raw| {
        let lengths = [("content-length", "1"), ("content-length", "2")];
        post_with(raw, &lengths, &[b"a"]);
    }),
    row("§8.1.1", "the same length twice", Stream(PROTOCOL), |raw| {
        let lengths = [("content-length", "1"), ("content-length", "1")];
        post_with(raw, &lengths, &[b"a"]);
    })
    .said(Status(400)),
    row("§8.1.1", "a list of lengths", Stream(PROTOCOL), |raw| {
        post_with(raw, &[("content-length", "1, 1")], &[b"a"]);
    }),
    row("§8.1.1", "a length with a sign", Stream(PROTOCOL), |raw| {
        post_with(raw, &[("content-length", "+1")], &[b"a"]);
    }),
    row(
        "§8.1.1",
        "a length that is empty",
        Stream(PROTOCOL),
        |raw| ask_with(raw, &[("content-length", "")]),
    )
    // With DATA behind it, `h2` may reset the stream before it is answered.
    .said(Status(400)),
    row(
        "§8.1.1",
        "a length beyond all bounds",
        Stream(PROTOCOL),
        |raw| {
            post_with(raw, &[("content-length", "99999999999999999999")], &[b"a"]);
        },
    ),
];

const PSEUDO_HEADERS: &[Row] = &[
    row(
        "§8.3",
        "a pseudo-header that nobody knows",
        Stream(PROTOCOL),
        |raw| {
            ask(raw, &[METHOD, SCHEME, AUTHORITY, PATH, (":x", "a")]);
        },
    )
    .said(Connection(PROTOCOL)),
    row(
        "§8.3",
        "a pseudo-header without a name",
        Stream(PROTOCOL),
        |raw| {
            ask(raw, &[METHOD, SCHEME, AUTHORITY, PATH, (":", "a")]);
        },
    )
    .said(Connection(PROTOCOL)),
    row("§8.3", "one of answers", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]);
    }),
    row("§8.3", "one behind a field", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, SCHEME, AUTHORITY, ("x", "a"), PATH]);
    }),
    row("§8.3", "in another order", Status(200), |raw| {
        ask(raw, &[(":path", "/"), AUTHORITY, SCHEME, METHOD]);
    }),
    row("§8.3.1", "no method", Stream(PROTOCOL), |raw| {
        ask(raw, &[SCHEME, AUTHORITY, PATH])
    }),
    row("§8.3.1", "no scheme", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, AUTHORITY, PATH])
    }),
    row("§8.3.1", "no path", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, SCHEME, AUTHORITY])
    }),
    row("§8.3.1", "none of them", Stream(PROTOCOL), |raw| {
        ask(raw, &[("x", "a")])
    }),
    row("§8.3.1", "nothing", Stream(PROTOCOL), |raw| ask(raw, &[])),
    row("§8.3.1", "two methods", Stream(PROTOCOL), |raw| {
        ask_with(raw, &[METHOD])
    }),
    row("§8.3.1", "two schemes", Stream(PROTOCOL), |raw| {
        ask_with(raw, &[SCHEME])
    }),
    row("§8.3.1", "two authorities", Stream(PROTOCOL), |raw| {
        ask_with(raw, &[AUTHORITY])
    }),
    row("§8.3.1", "two paths", Stream(PROTOCOL), |raw| {
        ask_with(raw, &[PATH])
    }),
    row("§8.3.1", "an empty method", Stream(PROTOCOL), |raw| {
        ask_for(raw, "", "/bad")
    })
    .said(Connection(PROTOCOL)),
    row(
        "§8.3.1",
        "a method that is no token",
        Stream(PROTOCOL),
        |raw| {
            ask_for(raw, "GE T", "/bad");
        },
    )
    .said(Connection(PROTOCOL)),
    row("§8.3.1", "an empty scheme", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, (":scheme", ""), AUTHORITY, (":path", "/")]);
    })
    .broken(Status(200)),
    row("§8.3.1", "a scheme that is none", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, (":scheme", "ht tp"), AUTHORITY, PATH]);
    }),
    row(
        "§8.3.1",
        "a scheme of another protocol",
        Status(200),
        |raw| {
            ask(
                raw,
                &[METHOD, (":scheme", "https"), AUTHORITY, (":path", "/")],
            );
        },
    ),
    row("§8.3.1", "an empty path", Stream(PROTOCOL), |raw| {
        ask_for(raw, "GET", "")
    }),
    row(
        "§8.3.1",
        "a path without a slash",
        Stream(PROTOCOL),
        |raw| ask_for(raw, "GET", "bad"),
    ),
    row("§8.3.1", "a path that is a URL", Stream(PROTOCOL), |raw| {
        ask_for(raw, "GET", "http://a/bad");
    }),
    row("§8.3.1", "a path with a space", Stream(PROTOCOL), |raw| {
        ask_for(raw, "GET", "/bad a")
    }),
    row("§8.3.1", "a path with NUL", Stream(PROTOCOL), |raw| {
        ask_for(raw, "GET", "/bad\0")
    }),
    row(
        "§8.3.1",
        "a path with the end of a line",
        Stream(PROTOCOL),
        |raw| {
            ask_for(raw, "GET", "/bad\r\nx: a");
        },
    ),
    // The backend is asked without the fragment.
    row(
        "§8.3.1",
        "a path with a fragment",
        Stream(PROTOCOL),
        |raw| {
            ask_for(raw, "GET", "/#a");
        },
    )
    .broken(Status(200)),
    row("§8.3.1", "OPTIONS *", Status(200), |raw| {
        ask_for(raw, "OPTIONS", "*")
    }),
    row("§8.3.1", "GET *", Stream(PROTOCOL), |raw| {
        ask_for(raw, "GET", "*");
    })
    .said(Status(400)),
];

const AUTHORITIES: &[Row] = &[
    row(
        "§8.3.1",
        "an authority and the same Host",
        Status(200),
        |raw| {
            ask(
                raw,
                &[METHOD, SCHEME, AUTHORITY, (":path", "/"), ("host", "a")],
            );
        },
    ),
    row(
        "§8.3.1",
        "an authority and another Host",
        Stream(PROTOCOL),
        |raw| {
            ask_with(raw, &[("host", "b")]);
        },
    )
    .said(Status(400)),
    row(
        "§8.3.1",
        "an authority and two Hosts",
        Stream(PROTOCOL),
        |raw| {
            ask_with(raw, &[("host", "a"), ("host", "a")]);
        },
    )
    .said(Status(400)),
    row("§8.3.1", "Host alone", Status(200), |raw| {
        ask(raw, &[METHOD, SCHEME, (":path", "/"), ("host", "a")]);
    }),
    row("§8.3.1", "two Hosts", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, SCHEME, PATH, ("host", "a"), ("host", "a")]);
    })
    .said(Status(400)),
    row("§8.3.1", "neither", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, SCHEME, PATH])
    })
    .said(Status(400)),
    row("§8.3.1", "an empty authority", Stream(PROTOCOL), |raw| {
        ask(raw, &[METHOD, SCHEME, (":authority", ""), PATH]);
    }),
    row(
        "§8.3.1",
        "an authority with a user",
        Stream(PROTOCOL),
        |raw| {
            ask(raw, &[METHOD, SCHEME, (":authority", "user@a"), PATH]);
        },
    )
    .said(Status(400)),
    row(
        "§8.3.1",
        "an authority with a path",
        Stream(PROTOCOL),
        |raw| {
            ask(raw, &[METHOD, SCHEME, (":authority", "a/b"), PATH]);
        },
    ),
    row(
        "§8.3.1",
        "an authority with the end of a line",
        Stream(PROTOCOL),
        |raw| {
            ask(raw, &[METHOD, SCHEME, (":authority", "a\r\nx: y"), PATH]);
        },
    ),
    // The proxy is no tunnel.
    row("§8.5", "CONNECT", Status(405), |raw| {
        ask(raw, &[(":method", "CONNECT"), (":authority", "a:443")]);
    }),
    row("§8.5", "CONNECT with a scheme", Stream(PROTOCOL), |raw| {
        ask(
            raw,
            &[(":method", "CONNECT"), SCHEME, (":authority", "a:443")],
        );
    }),
    row("§8.5", "CONNECT with a path", Stream(PROTOCOL), |raw| {
        ask(
            raw,
            &[(":method", "CONNECT"), (":authority", "a:443"), PATH],
        );
    }),
    row(
        "§8.5",
        "CONNECT without an authority",
        Stream(PROTOCOL),
        |raw| {
            ask(raw, &[(":method", "CONNECT")]);
        },
    )
    .said(Status(400)),
    row(
        "RFC 8441 §4",
        "a protocol, and GET",
        Stream(PROTOCOL),
        |raw| {
            ask_with(raw, &[(":protocol", "websocket")]);
        },
    ),
    row(
        "RFC 8441 §4",
        "a protocol without a path",
        Stream(PROTOCOL),
        |raw| {
            let connect = (":method", "CONNECT");
            ask(
                raw,
                &[connect, SCHEME, AUTHORITY, (":protocol", "websocket")],
            );
        },
    ),
    row(
        "§8.6",
        "a backend that changes the protocol",
        Status(502),
        |raw| {
            raw.get(1, "/switch");
        },
    ),
];

fn judge_all(table: &[Row]) {
    let (backend, rig) = bench();
    judge(&[table], &rig);
    let seen = backend.requests();
    let bad = seen.iter().find(|it| it.line().contains("bad"));
    assert!(bad.is_none(), "a backend has seen {bad:?}");
}

#[test]
fn framing_follows_the_table() {
    judge_all(FRAMING);
}

#[test]
fn pseudo_headers_follow_the_table() {
    judge_all(PSEUDO_HEADERS);
}

#[test]
fn authorities_follow_the_table() {
    judge_all(AUTHORITIES);
}
