//! A cookie's name, and any lines as the fields of a request's head: what is taken out is what has
//! that name, by a reader of RFC 6265 that is written plainly here, and nothing else changes.

#![no_main]

use evenkeel::logic::balance::affinity;
use evenkeel::logic::http1::request::cookie;
use evenkeel::logic::http1::request::message::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|&byte| byte == b'\n') else {
        return;
    };
    let (name, lines) = (&input[..at], &input[at + 1..]);
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    if !cookie::is_name(name) {
        return;
    }
    let first = b"GET /; HTTP/1.1\r\n";
    let head = [&first[..], lines].concat();
    let mut hoped = first.to_vec();
    let mut values = Vec::new();
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        match value_of_field(line) {
            Some(value) => hoped.extend(taken_out(line, value, name, &mut values)),
            None => hoped.extend_from_slice(line),
        }
    }
    let mut left = head.clone();
    cookie::take_out(&mut left, name);
    assert_eq!(left, hoped, "{:?}", head.escape_ascii().to_string());
    let before = left.clone();
    cookie::take_out(&mut left, name);
    assert_eq!(left, before, "all are gone at once");

    for value in &values {
        if let Some(tag) = affinity::tag(cookie::unquoted(value)) {
            let plain = cookie::unquoted(value);
            assert_eq!(affinity::value(&tag), *plain, "a tag has one value");
        }
    }
    // Of a head that has been judged, every line ends as it should.
    let mut ended = lines.split_inclusive(|&byte| byte == b'\n');
    if ended.all(|line| line.ends_with(b"\r\n")) {
        let message = Message::new(head);
        let found: Vec<&[u8]> = message.cookies(name).collect();
        assert_eq!(message.cookie(name), found.first().copied());
        // Spaces at the end of a pair are not the value's.
        let trimmed = values.iter().map(|value| value.trim_ascii_end());
        assert!(found.iter().map(|value| value.trim_ascii_end()).eq(trimmed));
    }
});

/// Returns what stands behind `Cookie:` on a line that ends as it should.
fn value_of_field(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_suffix(b"\r\n")?;
    let (name, value) = value.split_at_checked(7)?;
    name.eq_ignore_ascii_case(b"cookie:").then_some(value)
}

/// Returns a line without the pairs of a name; those go to `values`.
fn taken_out(line: &[u8], value: &[u8], name: &str, values: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let mut left: Vec<&[u8]> = Vec::new();
    let mut is_any_taken = false;
    for pair in value.split(|&byte| byte == b';') {
        let equals = pair.iter().position(|&byte| byte == b'=');
        let named = equals.map(|at| (pair[..at].trim_ascii(), &pair[at + 1..]));
        match named {
            Some((found, value)) if found == name.as_bytes() => {
                values.push(value.to_vec());
                is_any_taken = true;
            }
            Some(_) | None => left.push(pair),
        }
    }
    if !is_any_taken {
        return line.to_vec();
    }
    if left.iter().all(|pair| pair.trim_ascii().is_empty()) {
        return Vec::new();
    }
    let begin = &line[..7];
    [begin, &left.join(&b';'), b"\r\n"].concat()
}
