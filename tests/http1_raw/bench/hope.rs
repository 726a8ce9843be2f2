//! What was hoped, compared with what has come so far.
//!
//! Exact to the byte, but for what differs by time and place: Date is left out of what clients get,
//! forwarding fields out of what backends get (cases about those use `has` and `lacks`).

/// What reaches the backend.
#[derive(Clone, Debug)]
pub(crate) enum Reaches {
    Exactly(Vec<u8>),
    /// A beginning of this.
    AtMost(Vec<u8>),
}

impl Reaches {
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Exactly(bytes) => shown(bytes),
            Self::AtMost(bytes) => format!("at most {}", shown(bytes)),
        }
    }
}

/// A piece of what the client gets.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    /// An answer of the proxy's own.
    Own {
        status: u16,
        token: &'static str,
        framed: Framed,
    },
    /// A head, and a chunked body whose chunks may be cut anywhere.
    Chunked {
        head: &'static str,
        body: &'static str,
    },
    /// This, or nothing.
    Maybe(&'static str),
    /// A beginning of this and the end of the connection.
    Broken(Vec<u8>),
    /// The same with a chunked body whose chunks may be cut anywhere and whose end never comes.
    BrokenChunks {
        head: &'static str,
        body: &'static str,
    },
}

/// What an answer of our own says of its connection and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    Closing,
    Kept,
    /// It has no body: it answers HEAD.
    BodilessKept,
}

/// How far a hope has come true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wholly.
    Met,
    /// So far.
    Partly,
    /// It has not.
    Failed(String),
}

impl Part {
    pub(crate) fn own(status: u16, token: &'static str) -> Self {
        let framed = Framed::Closing;
        Self::Own {
            status,
            token,
            framed,
        }
    }

    pub(crate) fn bodiless(status: u16) -> Self {
        let (token, framed) = ("", Framed::BodilessKept);
        Self::Own {
            status,
            token,
            framed,
        }
    }

    pub(crate) fn kept(status: u16, token: &'static str) -> Self {
        let framed = Framed::Kept;
        Self::Own {
            status,
            token,
            framed,
        }
    }
}

/// Compares what a backend has got; all of it must be expected.
pub(crate) fn judge_backend(hope: &Reaches, got: &[u8]) -> Verdict {
    match hope {
        Reaches::Exactly(hoped) if got == hoped => Verdict::Met,
        Reaches::Exactly(hoped) if hoped.starts_with(got) => Verdict::Partly,
        Reaches::AtMost(most) if most.starts_with(got) => Verdict::Met,
        Reaches::Exactly(_) | Reaches::AtMost(_) => {
            Verdict::Failed("the backend got something else".into())
        }
    }
}

/// Compares what a client has got; all of it must be expected.
pub(crate) fn judge_client(parts: &[Part], got: &[u8], ended: bool) -> Verdict {
    let mut rest = got;
    for part in parts {
        match part.take(rest, ended) {
            Ok(Some(len)) => rest = &rest[len..],
            Ok(None) => return Verdict::Partly,
            Err(why) => return Verdict::Failed(why),
        }
    }
    match rest {
        [] => Verdict::Met,
        surplus => Verdict::Failed(format!("the client got more: {}", shown(surplus))),
    }
}

impl Part {
    /// Returns the bytes of `got` that are this part; `None` where it has not come yet.
    fn take(&self, got: &[u8], ended: bool) -> Result<Option<usize>, String> {
        match self {
            Self::Bytes(hoped) => exactly(hoped, got),
            Self::Own {
                status,
                token,
                framed,
            } => own(*status, token, *framed, got),
            Self::Chunked { head, body } => match exactly(head.as_bytes(), got)? {
                None => Ok(None),
                Some(len) => {
                    let whole = chunks(body.as_bytes(), &got[len..])?;
                    Ok(whole.map(|body| len + body))
                }
            },
            Self::Maybe(hoped) if got.starts_with(hoped.as_bytes()) => Ok(Some(hoped.len())),
            Self::Maybe(hoped) if hoped.as_bytes().starts_with(got) => Ok(None),
            Self::Maybe(_) => Ok(Some(0)),
            Self::BrokenChunks { head, body } => match got.strip_prefix(head.as_bytes()) {
                Some(rest) if chunks(body.as_bytes(), rest)?.is_some() => {
                    Err("the client got a whole body".into())
                }
                None if !head.as_bytes().starts_with(got) => {
                    Err("the client got something else".into())
                }
                Some(_) | None => Ok(ended.then_some(got.len())),
            },
            Self::Broken(begins) if !begins.starts_with(got) => {
                Err("the client got something else".into())
            }
            Self::Broken(_) if ended => Ok(Some(got.len())),
            Self::Broken(_) => Ok(None),
        }
    }
}

fn exactly(hoped: &[u8], got: &[u8]) -> Result<Option<usize>, String> {
    if got.starts_with(hoped) {
        Ok(Some(hoped.len()))
    } else if hoped.starts_with(got) {
        Ok(None)
    } else {
        Err(format!("the client did not get {}", shown(hoped)))
    }
}

fn own(status: u16, token: &str, framed: Framed, got: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = find(got, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&got[..end + 2]).into_owned();
    let body = &got[end + 4..];
    let field = |name: &str| {
        let value = head.split("\r\n").find_map(|line| line.strip_prefix(name));
        value.map(str::to_owned)
    };
    let length = field("Content-Length: ").and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or("an answer of our own states no length")?;
    let closing = framed == Framed::Closing;
    if !head.starts_with(&format!("HTTP/1.1 {status} ")) {
        return Err(format!("the client did not get {status} ({token})"));
    }
    if (field("Connection: ").as_deref() == Some("close")) != closing {
        return Err(format!("{status} should have been {framed:?}"));
    }
    if field("Cache-Control: ").as_deref() != Some("no-store") {
        return Err(format!("{status} may be cached"));
    }
    if framed == Framed::BodilessKept {
        return Ok(Some(end + 4));
    }
    if body.len() < length {
        return Ok(None);
    }
    if !body.starts_with(format!("{token}: ").as_bytes()) || body[length - 1] != b'\n' {
        return Err(format!("the reason is not {token}"));
    }
    Ok(Some(end + 4 + length))
}

/// Reads chunks without extensions or trailers that hold `body` together.
fn chunks(body: &[u8], got: &[u8]) -> Result<Option<usize>, String> {
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let Some(line) = find(&got[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&got[at..at + line]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or("the chunks are not chunks")?;
        let end = at + line + 2 + size + 2;
        let Some(chunk) = got.get(at + line + 2..end) else {
            return Ok(None);
        };
        if &chunk[size..] != b"\r\n" {
            return Err("a chunk does not end where it should".into());
        }
        data.extend_from_slice(&chunk[..size]);
        at = end;
        match size {
            0 if data == body => return Ok(Some(at)),
            0 => return Err(format!("the chunks hold {}", shown(&data))),
            _ => {}
        }
    }
}

/// Returns what a client has got, without Date as the proxy writes it.
pub(crate) fn without_date(bytes: &[u8]) -> Vec<u8> {
    without_lines(bytes, |line| {
        line.starts_with(b"Date: ") && line.len() == 37 && line.ends_with(b" GMT\r\n")
    })
}

/// Returns what a backend has got, without what the proxy says of the client.
pub(crate) fn without_forwarding(bytes: &[u8]) -> Vec<u8> {
    const TOLD: [&[u8]; 3] = [b"x-forwarded-", b"forwarded:", b"x-request-id:"];
    without_lines(bytes, |line| {
        let line = line.to_ascii_lowercase();
        TOLD.iter().any(|told| line.starts_with(told))
    })
}

fn without_lines(bytes: &[u8], is_out: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| !is_out(line))
        .flatten()
        .copied()
        .collect()
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|some| some == what)
}

/// Returns bytes as a reader can compare them; the middle of much is left out.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match bytes.len() {
        0..=1500 => format!("\"{}\"", text(bytes)),
        len => format!(
            "\"{}\" ... {} bytes ... \"{}\"",
            text(&bytes[..700]),
            len - 1400,
            text(&bytes[len - 700..])
        ),
    }
}
