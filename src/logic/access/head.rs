//! Parts of a request's head, as the log says them: found again in its bytes, not parsed anew.
//!
//! The head has passed the codec, or it is what somebody sent who does not speak HTTP. Nothing is assumed of it, and
//! nothing is decided by it.

/// Returns the method and the target; either is `None` where the bytes end before it.
pub(super) fn method_and_target(head: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let line = head.trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = &line[..end.unwrap_or(line.len())];
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next().filter(|word| !word.is_empty());
    (word(), word())
}

/// Returns the value of the first field of this name, which is given in lower case.
pub(super) fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.next();
    for line in lines {
        let Some((found, rest)) = line.split_at_checked(name.len()) else {
            continue;
        };
        if let [b':', value @ ..] = rest
            && found.eq_ignore_ascii_case(name.as_bytes())
        {
            return Some(value.trim_ascii());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_found_in_any_bytes() {
        let words = |head: &'static str| {
            let (method, target) = method_and_target(head.as_bytes());
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
        let head = b"GET / HTTP/1.1\r\nHost-Not: b\r\nhOST:  a \r\nHost: c\r\nReferer:\r\n\r\n";
        assert_eq!(field(head, "host"), Some(b"a".as_slice()));
        assert_eq!(field(head, "referer"), Some(b"".as_slice()));
        assert_eq!(field(head, "user-agent"), None);
        assert_eq!(
            field(b"host: a", "host"),
            None,
            "the first line is no field"
        );
    }
}
