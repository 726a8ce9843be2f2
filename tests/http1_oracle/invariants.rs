//! What must hold for any bytes, cut anywhere. Shared by the property tests and the fuzz targets
//! `http_request`, `http_response` and `http_chunked`.
//!
//! A fuzzer's input: a byte of choices (its lowest three bits say how many sizes of reads follow,
//! none for one read of everything), the sizes, then the message.

use evenkeel::logic::http1::head::{FIELDS_MAX, HeadLimits, Persistence, Upgrade, Version};
use evenkeel::logic::http1::response::{AskedFor, AskedMethod};

use crate::chunked;
use crate::codec::{Outcome, read_request, read_response};
use crate::meaning::Meaning;
use crate::oracle;

/// Reads a fuzzer's input as a request.
pub(crate) fn fuzz_request(input: &[u8]) {
    if let Some((_, cuts, text)) = parts(input) {
        check_request(text, &cuts);
    }
}

/// Reads a fuzzer's input as a response.
pub(crate) fn fuzz_response(input: &[u8]) {
    if let Some((choices, cuts, text)) = parts(input) {
        check_response(text, &cuts, asked(choices));
    }
}

/// Reads a fuzzer's input as a chunked body.
pub(crate) fn fuzz_chunked(input: &[u8]) {
    if let Some((_, cuts, text)) = parts(input) {
        chunked::check(text, &cuts);
    }
}

fn parts(input: &[u8]) -> Option<(u8, Vec<usize>, &[u8])> {
    let (&choices, rest) = input.split_first()?;
    let (cuts, text) = rest.split_at_checked(usize::from(choices & 7))?;
    let cuts = match cuts {
        [] => vec![usize::MAX],
        cuts => cuts.iter().map(|&cut| usize::from(cut)).collect(),
    };
    Some((choices, cuts, text))
}

/// Makes four of the choices of `choices`.
pub(crate) fn asked(choices: u8) -> AskedFor {
    let has = |bit: u8| choices & (1 << bit) != 0;
    AskedFor {
        method: match has(7) {
            true => AskedMethod::Head,
            false => AskedMethod::Other,
        },
        version: match has(6) {
            true => Version::Http10,
            false => Version::Http11,
        },
        // Only GET of HTTP/1.1 asks for it.
        upgrade: match has(5) && !has(6) && !has(7) {
            true => Upgrade::WebSocket,
            false => Upgrade::None,
        },
        persistence: match has(4) {
            true => Persistence::Close,
            false => Persistence::Keep,
        },
    }
}

/// Panics where a request is accepted that hyper refuses or reads otherwise, where it means
/// something else once it was sent on, or where it depends on the ends of reads what it means.
pub(crate) fn check_request(text: &[u8], cuts: &[usize]) {
    let limits = HeadLimits::default();
    let outcome = read_request(text, cuts, &limits);
    match (read_request(text, &[usize::MAX], &limits), &outcome) {
        // A head that is known to be wrong before it has ended may be waited for.
        (Outcome::Refused, Outcome::Partial) => {}
        (whole, outcome) => assert_eq!(&whole, outcome, "{:?} in one read, {cuts:?}", shown(text)),
    }
    let Outcome::Whole(meaning, sent) = outcome else {
        return;
    };
    let oracle = oracle::read_request(text);
    assert_eq!(Some(&meaning), oracle.as_ref(), "{:?}", shown(text));
    if check_forwards(&meaning, &sent) == Forwards::Last {
        return;
    }
    let again = read_request(&sent, cuts, &wide());
    let Outcome::Whole(again, _) = again else {
        panic!("{:?} became {:?}: {again:?}", shown(text), shown(&sent));
    };
    assert!(
        again.same_but_for_fields(&meaning),
        "{:?} became {:?}",
        shown(text),
        shown(&sent)
    );
    assert_eq!(again.field("host").len(), 1, "{:?}", shown(&sent));
    assert_eq!(
        again.field("x-forwarded-for").len(),
        1,
        "{:?}",
        shown(&sent)
    );
    assert_eq!(
        Some(again),
        oracle::read_request(&sent),
        "{:?}",
        shown(&sent)
    );
}

/// Whether a request that was sent on may be sent on once more.
#[derive(PartialEq, Eq)]
enum Forwards {
    More,
    /// The next one answers it.
    Last,
}

/// Panics where OPTIONS or TRACE was not counted down, or where another method was (RFC 9110
/// §7.6.2).
fn check_forwards(meaning: &Meaning, sent: &[u8]) -> Forwards {
    let name = "max-forwards";
    let counts = ["OPTIONS", "TRACE"].contains(&meaning.what.as_str());
    let came = meaning.field(name);
    let (true, [came]) = (counts, came.as_slice()) else {
        return Forwards::More;
    };
    // What was accepted is digits: only their number can be too much for any type.
    let came = std::str::from_utf8(came).unwrap().parse();
    let again = oracle::read_request(sent).unwrap();
    let left = came.unwrap_or(u64::MAX) - 1;
    assert_eq!(again.field(name), [left.to_string().as_bytes()]);
    match left {
        0 => Forwards::Last,
        _ => Forwards::More,
    }
}

/// Panics where a response is accepted that hyper refuses or reads otherwise, where it means
/// something else once it was sent on, or where it depends on the ends of reads what it means.
pub(crate) fn check_response(text: &[u8], cuts: &[usize], asked: AskedFor) {
    let limits = HeadLimits::default();
    let outcome = read_response(text, cuts, asked, &limits);
    match (read_response(text, &[usize::MAX], asked, &limits), &outcome) {
        // What is sent on may have been put in chunks, a read in each.
        (Outcome::Whole(whole, _), Outcome::Whole(cut, _)) => assert_eq!(&whole, cut),
        (whole, outcome) => assert_eq!(&whole, outcome, "{:?} in one read, {cuts:?}", shown(text)),
    }
    let Outcome::Whole(meaning, sent) = outcome else {
        return;
    };
    let head = asked.method == AskedMethod::Head;
    let oracle = oracle::read_response(text, head);
    assert_eq!(Some(&meaning), oracle.as_ref(), "{:?}", shown(text));
    let again = read_response(&sent, cuts, asked, &wide());
    let Outcome::Whole(again, _) = again else {
        panic!("{:?} became {:?}: {again:?}", shown(text), shown(&sent));
    };
    assert!(
        again.same_but_for_fields(&meaning),
        "{:?} became {:?}",
        shown(text),
        shown(&sent)
    );
    assert_eq!(
        Some(again),
        oracle::read_response(&sent, head),
        "{:?}",
        shown(&sent)
    );
}

/// What is sent on has more fields than what came, and may so have more than would be accepted.
fn wide() -> HeadLimits {
    HeadLimits {
        fields: FIELDS_MAX,
        ..HeadLimits::default()
    }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
