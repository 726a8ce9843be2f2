//! The classics: one request for the proxy, two for the backend, or the other way round (RFC 9112
//! §11.2).
//!
//! Each carries `GET /smuggled`; it must not come to the backend as a request, nor may what
//! follows.

use crate::bench::case::{Case, GET, OK, request};

const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, lines, status, token) in REFUSED {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n{INNER}");
        cases.push(request(name, "RFC 9112 §11.2", bytes).refused(status, token));
    }
    cases.extend(chunked());
    cases.extend(framed());
    cases
}

/// Chunk framing that another parser could read otherwise.
fn chunked() -> Vec<Case> {
    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut cases = Vec::new();
    for &(name, body, begins) in CHUNKS {
        let bytes = format!("{HEAD}{body}{INNER}");
        let case = request(name, "RFC 9112 §7.1", bytes);
        cases.push(case.body_refused(format!("{HEAD}{begins}")));
    }
    cases
}

/// A request that stands within a body stays there.
fn framed() -> Vec<Case> {
    let length = INNER.len();
    let within = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{INNER}");
    let get = format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{INNER}");
    let chunk = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{INNER}\r\n0\r\n\r\n"
    );
    let named = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: {length}\r\n\r\n{INNER}"
    );
    let section = "RFC 9112 §11.2";
    vec![
        request("within a length", section, &within),
        request("CL.0: within the length of a GET", section, &get),
        request("within a chunk", section, &chunk),
        request("within a length that is named away", section, named).reaches(&within),
        request(
            "behind a length with another name",
            section,
            format!("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n{GET}"),
        )
        .reaches(format!("{GET}{GET}"))
        .sees(format!("{OK}{OK}")),
        request(
            "a coding with another name",
            section,
            format!("GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n{GET}"),
        )
        .reaches(format!("{GET}{GET}"))
        .sees(format!("{OK}{OK}")),
    ]
}

const REFUSED: &[(&str, &str, u16, &str)] = &[
    (
        "CL.TE",
        "Content-Length: 43\r\nTransfer-Encoding: chunked\r\n",
        400,
        "both_framings",
    ),
    (
        "TE.CL",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        400,
        "both_framings",
    ),
    (
        "CL.CL",
        "Content-Length: 43\r\nContent-Length: 0\r\n",
        400,
        "content_length",
    ),
    (
        "TE.TE: a second coding",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        501,
        "transfer_coding",
    ),
    (
        "TE.TE: a first coding",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        501,
        "transfer_coding",
    ),
    (
        "TE.TE: x in a list",
        "Content-Length: 4\r\nTransfer-Encoding: chunked, x\r\n",
        501,
        "transfer_coding",
    ),
    (
        "TE.TE: a hidden name",
        "Content-Length: 4\r\nTransfer-Encoding : chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a name behind a space",
        "Content-Length: 4\r\n Transfer-Encoding: chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a name behind CR",
        "Content-Length: 4\r\nX: y\rTransfer-Encoding: chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a name behind LF",
        "Content-Length: 4\r\nX: y\nTransfer-Encoding: chunked\r\n",
        400,
        "bare_lf",
    ),
    (
        "TE.TE: a name broken by LF",
        "Content-Length: 4\r\nTransfer-Encoding\n: chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a name behind NUL",
        "Content-Length: 4\r\n\0Transfer-Encoding: chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a value behind NUL",
        "Content-Length: 4\r\nTransfer-Encoding: \0chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a value behind a form feed",
        "Content-Length: 4\r\nTransfer-Encoding: \x0cchunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a folded value",
        "Content-Length: 4\r\nTransfer-Encoding:\r\n chunked\r\n",
        400,
        "head_invalid",
    ),
    (
        "TE.TE: a quoted value",
        "Content-Length: 4\r\nTransfer-Encoding: 'chunked'\r\n",
        501,
        "transfer_coding",
    ),
    (
        "TE.TE: a byte of another script",
        "Content-Length: 4\r\nTransfer-Encoding: chun\u{212a}ed\r\n",
        501,
        "transfer_coding",
    ),
    (
        "0.CL: a length behind a space",
        " Content-Length: 43\r\n",
        400,
        "head_invalid",
    ),
    (
        "0.CL: a hidden length",
        "Content-Length : 43\r\n",
        400,
        "head_invalid",
    ),
    (
        "0.CL: a length of a sign",
        "Content-Length: +43\r\n",
        400,
        "content_length",
    ),
    (
        "0.CL: a length behind a tab",
        "X: y\r\n\tContent-Length: 43\r\n",
        400,
        "head_invalid",
    ),
    (
        "0.CL: a length that overflows to zero",
        "Content-Length: 18446744073709551616\r\n",
        400,
        "content_length",
    ),
    (
        "a request behind bare LF",
        "X: y\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n",
        400,
        "bare_lf",
    ),
];

const CHUNKS: &[(&str, &str, &str)] = &[
    (
        "TERM.EXT: LF ends an extension",
        "2;\nxx\r\n2b\r\n0\r\n\r\n",
        "2",
    ),
    (
        "EXT.TERM: LF within an extension",
        "2;\n\r\nxx\r\n0\r\n\r\n",
        "2",
    ),
    (
        "TERM.SPILL: LF behind a chunk",
        "5\r\nAAAAA\n2b\r\n0\r\n\r\n",
        "5\r\nAAAAA",
    ),
    (
        "SPILL.TERM: a chunk too long",
        "5\r\nAAAAAX\r\n0\r\n\r\n",
        "5\r\nAAAAA",
    ),
    (
        "ONE.TWO: one byte behind a chunk",
        "5\r\nAAAAA\r2b\r\n0\r\n\r\n",
        "5\r\nAAAAA\r",
    ),
    (
        "ZERO.TWO: nothing behind a chunk",
        "5\r\nAAAAA0\r\n\r\n",
        "5\r\nAAAAA",
    ),
    (
        "size cut at 32 bits",
        "100000000000000000\r\n\r\n",
        "1000000000000000",
    ),
    ("size cut at a space", "0 2b\r\n\r\n", "0"),
    (
        "end without an empty line",
        "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\n",
    ),
];
