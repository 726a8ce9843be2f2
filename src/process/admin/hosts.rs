//! Under which names the admin listener is asked: a page of a stranger's that has its own name
//! resolved to this machine (DNS rebinding) has another in the field Host.
//!
//! Addresses are always right: nobody can have them resolved. Names are right that the
//! configuration has, that of the node among them.

use std::net::IpAddr;

/// Returns whether a Host (RFC 9110 §7.2), with or without a port, is one of ours.
pub(super) fn is_known(host: &str, known: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_port_or_nothing(port) => address,
            Some(_) | None => return false,
        },
        None => match host.split_once(':') {
            Some((name, _)) if is_port_or_nothing(&host[name.len()..]) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn is_port_or_nothing(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()),
        None => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_configured_names_are_known_and_others_are_not() {
        let known = ["lb1".to_owned(), "status.example.org".to_owned()];
        for (host, hoped) in [
            ("127.0.0.1", true),
            ("192.0.2.1:8404", true),
            ("[::1]", true),
            ("[2001:db8::1]:8404", true),
            ("localhost:8404", true),
            ("LocalHost", true),
            ("lb1:8404", true),
            ("Status.Example.org.:8404", true),
            ("", false),
            ("lb2", false),
            ("evil.example", false),
            ("lb1.evil.example:8404", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1:8404@evil.example", false),
            ("[::1]evil.example", false),
            ("[::1", false),
            ("localhost:80:80", false),
            ("status.example.org:http", false),
        ] {
            assert_eq!(is_known(host, &known), hoped, "{host}");
        }
    }
}
