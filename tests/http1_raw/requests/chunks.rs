//! Chunked bodies of requests (RFC 9112 §7.1): good ones go on, bad ones never look whole.

use crate::bench::case::{Case, Step, UpstreamAfter, request};
use crate::shared::{BAD_CHUNKS, BAD_TRAILERS, BROKEN_OFF_CHUNKS, GOOD_CHUNKS, TRAILED};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ((name, section, body), goes_on) in GOOD_CHUNKS {
        let case = request(name, section, format!("{HEAD}{body}"));
        cases.push(case.reaches(format!("{HEAD}{goes_on}")));
    }
    for ((name, section, body), begins) in BAD_CHUNKS {
        let case = request(name, section, format!("{HEAD}{body}"));
        cases.push(case.body_refused(format!("{HEAD}{begins}")));
    }
    for (name, section, trailers) in BAD_TRAILERS {
        let case = request(name, section, format!("{HEAD}{TRAILED}{trailers}"));
        cases.push(case.body_refused(format!("{HEAD}{TRAILED}")));
    }
    for (name, section, body) in BROKEN_OFF_CHUNKS {
        let bytes = format!("{HEAD}{body}");
        let case = request(name, section, &bytes).step(Step::Shut);
        cases.push(case.body_refused(&bytes).upstream(UpstreamAfter::Closed));
    }
    let long = format!("{HEAD}3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000));
    cases.push(
        request("too long extension", "RFC 9112 §7.1.1", long).body_refused(format!("{HEAD}3")),
    );
    let long = format!("{HEAD}{TRAILED}X: {}\r\n\r\n", "x".repeat(9000));
    cases.push(
        request("too long trailers", "RFC 9112 §7.1.2", long)
            .body_refused(format!("{HEAD}{TRAILED}")),
    );
    let many: String = (0..40).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("{HEAD}{TRAILED}{many}\r\n");
    cases.push(
        request("too many trailers", "RFC 9112 §7.1.2", many)
            .body_refused(format!("{HEAD}{TRAILED}")),
    );
    cases.push(
        request(
            "announced trailer",
            "RFC 9110 §6.6.2",
            "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n",
        ),
    );
    cases
}
