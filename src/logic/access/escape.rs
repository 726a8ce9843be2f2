//! Bytes that somebody else chose, written so that they cannot end a line or a value.
//!
//! What is written is printable ASCII, whatever comes in, and can be turned back into the bytes it
//! was.

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escaping {
    /// As the inside of a JSON string (RFC 8259 §7); a byte above 0x7f is the character of that
    /// number.
    Json,
    /// As nginx does in its default manner: `\x22` for a quote, a backslash and all that is not
    /// printable ASCII.
    Text,
}

/// Appends at most `bytes_max` of these bytes, and `...` where that is not all of them.
pub(super) fn write_escaped(out: &mut Vec<u8>, bytes: &[u8], bytes_max: usize, how: Escaping) {
    let (bytes, cut) = match bytes.split_at_checked(bytes_max) {
        Some((first, rest)) if !rest.is_empty() => (first, true),
        Some(_) | None => (bytes, false),
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        out.extend_from_slice(&rest[..at]);
        write_byte(out, rest[at], how);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    if cut {
        out.extend_from_slice(b"...");
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn write_byte(out: &mut Vec<u8>, byte: u8, how: Escaping) {
    match (how, byte) {
        (Escaping::Json, b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
        (Escaping::Json, _) => out.extend_from_slice(b"\\u00"),
        (Escaping::Text, _) => out.extend_from_slice(b"\\x"),
    }
    if how == Escaping::Text || !matches!(byte, b'"' | b'\\') {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8], how: Escaping) -> String {
        let mut out = Vec::new();
        write_escaped(&mut out, bytes, 1000, how);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn every_byte_comes_back_from_json() {
        let all: Vec<u8> = (0..=255).collect();
        let text = format!("\"{}\"", escaped(&all, Escaping::Json));
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let back: String = serde_json::from_str(&text).expect("JSON");
        let back: Vec<u32> = back.chars().map(u32::from).collect();
        assert_eq!(back, (0..=255).collect::<Vec<u32>>());
    }

    #[test]
    fn text_is_escaped_as_nginx_does() {
        assert_eq!(
            escaped(b"a \"b\\\r\n\x7f\xff", Escaping::Text),
            "a \\x22b\\x5c\\x0d\\x0a\\x7f\\xff"
        );
    }

    #[test]
    fn long_values_are_cut() {
        let mut out = Vec::new();
        write_escaped(&mut out, b"abcd", 3, Escaping::Json);
        write_escaped(&mut out, b"abc", 3, Escaping::Json);
        assert_eq!(out, b"abc...abc");
    }
}
