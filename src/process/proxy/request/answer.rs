//! The answer the proxy gives before it has read anything.

/// Written as it is to a client that is one too many.
pub(in crate::process::proxy) const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\n\
Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: 49\r\n\
Connection: close\r\n\r\nconnections_exhausted: too many open connections\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_answers_state_their_length() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head:?} should say {length:?}");
    }
}
