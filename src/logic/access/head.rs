//! Parts of a request's head, as the log says them: found again in its bytes, not parsed anew.
//!
//! The head has passed the codec, or it is what somebody sent who does not speak HTTP. Nothing is
//! assumed of it, and nothing is decided by it.

/// What the log says of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'a> {
    /// The first word; `None` where the bytes end before it.
    pub(super) method: Option<&'a [u8]>,
    /// The second word.
    pub(super) target: Option<&'a [u8]>,
    /// The first field of each of these names.
    pub(super) host: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) request_id: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Finds everything in one pass.
    pub(super) fn of(head: &'a [u8]) -> Self {
        let mut parts = Parts::default();
        let mut lines = head.trim_ascii_start().split(|byte| *byte == b'\n');
        let line = lines.next().unwrap_or_default();
        let line = line.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let mut words = line.split(|byte| *byte == b' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        (parts.method, parts.target) = (word(), word());
        for line in lines {
            let (slot, name) = match line.first() {
                Some(b'h' | b'H') => (&mut parts.host, "host"),
                Some(b'r' | b'R') => (&mut parts.referer, "referer"),
                Some(b'u' | b'U') => (&mut parts.user_agent, "user-agent"),
                Some(b'x' | b'X') => (&mut parts.request_id, "x-request-id"),
                Some(_) | None => continue,
            };
            if slot.is_none() {
                *slot = value(line, name);
            }
        }
        parts
    }
}

/// Returns the value of a field's line, if it has this name, which is given in lower case.
fn value<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    match rest {
        [b':', value @ ..] if found.eq_ignore_ascii_case(name.as_bytes()) => {
            Some(value.trim_ascii())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_found_in_any_bytes() {
        let words = |head: &'static str| {
            let Parts { method, target, .. } = Parts::of(head.as_bytes());
            let text = |word: Option<&'static [u8]>| word.and_then(|w| std::str::from_utf8(w).ok());
            (text(method), text(target))
        };
        assert_eq!(
            words("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Some("GET"), Some("/a?b"))
        );
        assert_eq!(words("\r\nGET /\n"), (Some("GET"), Some("/")));
        assert_eq!(words("hello"), (Some("hello"), None));
        assert_eq!(words(""), (None, None));
        assert_eq!(words("\r\n\r\n"), (None, None));
    }

    #[test]
    fn fields_are_found_by_name_whatever_its_case() {
        let head = b"GET / HTTP/1.1\r\nHost-Not: b\r\nhOST:  a \r\nHost: c\r\nReferer:\r\nX-REQUEST-ID: 7\r\n\r\n";
        let parts = Parts::of(head);
        assert_eq!(parts.host, Some(b"a".as_slice()));
        assert_eq!(parts.referer, Some(b"".as_slice()));
        assert_eq!(parts.request_id, Some(b"7".as_slice()));
        assert_eq!(parts.user_agent, None);
        let first = Parts::of(b"host: a");
        assert_eq!(first.host, None, "the first line is no field");
    }
}
