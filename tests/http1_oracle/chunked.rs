//! The chunked coding against a reader that has the whole body and is written for nothing but to be
//! plain, and against hyper.

use evenkeel::logic::http1::chunked::{ChunkFraming, ChunkedReader};

use crate::oracle;

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It breaks a rule.
    Refused,
    /// It has not ended.
    Partial,
    /// What is handed on, and the bytes behind it.
    Whole(Vec<u8>, usize),
}

/// Panics where a body is read otherwise than by the plain reader or hyper, where it depends on the
/// ends of reads what it means, or where what is handed on is not the same body.
pub(crate) fn check(text: &[u8], cuts: &[usize]) {
    for unwrap in [ChunkFraming::Strip, ChunkFraming::Keep] {
        let whole = read(text, &[usize::MAX], unwrap);
        assert_eq!(read(text, cuts, unwrap), whole, "{cuts:?}");
    }
    let data = read(text, cuts, ChunkFraming::Strip);
    assert_eq!(data, plain(text), "{:?}", String::from_utf8_lossy(text));
    let Outcome::Whole(data, left) = data else {
        let framed = read(text, cuts, ChunkFraming::Keep);
        assert_eq!(framed, data, "framing or not, it is refused or waited for");
        return;
    };
    let mut request = HEAD.to_vec();
    request.extend_from_slice(text);
    let heard = oracle::read_request(&request).map(|meaning| meaning.body);
    assert_eq!(heard.as_ref(), Some(&data), "hyper");
    let Outcome::Whole(framed, left_too) = read(text, cuts, ChunkFraming::Keep) else {
        panic!("it is whole without its framing");
    };
    assert_eq!(left_too, left);
    let same = Outcome::Whole(data, 0);
    assert_eq!(
        read(&framed, cuts, ChunkFraming::Strip),
        same,
        "what goes on"
    );
    let same = Outcome::Whole(framed.clone(), 0);
    assert_eq!(
        read(&framed, cuts, ChunkFraming::Keep),
        same,
        "what goes on twice"
    );
    let lower = framed.to_ascii_lowercase();
    for never in [&b"\r\ncontent-length:"[..], b"\r\ntransfer-encoding:"] {
        let trailers = &lower[lower.len() - tail_len(&framed)..];
        let found = trailers.windows(never.len()).any(|part| part == never);
        assert!(!found, "a trailer frames nothing");
    }
}

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Returns the length of what stands behind the last chunk's size.
fn tail_len(framed: &[u8]) -> usize {
    let mut rest = framed;
    while let Some((size, behind)) = size_line(rest) {
        if size == 0 {
            // With the end of the line before.
            return behind.len() + 2;
        }
        rest = &behind[size + 2..];
    }
    0
}

fn read(text: &[u8], cuts: &[usize], unwrap: ChunkFraming) -> Outcome {
    let mut reader = ChunkedReader::new(unwrap);
    let (mut out, mut at, mut end) = (Vec::new(), 0, 0);
    let mut cuts = cuts.iter().cycle();
    while at < text.len() && !reader.is_ended() {
        if at == end {
            let step = cuts.next().map_or(usize::MAX, |&cut| cut.max(1));
            end = end.saturating_add(step).min(text.len());
        }
        let Ok(run) = reader.handle_bytes(&text[at..end]) else {
            return Outcome::Refused;
        };
        assert!(run.pass + run.skip > 0, "it gets on");
        out.extend_from_slice(&text[at..at + run.pass]);
        at += run.pass + run.skip;
    }
    if !reader.is_ended() {
        return Outcome::Partial;
    }
    out.extend_from_slice(reader.tail());
    Outcome::Whole(out, text.len() - at)
}

/// Reads a body as RFC 9112 §7.1 has it, with the codec's bounds.
fn plain(text: &[u8]) -> Outcome {
    let (mut data, mut rest, mut extensions) = (Vec::new(), text, 0);
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let digits = digits.count();
        let (size, behind) = rest.split_at(digits);
        let Some(size) = number(size) else {
            return Outcome::Refused;
        };
        match behind {
            [] => return Outcome::Partial,
            _ if digits == 0 => return Outcome::Refused,
            _ => {}
        }
        let extension = match behind {
            [b';', extension @ ..] => extension,
            line_end => line_end,
        };
        let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        let len = match behind[0] {
            b';' => extension.iter().take_while(|&&byte| is_text(byte)).count(),
            _ => 0,
        };
        extensions += len;
        if extensions > 4096 {
            return Outcome::Refused;
        }
        rest = match after_crlf(&extension[len..]) {
            Ok(rest) => rest,
            Err(outcome) => return outcome,
        };
        if size == 0 {
            return trailers(rest, data);
        }
        let taken = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        data.extend_from_slice(&rest[..taken]);
        rest = match after_crlf(&rest[taken..]) {
            Ok(rest) => rest,
            Err(outcome) => return outcome,
        };
    }
}

/// At most sixteen digits, and 2^56 - 1.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let number = u64::from_str_radix(if digits.is_empty() { "0" } else { digits }, 16).ok()?;
    (digits.len() <= 16 && number < 1 << 56).then_some(number)
}

fn after_crlf(text: &[u8]) -> Result<&[u8], Outcome> {
    match text {
        [b'\r', b'\n', rest @ ..] => Ok(rest),
        [] | [b'\r'] => Err(Outcome::Partial),
        [..] => Err(Outcome::Refused),
    }
}

/// A size and what is behind its line.
fn size_line(text: &[u8]) -> Option<(usize, &[u8])> {
    let end = text.windows(2).position(|two| two == b"\r\n")?;
    let size = number(&text[..end])?;
    Some((usize::try_from(size).ok()?, &text[end + 2..]))
}

/// Reads the trailers; they are judged when they have ended, but for a bare LF.
fn trailers(text: &[u8], data: Vec<u8>) -> Outcome {
    match text {
        [b'\r', b'\n', rest @ ..] => return Outcome::Whole(data, rest.len()),
        [] | [b'\r'] => return Outcome::Partial,
        [b'\r', ..] => return Outcome::Refused,
        [..] => {}
    }
    let end = text.windows(4).position(|four| four == b"\r\n\r\n");
    let section = &text[..end.map_or(text.len(), |end| end + 4)];
    let bare = |two: &[u8]| two[1] == b'\n' && two[0] != b'\r';
    if section[0] == b'\n' || section.windows(2).any(bare) || section.len() > 8192 {
        return Outcome::Refused;
    }
    let Some(end) = end else {
        return Outcome::Partial;
    };
    let lines: Vec<&[u8]> = section[..end].split(|&byte| byte == b'\n').collect();
    let count = lines.len();
    for (index, line) in lines.into_iter().enumerate() {
        // The last line's end is not in it.
        let line = if index + 1 < count {
            &line[..line.len() - 1]
        } else {
            line
        };
        if !is_field(line) {
            return Outcome::Refused;
        }
    }
    if count > 32 {
        return Outcome::Refused;
    }
    Outcome::Whole(data, text.len() - section.len())
}

/// RFC 9110 §5.1, §5.5.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return false;
    };
    let (name, value) = line.split_at(colon);
    let in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let in_value = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    !name.is_empty() && name.iter().all(in_token) && value.iter().all(in_value)
}
