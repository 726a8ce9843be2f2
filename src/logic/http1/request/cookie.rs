//! Cookies of a request: found by their name, and taken out of what a backend is sent.
//!
//! As user agents write them (RFC 6265 §4.2.1, §5.4): pairs with a semicolon between two of them,
//! wherever it stands, so that quotes keep nothing together. What is no pair is left as it stands.
//! Names have a case. Pure.

/// Returns the values of all cookies of a name in one field, in order, as they stand.
///
/// ```
/// use evenkeel::logic::http1::request::cookie::values;
///
/// let found: Vec<_> = values(b"a=1; b=2;a=\"3\"", "a").collect();
/// assert_eq!(found, [&b"1"[..], b"\"3\""]);
/// ```
pub fn values<'f>(field: &'f [u8], name: &str) -> impl Iterator<Item = &'f [u8]> {
    let pairs = field.split(|&byte| byte == b';');
    pairs.filter_map(move |pair| value_of(pair, name))
}

/// Returns a value without the quotes around it and the spaces before those.
pub fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"\"");
    let inner = inner.and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// Returns whether all bytes may stand in a cookie's name (RFC 6265 §4.1.1).
pub fn is_name(name: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_token)
}

/// Takes all cookies of a name out of a request's head: of the others and of all other fields every
/// byte stays, and a field of which nothing is left goes.
///
/// ```
/// use evenkeel::logic::http1::request::cookie::take_out;
///
/// let mut head = b"GET / HTTP/1.1\r\nCookie: a=1; b=2; c=3\r\n\r\n".to_vec();
/// take_out(&mut head, "b");
/// assert_eq!(head, b"GET / HTTP/1.1\r\nCookie: a=1; c=3\r\n\r\n");
/// ```
pub fn take_out(head: &mut Vec<u8>, name: &str) {
    let (mut read, mut written) = (0, 0);
    while read < head.len() {
        let end = head[read..].iter().position(|&byte| byte == b'\n');
        let end = end.map_or(head.len(), |at| read + at + 1);
        // The first line is none of a field.
        let len = match of_cookies(&head[read..end]).filter(|_| read > 0) {
            Some(value) if values(value, name).next().is_some() => {
                let from = end - value.len() - LINE_END.len();
                without(&mut head[read..end], from - read, name)
            }
            Some(_) | None => end - read,
        };
        head.copy_within(read..read + len, written);
        written += len;
        read = end;
    }
    head.truncate(written);
}

/// Returns the value of a line that is a Cookie field, to the end of the line.
fn of_cookies(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(LINE_END)?;
    let (name, value) = line.split_at_checked(FIELD.len())?;
    name.eq_ignore_ascii_case(FIELD).then_some(value)
}

/// Takes the cookies of a name out of a line whose value begins `from` there; returns how long it
/// is now, 0 where nothing is left of it.
fn without(line: &mut [u8], from: usize, name: &str) -> usize {
    let end = line.len() - LINE_END.len();
    let (mut read, mut written) = (from, from);
    let (mut is_first, mut is_any) = (true, false);
    while read <= end {
        let len = line[read..end].iter().position(|&byte| byte == b';');
        let next = len.map_or(end, |len| read + len);
        if value_of(&line[read..next], name).is_none() {
            if !std::mem::take(&mut is_first) {
                line[written] = b';';
                written += 1;
            }
            is_any |= !line[read..next].trim_ascii().is_empty();
            line.copy_within(read..next, written);
            written += next - read;
        }
        read = next + 1;
    }
    if !is_any {
        return 0;
    }
    line[written..written + LINE_END.len()].copy_from_slice(LINE_END);
    written + LINE_END.len()
}

/// Returns the value of a pair, if it has this name.
fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
    let value = rest.trim_ascii_start().strip_prefix(b"=")?;
    Some(value)
}

const FIELD: &[u8] = b"cookie:";
const LINE_END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_by_the_table() {
        for (field, hoped) in [
            ("a=1", &["1"][..]),
            ("b=2; a=1", &["1"]),
            ("a=1;a=2 ; a =3", &["1", "2", "3"]),
            ("A=1; ab=2; ba=3; a", &[]),
            ("a=; a==; a=1=2", &["", "=", "1=2"]),
            ("a= 1 ", &[" 1"]),
            ("b=\"; a=1; c=\"", &["1"]),
            (";; ;", &[]),
            ("", &[]),
        ] {
            let found: Vec<_> = values(field.as_bytes(), "a").collect();
            let hoped: Vec<_> = hoped.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, hoped, "{field:?}");
        }
    }

    #[test]
    fn quotes_go_in_pairs() {
        for (value, hoped) in [
            ("1", "1"),
            (" 1\t", "1"),
            ("\"1\"", "1"),
            (" \"1\" ", "1"),
            ("\"", "\""),
            ("\"1", "\"1"),
            ("1\"", "1\""),
            ("\"\"", ""),
            ("", ""),
        ] {
            assert_eq!(unquoted(value.as_bytes()), hoped.as_bytes(), "{value:?}");
        }
    }

    fn taken_out(fields: &str) -> String {
        let begin = "GET /?a=1 HTTP/1.1\r\n";
        let mut head = format!("{begin}{fields}\r\n").into_bytes();
        take_out(&mut head, "a");
        let head = String::from_utf8(head).expect("it is text");
        let fields = head.strip_prefix(begin).expect("it is as it was");
        fields.strip_suffix("\r\n").expect("it ends").to_owned()
    }

    #[test]
    fn cookies_are_taken_out_by_the_table() {
        for (value, hoped) in [
            (" a=1", None),
            (" a=1; a=2;a", Some("a")),
            ("; b=2; a=1;;c", Some("; b=2;;c")),
            (" a=1; b=2", Some(" b=2")),
            (" b=2; a=1", Some(" b=2")),
            (" b=2; a=1; c=3", Some(" b=2; c=3")),
            (" b=2 ;a=1;c=3", Some(" b=2 ;c=3")),
            (" a=1; b=2; a=1; c=3; a=1", Some(" b=2; c=3")),
            (" a=1;", None),
            ("a=1", None),
            ("a=1;b=2", Some("b=2")),
            (" b=2; c=\"3;x\"", Some(" b=2; c=\"3;x\"")),
            (" b=2;  c=3 ; ", Some(" b=2;  c=3 ; ")),
            (" A=1; ab=2", Some(" A=1; ab=2")),
        ] {
            let line = |value: &str| format!("cOOKIE:{value}\r\n");
            let hoped = hoped.map(line).unwrap_or_default();
            assert_eq!(taken_out(&line(value)), hoped, "{value:?}");
        }
    }

    #[test]
    fn other_lines_stay_and_each_field_is_looked_at() {
        let fields = "Host: b\r\nCookie: a=1; b=2\r\nX-Cookie: a=1\r\nCookie: a=2\r\n\
                      Set-Cookie: a=1\r\nCookie2: a=1\r\nCookie: c=3\r\n";
        assert_eq!(
            taken_out(fields),
            "Host: b\r\nCookie: b=2\r\nX-Cookie: a=1\r\nSet-Cookie: a=1\r\nCookie2: a=1\r\n\
             Cookie: c=3\r\n"
        );
    }

    fn all(head: &[u8]) -> Vec<Vec<u8>> {
        let lines = head.split_inclusive(|&byte| byte == b'\n').skip(1);
        let values = lines.filter_map(of_cookies);
        let pairs = values.flat_map(|value| value.split(|&byte| byte == b';'));
        let pairs = pairs.map(|pair| pair.trim_ascii().to_vec());
        pairs.filter(|pair| !pair.is_empty()).collect()
    }

    proptest! {
        /// Of any fields, with pairs that nearly are the name's.
        #[test]
        fn what_is_left_is_all_but_the_name(
            values in proptest::collection::vec("[ab=; \"]{0,20}", 0..4)
        ) {
            let lines: String = values.iter().map(|it| format!("Cookie:{it}\r\n")).collect();
            let mut head = format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes();
            let mut hoped = all(&head);
            hoped.retain(|pair| value_of(pair, "a").is_none());
            let before = head.clone();
            let was_any = all(&before) != hoped;
            take_out(&mut head, "a");
            prop_assert_eq!(all(&head), hoped);
            if !was_any {
                prop_assert_eq!(&head, &before);
            }
            let once = head.clone();
            take_out(&mut head, "a");
            prop_assert_eq!(head, once);
        }
    }
}
