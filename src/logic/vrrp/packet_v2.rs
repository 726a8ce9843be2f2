//! The codec of an advertisement, version 2 (RFC 3768 §5.1), and the checks of §7.1.
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------+-------+---------------+---------------+---------------+
//!  |Version| Type  |     VRID      |   Priority    |  Addr Count   |
//!  +-------+-------+---------------+---------------+---------------+
//!  |   Auth Type   |   Adver Int   |           Checksum            |
//!  +---------------+---------------+-------------------------------+
//!  |               Addr Count addresses of 4 bytes                 |
//!  +---------------------------------------------------------------+
//!  |             Authentication Data, always 8 bytes               |
//!  +---------------------------------------------------------------+
//! ```
//!
//! IPv4 only, whole seconds, a checksum without a pseudo-header. Both ends must agree on the
//! interval and on the authentication, so the checks are told ours. The password is no protection:
//! it travels in the clear, and serves to keep routers of different make apart, as RFC 2338 §10.2
//! meant it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use etherparse::checksum::Sum16BitWords;

use super::packet::{Advertisement, Envelope, Rejection, TYPE_ADVERTISEMENT, check_beginning};
use crate::model::{AdverInterval, Priority, Vrid};

/// What a version 2 router puts into, and expects in, the authentication data.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Type 0 (RFC 3768 §5.3.6): eight zeros are sent, and not looked at.
    #[default]
    None,
    /// Type 1 of RFC 2338 §5.3.6.1, which keepalived calls PASS: at most eight bytes, filled with
    /// zeros.
    Password([u8; DATA_LEN]),
}

impl Authentication {
    /// Returns the simple password, or `None` if it is empty or longer than eight bytes.
    pub fn password(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut data = [0; DATA_LEN];
        data.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(Self::Password(data))
    }

    const fn kind(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password(_) => 1,
        }
    }

    const fn data(self) -> [u8; DATA_LEN] {
        match self {
            Self::None => [0; DATA_LEN],
            Self::Password(data) => data,
        }
    }
}

/// A password is not shown, not even to those who debug.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password(..)",
        })
    }
}

/// Reads the VRRP message (after the IP header) in the order of RFC 3768 §7.1.
///
/// `interval` and `authentication` are ours; a peer that has others is not of our virtual router.
///
/// # Errors
/// The first check that it fails.
pub fn parse(
    envelope: &Envelope,
    message: &[u8],
    interval: AdverInterval,
    authentication: Authentication,
) -> Result<Advertisement, Rejection> {
    check_beginning(envelope, message, VERSION)?;
    let (header, rest) = message
        .split_first_chunk::<HEADER_LEN>()
        .ok_or(Rejection::Length)?;
    let (addresses, data) = rest
        .split_last_chunk::<DATA_LEN>()
        .ok_or(Rejection::Length)?;
    let [_, vrid, priority, count, kind, seconds, _, _] = *header;
    if addresses.len() != usize::from(count) * ADDRESS_LEN {
        return Err(Rejection::Length);
    }
    if Sum16BitWords::new().add_slice(message).ones_complement() != 0 {
        return Err(Rejection::Checksum);
    }
    let vrid = Vrid::new(vrid).ok_or(Rejection::Vrid)?;
    if kind != authentication.kind() {
        return Err(Rejection::AuthenticationType);
    }
    if authentication != Authentication::None && !equal(data, &authentication.data()) {
        return Err(Rejection::AuthenticationData);
    }
    if count == 0 {
        return Err(Rejection::CountZero);
    }
    if u16::from(seconds) * CENTISECONDS != interval.centiseconds() {
        return Err(Rejection::IntervalMismatch);
    }
    let octets = addresses.as_chunks::<ADDRESS_LEN>().0.iter();
    Ok(Advertisement {
        vrid,
        priority: Priority::from_wire(priority),
        interval,
        addresses: octets
            .map(|octets| IpAddr::V4(Ipv4Addr::from(*octets)))
            .collect(),
    })
}

/// Writes the VRRP message with its checksum. `out` is emptied first; addresses of IPv6 are left
/// out.
pub fn build(advertisement: &Advertisement, authentication: Authentication, out: &mut Vec<u8>) {
    let seconds = advertisement.interval.centiseconds() / CENTISECONDS;
    out.clear();
    out.extend_from_slice(&[
        VERSION << 4 | TYPE_ADVERTISEMENT,
        advertisement.vrid.get(),
        advertisement.priority.get(),
        0,
        authentication.kind(),
        u8::try_from(seconds).unwrap_or(u8::MAX).max(1),
        0,
        0,
    ]);
    let mut count = 0_u8;
    for address in advertisement.addresses.iter().take(usize::from(u8::MAX)) {
        if let IpAddr::V4(address) = address {
            out.extend_from_slice(&address.octets());
            count += 1;
        }
    }
    out.extend_from_slice(&authentication.data());
    out[COUNT_AT] = count;
    let checksum = Sum16BitWords::new()
        .add_slice(out)
        .ones_complement()
        .to_ne_bytes();
    out[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum);
}

/// Compares without leaving off at the first difference, so that the time tells nothing of the
/// password.
fn equal(one: &[u8; DATA_LEN], other: &[u8; DATA_LEN]) -> bool {
    one.iter()
        .zip(other)
        .fold(0, |differs, (a, b)| differs | (a ^ b))
        == 0
}

const VERSION: u8 = 2;
const HEADER_LEN: usize = 8;
const ADDRESS_LEN: usize = 4;
/// The authentication data, present whatever the type (RFC 3768 §5.3.10).
const DATA_LEN: usize = 8;
const COUNT_AT: usize = 3;
const CHECKSUM_AT: usize = 6;
/// Of a second.
const CENTISECONDS: u16 = 100;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::logic::vrrp::packet::{HOP_LIMIT, is_carp};

    /// What keepalived 2.2.7 sends for VRID 51, priority 100, 1 s, one address, without
    /// authentication.
    const KEEPALIVED: [u8; 20] = [
        0x21, 51, 100, 1, 0, 1, 0x70, 0x5d, 10, 9, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    const SECOND: AdverInterval = AdverInterval::DEFAULT;

    fn envelope() -> Envelope {
        Envelope {
            source: [10, 9, 0, 2].into(),
            destination: [224, 0, 0, 18].into(),
            hop_limit: HOP_LIMIT,
        }
    }

    fn advertisement() -> Advertisement {
        Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::DEFAULT,
            interval: SECOND,
            addresses: vec![[10, 9, 0, 100].into()],
        }
    }

    fn parsed(message: &[u8], authentication: Authentication) -> Result<Advertisement, Rejection> {
        parse(&envelope(), message, SECOND, authentication)
    }

    /// RFC 3768 §5.1.
    #[test]
    fn message_is_byte_for_byte_what_keepalived_sends() {
        let mut out = Vec::new();
        build(&advertisement(), Authentication::None, &mut out);
        assert_eq!(out, KEEPALIVED);
        assert_eq!(
            parsed(&KEEPALIVED, Authentication::None),
            Ok(advertisement())
        );
    }

    /// RFC 3768 §5.3.7: a byte of seconds.
    #[test]
    fn every_interval_of_a_byte_crosses_the_wire() {
        let mut out = Vec::new();
        for seconds in 1..=u8::MAX {
            let interval = AdverInterval::from_seconds(seconds).unwrap();
            let sent = Advertisement {
                interval,
                ..advertisement()
            };
            build(&sent, Authentication::None, &mut out);
            assert_eq!(out[5], seconds, "as it is written");
            let heard = parse(&envelope(), &out, interval, Authentication::None);
            assert_eq!(heard, Ok(sent), "and read");
        }
        assert_eq!(AdverInterval::from_seconds(0), None);
    }

    /// RFC 2338 §5.3.6.1, RFC 3768 §7.1.
    #[test]
    fn password_must_be_ours_and_so_must_be_its_absence() {
        let ours = Authentication::password("s3cret").unwrap();
        let mut out = Vec::new();
        build(&advertisement(), ours, &mut out);
        assert_eq!((out[4], &out[12..]), (1, &b"s3cret\0\0"[..]));
        assert_eq!(parsed(&out, ours), Ok(advertisement()));
        let other = Authentication::password("secret").unwrap();
        assert_eq!(parsed(&out, other), Err(Rejection::AuthenticationData));
        assert_eq!(
            parsed(&out, Authentication::None),
            Err(Rejection::AuthenticationType)
        );
        assert_eq!(
            parsed(&KEEPALIVED, ours),
            Err(Rejection::AuthenticationType)
        );
        assert_eq!(format!("{ours:?}"), "Password(..)", "it is shown to nobody");
    }

    #[test]
    fn password_has_one_to_eight_bytes() {
        assert!(Authentication::password("").is_none());
        assert!(Authentication::password("12345678").is_some());
        assert!(Authentication::password("123456789").is_none());
    }

    /// RFC 3768 §7.1: each MUST, broken by a peer.
    #[test]
    fn broken_messages_are_refused_with_their_reason() {
        let fixed = |change: fn(&mut Vec<u8>)| {
            let mut message = KEEPALIVED.to_vec();
            change(&mut message);
            message[6] = 0;
            message[7] = 0;
            let sum = Sum16BitWords::new()
                .add_slice(&message)
                .ones_complement()
                .to_ne_bytes();
            message[6..8].copy_from_slice(&sum);
            parsed(&message, Authentication::None)
        };
        assert_eq!(fixed(|m| m[0] = 0x31), Err(Rejection::Version));
        assert_eq!(fixed(|m| m[0] = 0x22), Err(Rejection::Type));
        assert_eq!(fixed(|m| m[1] = 0), Err(Rejection::Vrid));
        assert_eq!(fixed(|m| m[3] = 2), Err(Rejection::Length));
        assert_eq!(fixed(|m| m[5] = 2), Err(Rejection::IntervalMismatch));
        assert_eq!(fixed(|m| m.truncate(12)), Err(Rejection::Length));
        assert_eq!(
            fixed(|m| {
                m[3] = 0;
                m.drain(8..12);
            }),
            Err(Rejection::CountZero)
        );
        let mut wrong = KEEPALIVED;
        wrong[7] ^= 1;
        assert_eq!(
            parsed(&wrong, Authentication::None),
            Err(Rejection::Checksum)
        );
        let far = Envelope {
            hop_limit: 254,
            ..envelope()
        };
        let refused = parse(&far, &KEEPALIVED, SECOND, Authentication::None);
        assert_eq!(refused, Err(Rejection::HopLimit));
    }

    /// A CARP advertisement shares protocol, group and first byte; it must end as an error of its
    /// own.
    #[test]
    fn carp_is_known_and_no_advertisement() {
        let mut carp = [0_u8; 36];
        carp[..4].copy_from_slice(&[0x21, 1, 0, 7]);
        assert_eq!(parsed(&carp, Authentication::None), Err(Rejection::Length));
        assert!(is_carp(&carp), "it is known for what it is");
        let seven_addresses = [&carp[..], &[0; 8]].concat();
        assert!(!is_carp(&seven_addresses), "seven addresses are longer");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(message in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = parsed(&message, Authentication::None);
        }
    }
}
