//! Messages that are right, nearly right or wrong.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Returns sizes of reads.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![usize::MAX]),
        1 => Just(vec![1]),
        3 => vec(1..40usize, 1..6),
    ]
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        60 => Just("\r\n"),
        1 => select(vec!["\n", "\r", "\r\r\n", "\n\r", " \r\n", "\t\r\n", "\0\r\n"]),
    ]
}

fn first_line() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        8 => select(vec!["GET", "POST", "HEAD", "OPTIONS", "PUT", "TRACE"]),
        1 => select(vec!["FOO", "get", "G(T", "CONNECT", "", "\r\nGET", "\r\n\r\nPOST", "\nGET", " GET"]),
    ];
    let space = prop_oneof![30 => Just(" "), 1 => select(vec!["  ", "\t", "", " \t"])];
    let target = prop_oneof![
        8 => select(vec!["/", "/a/b?c=d", "/?", "/%20~", "http://a/x", "http://a", "http://a?x=1"]),
        2 => select(vec![
            "*", "a:80", "/a#b", "/a\\b", "/{}|[]^\"", "/?{}|[]^`", "/é", "//", "http://b/", "HTTP://a/",
            "https://a/", "http://u@a/", "http://:80/", "ftp://a/", "http:/", "?", "/a b", "/a<b>",
        ]),
    ];
    let version = prop_oneof![
        20 => Just("HTTP/1.1"),
        4 => Just("HTTP/1.0"),
        1 => select(vec!["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "HTTP/1", ""]),
    ];
    (method, space.clone(), target, space, version).prop_map(
        |(method, one, target, two, version)| format!("{method}{one}{target}{two}{version}"),
    )
}

fn status_line() -> impl Strategy<Value = String> {
    let version = prop_oneof![
        20 => Just("HTTP/1.1"),
        4 => Just("HTTP/1.0"),
        1 => select(vec!["HTTP/1.2", "HTTP/2.0", "http/1.1", "\r\nHTTP/1.1", ""]),
    ];
    let status = prop_oneof![
        20 => select(vec!["200", "404", "204", "304", "500", "999"]),
        1 => select(vec!["100", "103", "099", "20", "2000", "+20", "abc", "", "101"]),
    ];
    let reason = prop_oneof![
        10 => select(vec![" OK", " ", "", " Not Found"]),
        1 => select(vec!["  OK", "\tOK", " \0", " é"]),
    ];
    (version, status, reason)
        .prop_map(|(version, status, reason)| format!("{version} {status}{reason}"))
}

fn field() -> impl Strategy<Value = String> {
    let colon = prop_oneof![40 => Just(": "), 4 => Just(":"), 1 => select(vec![" : ", "\t:", ":\t ", "", ":\0"])];
    let name = prop_oneof![
        12 => select(vec![
            "X-One", "Cookie", "Accept", "Content-Type", "X-Forwarded-For", "Date", "Set-Cookie", "Via",
            "Connection", "Keep-Alive", "TE", "Expect", "Upgrade", "Trailer", "X_Under", "Proxy", "Forwarded",
            "Max-Forwards",
        ]),
        1 => select(vec!["Host", "X Y", "X\u{b5}", "", "(", "Content-Length", "Transfer-Encoding"]),
    ];
    let value = prop_oneof![
        12 => select(vec![
            "a", "a, b", "close", "keep-alive", "x-one, cookie", "host, content-length", "trailers", "100-continue",
            "websocket", "upgrade", "", "a\tb", "é", "chunked", "5", "a b ", "1", "0",
        ]),
        1 => select(vec!["\0", "\x7f", "a\rb", "a\nb", "a\r\n b", "\x01"]),
    ];
    (name, colon, value).prop_map(|(name, colon, value)| format!("{name}{colon}{value}"))
}

fn framing() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        6 => select(vec![
            vec![], vec!["Content-Length: 5"], vec!["Content-Length: 0"], vec!["Transfer-Encoding: chunked"],
            vec!["transfer-encoding: Chunked"], vec!["Content-Length: 05"],
        ]),
        2 => select(vec![
            vec!["Content-Length: 5", "Content-Length: 5"], vec!["Content-Length: 5", "Content-Length: 6"],
            vec!["Content-Length: 5, 5"], vec!["Content-Length: +5"], vec!["Content-Length: 5 "],
            vec!["Content-Length: 18446744073709551615"], vec!["Content-Length: 18446744073709551616"],
            vec!["Content-Length:"], vec!["Content-Length: 0x5"],
            vec!["Content-Length: 5", "Transfer-Encoding: chunked"],
            vec!["Transfer-Encoding: chunked", "Content-Length: 5"],
            vec!["Transfer-Encoding: gzip, chunked"], vec!["Transfer-Encoding: chunked, gzip"],
            vec!["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], vec!["Transfer-Encoding: identity"],
            vec!["Transfer-Encoding: "], vec!["Transfer-Encoding: chunked;a"], vec!["Transfer-Encoding: ,chunked"],
        ]),
    ]
}

fn hosts() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        20 => Just(vec!["Host: a"]),
        1 => select(vec![
            vec![], vec!["Host: a", "Host: a"], vec!["Host: a, b"], vec!["Host:"], vec!["Host: a:80"], vec!["hOsT: A"],
            vec!["Host: a@b"], vec!["Host: [::1]"], vec!["Host: a/b"],
        ]),
    ]
}

fn body_text() -> impl Strategy<Value = String> {
    let chunk = prop_oneof![
        12 => select(vec!["3\r\nabc\r\n", "1;e\r\nx\r\n", "A\r\n0123456789\r\n", "03\r\na\r\n\r\n", "1;e=\"q\"\r\n\n\r\n"]),
        1 => select(vec![
            "3\r\nabcd\r\n", "+3\r\nabc\r\n", "0x3\r\nabc\r\n", " 3\r\nabc\r\n", "3 \r\nabc\r\n", "3\nabc\n",
            "3\r\nabc\n", "ffffffffffffffff\r\n", "3;\n\r\nabc\r\n", "\r\n", "3\rabc\r\n", "3 ;e\r\nabc\r\n", "3;\r\nabc\r\n",
        ]),
    ];
    let last = prop_oneof![
        12 => select(vec!["0\r\n\r\n", "000\r\n\r\n", "0;e\r\n\r\n", "0\r\nX-T: 1\r\n\r\n", "0\r\nHost: b\r\nX: y\r\n\r\n"]),
        1 => select(vec!["0\r\n", "0\n\n", "0\r\n\n", "0\r\nX\r\n\r\n", "0\r\nX: 1\r\n y\r\n\r\n", "0\r\nX : y\r\n\r\n", ""]),
    ];
    let chunked =
        (vec(chunk, 0..4), last).prop_map(|(chunks, last)| format!("{}{last}", chunks.concat()));
    prop_oneof![
        2 => select(vec!["hello", "", "helloGET / HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n", "hell"]).prop_map(str::to_owned),
        3 => chunked,
    ]
}

/// Changes some bytes, or none.
fn changed(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        0..3u8,
        prop_oneof![select(b"\r\n\t :,;0\0\x7f\x80-_".to_vec()), any::<u8>(),],
    );
    let changes = prop_oneof![4 => Just(Vec::new()), 1 => vec(change, 1..3)];
    (text, changes).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, how, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

fn message(
    first: impl Strategy<Value = String>,
    hosts: impl Strategy<Value = Vec<&'static str>>,
) -> impl Strategy<Value = String> {
    let fields = vec(field(), 0..5);
    let ends = vec(line_end(), 12);
    (first, hosts, fields, framing(), ends, body_text()).prop_map(
        |(first, hosts, mut fields, framing, ends, body)| {
            fields.extend(hosts.into_iter().chain(framing).map(str::to_owned));
            let mut text = String::new();
            let lines = std::iter::once(first).chain(fields);
            let mut ends = ends.into_iter().chain(std::iter::repeat("\r\n"));
            for line in lines {
                text.push_str(&line);
                text.push_str(ends.next().unwrap_or("\r\n"));
            }
            text.push_str(ends.next().unwrap_or("\r\n"));
            text.push_str(&body);
            text
        },
    )
}

/// Returns a request.
pub(crate) fn request() -> impl Strategy<Value = Vec<u8>> {
    changed(message(first_line(), hosts()))
}

/// Returns a response.
pub(crate) fn response() -> impl Strategy<Value = Vec<u8>> {
    changed(message(status_line(), Just(Vec::new())))
}

/// Returns a body, chunked or not.
pub(crate) fn body() -> impl Strategy<Value = Vec<u8>> {
    changed(body_text())
}
