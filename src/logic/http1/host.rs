//! What a Host field may say.
//!
//! Stricter than RFC 3986 §3.2.2: no sub-delimiters and no percent signs, which no real host has
//! and some backends read as paths. Pure.

/// Returns whether `text` is a registered name, an IPv4 or a bracketed IPv6 address, maybe with a
/// port.
pub fn is_host(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else {
            return false;
        };
        let is_address = std::str::from_utf8(&rest[..end])
            .is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        return is_address && is_port_or_nothing(&rest[end + 1..]);
    }
    // RFC 1035 §3.1: only the last label may be empty, the root.
    let (mut end, mut is_label_empty) = (0, true);
    for &byte in text.iter().take_while(|byte| IN_NAMES[usize::from(**byte)]) {
        let is_dot = byte == b'.';
        if is_dot && is_label_empty {
            return false;
        }
        is_label_empty = is_dot;
        end += 1;
    }
    end > 0 && is_port_or_nothing(&text[end..])
}

/// The bytes of a name or an IPv4 address: what is unreserved in RFC 3986 §2.3.
const IN_NAMES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let known = byte as u8;
        allowed[byte] = known.is_ascii_alphanumeric() || matches!(known, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    allowed
};

fn is_port_or_nothing(text: &[u8]) -> bool {
    let Some(port) = text.strip_prefix(b":") else {
        return text.is_empty();
    };
    let mut number = 0u32;
    port.len() <= 5
        && port.iter().all(|byte| {
            number = number * 10 + u32::from(byte.wrapping_sub(b'0'));
            byte.is_ascii_digit()
        })
        && number <= 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_follow_the_table() {
        for (host, good) in [
            ("example.org", true),
            ("example.org:8080", true),
            ("example.org:", true),
            ("192.0.2.1:80", true),
            ("[2001:db8::1]:443", true),
            ("[2001:db8::1]", true),
            ("a_b.example", true),
            ("", false),
            (":80", false),
            ("a.", true),
            ("a..", false),
            (".a", false),
            ("a..b", false),
            (".", false),
            ("a b", false),
            ("a,b", false),
            ("user@host", false),
            ("host/path", false),
            ("host?x", false),
            ("host#x", false),
            ("host%41", false),
            ("host:99999", false),
            ("host:000080", false),
            ("host:80:80", false),
            ("host:+80", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[zz]", false),
            ("[]", false),
        ] {
            assert_eq!(is_host(host.as_bytes()), good, "{host:?}");
        }
    }
}
