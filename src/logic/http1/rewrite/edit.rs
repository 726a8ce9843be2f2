//! Fields of a head that are set, added and removed: what an administrator says, and what is made
//! of it for one request. Pure.

use super::template::{Template, Values};
use crate::logic::http1::names::Name;

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
    remove: Vec<String>,
    lines: Vec<u8>,
}

impl FieldEdits {
    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Returns these, and then others: what those set or remove of the same name takes the place of
    /// what these set or add.
    pub fn followed_by(&self, inner: &Self) -> Self {
        let is_replaced = |name: &str| {
            let sets = inner.set.iter().map(|(name, _)| name);
            sets.chain(&inner.remove)
                .any(|it| it.eq_ignore_ascii_case(name))
        };
        let join = |outer: &[(String, Template)], inner: &[(String, Template)]| {
            let outer = outer.iter().filter(|(name, _)| !is_replaced(name));
            outer.chain(inner).cloned().collect()
        };
        Self {
            remove: self.remove.iter().chain(&inner.remove).cloned().collect(),
            set: join(&self.set, &inner.set),
            add: join(&self.add, &inner.add),
        }
    }

    /// Returns what they are for a request. A field whose value turns out empty is not sent.
    pub fn of(&self, values: &Values<'_>) -> Edits {
        let sets = self.set.iter().map(|(name, _)| name);
        let mut lines = Vec::new();
        for (name, value) in self.set.iter().chain(&self.add) {
            let from = lines.len();
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            let begins = lines.len();
            value.write(values, &mut lines);
            if lines[begins..].trim_ascii().is_empty() {
                lines.truncate(from);
            } else {
                lines.extend_from_slice(b"\r\n");
            }
        }
        Edits {
            remove: self.remove.iter().chain(sets).cloned().collect(),
            lines,
        }
    }
}

impl Edits {
    /// Edits a head, with its first line and the empty one at its end.
    pub fn apply(&self, head: &mut Vec<u8>) {
        if !head.ends_with(b"\r\n\r\n") {
            return;
        }
        let mut edited = Vec::with_capacity(head.len() + self.lines.len());
        let mut lines = head[..head.len() - 2].split_inclusive(|&byte| byte == b'\n');
        edited.extend_from_slice(lines.next().unwrap_or_default());
        for line in lines.filter(|line| !self.removes(line)) {
            edited.extend_from_slice(line);
        }
        edited.extend_from_slice(&self.lines);
        edited.extend_from_slice(b"\r\n");
        *head = edited;
    }

    fn removes(&self, line: &[u8]) -> bool {
        let colon = line.iter().position(|&byte| byte == b':');
        let name = &line[..colon.unwrap_or(line.len())];
        let mut all = self.remove.iter();
        all.any(|it| it.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Returns why a field cannot be edited, and what to do instead; `None` where it can.
pub fn objection(name: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
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
        | Name::XRequestId
        | Name::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::http1::rewrite::template::tests::VALUES;

    fn template(text: &str) -> Template {
        Template::parse(text).expect("it is one")
    }

    fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> FieldEdits {
        let fields = |fields: &[(&str, &str)]| {
            let fields = fields.iter();
            fields
                .map(|(name, text)| ((*name).to_owned(), template(text)))
                .collect()
        };
        FieldEdits {
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            set: fields(set),
            add: fields(add),
        }
    }

    fn edited(edits: &FieldEdits, head: &str) -> String {
        let mut head = head.as_bytes().to_vec();
        edits.of(&VALUES).apply(&mut head);
        String::from_utf8(head).expect("text")
    }

    #[test]
    fn fields_go_and_come() {
        let edits = edits(
            &["X-Debug"],
            &[("Server", "web"), ("X-Empty", "{query}{query}")],
            &[("X-Tag", "{client}")],
        );
        let head = "HTTP/1.1 200 OK\r\nserver: a\r\nX-Tag: b\r\nSERVER: c\r\nx-debug:1\r\nX-Debugger: 2\r\n\r\n";
        let hoped = "HTTP/1.1 200 OK\r\nX-Tag: b\r\nX-Debugger: 2\r\nServer: web\r\nX-Empty: ?c?c\r\nX-Tag: 192.0.2.7\r\n\r\n";
        assert_eq!(edited(&edits, head), hoped);
        assert_eq!(edited(&FieldEdits::default(), head), head);
    }

    #[test]
    fn what_is_empty_is_not_sent() {
        let values = Values {
            query: b"",
            ..VALUES
        };
        let mut head = b"GET / HTTP/1.1\r\nX-Q: forged\r\n\r\n".to_vec();
        edits(&[], &[("X-Q", "{query}")], &[])
            .of(&values)
            .apply(&mut head);
        assert_eq!(head, b"GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn what_is_no_head_is_left_alone() {
        let edits = edits(&["A"], &[("B", "c")], &[]);
        for text in ["", "GET / HTTP/1.1\r\nA: b\r\n", "\r\n"] {
            assert_eq!(edited(&edits, text), text);
        }
    }

    #[test]
    fn the_inner_edit_is_the_last_word() {
        let outer = edits(&["R"], &[("A", "1"), ("B", "1")], &[("C", "1"), ("D", "1")]);
        let inner = edits(&["b"], &[("a", "2"), ("d", "2")], &[("C", "2")]);
        let head = edited(&outer.followed_by(&inner), "GET / HTTP/1.1\r\nR: x\r\n\r\n");
        assert_eq!(
            head,
            "GET / HTTP/1.1\r\na: 2\r\nd: 2\r\nC: 1\r\nC: 2\r\n\r\n"
        );
    }

    #[test]
    fn fields_of_the_framing_are_not_edited() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "Upgrade",
            "Expect",
            "Trailer",
            "Proxy",
            "Keep-Alive",
            "X_Y",
            "",
            "a b",
            "a:",
            "a\r\n",
        ] {
            assert!(objection(name).is_some(), "{name:?}");
        }
        for name in [
            "X-Forwarded-For",
            "Server",
            "Date",
            "Set-Cookie",
            "X-Request-Id",
        ] {
            assert_eq!(objection(name), None, "{name}");
        }
    }
}
