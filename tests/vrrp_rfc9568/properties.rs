//! What must hold for any bytes and any sequence of events.

use std::net::IpAddr;

use evenkeel::logic::vrrp::packet::{build, parse};
use evenkeel::logic::vrrp::{Advertisement, Authentication, ChecksumForm, Envelope, packet_v2};
use evenkeel::model::{Priority, Vrid};
use proptest::prelude::*;

use super::bench::{envelope, envelope_ipv6, interval, summed};
use super::steps::live_through;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        hop_limit in prop_oneof![Just(255_u8), any::<u8>()],
        six in any::<bool>(),
    ) {
        let envelope = if six { envelope_ipv6() } else { envelope() };
        let _ = parse(&Envelope { hop_limit, ..envelope }, &message);
        // With a right beginning and sum it comes further.
        let mut nearly = message;
        if let Some(first) = nearly.first_mut() {
            *first = 0x31;
        }
        if nearly.len() >= 8 {
            let _ = parse(&envelope, &summed(&nearly));
            nearly[0] = 0x21;
            let seconds = interval(u16::from(nearly[5] % 40 + 1) * 100);
            let _ = packet_v2::parse(&envelope, &summed(&nearly), seconds, Authentication::None);
        }
    }

    #[test]
    fn advertisements_survive_the_wire(
        vrid in 1..=255_u8,
        priority in any::<u8>(),
        centiseconds in 1..=4095_u16,
        tails in proptest::collection::vec(any::<u32>(), 1..=255),
        six in any::<bool>(),
        bare in any::<bool>(),
    ) {
        let form = if bare { ChecksumForm::Rfc9568 } else { ChecksumForm::Rfc5798 };
        let envelope = if six { envelope_ipv6() } else { envelope() };
        let addresses = tails.into_iter().map(|tail| {
            if six { IpAddr::from((u128::from(tail) << 7).to_be_bytes()) } else { IpAddr::from(tail.to_be_bytes()) }
        });
        let advertisement = Advertisement {
            vrid: Vrid::new(vrid).expect("not 0"),
            priority: Priority::from_wire(priority),
            interval: interval(centiseconds),
            addresses: addresses.collect(),
        };
        let mut wire = Vec::new();
        build(&advertisement, envelope.source, envelope.destination, form, &mut wire);
        let parsed = parse(&envelope, &wire);
        // IPv6 has one form; and once in 65,535 both forms of IPv4 fit.
        let told = parsed.as_ref().map_or(form, |(_, told)| *told);
        prop_assert!(told == form || told == ChecksumForm::Rfc5798);
        prop_assert_eq!(parsed, Ok((advertisement, told)));
    }

    #[test]
    fn advertisements_of_version_2_survive_the_wire(
        vrid in 1..=255_u8,
        priority in any::<u8>(),
        seconds in 1..=40_u16,
        tails in proptest::collection::vec(any::<u32>(), 1..=255),
        password in proptest::option::of("[!-~]{1,8}"),
    ) {
        let authentication = password.map_or(Authentication::None, |password| {
            Authentication::password(&password).expect("one to eight bytes")
        });
        let advertisement = Advertisement {
            vrid: Vrid::new(vrid).expect("not 0"),
            priority: Priority::from_wire(priority),
            interval: interval(seconds * 100),
            addresses: tails.into_iter().map(|tail| IpAddr::from(tail.to_be_bytes())).collect(),
        };
        let mut wire = Vec::new();
        packet_v2::build(&advertisement, authentication, &mut wire);
        let parsed = packet_v2::parse(&envelope(), &wire, advertisement.interval, authentication);
        prop_assert_eq!(parsed, Ok(advertisement.clone()));
        // One changed bit is noticed: a sum of 16-bit words sees every one.
        for at in [0, 3, 5, 8, wire.len() - 1] {
            let mut changed = wire.clone();
            changed[at] ^= 1 << (priority % 8);
            let parsed = packet_v2::parse(&envelope(), &changed, advertisement.interval, authentication);
            prop_assert!(parsed.is_err(), "byte {} was changed", at);
        }
    }

    #[test]
    fn no_sequence_of_events_breaks_the_router(
        bytes in proptest::collection::vec(any::<u8>(), 8..500),
    ) {
        live_through(&bytes);
    }
}
