//! A case: what the client and the backend send, what each must see, and what becomes of both
//! connections.
//!
//! Made by [`request`] (its subject is what the client sends) or [`response`] (its subject is what
//! the backend answers); the subject is what is cut into pieces.

use super::hope::{Part, Reaches, find};
use super::ways::Way;

/// One row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub name: &'static str,
    /// The clause it holds the proxy to.
    pub section: &'static str,
    pub subject: Subject,
    pub client: Vec<Step>,
    pub answers: Vec<Answer>,
    pub reaches: Reaches,
    /// What must and must not stand somewhere in what the backend got, forwarding fields included.
    pub has: Vec<&'static str>,
    pub lacks: Vec<&'static str>,
    pub sees: Vec<Part>,
    pub client_after: ClientAfter,
    pub upstream_after: UpstreamAfter,
    /// The bytes of the answer's head, where its body is malformed.
    malformed_behind: Option<usize>,
}

/// Whose bytes a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Client,
    Backend,
}

/// What the client does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Waits until it has got this somewhere.
    Await(&'static str),
    /// Waits until the backend has got this somewhere.
    AwaitBackend(&'static str),
    /// Ends its direction.
    Shut,
    /// Resets the connection.
    Leave,
}

/// What the backend does about one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub when: When,
    pub bytes: Vec<u8>,
    pub then: Then,
}

/// When an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The whole request has come.
    Request,
    /// Its head has come.
    Head,
    /// So many bytes have come behind the request, on a connection that has stopped being HTTP.
    Tunnelled(usize),
}

/// What a backend does behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Stay,
    Close,
    Reset,
}

/// What must become of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAfter {
    /// It serves another request.
    Open,
    /// It is ended in order, nothing lost.
    Closed,
    /// It is ended, in order or not.
    Cut,
    /// It is reset.
    Reset,
    /// It was the client that left.
    Gone,
}

/// What must become of the connection that the request was sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamAfter {
    /// It serves another request.
    Kept,
    /// The proxy ends it.
    Closed,
    /// There is none.
    Never,
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A case about what a client sends; it is relayed as it is and answered with [`OK`] unless more is
/// said.
pub(crate) fn request(name: &'static str, section: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    let bytes = bytes.as_ref().to_vec();
    Case {
        name,
        section,
        subject: Subject::Client,
        reaches: Reaches::Exactly(bytes.clone()),
        client: vec![Step::Send(bytes)],
        answers: Vec::new(),
        has: Vec::new(),
        lacks: Vec::new(),
        sees: vec![Part::Bytes(OK.into())],
        client_after: ClientAfter::Open,
        upstream_after: UpstreamAfter::Kept,
        malformed_behind: None,
    }
}

/// A case about what a backend answers to [`GET`]; it is relayed as it is unless more is said.
pub(crate) fn response(name: &'static str, section: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    let bytes = bytes.as_ref().to_vec();
    Case {
        subject: Subject::Backend,
        sees: vec![Part::Bytes(bytes.clone())],
        answers: vec![Answer {
            when: When::Request,
            bytes,
            then: Then::Stay,
        }],
        ..request(name, section, GET)
    }
}

impl Case {
    /// What the client asks, in a case about an answer.
    pub(crate) fn to(mut self, bytes: &str) -> Self {
        self.client = vec![Step::Send(bytes.into())];
        self.reaches = Reaches::Exactly(bytes.into());
        self
    }

    /// The request is not relayed: the client gets our answer and its connection ends.
    pub(crate) fn refused(mut self, status: u16, token: &'static str) -> Self {
        self.reaches = Reaches::Exactly(Vec::new());
        self.sees = vec![Part::own(status, token)];
        self.client_after = ClientAfter::Closed;
        self.upstream_after = UpstreamAfter::Never;
        self
    }

    /// The request's body is malformed: of it no more than `begins` may have reached the backend,
    /// on a connection that is then closed.
    pub(crate) fn body_refused(self, begins: impl AsRef<[u8]>) -> Self {
        let mut case = self.refused(400, "body_invalid");
        case.reaches = Reaches::AtMost(begins.as_ref().to_vec());
        case.upstream_after = UpstreamAfter::Closed;
        case
    }

    /// What reaches the backend, exactly, but for forwarding fields.
    pub(crate) fn reaches(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.reaches = Reaches::Exactly(bytes.as_ref().to_vec());
        self
    }

    /// The backend gets a beginning of this; how much is not said.
    pub(crate) fn reaches_at_most(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.reaches = Reaches::AtMost(bytes.as_ref().to_vec());
        self
    }

    pub(crate) fn has(mut self, text: &'static str) -> Self {
        self.has.push(text);
        self
    }

    pub(crate) fn lacks(mut self, text: &'static str) -> Self {
        self.lacks.push(text);
        self
    }

    /// The backend's answers, one a request.
    pub(crate) fn answers<const N: usize>(mut self, answers: [&str; N]) -> Self {
        let answers = answers.map(|bytes| Answer {
            when: When::Request,
            bytes: bytes.into(),
            then: Then::Stay,
        });
        self.answers = answers.into();
        self
    }

    /// When the last answer is given.
    pub(crate) fn when(mut self, when: When) -> Self {
        self.answers.last_mut().expect("an answer").when = when;
        self
    }

    /// What the backend does behind its last answer.
    pub(crate) fn then(mut self, then: Then) -> Self {
        self.answers.last_mut().expect("an answer").then = then;
        self
    }

    /// One more thing that the backend says.
    pub(crate) fn and_answers(mut self, when: When, bytes: &str) -> Self {
        self.answers.push(Answer {
            when,
            bytes: bytes.into(),
            then: Then::Stay,
        });
        self
    }

    /// What the client gets, exactly, but for Date.
    pub(crate) fn sees(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.sees = vec![Part::Bytes(bytes.as_ref().to_vec())];
        self
    }

    /// What the client gets besides.
    pub(crate) fn and(mut self, part: Part) -> Self {
        self.sees.push(part);
        self
    }

    pub(crate) fn sees_parts<const N: usize>(mut self, parts: [Part; N]) -> Self {
        self.sees = parts.into();
        self
    }

    /// The answer is not relayed: the client gets 502 and keeps its connection.
    pub(crate) fn bad(mut self) -> Self {
        self.sees = vec![Part::kept(502, "invalid_response")];
        self.upstream_after = UpstreamAfter::Closed;
        self
    }

    /// The answer's body is malformed: the client gets 502 where that has come with the head, else
    /// a beginning of this and a cut connection.
    pub(crate) fn malformed(self, begins: impl AsRef<[u8]>) -> Self {
        let mut case = self.breaks(begins);
        let answer = &case.answers.last().expect("an answer").bytes;
        case.malformed_behind = find(answer, b"\r\n\r\n").map(|end| end + 4);
        case
    }

    /// Returns what may happen, one or the other: only where a malformed body is cut so that what
    /// is wrong may be in the same piece as the head is there more than one.
    pub(crate) fn hopes(&self, way: Way) -> Vec<Self> {
        match (self.malformed_behind, way) {
            (None, _) => vec![self.clone()],
            (Some(_), Way::Whole) => vec![self.answered()],
            (Some(head), Way::SplitAt(at)) if at < head => vec![self.answered()],
            (Some(head), Way::SplitAt(at)) if at > head => vec![self.clone(), self.answered()],
            (Some(_), Way::SplitAt(_) | Way::ByteByByte) => vec![self.clone()],
        }
    }

    fn answered(&self) -> Self {
        let mut case = self.clone().bad();
        case.client_after = ClientAfter::Open;
        case
    }

    /// The answer breaks off: the client gets a beginning of this and a cut connection.
    pub(crate) fn breaks(mut self, begins: impl AsRef<[u8]>) -> Self {
        self.sees = vec![Part::Broken(begins.as_ref().to_vec())];
        self.client_after = ClientAfter::Cut;
        self.upstream_after = UpstreamAfter::Closed;
        self
    }

    pub(crate) fn client(mut self, after: ClientAfter) -> Self {
        self.client_after = after;
        self
    }

    pub(crate) fn upstream(mut self, after: UpstreamAfter) -> Self {
        self.upstream_after = after;
        self
    }

    /// What the client does besides.
    pub(crate) fn step(mut self, step: Step) -> Self {
        self.client.push(step);
        self
    }
}
