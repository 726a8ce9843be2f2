//! The field names that mean something to a proxy, and lists of tokens.
//!
//! Names are told apart by length first, so that most fields cost one comparison at most. Pure.

/// A field that the proxy looks at, replaces or drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `Connection` (RFC 9110 §7.6.1).
    Connection,
    /// `Content-Length` (RFC 9110 §8.6).
    ContentLength,
    /// `Date` (RFC 9110 §6.6.1).
    Date,
    /// `Expect` (RFC 9110 §10.1.1).
    Expect,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `Host` (RFC 9110 §7.2).
    Host,
    /// `Keep-Alive`, of HTTP/1.0.
    KeepAlive,
    /// `Proxy`, which CGI hands on as a setting of its own.
    Proxy,
    /// `Proxy-Authenticate` (RFC 9110 §11.7.1).
    ProxyAuthenticate,
    /// `Proxy-Authorization` (RFC 9110 §11.7.2).
    ProxyAuthorization,
    /// `Proxy-Connection`, of old browsers.
    ProxyConnection,
    /// `TE` (RFC 9110 §10.1.4).
    Te,
    /// `Trailer` (RFC 9110 §6.6.2).
    Trailer,
    /// `Transfer-Encoding` (RFC 9112 §6.1).
    TransferEncoding,
    /// `Upgrade` (RFC 9110 §7.8).
    Upgrade,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// `X-Forwarded-Port`.
    XForwardedPort,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// `X-Request-Id`.
    XRequestId,
    /// Any other.
    Other,
}

impl Name {
    /// Returns which name this is, in any case of letters.
    pub fn of(name: &[u8]) -> Self {
        let candidates: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::Te)],
            4 => &[(b"host", Self::Host), (b"date", Self::Date)],
            5 => &[(b"proxy", Self::Proxy)],
            6 => &[(b"expect", Self::Expect)],
            7 => &[(b"upgrade", Self::Upgrade), (b"trailer", Self::Trailer)],
            9 => &[(b"forwarded", Self::Forwarded)],
            10 => &[
                (b"connection", Self::Connection),
                (b"keep-alive", Self::KeepAlive),
            ],
            12 => &[(b"x-request-id", Self::XRequestId)],
            14 => &[(b"content-length", Self::ContentLength)],
            15 => &[(b"x-forwarded-for", Self::XForwardedFor)],
            16 => &[
                (b"x-forwarded-host", Self::XForwardedHost),
                (b"x-forwarded-port", Self::XForwardedPort),
                (b"proxy-connection", Self::ProxyConnection),
            ],
            17 => &[
                (b"transfer-encoding", Self::TransferEncoding),
                (b"x-forwarded-proto", Self::XForwardedProto),
            ],
            18 => &[(b"proxy-authenticate", Self::ProxyAuthenticate)],
            19 => &[(b"proxy-authorization", Self::ProxyAuthorization)],
            _ => &[],
        };
        candidates
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Other, |(_, this)| *this)
    }

    /// Returns whether a Connection field cannot take this one away: it frames or routes the
    /// message, or says where or when it came from.
    pub fn is_protected(self) -> bool {
        match self {
            Self::ContentLength
            | Self::Date
            | Self::Forwarded
            | Self::Host
            | Self::Trailer
            | Self::TransferEncoding
            | Self::XForwardedFor
            | Self::XForwardedHost
            | Self::XForwardedPort
            | Self::XForwardedProto
            | Self::XRequestId => true,
            Self::Connection
            | Self::Expect
            | Self::KeepAlive
            | Self::Proxy
            | Self::ProxyAuthenticate
            | Self::ProxyAuthorization
            | Self::ProxyConnection
            | Self::Te
            | Self::Upgrade
            | Self::Other => false,
        }
    }
}

/// What a name may be taken for that is none of those that the proxy knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// For itself alone.
    Free,
    /// For what only proxies say.
    Claim,
    /// For another name.
    Disguise,
}

/// Returns what this name may be taken for. Most cost a look at two bytes and the length, besides
/// that for underscores.
#[inline]
pub fn standing(name: &[u8]) -> Standing {
    if has_underscore(name) {
        return Standing::Disguise;
    }
    if !begins_like_one_known(name) {
        return Standing::Free;
    }
    standing_of_one_alike(name)
}

/// Returns the same for a name that begins as one that is known.
fn standing_of_one_alike(name: &[u8]) -> Standing {
    match is_odd(name) {
        true if is_disguise(name) => Standing::Disguise,
        true => Standing::Free,
        false if is_claim(name) => Standing::Claim,
        false => Standing::Free,
    }
}

/// Returns whether a name has an underscore, eight bytes at a time: every field of every request is
/// asked.
#[inline]
fn has_underscore(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((chunk, more)) = rest.split_first_chunk::<8>() {
        let differing = u64::from_ne_bytes(*chunk) ^ UNDERSCORES;
        // A byte that is zero is the only one that borrows into a highest bit that is not its own;
        // above it there may be others, which do not matter.
        if differing.wrapping_sub(ONES) & !differing & (ONES << 7) != 0 {
            return true;
        }
        rest = more;
    }
    rest.contains(&b'_')
}

/// Returns whether a name begins as one does that has a hyphen and means something, whatever stands
/// in the hyphen's place.
fn begins_like_one_known(name: &[u8]) -> bool {
    let [first, second, ..] = name else {
        return false;
    };
    match (first | 0x20, second | 0x20) {
        (b'x', second) => !second.is_ascii_alphanumeric(),
        (b'c', b'o') => name.len() == 14,
        (b't', b'r') => matches!(name.len(), 14 | 17),
        (b'p', b'r') => matches!(name.len(), 16 | 18 | 19),
        (b'k', b'e') => name.len() == 10,
        (b'c', b'f' | b'l') | (b'd', b'o') | (b'f', b'a' | b'l' | b'o' | b'r') | (b'w', b'l') => {
            true
        }
        _ => false,
    }
}

/// Returns whether this name is `known`, or reads like it once every odd byte is a hyphen.
pub fn reads_like(name: &[u8], known: &[u8]) -> bool {
    let is_like = |(&byte, &known): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(&known) || known == b'-' && !PLAIN[usize::from(byte)]
    };
    name.len() == known.len() && name.iter().zip(known).all(is_like)
}

/// Returns whether a name has a byte that is neither a letter, a digit nor a hyphen.
pub fn is_odd(name: &[u8]) -> bool {
    name.iter().any(|&byte| !PLAIN[usize::from(byte)])
}

/// Returns whether a backend could take an odd name for another one: it has an underscore, or is a
/// name that the proxy writes, reads or drops once its odd bytes are hyphens, as CGI and others
/// read it.
fn is_disguise(name: &[u8]) -> bool {
    if has_underscore(name) {
        return true;
    }
    let mut plain = [0; CLAIM_BYTES_MAX];
    let Some(plain) = plain.get_mut(..name.len()) else {
        return false;
    };
    for (to, &from) in plain.iter_mut().zip(name) {
        *to = if PLAIN[usize::from(from)] { from } else { b'-' };
    }
    Name::of(plain) != Name::Other || is_claim(plain)
}

/// Returns whether a field says where a request has come from, or what was asked before it was
/// rewritten: what proxies tell servers, and nobody else may. Those that the proxy writes itself
/// are not among them.
fn is_claim(name: &[u8]) -> bool {
    let begins = |with: &[u8]| {
        name.get(..with.len())
            .is_some_and(|beginning| beginning.eq_ignore_ascii_case(with))
    };
    begins(b"x-forwarded") || CLAIMS.iter().any(|claim| claim.eq_ignore_ascii_case(name))
}

/// A one in each byte.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const UNDERSCORES: u64 = u64::from_ne_bytes([b'_'; 8]);
/// What may stand in a name that is not odd.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let known = byte as u8;
        plain[byte] = known.is_ascii_alphanumeric() || known == b'-';
        byte += 1;
    }
    plain
};

/// Besides `X-Forwarded-*`. All begin as `begins_like_one_known` knows.
const CLAIMS: [&[u8]; 38] = [
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"cf-pseudo-ipv4",
    b"cf-visitor",
    b"client-ip",
    b"cloudfront-forwarded-proto",
    b"cloudfront-viewer-address",
    b"cluster-client-ip",
    b"do-connecting-ip",
    b"fastly-client-ip",
    b"fly-client-ip",
    b"forwarded-for",
    b"forwarded-host",
    b"forwarded-proto",
    b"front-end-https",
    b"true-client-ip",
    b"wl-proxy-client-ip",
    b"wl-proxy-ssl",
    b"x-appengine-user-ip",
    b"x-arr-ssl",
    b"x-azure-clientip",
    b"x-azure-socketip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-envoy-external-address",
    b"x-host",
    b"x-http-host-override",
    b"x-nf-client-connection-ip",
    b"x-original-forwarded-for",
    b"x-original-host",
    b"x-original-url",
    b"x-proxyuser-ip",
    b"x-real-ip",
    b"x-remote-addr",
    b"x-remote-ip",
    b"x-rewrite-url",
    b"x-scheme",
    b"x-url-scheme",
];
/// A longer name is no disguise of one that is known.
const CLAIM_BYTES_MAX: usize = 64;

/// Returns the elements of a comma-separated value, without the space around them.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Returns the number that one Content-Length states: digits alone, and it fits (RFC 9110 §8.6).
pub fn length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    // Beyond this, sums of lengths and heads would overflow; no real body is so long.
    (number <= LENGTH_MAX).then_some(number)
}

/// Larger than any body.
const LENGTH_MAX: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for (name, hoped) in [
            ("Host", Name::Host),
            ("hOST", Name::Host),
            ("date", Name::Date),
            ("Content-Length", Name::ContentLength),
            ("TRANSFER-ENCODING", Name::TransferEncoding),
            ("X-Forwarded-Port", Name::XForwardedPort),
            ("X-Forwarded-Host", Name::XForwardedHost),
            ("Proxy-Connection", Name::ProxyConnection),
            ("Content_Length", Name::Other),
            ("Cookie", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(name.as_bytes()), hoped, "{name}");
        }
    }

    #[test]
    fn names_read_like_others_where_an_odd_byte_is_their_hyphen() {
        for (name, hoped) in [
            ("X-User", true),
            ("x-USER", true),
            ("X.User", true),
            ("X!User", true),
            ("X-User-", false),
            ("XxUser", false),
            ("X-Use.", false),
            ("", false),
        ] {
            assert_eq!(reads_like(name.as_bytes(), b"x-user"), hoped, "{name}");
        }
    }

    #[test]
    fn what_only_proxies_may_say_is_known_in_any_case_and_disguise() {
        for (name, claims, disguised) in [
            ("X-Real-IP", true, false),
            ("x-forwarded-prefix", true, false),
            ("X-Forwarded", true, false),
            ("X-FORWARDED-SSL", true, false),
            ("True-Client-Ip", true, false),
            ("X-Original-URL", true, false),
            ("X-Requested-With", false, false),
            ("Content-Type", false, false),
            ("Cookie", false, false),
            ("", false, false),
            ("X_Real_IP", false, true),
            ("X.Forwarded.For", false, true),
            ("X-Forwarded.Prefix", true, true),
            ("x!real~ip", false, true),
            ("Content.Length", false, true),
            ("X.Mine", false, false),
        ] {
            let bytes = name.as_bytes();
            assert_eq!(is_claim(bytes), claims, "{name}");
            assert_eq!(is_odd(bytes) && is_disguise(bytes), disguised, "{name}");
            let hoped = match (disguised, claims) {
                (true, _) => Standing::Disguise,
                (false, true) => Standing::Claim,
                (false, false) => Standing::Free,
            };
            assert_eq!(standing(bytes), hoped, "{name}");
        }
        for claim in CLAIMS {
            assert!(standing(claim) == Standing::Claim && Name::of(claim) == Name::Other);
            let dotted: Vec<u8> = claim
                .iter()
                .map(|&b| if b == b'-' { b'.' } else { b })
                .collect();
            assert_eq!(standing(&dotted), Standing::Disguise);
            assert!(claim.len() <= CLAIM_BYTES_MAX);
        }
    }

    /// The two bytes that are looked at first leave none out.
    #[test]
    fn every_known_name_with_a_hyphen_is_known_in_disguise() {
        for name in [
            "connection.",
            "content-length",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "transfer-encoding",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id",
        ] {
            let dotted = name.replace('-', ".");
            let is_known = Name::of(name.as_bytes()) != Name::Other;
            let hoped = if is_known {
                Standing::Disguise
            } else {
                Standing::Free
            };
            assert_eq!(standing(dotted.as_bytes()), hoped, "{dotted}");
        }
    }

    #[test]
    fn an_underscore_is_found_at_every_place_and_nothing_else_is_taken_for_one() {
        for len in 0..40 {
            // Bytes that differ from an underscore by one bit, or carry into it.
            for others in [b'^', b'\x60', b'a', b'-', 0, 0xff, 0xdf] {
                let mut name = vec![others; len];
                assert!(!has_underscore(&name), "{name:?}");
                for at in 0..len {
                    name[at] = b'_';
                    assert!(has_underscore(&name), "{name:?}");
                    name[at] = others;
                }
            }
        }
    }

    /// RFC 9110 §8.6: 1*DIGIT.
    #[test]
    fn lengths_follow_the_table() {
        for (digits, hoped) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("0005", Some(5)),
            ("9223372036854775807", Some(9_223_372_036_854_775_807)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("5 ", None),
            ("0x5", None),
            ("5,5", None),
            ("٥", None),
        ] {
            assert_eq!(length(digits.as_bytes()), hoped, "{digits:?}");
        }
    }
}
