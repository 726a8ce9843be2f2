//! What the first message of a handshake says, for who does not take part in it.

use rustls::server::Acceptor;

/// What has come of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Hello {
    /// Its beginning.
    Partial,
    /// All of its first message, which asks for this server (RFC 6066 §3), in small letters.
    Named(Box<str>),
    /// All of it, and nobody is asked for; or it is none.
    Nameless,
}

/// Reads what has come.
pub(in crate::process::proxy) fn hello(mut bytes: &[u8]) -> Hello {
    match bytes {
        [] => return Hello::Partial,
        // RFC 8446 §5.1: the type of a record that carries one.
        [0x16, ..] => {}
        [_, ..] => return Hello::Nameless,
    }
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        // It reads so much at a time, and says so with 0 where it takes no more.
        match acceptor.read_tls(&mut bytes) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Hello::Nameless,
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                return match hello.server_name() {
                    Some(name) => Hello::Named(name.to_ascii_lowercase().into()),
                    None => Hello::Nameless,
                };
            }
            Err(_) => return Hello::Nameless,
        }
    }
    Hello::Partial
}

/// Looked at of what a client sends; a longer message has no name. A record carries 16 KiB.
pub(in crate::process::proxy) const HELLO_BYTES_MAX: usize = 16 * 1024 + 5;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::Arc;

    use rustls::ClientConnection;
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::process::proxy::tls::acceptor::PROVIDER;

    fn of(name: &'static str) -> Vec<u8> {
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn names_are_read_wherever_the_message_is_cut() {
        let bytes = of("Db.Example.Org");
        for len in 0..bytes.len() {
            assert_eq!(hello(&bytes[..len]), Hello::Partial, "{len}");
        }
        let named = Hello::Named("db.example.org".into());
        assert_eq!(hello(&bytes), named);
        assert_eq!(hello(&[&bytes[..], b"more"].concat()), named);
        // RFC 8446 §5.1: a message may be in several records.
        let (head, message) = bytes.split_at(5);
        let records: Vec<u8> = message
            .chunks(40)
            .flat_map(|part| [&head[..3], &[0, part.len() as u8], part].concat())
            .collect();
        assert_eq!(hello(&records), named);
    }

    #[test]
    fn what_asks_for_nobody_is_known_at_once() {
        assert_eq!(hello(&of("192.0.2.1")), Hello::Nameless);
        for bytes in [
            &b"SSH-2.0"[..],
            b"\x15\x03\x01",
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        ] {
            assert_eq!(hello(bytes), Hello::Nameless, "{bytes:?}");
        }
    }
}
