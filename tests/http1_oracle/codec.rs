//! Reads messages with the codec, as the proxy's loops do: piece by piece, parsing a head when it
//! may have ended.

use std::net::{IpAddr, Ipv4Addr};

use evenkeel::logic::http1::body::{Body, LAST_CHUNK, write_chunk_size};
use evenkeel::logic::http1::date::http_date;
use evenkeel::logic::http1::forwarding::{ForwardingContext, OptionalField, Trust};
use evenkeel::logic::http1::head::{FIELDS_MAX, Fields, Framing, HeadLimits, Slots, head_may_end};
use evenkeel::logic::http1::refusal::RequestRefusal;
use evenkeel::logic::http1::request::RequestHead;
use evenkeel::logic::http1::request::message::Message;
use evenkeel::logic::http1::response::{AskedFor, BodyCoding, ResponseHead, ResponseRewrite};

use crate::meaning::Meaning;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It breaks a rule.
    Refused,
    /// It has not ended.
    Partial,
    /// What it means, and the bytes that are sent on.
    Whole(Meaning, Vec<u8>),
}

const ARRIVAL: ForwardingContext<'static> = ForwardingContext {
    peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
    trust: Trust::Trusted,
    scheme: "http",
    port: 80,
    fallback_host: "192.0.2.100:80",
    proxy_fields: &[],
    forwarded: OptionalField::Send,
    via: OptionalField::Send,
    request_id: Some([b'a'; 32]),
};

/// Yields growing ends of the input.
fn ends<'a>(input: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let mut end = 0;
    let mut cuts = cuts.iter().cycle();
    std::iter::from_fn(move || {
        if end == input.len() {
            return None;
        }
        let step = *cuts.next()?;
        end = end.saturating_add(step.max(1)).min(input.len());
        Some(end)
    })
}

fn meaning(what: String, path: &str, fields: &Fields<'_, '_>) -> Meaning {
    let mut fields: Vec<(String, Vec<u8>)> = fields
        .all()
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
        .collect();
    fields.sort_by(|(one, _), (two, _)| one.cmp(two));
    Meaning {
        what,
        path: path.to_owned(),
        fields,
        body: Vec::new(),
    }
}

/// Reads a request.
pub(crate) fn read_request(input: &[u8], cuts: &[usize], limits: &HeadLimits) -> Outcome {
    let mut seen = None;
    for end in ends(input, cuts) {
        let bytes = &input[..end];
        if let Some(from) = seen {
            seen = head_may_end(bytes, from);
            if seen.is_some() {
                continue;
            }
        }
        let mut slots = Slots::new();
        match RequestHead::parse(bytes, &mut slots, limits) {
            Err(_) => return Outcome::Refused,
            Ok(None) => seen = head_may_end(bytes, 0),
            Ok(Some(head)) => {
                let path = match head.target.path() {
                    query if query.starts_with('?') => format!("/{query}"),
                    path => path.to_owned(),
                };
                let meaning = meaning(head.method.to_owned(), &path, &head.fields);
                let mut sent = Vec::new();
                head.write(&ARRIVAL, &mut sent);
                check_message(&sent, limits);
                let rest = &input[head.len..];
                return read_body(head.framing, BodyCoding::AsIs, rest, cuts, meaning, sent);
            }
        }
    }
    Outcome::Partial
}

/// Panics where a message has other parts than a parser finds in its text.
fn check_message(text: &[u8], limits: &HeadLimits) {
    let message = Message::new(text.to_vec());
    let mut slots = Slots::new();
    let room = HeadLimits {
        head_bytes: text.len(),
        fields: limits.fields.max(FIELDS_MAX),
        ..*limits
    };
    let head = match RequestHead::parse(text, &mut slots, &room) {
        Ok(head) => head.expect("what is sent on is whole"),
        // It was counted down to 0, and is right for the backend alone.
        Err(RequestRefusal::OptionsEnd | RequestRefusal::TraceEnd) => return,
        Err(refusal) => panic!("what is sent on is refused: {refusal}"),
    };
    assert_eq!(message.method(), head.method.as_bytes());
    assert_eq!(message.target(), head.target.path().as_bytes());
    assert_eq!(Some(message.authority()), head.host);
    let fields = head.fields.all().iter();
    let fields = fields.map(|field| (field.name.as_bytes(), field.value));
    assert!(
        fields.eq(message.fields()),
        "{:?}",
        text.escape_ascii().to_string()
    );
}

/// Reads a response, interim ones before it left out.
pub(crate) fn read_response(
    mut input: &[u8],
    cuts: &[usize],
    asked: AskedFor,
    limits: &HeadLimits,
) -> Outcome {
    'responses: loop {
        for end in ends(input, cuts) {
            let mut slots = Slots::new();
            let bytes = &input[..end];
            match ResponseHead::parse(bytes, &mut slots, limits, asked) {
                Err(_) => return Outcome::Refused,
                Ok(None) => {}
                Ok(Some(head)) if head.is_interim() => {
                    input = &input[head.len..];
                    continue 'responses;
                }
                Ok(Some(head)) => {
                    let meaning = meaning(head.status.to_string(), "", &head.fields);
                    let (carry, persistence) = head.departure(asked);
                    let departure = ResponseRewrite {
                        persistence,
                        carry,
                        date: &http_date(0),
                    };
                    let mut sent = Vec::new();
                    head.write(asked, &departure, &mut sent);
                    let rest = &input[head.len..];
                    return read_body(head.framing, carry, rest, cuts, meaning, sent);
                }
            }
        }
        return Outcome::Partial;
    }
}

fn read_body(
    framing: Framing,
    carry: BodyCoding,
    input: &[u8],
    cuts: &[usize],
    mut meaning: Meaning,
    mut sent: Vec<u8>,
) -> Outcome {
    let mut body = Body::new(framing, carry);
    // The same bytes once more, for the data alone.
    let mut bare = Body::new(framing, BodyCoding::Unchunked);
    let mut at = 0;
    for end in ends(input, cuts) {
        while at < end && !body.is_ended() {
            let Ok(run) = body.handle_bytes(&input[at..end]) else {
                return Outcome::Refused;
            };
            let passed = &input[at..at + run.pass];
            if carry == BodyCoding::Chunked && run.pass > 0 {
                write_chunk_size(&mut sent, run.pass);
                sent.extend_from_slice(passed);
                sent.extend_from_slice(b"\r\n");
            } else {
                sent.extend_from_slice(passed);
            }
            at += run.pass + run.skip;
        }
    }
    if framing == Framing::UntilClose {
        body.handle_end().unwrap();
        if carry == BodyCoding::Chunked {
            sent.extend_from_slice(LAST_CHUNK);
        }
    }
    if !body.is_ended() {
        return Outcome::Partial;
    }
    sent.extend_from_slice(body.tail());
    let mut at = 0;
    while at < input.len() && !bare.is_ended() {
        let run = bare.handle_bytes(&input[at..]).unwrap();
        meaning.body.extend_from_slice(&input[at..at + run.pass]);
        at += run.pass + run.skip;
    }
    Outcome::Whole(meaning, sent)
}
