//! Responses by table: what is refused, how bodies end, and what a client is sent.

use super::*;
use crate::logic::http1::date::http_date;
use ResponseRefusal as R;

const ASKED: AskedFor = AskedFor {
    method: AskedMethod::Other,
    version: Version::Http11,
    upgrade: Upgrade::None,
    persistence: Persistence::Keep,
};

fn limits() -> HeadLimits {
    HeadLimits {
        head_bytes: 1000,
        fields: 20,
        target_bytes: 300,
    }
}

fn refused(text: &str, asked: AskedFor) -> Option<ResponseRefusal> {
    let mut slots = Slots::new();
    ResponseHead::parse(text.as_bytes(), &mut slots, &limits(), asked).err()
}

fn sent(text: &str, asked: AskedFor) -> String {
    let mut slots = Slots::new();
    let head = ResponseHead::parse(text.as_bytes(), &mut slots, &limits(), asked);
    let head = head.expect("it is accepted").expect("it is whole");
    let (carry, persistence) = head.departure(asked);
    let departure = ResponseRewrite {
        persistence,
        carry,
        date: &http_date(0),
    };
    let mut out = Vec::new();
    head.write(asked, &departure, &mut out);
    String::from_utf8(out).expect("it is text")
}

/// RFC 9112 §2.2, §2.3, §4, §5, §6.1, §6.3; RFC 9110 §7.8, §8.6, §15.
const REFUSED: &[(&str, Option<R>)] = &[
    ("HTTP/1.1 200 OK\r\n\r\n", None),
    ("HTTP/1.1 200\r\n\r\n", None),
    ("HTTP/1.1 999 Odd\r\n\r\n", None),
    ("HTTP/1.1 200 OK\n\r\n", Some(R::BareLf)),
    ("HTTP/1.1 200 OK\r\nX: y\n\r\n", Some(R::BareLf)),
    ("HTTP/2.0 200 OK\r\n\r\n", Some(R::Version)),
    ("HTTP/0.9 200 OK\r\n\r\n", Some(R::Version)),
    ("garbage\r\n\r\n", Some(R::Version)),
    (
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        Some(R::Syntax("an empty line precedes it")),
    ),
    ("HTTP/1.1 20 OK\r\n\r\n", Some(R::Syntax(LINE))),
    ("HTTP/1.1 2000 OK\r\n\r\n", Some(R::Syntax(LINE))),
    ("HTTP/1.1 +20 OK\r\n\r\n", Some(R::Syntax(LINE))),
    ("HTTP/1.1 099 OK\r\n\r\n", Some(R::Status)),
    ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", None),
    ("HTTP/1.1 200 OK\r\nX\t : y\r\n\r\n", None),
    ("HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", Some(R::Syntax(NAME))),
    (
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\nContent-Length: 6\r\n\r\n",
        Some(R::ContentLength),
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\nTransfer-Encoding : chunked\r\n\r\n",
        Some(R::BothFramings),
    ),
    (
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        Some(R::Syntax(NAME)),
    ),
    ("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", Some(R::Syntax(VALUE))),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Some(R::BothFramings),
    ),
    (
        "HTTP/1.1 304 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Some(R::BothFramings),
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        Some(R::TransferCoding),
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        Some(R::TransferCoding),
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Some(R::TransferCoding),
    ),
    (
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        Some(R::TransferCoding),
    ),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", None),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        Some(R::ContentLength),
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        Some(R::ContentLength),
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        Some(R::ContentLength),
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        Some(R::ContentLength),
    ),
    (
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
        Some(R::UnsolicitedUpgrade),
    ),
];
const NAME: &str = "a field name has a byte that it must not have";
const VALUE: &str = "a field value has a byte that it must not have";
const LINE: &str = "the status line has a byte that it must not have";

#[test]
fn refused_responses_follow_the_table() {
    for (text, hoped) in REFUSED {
        assert_eq!(refused(text, ASKED), *hoped, "{text:?}");
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(21));
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1000));
    assert_eq!(refused(&many, ASKED), Some(R::TooManyFields));
    assert_eq!(refused(&large, ASKED), Some(R::HeadTooLarge));
}

/// RFC 9110 §7.8.
#[test]
fn upgrades_are_relayed_where_they_were_asked_for() {
    let asked = AskedFor {
        upgrade: Upgrade::WebSocket,
        ..ASKED
    };
    for (fields, hoped) in [
        ("Upgrade: websocket\r\n", None),
        (
            "Upgrade: h2c\r\n",
            Some(ResponseRefusal::UnsolicitedUpgrade),
        ),
        ("", Some(ResponseRefusal::UnsolicitedUpgrade)),
    ] {
        let text = format!("HTTP/1.1 101 X\r\nConnection: Upgrade\r\n{fields}\r\n");
        assert_eq!(refused(&text, asked), hoped, "{text:?}");
    }
    let unnamed = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(
        refused(unnamed, asked),
        Some(ResponseRefusal::UnsolicitedUpgrade),
        "who sends Upgrade names it in Connection"
    );
    assert_eq!(
        sent(
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX: y\r\nContent-Length: 3\r\n\r\n",
            asked
        ),
        "HTTP/1.1 101 X\r\nX: y\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
}

/// RFC 9112 §6.3, §9.3.
#[test]
fn ends_of_bodies_follow_the_table() {
    use {AskedMethod as M, Framing as F, Persistence as P};
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (method, line, fields, framing, persistence) in [
        (M::Other, "1.1 200 OK", length, F::Length(5), P::Keep),
        (M::Other, "1.1 200 OK", chunked, F::Chunked, P::Keep),
        (M::Other, "1.1 200 OK", "", F::UntilClose, P::Close),
        (
            M::Other,
            "1.1 200 OK",
            "Connection: close\r\nContent-Length: 5\r\n",
            F::Length(5),
            P::Close,
        ),
        (M::Other, "1.0 200 OK", length, F::Length(5), P::Close),
        (
            M::Other,
            "1.0 200 OK",
            "Connection: keep-alive\r\nContent-Length: 5\r\n",
            F::Length(5),
            P::Keep,
        ),
        (M::Other, "1.1 204 X", length, F::None, P::Keep),
        (M::Other, "1.1 304 X", length, F::None, P::Keep),
        (M::Other, "1.1 304 X", chunked, F::None, P::Keep),
        (M::Other, "1.1 103 X", length, F::None, P::Keep),
        (M::Head, "1.1 200 OK", length, F::None, P::Keep),
        (M::Head, "1.1 200 OK", chunked, F::None, P::Keep),
        (M::Head, "1.1 200 OK", "", F::None, P::Close),
    ] {
        let text = format!("HTTP/{line}\r\n{fields}\r\n");
        let mut slots = Slots::new();
        let asked = AskedFor { method, ..ASKED };
        let head = ResponseHead::parse(text.as_bytes(), &mut slots, &limits(), asked);
        let head = head.expect("it is accepted").expect("it is whole");
        assert_eq!(
            (head.framing, head.persistence),
            (framing, persistence),
            "{text:?}"
        );
    }
}

#[test]
fn heads_are_written_for_the_clients_version() {
    let old = AskedFor {
        version: Version::Http10,
        ..ASKED
    };
    let date = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    for (text, asked, hoped) in [
        (
            "HTTP/1.1 200 Fine\r\nconnection: close, X-A\r\nX-A: 1\r\nX-b: 2\r\nContent-Length: 5, 5\r\nKeep-Alive: 3\r\n\r\n",
            ASKED,
            format!("HTTP/1.1 200 Fine\r\nX-b: 2\r\nContent-Length: 5\r\n{date}\r\n"),
        ),
        (
            "HTTP/1.0 200 OK\r\nDate: then\r\n\r\n",
            ASKED,
            "HTTP/1.1 200 OK\r\nDate: then\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
            ASKED,
            format!("HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n{date}\r\n"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            old,
            format!("HTTP/1.1 200 OK\r\n{date}Connection: close\r\n\r\n"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nUpgrade: h2\r\n\r\n",
            old,
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{date}Connection: keep-alive\r\n\r\n"),
        ),
        (
            "HTTP/1.1 204 None\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                .replace("Transfer-Encoding: chunked\r\n", "")
                .as_str(),
            ASKED,
            format!("HTTP/1.1 204 None\r\n{date}\r\n"),
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n",
            ASKED,
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned(),
        ),
    ] {
        assert_eq!(sent(text, asked), hoped);
    }
}
