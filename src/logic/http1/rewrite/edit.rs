//! Fields of a head that are set, added and removed: what an administrator says, and what is made
//! of it for one request.
//!
//! Fields that frame a message or belong to its connection cannot be edited; [`objection`] says so
//! when the configuration is read. Whatever a client has sent, a value that is rendered ends no
//! line: one that is no content of a field is not sent. Pure.

use super::template::{Template, Values};
use crate::logic::http1::names::{Name, Standing, standing};

/// What an administrator says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// Names of fields that go.
    pub remove: Vec<String>,
    /// Fields that take the place of all of their name.
    pub set: Vec<(String, Template)>,
    /// Fields besides those of their name.
    pub add: Vec<(String, Template)>,
}

/// The same for one request: what goes, and the lines that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The names of fields that go, each with a line feed.
    gone: Vec<u8>,
    /// A bit for the length of each of them, modulo 64: most fields are none of them at sight.
    lengths: u64,
    lines: Vec<u8>,
}

impl FieldEdits {
    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Returns what they are for a request. A field whose value turns out empty is not sent; if it
    /// is set, those of its name still go.
    pub fn of(&self, values: &Values<'_>) -> Edits {
        let mut edits = Edits::default();
        for name in self.gone() {
            edits.push_gone(name);
        }
        for (name, value) in self.set.iter().chain(&self.add) {
            edits.push_line(name, value, values);
        }
        edits
    }

    /// Returns what is the same as these, and then `inner`: what that removes or sets is not what
    /// these have made of it, what it adds comes behind.
    pub fn followed_by(&self, inner: &Self) -> Self {
        let stays = |name: &str| !is_among(inner.gone(), name);
        let kept = |fields: &[(String, Template)], more: &[(String, Template)]| {
            let kept = fields.iter().filter(|(name, _)| stays(name));
            kept.chain(more).cloned().collect()
        };
        let mut remove = self.remove.clone();
        for name in &inner.remove {
            if !is_among(remove.iter().map(String::as_str), name) {
                remove.push(name.clone());
            }
        }
        Self {
            remove,
            set: kept(&self.set, &inner.set),
            add: kept(&self.add, &inner.add),
        }
    }

    /// Returns the names of fields of which none stays as it came.
    fn gone(&self) -> impl Iterator<Item = &str> {
        let removed = self.remove.iter();
        removed
            .chain(self.set.iter().map(|(name, _)| name))
            .map(String::as_str)
    }
}

impl Edits {
    /// Returns what removes the fields of these names, and sets others as a head that was judged
    /// has them.
    pub fn of_fields<'a>(
        removed: &[&'a str],
        set: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut edits = Self::default();
        for name in removed {
            edits.push_gone(name);
        }
        for (name, value) in set {
            edits.push_gone(name);
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                edits.lines.extend_from_slice(part);
            }
        }
        edits
    }

    fn push_gone(&mut self, name: &str) {
        self.gone.extend_from_slice(name.as_bytes());
        self.gone.push(b'\n');
        self.lengths |= bit(name.len());
    }

    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.lines.is_empty()
    }

    /// Edits a head: its first line, a line for each field, and the empty one at its end. A text
    /// without that is no head, and stays as it is.
    pub fn apply(&self, head: &mut Vec<u8>) {
        if self.is_empty() || !head.ends_with(b"\r\n\r\n") {
            return;
        }
        let mut from = line_len(head);
        let mut to = from;
        loop {
            let len = line_len(&head[from..]);
            let line = &head[from..from + len];
            if matches!(line, b"\r\n" | b"\n" | b"") {
                break;
            }
            if !self.removes(line) {
                if to != from {
                    head.copy_within(from..from + len, to);
                }
                to += len;
            }
            from += len;
        }
        head.splice(to..from, self.lines.iter().copied());
    }

    fn removes(&self, line: &[u8]) -> bool {
        let name = line.split(|&byte| byte == b':').next().unwrap_or(line);
        let mut gone = self.gone.split(|&byte| byte == b'\n');
        self.lengths & bit(name.len()) != 0 && gone.any(|it| it.eq_ignore_ascii_case(name))
    }

    /// Appends the line of a field, unless its value is empty or could not be sent.
    fn push_line(&mut self, name: &str, value: &Template, values: &Values<'_>) {
        let before = self.lines.len();
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        let start = self.lines.len();
        value.write(values, &mut self.lines);
        let written = &self.lines[start..];
        let spaces = written.len() - written.trim_ascii_start().len();
        let is_sent = spaces < written.len()
            && is_field_content(written)
            && self.lines.len() <= LINES_BYTES_MAX;
        if !is_sent {
            self.lines.truncate(before);
            return;
        }
        self.lines.drain(start..start + spaces);
        let len = self.lines.trim_ascii_end().len();
        self.lines.truncate(len);
        self.lines.extend_from_slice(b"\r\n");
    }
}

/// More lines are not sent: a template can name a long path many times.
const LINES_BYTES_MAX: usize = 64 * 1024;

/// Returns why a field cannot be edited, and what to do instead; `None` where it can.
pub fn objection(name: &str) -> Option<&'static str> {
    if name.is_empty() || !name.bytes().all(is_of_token) {
        return Some("it is no name of a field: letters, digits and hyphens (RFC 9110 §5.1)");
    }
    if name.contains('_') {
        return Some("names with an underscore are dropped, since CGI takes them for others");
    }
    match Name::of(name.as_bytes()) {
        Name::Host => Some("say `rewrite: {host: ...}` for what backends are asked"),
        Name::ContentLength | Name::TransferEncoding | Name::Trailer => {
            Some("it says where the message ends")
        }
        Name::Connection
        | Name::KeepAlive
        | Name::ProxyConnection
        | Name::Te
        | Name::Upgrade
        | Name::Expect => Some("it is of one connection, which the proxy itself keeps"),
        Name::Proxy => Some("it is dropped, since CGI takes it for a setting of its own"),
        Name::Date
        | Name::Forwarded
        | Name::ProxyAuthenticate
        | Name::ProxyAuthorization
        | Name::XForwardedFor
        | Name::XForwardedHost
        | Name::XForwardedPort
        | Name::XForwardedProto
        | Name::XRequestId => None,
        Name::Other => match standing(name.as_bytes()) {
            Standing::Free | Standing::Claim => None,
            Standing::Disguise => {
                Some("it is dropped, since CGI takes it for another with hyphens")
            }
        },
    }
}

/// Returns whether a name is one of these; the case of letters does not matter.
fn is_among<'n>(mut names: impl Iterator<Item = &'n str>, name: &str) -> bool {
    names.any(|it| it.eq_ignore_ascii_case(name))
}

/// Returns the length of the first line of a text, with its end.
fn line_len(text: &[u8]) -> usize {
    let end = text.iter().position(|&byte| byte == b'\n');
    end.map_or(text.len(), |end| end + 1)
}

/// Returns the bit of a length.
fn bit(len: usize) -> u64 {
    1 << (len % 64)
}

/// Returns whether all bytes may stand in the value of a field (RFC 9110 §5.5).
fn is_field_content(value: &[u8]) -> bool {
    let is_good = |&byte: &u8| byte == b'\t' || !byte.is_ascii_control();
    value.iter().all(is_good)
}

/// RFC 9110 §5.6.2.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::http1::rewrite::template::tests::VALUES;

    const EMPTY: Values<'static> = Values {
        query: b"",
        ..VALUES
    };

    /// Reads edits as `-Name`, `=Name: value` and `+Name: value`.
    fn edits(texts: &[&str]) -> FieldEdits {
        let mut edits = FieldEdits::default();
        for text in texts {
            let (kind, field) = text.split_at(1);
            let (name, value) = field.split_once(": ").unwrap_or((field, ""));
            let value = Template::parse(value).expect("it is a template");
            match kind {
                "-" => edits.remove.push(name.to_owned()),
                "=" => edits.set.push((name.to_owned(), value)),
                _ => edits.add.push((name.to_owned(), value)),
            }
        }
        edits
    }

    fn edited(head: &str, edits: &FieldEdits) -> String {
        let mut text = head.as_bytes().to_vec();
        edits.of(&EMPTY).apply(&mut text);
        String::from_utf8(text).expect("text")
    }

    const FIRST: &str = "GET /a HTTP/1.1\r\n";

    #[test]
    fn heads_are_edited_by_the_table() {
        let fields = "Host: a\r\nX-A: 1\r\nAccept: */*\r\nx-a: 2\r\nX-AB: 3\r\n";
        for (texts, hoped) in [
            (&[] as &[&str], fields.to_owned()),
            (
                &["-X-A"],
                "Host: a\r\nAccept: */*\r\nX-AB: 3\r\n".to_owned(),
            ),
            (
                &["-accept", "-x-ab"],
                "Host: a\r\nX-A: 1\r\nx-a: 2\r\n".to_owned(),
            ),
            (
                &["-X-C", "-X", "-X-A: 1"],
                fields.replace("X-A: 1\r\n", "").replace("x-a: 2\r\n", ""),
            ),
            (
                &["=X-a: {client}"],
                "Host: a\r\nAccept: */*\r\nX-AB: 3\r\nX-a: 192.0.2.7\r\n".to_owned(),
            ),
            (&["+X-A: {host}"], format!("{fields}X-A: example.org\r\n")),
            (
                &["+B: 2", "=A: 1", "+A: 3"],
                format!("{fields}A: 1\r\nB: 2\r\nA: 3\r\n"),
            ),
            (&["-HOST", "-x-a", "-Accept", "-X-AB"], String::new()),
            // An empty value is not sent, and what is set takes the place of what came anyway.
            (&["+X-A: {query}", "+X-C:  \t "], fields.to_owned()),
            (
                &["=X-A: {query}"],
                "Host: a\r\nAccept: */*\r\nX-AB: 3\r\n".to_owned(),
            ),
            (&["+X-C:  \ta {query} \t"], format!("{fields}X-C: a\r\n")),
        ] {
            let got = edited(&format!("{FIRST}{fields}\r\n"), &edits(texts));
            assert_eq!(got, format!("{FIRST}{hoped}\r\n"), "{texts:?}");
        }
    }

    #[test]
    fn heads_without_fields_are_edited_too() {
        let all = edits(&["-X-A", "=X-B: 1"]);
        assert_eq!(
            edited("HTTP/1.1 200 OK\r\n\r\n", &all),
            "HTTP/1.1 200 OK\r\nX-B: 1\r\n\r\n"
        );
        let first = "X-A: is no field here\r\n";
        assert_eq!(
            edited(&format!("{first}\r\n"), &all),
            format!("{first}X-B: 1\r\n\r\n")
        );
    }

    #[test]
    fn what_is_no_head_stays_as_it_is() {
        let all = edits(&["-X-A", "=X-B: 1"]);
        for text in ["", "\r\n", "GET", FIRST, "a\r\nX-A: 1\r\n", "a\nX-A: 1\n\n"] {
            assert_eq!(edited(text, &all), text, "{text:?}");
        }
        // Behind an empty line there are no fields any more.
        assert_eq!(
            edited("a\r\n\r\nX-A: 1\r\n\r\n", &all),
            "a\r\nX-B: 1\r\n\r\nX-A: 1\r\n\r\n"
        );
        assert_eq!(edited("\r\n\r\n", &all), "\r\nX-B: 1\r\n\r\n");
    }

    #[test]
    fn a_value_that_would_end_its_line_is_not_sent() {
        for bad in [&b"a\r\nX-C: 1"[..], b"a\nb", b"\0", b"\r", b"a\x7f"] {
            let values = Values {
                request_id: bad,
                ..VALUES
            };
            let mut head = b"a\r\n\r\n".to_vec();
            let made = edits(&["=X-A: 1", "=X-B: {request_id}", "+X-D: 2"]).of(&values);
            made.apply(&mut head);
            assert_eq!(head, b"a\r\nX-A: 1\r\nX-D: 2\r\n\r\n", "{bad:?}");
        }
    }

    #[test]
    fn the_edits_of_a_route_come_after_those_of_its_listener() {
        for (outer, inner, hoped) in [
            (
                &["=A: 1"] as &[&str],
                &["=a: 2"] as &[&str],
                &["=a: 2"] as &[&str],
            ),
            (&["+A: 1"], &["=A: 2"], &["=A: 2"]),
            (&["=A: 1", "+A: 2"], &["-a"], &["-a"]),
            (&["+A: 1"], &["+A: 2"], &["+A: 1", "+A: 2"]),
            (&["=A: 1"], &["+A: 2"], &["=A: 1", "+A: 2"]),
            (&["-A"], &["=A: 1"], &["-A", "=A: 1"]),
            (&["-A", "-B"], &["-a", "-C"], &["-A", "-B", "-C"]),
            (
                &["=A: 1", "=B: 1"],
                &["=C: 1"],
                &["=A: 1", "=B: 1", "=C: 1"],
            ),
            (&[], &["=A: 1"], &["=A: 1"]),
            (&["=A: 1"], &[], &["=A: 1"]),
        ] {
            let got = edits(outer).followed_by(&edits(inner));
            assert_eq!(got, edits(hoped), "{outer:?}, then {inner:?}");
        }
    }

    fn random_edits(chance: &mut fastrand::Rng) -> FieldEdits {
        let texts: Vec<String> = (0..chance.usize(..5))
            .map(|_| {
                let kind = ["-", "=", "+"][chance.usize(..3)];
                let name = ["A", "a", "B", "b", "C"][chance.usize(..5)];
                format!(
                    "{kind}{name}: {}",
                    ["1", "2", "{host}", "{query}"][chance.usize(..4)]
                )
            })
            .collect();
        edits(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The lines of each name, in order; lines of different names may change places.
    fn by_name(text: &str) -> Vec<&str> {
        let mut lines: Vec<&str> = text.lines().skip(1).collect();
        lines.sort_by_key(|line| line.chars().next().map(|name| name.to_ascii_lowercase()));
        lines
    }

    #[test]
    fn edits_that_follow_others_are_as_both_in_turn() {
        for seed in 0..5000 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let fields: String = (0..chance.usize(..6))
                .map(|_| ["A: x\r\n", "a: y\r\n", "B: z\r\n", "D: 0\r\n"][chance.usize(..4)])
                .collect();
            let head = format!("{FIRST}{fields}\r\n");
            let (outer, inner) = (random_edits(&mut chance), random_edits(&mut chance));
            let in_turn = edited(&edited(&head, &outer), &inner);
            let at_once = edited(&head, &outer.followed_by(&inner));
            assert_eq!(
                by_name(&at_once),
                by_name(&in_turn),
                "seed {seed}: {head:?}, {outer:?}, {inner:?}"
            );
        }
    }

    #[test]
    fn fields_that_cannot_be_edited_follow_the_table() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Proxy",
            "X_User",
            "X.Forwarded.For",
            "Content.Length",
            "",
            "X A",
            "X:A",
            "X-A\r\nX-B",
            "Ä",
            "(X)",
        ] {
            assert!(objection(name).is_some(), "{name:?} cannot be edited");
        }
        for name in [
            "Date",
            "Server",
            "Set-Cookie",
            "X-Real-IP",
            "X-Forwarded-For",
            "X-Forwarded-Prefix",
            "X-Request-Id",
            "Authorization",
            "Strict-Transport-Security",
            "X.Mine",
            "x!y",
        ] {
            assert_eq!(objection(name), None, "{name:?} can be edited");
        }
        assert!(objection("HOST").is_some_and(|why| why.contains("rewrite: {host:")));
    }

    /// A template names the path as often as it likes, and a client chooses how long that is.
    #[test]
    fn lines_that_come_have_a_bound_in_all() {
        let path = [b'a'; 8192];
        let values = Values {
            path: &path,
            ..VALUES
        };
        let fields: Vec<(String, Template)> = (0..32)
            .map(|number| {
                let template = Template::parse(&"{path}".repeat(3)).expect("it is one");
                (format!("X-{number}"), template)
            })
            .collect();
        let edits = FieldEdits {
            set: fields,
            ..FieldEdits::default()
        };
        let mut head = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        edits.of(&values).apply(&mut head);
        assert!(head.len() <= LINES_BYTES_MAX + 100, "{} bytes", head.len());
        let lines = head.split(|&byte| byte == b'\n').count();
        assert_eq!(lines, 5, "the first two of them, whole");
    }
}
