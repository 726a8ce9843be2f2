//! What is wrong from either side: the same lines in a request and in a response.

/// A name, its clause, and bytes.
pub(crate) type Row = (&'static str, &'static str, &'static str);

/// Field lines that no head may have; the token of the request's refusal.
pub(crate) const BAD_FIELDS: [(Row, &str); 24] = [
    (
        ("bare CR in a value", "RFC 9112 §2.2", "X: a\rb\r\n"),
        "head_invalid",
    ),
    (
        ("bare CR before CRLF", "RFC 9112 §2.2", "X: a\r\r\n"),
        "head_invalid",
    ),
    (
        (
            "bare CR that looks like a line end",
            "RFC 9112 §2.2",
            "X: a\rY: b\r\n",
        ),
        "head_invalid",
    ),
    (
        ("CR in a name", "RFC 9112 §2.2", "X\rY: b\r\n"),
        "head_invalid",
    ),
    (
        ("bare LF ends a field", "RFC 9112 §2.2", "X: a\n"),
        "bare_lf",
    ),
    (
        (
            "bare LF between two fields",
            "RFC 9112 §2.2",
            "X: a\nY: b\r\n",
        ),
        "bare_lf",
    ),
    (
        ("NUL in a value", "RFC 9110 §5.5", "X: a\0b\r\n"),
        "head_invalid",
    ),
    (
        ("NUL in a name", "RFC 9110 §5.1", "X\0: a\r\n"),
        "head_invalid",
    ),
    (
        ("folded with a space", "RFC 9112 §5.2", "X: a\r\n b\r\n"),
        "head_invalid",
    ),
    (
        ("folded with a tab", "RFC 9112 §5.2", "X: a\r\n\tb\r\n"),
        "head_invalid",
    ),
    (
        ("folded into a field", "RFC 9112 §5.2", "X: a\r\n Y: b\r\n"),
        "head_invalid",
    ),
    (
        ("space before the colon", "RFC 9112 §5.1", "X : a\r\n"),
        "head_invalid",
    ),
    (
        ("tab before the colon", "RFC 9112 §5.1", "X\t: a\r\n"),
        "head_invalid",
    ),
    (
        ("space in a name", "RFC 9110 §5.1", "X Y: a\r\n"),
        "head_invalid",
    ),
    (("empty name", "RFC 9110 §5.1", ": a\r\n"), "head_invalid"),
    (("no colon", "RFC 9112 §5", "X\r\n"), "head_invalid"),
    (
        ("separator in a name", "RFC 9110 §5.6.2", "X(: a\r\n"),
        "head_invalid",
    ),
    (
        ("at sign in a name", "RFC 9110 §5.6.2", "X@: a\r\n"),
        "head_invalid",
    ),
    (
        ("non-ASCII name", "RFC 9110 §5.1", "Xé: a\r\n"),
        "head_invalid",
    ),
    (
        ("control byte in a value", "RFC 9110 §5.5", "X: a\x01b\r\n"),
        "head_invalid",
    ),
    (
        ("vertical tab in a value", "RFC 9110 §5.5", "X: a\x0bb\r\n"),
        "head_invalid",
    ),
    (
        ("escape in a value", "RFC 9110 §5.5", "X: \x1b[1m\r\n"),
        "head_invalid",
    ),
    (
        ("DEL in a value", "RFC 9110 §5.5", "X: a\x7fb\r\n"),
        "head_invalid",
    ),
    (
        ("control byte in a name", "RFC 9110 §5.1", "X\x01: a\r\n"),
        "head_invalid",
    ),
];

/// Field lines that travel as they are.
pub(crate) const GOOD_FIELDS: [Row; 10] = [
    (
        "all token bytes in a name",
        "RFC 9110 §5.6.2",
        "X!#$%&'*+-.^`|~9: a\r\n",
    ),
    ("tab in a value", "RFC 9110 §5.5", "X: a\tb\r\n"),
    ("space around a value", "RFC 9112 §5.1", "X:   a  \r\n"),
    ("no space before a value", "RFC 9112 §5.1", "X:a\r\n"),
    ("empty value", "RFC 9110 §5.5", "X:\r\n"),
    ("value of spaces", "RFC 9110 §5.5", "X:   \r\n"),
    ("obs-text in a value", "RFC 9110 §5.5", "X: Zürich\r\n"),
    ("colons in a value", "RFC 9110 §5.5", "X: a:b:c\r\n"),
    (
        "repeats keep their order and case",
        "RFC 9110 §5.3",
        "x-A: 1\r\nX-a: 2\r\nX-B: 3\r\nx-A: 4\r\n",
    ),
    (
        "quoted commas",
        "RFC 9110 §5.6.4",
        "X: \"a,b\", c;d=\"e\\\"f\"\r\n",
    ),
];

/// Values that are no length.
pub(crate) const BAD_LENGTHS: [Row; 19] = [
    ("plus sign", "RFC 9110 §8.6", "+2"),
    ("minus sign", "RFC 9110 §8.6", "-2"),
    ("minus zero", "RFC 9110 §8.6", "-0"),
    ("hexadecimal", "RFC 9110 §8.6", "0x2"),
    ("letters", "RFC 9110 §8.6", "two"),
    ("two numbers", "RFC 9110 §8.6", "2 2"),
    ("list of unequal numbers", "RFC 9112 §6.3", "2, 3"),
    ("list with an empty element", "RFC 9110 §8.6", "2,"),
    ("empty", "RFC 9110 §8.6", ""),
    ("fraction", "RFC 9110 §8.6", "2.0"),
    ("exponent", "RFC 9110 §8.6", "2e0"),
    ("underscore", "RFC 9110 §8.6", "1_0"),
    ("parameter", "RFC 9110 §8.6", "2;a=b"),
    ("quoted", "RFC 9110 §8.6", "\"2\""),
    ("digits of another script", "RFC 9110 §8.6", "٢"),
    ("2^63", "RFC 9110 §8.6", "9223372036854775808"),
    ("2^64", "RFC 9110 §8.6", "18446744073709551616"),
    (
        "2^64 and the length",
        "RFC 9110 §8.6",
        "18446744073709551618",
    ),
    (
        "forty digits",
        "RFC 9110 §8.6",
        "1000000000000000000000000000000000000000",
    ),
];

/// Transfer codings that are not one `chunked`.
pub(crate) const BAD_CODINGS: [Row; 17] = [
    (
        "gzip, chunked",
        "RFC 9112 §6.1",
        "Transfer-Encoding: gzip, chunked\r\n",
    ),
    ("gzip alone", "RFC 9112 §6.3", "Transfer-Encoding: gzip\r\n"),
    (
        "chunked, gzip",
        "RFC 9112 §6.3",
        "Transfer-Encoding: chunked, gzip\r\n",
    ),
    (
        "chunked twice in a list",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunked, chunked\r\n",
    ),
    (
        "chunked twice in two lines",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "chunked behind another line",
        "RFC 9112 §6.1",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "another line behind chunked",
        "RFC 9112 §6.3",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
    ),
    (
        "identity",
        "RFC 9112 §6.1",
        "Transfer-Encoding: identity\r\n",
    ),
    (
        "identity, chunked",
        "RFC 9112 §6.1",
        "Transfer-Encoding: identity, chunked\r\n",
    ),
    (
        "chunked, identity",
        "RFC 9112 §6.3",
        "Transfer-Encoding: chunked, identity\r\n",
    ),
    ("empty coding", "RFC 9112 §6.1", "Transfer-Encoding:\r\n"),
    (
        "coding with a parameter",
        "RFC 9112 §7",
        "Transfer-Encoding: chunked;q=1\r\n",
    ),
    (
        "empty elements",
        "RFC 9110 §5.6.1",
        "Transfer-Encoding: ,chunked\r\n",
    ),
    (
        "quoted coding",
        "RFC 9112 §7",
        "Transfer-Encoding: \"chunked\"\r\n",
    ),
    (
        "xchunked",
        "RFC 9112 §6.1",
        "Transfer-Encoding: xchunked\r\n",
    ),
    (
        "chunked with a letter more",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunkedd\r\n",
    ),
    (
        "space within chunked",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chun ked\r\n",
    ),
];

/// Chunked bodies that are none, and how much of them may go on.
pub(crate) const BAD_CHUNKS: [(Row, &str); 27] = [
    (("plus sign", "RFC 9112 §7.1", "+3\r\nabc\r\n0\r\n\r\n"), ""),
    (
        ("minus sign", "RFC 9112 §7.1", "-3\r\nabc\r\n0\r\n\r\n"),
        "",
    ),
    (
        (
            "space before the size",
            "RFC 9112 §7.1",
            " 3\r\nabc\r\n0\r\n\r\n",
        ),
        "",
    ),
    (
        (
            "space behind the size",
            "RFC 9112 §7.1",
            "3 \r\nabc\r\n0\r\n\r\n",
        ),
        "3",
    ),
    (
        (
            "tab behind the size",
            "RFC 9112 §7.1",
            "3\t\r\nabc\r\n0\r\n\r\n",
        ),
        "3",
    ),
    (("0x", "RFC 9112 §7.1", "0x3\r\nabc\r\n0\r\n\r\n"), "0"),
    (
        ("underscore", "RFC 9112 §7.1", "0_3\r\nabc\r\n0\r\n\r\n"),
        "0",
    ),
    (
        ("not hexadecimal", "RFC 9112 §7.1", "g\r\nabc\r\n0\r\n\r\n"),
        "",
    ),
    (("empty size", "RFC 9112 §7.1", "\r\nabc\r\n0\r\n\r\n"), ""),
    (
        (
            "extension without a size",
            "RFC 9112 §7.1",
            ";a\r\nabc\r\n0\r\n\r\n",
        ),
        "",
    ),
    (
        (
            "2^64",
            "RFC 9112 §7.1",
            "10000000000000000\r\nabc\r\n0\r\n\r\n",
        ),
        "1000000000000000",
    ),
    (
        (
            "2^64 - 1",
            "RFC 9112 §7.1",
            "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        ),
        "fffffffffffffff",
    ),
    (
        (
            "2^64 and the size",
            "RFC 9112 §7.1",
            "10000000000000003\r\nabc\r\n0\r\n\r\n",
        ),
        "1000000000000000",
    ),
    (
        (
            "seventeen digits",
            "RFC 9112 §7.1",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
        ),
        "0000000000000000",
    ),
    (
        (
            "bare LF behind the size",
            "RFC 9112 §7.1",
            "3\nabc\r\n0\r\n\r\n",
        ),
        "3",
    ),
    (
        (
            "bare CR behind the size",
            "RFC 9112 §7.1",
            "3\rabc\r\n0\r\n\r\n",
        ),
        "3\r",
    ),
    (
        (
            "bare LF behind a chunk",
            "RFC 9112 §7.1",
            "3\r\nabc\n0\r\n\r\n",
        ),
        "3\r\nabc",
    ),
    (
        (
            "nothing behind a chunk",
            "RFC 9112 §7.1",
            "3\r\nabc0\r\n\r\n",
        ),
        "3\r\nabc",
    ),
    (
        (
            "chunk longer than its size",
            "RFC 9112 §7.1",
            "3\r\nabcd\r\n0\r\n\r\n",
        ),
        "3\r\nabc",
    ),
    (
        (
            "two bytes instead of CRLF",
            "RFC 9112 §7.1",
            "3\r\nabcxx0\r\n\r\n",
        ),
        "3\r\nabc",
    ),
    (
        (
            "LF in an extension",
            "RFC 9112 §7.1.1",
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
        ),
        "3",
    ),
    (
        (
            "CR in an extension",
            "RFC 9112 §7.1.1",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
        ),
        "3\r",
    ),
    (
        (
            "NUL in an extension",
            "RFC 9112 §7.1.1",
            "3;a=\0\r\nabc\r\n0\r\n\r\n",
        ),
        "3",
    ),
    (
        (
            "bare LF behind the last chunk",
            "RFC 9112 §7.1",
            "3\r\nabc\r\n0\n\r\n",
        ),
        "3\r\nabc\r\n0",
    ),
    (
        ("bare LF at the end", "RFC 9112 §7.1", "3\r\nabc\r\n0\r\n\n"),
        "3\r\nabc\r\n0\r\n",
    ),
    (
        (
            "CR and another byte at the end",
            "RFC 9112 §7.1",
            "3\r\nabc\r\n0\r\n\rx",
        ),
        "3\r\nabc\r\n0\r\n\r",
    ),
    (
        ("minus zero", "RFC 9112 §7.1", "3\r\nabc\r\n-0\r\n\r\n"),
        "3\r\nabc\r\n",
    ),
];

/// Trailers that are none, behind [`TRAILED`].
pub(crate) const BAD_TRAILERS: [Row; 7] = [
    ("trailer without a colon", "RFC 9112 §7.1.2", "X\r\n\r\n"),
    (
        "space before a trailer's colon",
        "RFC 9112 §5.1",
        "X : a\r\n\r\n",
    ),
    ("folded trailer", "RFC 9112 §5.2", "X: a\r\n b\r\n\r\n"),
    ("bare LF in trailers", "RFC 9112 §2.2", "X: a\nY: b\r\n\r\n"),
    ("bare CR in a trailer", "RFC 9112 §2.2", "X: a\rb\r\n\r\n"),
    ("NUL in a trailer", "RFC 9110 §5.5", "X: a\0\r\n\r\n"),
    ("empty trailer name", "RFC 9110 §5.1", ": a\r\n\r\n"),
];
pub(crate) const TRAILED: &str = "3\r\nabc\r\n0\r\n";

/// Chunked bodies, and how they go on: extensions go, trailers are chosen.
pub(crate) const GOOD_CHUNKS: [(Row, &str); 15] = [
    (
        ("one chunk", "RFC 9112 §7.1", "3\r\nabc\r\n0\r\n\r\n"),
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    (("no chunk", "RFC 9112 §7.1", "0\r\n\r\n"), "0\r\n\r\n"),
    (
        (
            "several chunks",
            "RFC 9112 §7.1",
            "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        ),
        "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    ),
    (
        (
            "upper case size",
            "RFC 9112 §7.1",
            "A\r\n0123456789\r\n0\r\n\r\n",
        ),
        "A\r\n0123456789\r\n0\r\n\r\n",
    ),
    (
        (
            "lower case size",
            "RFC 9112 §7.1",
            "a\r\n0123456789\r\n0\r\n\r\n",
        ),
        "a\r\n0123456789\r\n0\r\n\r\n",
    ),
    (
        (
            "leading zeros",
            "RFC 9112 §7.1",
            "0003\r\nabc\r\n000\r\n\r\n",
        ),
        "0003\r\nabc\r\n000\r\n\r\n",
    ),
    (
        ("extension", "RFC 9112 §7.1.1", "3;a\r\nabc\r\n0\r\n\r\n"),
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        (
            "extension with a value",
            "RFC 9112 §7.1.1",
            "3;a=\"b;c\";d=e\r\nabc\r\n0;f\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        (
            "CRLF and chunks within a chunk",
            "RFC 9112 §7.1",
            "9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
        ),
        "9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
    ),
    (
        (
            "trailer",
            "RFC 9112 §7.1.2",
            "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    (
        (
            "two trailers",
            "RFC 9112 §7.1.2",
            "3\r\nabc\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
    ),
    (
        (
            "trailers that frame",
            "RFC 9110 §6.5.1",
            "3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n",
    ),
    (
        (
            "trailers that route",
            "RFC 9110 §6.5.1",
            "3\r\nabc\r\n0\r\nHost: b\r\nConnection: X\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        (
            "trailers that authenticate",
            "RFC 9110 §6.5.1",
            "3\r\nabc\r\n0\r\nAuthorization: x\r\nCookie: a\r\nSet-Cookie: b\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        (
            "trailer with an underscore",
            "RFC 9110 §6.5.1",
            "3\r\nabc\r\n0\r\nX_A: 1\r\nX-B: 2\r\n\r\n",
        ),
        "3\r\nabc\r\n0\r\nX-B: 2\r\n\r\n",
    ),
];

/// Beginnings of chunked bodies, behind which the connection ends.
pub(crate) const BROKEN_OFF_CHUNKS: [Row; 7] = [
    ("broken off before the first chunk", "RFC 9112 §8", ""),
    ("broken off in a size", "RFC 9112 §8", "3"),
    ("broken off in a chunk", "RFC 9112 §8", "3\r\nab"),
    ("broken off behind a chunk", "RFC 9112 §8", "3\r\nabc\r\n"),
    (
        "broken off in the last chunk",
        "RFC 9112 §8",
        "3\r\nabc\r\n0",
    ),
    (
        "broken off before the last CRLF",
        "RFC 9112 §8",
        "3\r\nabc\r\n0\r\n",
    ),
    (
        "broken off before the last LF",
        "RFC 9112 §8",
        "3\r\nabc\r\n0\r\n\r",
    ),
];
