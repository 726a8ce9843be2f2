//! What a backend is told of the client: X-Forwarded-For, -Proto, -Host, -Port, Forwarded (RFC
//! 7239) and X-Request-Id. And of the way: Via, where it is asked for.
//!
//! A proxy that is trusted is believed: its list is extended, its words are kept. What anybody else
//! says of itself is replaced by what we saw, or dropped. Pure.

use std::net::IpAddr;

use httparse::Header;

use super::names::{Name, list};
use crate::model::{Network, write_address, write_number};

/// What the proxy knows of the way a request came.
#[derive(Clone, Copy, Debug)]
pub struct ForwardingContext<'a> {
    /// Who has connected.
    pub peer: IpAddr,
    /// Whether it is believed.
    pub trust: Trust,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The port it has connected to.
    pub port: u16,
    /// The Host for requests of HTTP/1.0 that have none: the address it has connected to.
    pub fallback_host: &'a str,
    /// What only a proxy may say, besides what `names` knows.
    pub proxy_fields: &'a [String],
    /// Whether a Forwarded field is written.
    pub forwarded: OptionalField,
    /// Whether the proxy writes itself into Via.
    pub via: OptionalField,
    /// The name of a request that has none that is believed; without one none is written.
    pub request_id: Option<RequestId>,
}

/// Whether what a peer says of the way before it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is one of our own proxies.
    Trusted,
    /// It is anybody.
    Untrusted,
}

/// What becomes of a field that the proxy may add to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalField {
    /// It is sent to the backend.
    Send,
    /// It is left out.
    Omit,
}

/// A request's name: 128 bits in hexadecimal digits.
pub type RequestId = [u8; 32];

/// Returns a name made of random numbers.
#[inline]
pub fn request_id(chance: [u64; 2]) -> RequestId {
    let mut id = [0; 32];
    let bits = u128::from(chance[0]) << 64 | u128::from(chance[1]);
    for (index, digit) in id.iter_mut().enumerate() {
        let nibble = bits >> (124 - 4 * index) & 0xf;
        // A nibble indexes sixteen digits.
        *digit = b"0123456789abcdef"[usize::try_from(nibble).unwrap_or(0)];
    }
    id
}

/// Returns the client's own address: the peer's or, where that is trusted, the right-most in the
/// X-Forwarded-For fields that is not; the left-most where all are.
pub fn origin(peer: IpAddr, fields: &[Header<'_>], trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut origin = plain(peer);
    if !is_trusted(origin) {
        return origin;
    }
    let of_name = |field: &&Header<'_>| Name::of(field.name.as_bytes()) == Name::XForwardedFor;
    for field in fields.iter().filter(of_name).rev() {
        for element in field.value.rsplit(|&byte| byte == b',') {
            let Some(address) = address_of(element.trim_ascii()) else {
                return origin;
            };
            origin = address;
            if !is_trusted(origin) {
                return origin;
            }
        }
    }
    origin
}

/// Reads an address, maybe with a port.
fn address_of(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let address = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0.parse().ok()?,
        None => text
            .parse()
            .or_else(|_| text.split(':').next().unwrap_or(text).parse())
            .ok()?,
    };
    Some(plain(address))
}

/// Returns an IPv4 address as such.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

impl ForwardingContext<'_> {
    /// Appends the fields.
    pub(super) fn write(&self, fields: &[Header<'_>], host: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        self.write_believed(fields, Name::XForwardedFor, out);
        write_address(out, plain(self.peer));
        self.write_word(fields, PROTO, out, |out| {
            let proto = match self.trust {
                Trust::Trusted => self.proto_otherwise(fields),
                Trust::Untrusted => None,
            };
            out.extend_from_slice(proto.unwrap_or(self.scheme.as_bytes()));
        });
        self.write_word(fields, HOST, out, |out| {
            out.extend_from_slice(host);
        });
        if self.knows_port(fields) {
            self.write_word(fields, PORT, out, |out| {
                write_number(out, u64::from(self.port));
            });
        }
        if self.forwarded == OptionalField::Send {
            out.extend_from_slice(b"\r\nForwarded: ");
            self.write_believed(fields, Name::Forwarded, out);
            self.write_element(fields, host, out);
        }
        if let Some(id) = &self.request_id {
            self.write_word(fields, REQUEST_ID, out, |out| {
                out.extend_from_slice(id);
            });
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends what a trusted peer says, as the beginning of a list.
    fn write_believed(&self, fields: &[Header<'_>], name: Name, out: &mut Vec<u8>) {
        if self.trust == Trust::Untrusted {
            return;
        }
        for field in fields {
            if Name::of(field.name.as_bytes()) == name && !field.value.is_empty() {
                out.extend_from_slice(field.value);
                out.extend_from_slice(b", ");
            }
        }
    }

    /// Appends the end of a line and a field of one word: a trusted peer's, or our own.
    fn write_word(
        &self,
        fields: &[Header<'_>],
        (name, line): Word,
        out: &mut Vec<u8>,
        own: impl FnOnce(&mut Vec<u8>),
    ) {
        out.extend_from_slice(line);
        match self.said(fields, name) {
            Some(word) => out.extend_from_slice(word),
            None => own(out),
        }
    }

    /// Returns whether a trusted peer says something in such a field.
    fn is_said(&self, fields: &[Header<'_>], name: Name) -> bool {
        let is_of_name =
            |field: &Header<'_>| Name::of(field.name.as_bytes()) == name && !field.value.is_empty();
        self.trust == Trust::Trusted && fields.iter().any(is_of_name)
    }

    /// Returns what a trusted peer says in a field of one word: the first where it says several, as
    /// proxies do of which each adds its own; that of the first is what the client did.
    fn said<'f>(&self, fields: &'f [Header<'_>], name: Name) -> Option<&'f [u8]> {
        if self.trust == Trust::Untrusted {
            return None;
        }
        let of_name = |field: &&Header<'_>| Name::of(field.name.as_bytes()) == name;
        let mut words = fields
            .iter()
            .filter(of_name)
            .flat_map(|field| list(field.value));
        words
            .find(|word| !word.is_empty())
            .filter(|word| is_word(word))
    }

    /// Returns whether the port is known that goes with what a trusted peer says: not the one that
    /// it has connected to, where the client spoke another protocol.
    fn knows_port(&self, fields: &[Header<'_>]) -> bool {
        let other = |proto: &[u8]| !proto.eq_ignore_ascii_case(self.scheme.as_bytes());
        !self.proto(fields).is_some_and(other) || self.said(fields, Name::XForwardedPort).is_some()
    }

    /// Returns the protocol that the client spoke, as a trusted peer says.
    fn proto<'f>(&self, fields: &'f [Header<'_>]) -> Option<&'f [u8]> {
        let proto = self.said(fields, Name::XForwardedProto);
        proto.or_else(|| self.proto_otherwise(fields))
    }

    /// Likewise, where it says that in another field than X-Forwarded-Proto.
    fn proto_otherwise<'f>(&self, fields: &'f [Header<'_>]) -> Option<&'f [u8]> {
        if self.trust == Trust::Untrusted {
            return None;
        }
        let protos = fields.iter().filter_map(|field| {
            let first = list(field.value).find(|word| !word.is_empty())?;
            let is = |name: &&str| field.name.eq_ignore_ascii_case(name);
            if is(&"Forwarded") {
                return proto_of(first);
            }
            if SCHEMES.iter().any(is) {
                return Some(first);
            }
            let is_on = first.eq_ignore_ascii_case(b"on") || first.eq_ignore_ascii_case(b"true");
            (is_on && SWITCHES.iter().any(is)).then_some(&b"https"[..])
        });
        protos.into_iter().find(|proto| is_word(proto))
    }

    /// RFC 7239 §4, §6. The first element is taken for what the client did: where a trusted peer
    /// has written none, it repeats what that says otherwise.
    fn write_element(&self, fields: &[Header<'_>], host: &[u8], out: &mut Vec<u8>) {
        let peer = plain(self.peer);
        let quoted = peer.is_ipv6();
        out.extend_from_slice(if quoted { b"for=\"[" } else { b"for=" });
        write_address(out, peer);
        out.extend_from_slice(if quoted { b"]\"" } else { b"" });
        // A host that has passed has no quote in it.
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\";proto=");
        let is_first = !self.is_said(fields, Name::Forwarded);
        let proto = self
            .proto(fields)
            .filter(|proto| is_first && is_name(proto));
        out.extend_from_slice(proto.unwrap_or(self.scheme.as_bytes()));
    }
}

/// A field of one word, and how its line begins behind another.
type Word = (Name, &'static [u8]);

const PROTO: Word = (Name::XForwardedProto, b"\r\nX-Forwarded-Proto: ");
const HOST: Word = (Name::XForwardedHost, b"\r\nX-Forwarded-Host: ");
const PORT: Word = (Name::XForwardedPort, b"\r\nX-Forwarded-Port: ");
const REQUEST_ID: Word = (Name::XRequestId, b"\r\nX-Request-Id: ");

/// Where proxies say the protocol of the client besides.
const SCHEMES: [&str; 4] = [
    "X-Forwarded-Scheme",
    "X-Scheme",
    "X-Url-Scheme",
    "CloudFront-Forwarded-Proto",
];
/// Where they say `on` if it was https.
const SWITCHES: [&str; 3] = ["X-Forwarded-Ssl", "Front-End-Https", "WL-Proxy-SSL"];

/// Returns the protocol that an element of Forwarded names (RFC 7239 §5.4).
fn proto_of(element: &[u8]) -> Option<&[u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let (name, value) = pair.split_at_checked(b"proto=".len())?;
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        (name.eq_ignore_ascii_case(b"proto=") && is_name(value)).then_some(value)
    })
}

/// Returns whether these bytes are the name of a protocol, which needs no quotes.
fn is_name(bytes: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_of_name)
}

/// Returns whether an element of a list is one visible word.
fn is_word(element: &[u8]) -> bool {
    element.len() <= WORD_BYTES_MAX && element.iter().all(u8::is_ascii_graphic)
}

/// A longer word of a trusted proxy is replaced.
const WORD_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &'static str, value: &'static str) -> Header<'static> {
        Header {
            name,
            value: value.as_bytes(),
        }
    }

    fn networks() -> Vec<Network> {
        let network = |address: &str, prefix_len| Network {
            address: address.parse().expect("an address"),
            prefix_len,
        };
        vec![network("10.0.0.0", 8), network("2001:db8::", 32)]
    }

    #[test]
    fn origin_is_the_right_most_untrusted() {
        for (peer, said, hoped) in [
            ("192.0.2.1", vec!["1.1.1.1"], "192.0.2.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", vec!["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", vec!["6.6.6.6, 1.1.1.1, 10.2.3.4"], "1.1.1.1"),
            ("10.0.0.1", vec!["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", vec!["1.1.1.1:4711"], "1.1.1.1"),
            ("10.0.0.1", vec!["[2001:db9::1]:4711"], "2001:db9::1"),
            ("10.0.0.1", vec!["2001:db9::1"], "2001:db9::1"),
            ("2001:db8::1", vec!["::ffff:1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.0.0.1", vec!["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", vec!["1.1.1.1, garbage, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            let fields: Vec<_> = said
                .iter()
                .map(|value| header("x-forwarded-for", value))
                .collect();
            let peer = peer.parse().expect("an address");
            let hoped: IpAddr = hoped.parse().expect("an address");
            assert_eq!(origin(peer, &fields, &networks()), hoped, "{peer} {said:?}");
        }
    }

    fn written(trust: Trust, peer: &str, fields: &[Header<'_>]) -> String {
        let arrival = ForwardingContext {
            peer: peer.parse().expect("an address"),
            trust,
            scheme: "http",
            port: 80,
            fallback_host: "",
            proxy_fields: &[],
            forwarded: OptionalField::Send,
            via: OptionalField::Omit,
            request_id: Some(request_id([0x0123_4567_89ab_cdef, 1])),
        };
        let mut out = Vec::new();
        arrival.write(fields, b"a:80", &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn nobody_but_trusted_peers_is_believed() {
        let said = [
            header("X-Forwarded-For", "1.1.1.1"),
            header("X-Forwarded-Proto", "https"),
            header("X-Forwarded-Host", "b"),
            header("X-Forwarded-Port", "443"),
            header("Forwarded", "for=1.1.1.1"),
            header("X-Request-Id", "theirs"),
        ];
        assert_eq!(
            written(Trust::Untrusted, "10.0.0.1", &said),
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n\
             X-Forwarded-Port: 80\r\nForwarded: for=10.0.0.1;host=\"a:80\";proto=http\r\n\
             X-Request-Id: 0123456789abcdef0000000000000001\r\n"
        );
        assert_eq!(
            written(Trust::Trusted, "2001:db8::1", &said),
            "X-Forwarded-For: 1.1.1.1, 2001:db8::1\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: b\r\nX-Forwarded-Port: 443\r\n\
             Forwarded: for=1.1.1.1, for=\"[2001:db8::1]\";host=\"a:80\";proto=http\r\n\
             X-Request-Id: theirs\r\n"
        );
    }

    #[test]
    fn what_a_trusted_proxy_says_is_never_turned_into_its_opposite() {
        for said in [
            &["https"][..],
            &["HTTPS"],
            &["https, https"],
            &["https", "https"],
            &["https, http"],
            &["https", "http"],
            &[", https"],
        ] {
            let fields: Vec<_> = said
                .iter()
                .map(|value| header("X-Forwarded-Proto", value))
                .collect();
            let text = written(Trust::Trusted, "10.0.0.1", &fields).to_ascii_lowercase();
            assert!(
                text.contains("x-forwarded-proto: https\r\n"),
                "{said:?}: {text}"
            );
            assert!(!text.contains("x-forwarded-port"), "{said:?}: {text}");
        }
    }

    /// Proxies have many words for it, and backends read one of them.
    #[test]
    fn what_a_trusted_proxy_says_of_the_protocol_in_other_fields_is_believed() {
        for (name, said) in [
            (
                "Forwarded",
                "for=1.1.1.1;proto=https, for=10.0.0.2;proto=http",
            ),
            ("Forwarded", "Proto=\"https\"; for=\"[2001:db9::1]:80\""),
            ("X-Forwarded-Ssl", "on"),
            ("front-end-https", "On"),
            ("WL-Proxy-SSL", "true"),
            ("X-Forwarded-Scheme", "https"),
            ("X-Scheme", "https"),
            ("X-Url-Scheme", "https"),
            ("CloudFront-Forwarded-Proto", "https"),
        ] {
            let fields = [header(name, said)];
            let text = written(Trust::Trusted, "10.0.0.1", &fields);
            assert!(
                text.contains("X-Forwarded-Proto: https\r\n") && !text.contains("-Port"),
                "{name}: {text}"
            );
            let text = written(Trust::Untrusted, "10.0.0.1", &fields);
            assert!(text.contains("X-Forwarded-Proto: http\r\n"), "{name}");
        }
        for (name, said) in [
            ("X-Forwarded-Ssl", "off"),
            ("Forwarded", "for=1.1.1.1"),
            ("Forwarded", "proto=\"a b\""),
            ("X-Scheme", ""),
        ] {
            let text = written(Trust::Trusted, "10.0.0.1", &[header(name, said)]);
            assert!(text.contains("X-Forwarded-Proto: http\r\n"), "{name}");
        }
    }

    #[test]
    fn the_first_element_of_forwarded_says_what_the_client_spoke() {
        let said = [header("X-Forwarded-Proto", "https")];
        let text = written(Trust::Trusted, "10.0.0.1", &said);
        let hoped = "Forwarded: for=10.0.0.1;host=\"a:80\";proto=https\r\n";
        assert!(text.contains(hoped), "{text}");
        let odd = [header("X-Forwarded-Proto", "a;b")];
        let text = written(Trust::Trusted, "10.0.0.1", &odd);
        assert!(text.contains(";proto=http\r\n"), "{text}");
    }

    #[test]
    fn words_that_are_none_are_replaced() {
        let said = [
            header("X-Forwarded-Proto", "a b"),
            header("X-Forwarded-Host", ","),
            header("X-Forwarded-Host", ""),
        ];
        let text = written(Trust::Trusted, "10.0.0.1", &said);
        assert!(text.contains("X-Forwarded-Proto: http\r\n"), "{text}");
        assert!(text.contains("X-Forwarded-Host: a:80\r\n"), "{text}");
    }
}
