//! RFC 9568, clause by clause, as far as logic can keep it: that we do, and that we catch a peer
//! who does not.
//!
//! Packets are literal bytes. What belongs to the host (link-layer addresses, forwarding, ARP) is
//! tested in network namespaces; the departures are listed in `logic::vrrp`. What holds for
//! any input is in `properties`.

#[path = "vrrp_rfc9568/bench.rs"]
mod bench;
#[path = "vrrp_rfc9568/properties.rs"]
mod properties;
#[path = "vrrp_rfc9568/steps.rs"]
mod steps;

use std::time::Duration;

use bench::{
    Bench, SECOND, advertises, envelope, envelope_ipv6, interval, ip, ipv4, ipv6, summed, with,
};
use evenkeel::logic::vrrp::packet::{build, parse};
use evenkeel::logic::vrrp::{
    Action, ChecksumForm, Envelope, Parameters, Preempt, Rejection, State,
};
use evenkeel::model::{Fitness, Priority};

/// From 192.0.2.1 to 224.0.0.18: VRID 51, priority 100, 1 s, 192.0.2.100; checksum with
/// pseudo-header.
const IPV4_RFC5798: [u8; 12] = [0x31, 51, 100, 1, 0, 100, 0x05, 0x72, 192, 0, 2, 100];
/// The same, checksum of the message alone.
const IPV4_RFC9568: [u8; 12] = [0x31, 51, 100, 1, 0, 100, 0xa8, 0x02, 192, 0, 2, 100];
/// From fe80::1 to ff02::12: VRID 51, priority 200, 10 ms, fe80::112:33 and 2001:db8::100.
const IPV6: [u8; 40] = [
    0x31, 51, 200, 2, 0, 1, 0x00, 0x00, //
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x12, 0, 0x33, //
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00,
];

// §5: the packet.

/// RFC 9568 §5.2: every field stands where the figure has it.
#[test]
fn advertisement_is_written_byte_for_byte() {
    let mut out = vec![0xee; 3];
    let (source, group) = (ip("192.0.2.1"), ip("224.0.0.18"));
    build(
        &ipv4(100, 100),
        source,
        group,
        ChecksumForm::Rfc5798,
        &mut out,
    );
    assert_eq!(out, IPV4_RFC5798);
    build(
        &ipv4(100, 100),
        source,
        group,
        ChecksumForm::Rfc9568,
        &mut out,
    );
    assert_eq!(out, IPV4_RFC9568);
}

/// RFC 9568 §5.2: and is read from there.
#[test]
fn advertisement_is_read_byte_for_byte() {
    assert_eq!(
        parse(&envelope(), &IPV4_RFC5798),
        Ok((ipv4(100, 100), ChecksumForm::Rfc5798))
    );
}

/// RFC 9568 §5.1.1.3, §5.1.2.3, §7.1: "A VRRP router receiving a packet with the TTL not equal to
/// 255 MUST discard the packet".
#[test]
fn packet_that_crossed_a_router_is_rejected() {
    for hop_limit in 0..255 {
        let envelope = Envelope {
            hop_limit,
            ..envelope()
        };
        assert_eq!(
            parse(&envelope, &IPV4_RFC5798),
            Err(Rejection::HopLimit),
            "{hop_limit}"
        );
    }
}

/// RFC 9568 §5.2.1, §7.1: the version MUST be 3.
#[test]
fn packet_of_another_version_is_rejected() {
    for version in (0..16).filter(|version| *version != 3) {
        let packet = with(&IPV4_RFC5798, 0, version << 4 | 1);
        assert_eq!(
            parse(&envelope(), &packet),
            Err(Rejection::Version),
            "{version}"
        );
    }
}

/// RFC 9568 §5.2.2, §7.1: "A packet with unknown type MUST be discarded."
#[test]
fn packet_of_an_unknown_type_is_rejected() {
    for kind in (0..16).filter(|kind| *kind != 1) {
        let packet = with(&IPV4_RFC5798, 0, 0x30 | kind);
        assert_eq!(parse(&envelope(), &packet), Err(Rejection::Type), "{kind}");
    }
}

/// RFC 9568 §7.1: the packet MUST be complete. One with a tail (version 2 authentication, CARP,
/// padding) is not one either.
#[test]
fn packet_of_another_length_than_its_count_says_is_rejected() {
    for len in 1..IPV4_RFC5798.len() {
        assert_eq!(
            parse(&envelope(), &IPV4_RFC5798[..len]),
            Err(Rejection::Length),
            "{len}"
        );
    }
    assert_eq!(parse(&envelope(), &[]), Err(Rejection::Length));
    let mut long = IPV4_RFC9568.to_vec();
    long.extend([0; 8]);
    assert_eq!(
        parse(&envelope(), &long),
        Err(Rejection::Length),
        "zeros do not move the sum"
    );
}

/// RFC 9568 §5.2.8, §7.1: the checksum MUST be verified.
#[test]
fn packet_with_a_flipped_bit_is_rejected() {
    for bit in 0..IPV4_RFC5798.len() * 8 {
        let at = bit / 8;
        let packet = with(&IPV4_RFC5798, at, IPV4_RFC5798[at] ^ 1 << (bit % 8));
        assert!(parse(&envelope(), &packet).is_err(), "bit {bit}");
    }
}

/// RFC 9568 §5.2.8: for IPv4 the sum covers the message alone; what RFC 5798 peers send is read as
/// well.
#[test]
fn both_readings_of_the_ipv4_checksum_are_accepted_and_told_apart() {
    let read = |packet: &[u8]| parse(&envelope(), packet).map(|(_, form)| form);
    assert_eq!(read(&IPV4_RFC9568), Ok(ChecksumForm::Rfc9568));
    assert_eq!(read(&IPV4_RFC5798), Ok(ChecksumForm::Rfc5798));
}

/// RFC 1071: a checksum of zero may arrive as all ones.
#[test]
fn both_zeros_of_the_checksum_are_accepted() {
    // 0x3133 + 0x6401 + 0x0064 + 0x6a67 is 0xffff, so that nothing is left for the checksum.
    for zero in [0x00, 0xff] {
        let packet = [0x31, 51, 100, 1, 0, 100, zero, zero, 0, 0, 0x6a, 0x67];
        let form = parse(&envelope(), &packet).map(|(_, form)| form);
        assert_eq!(form, Ok(ChecksumForm::Rfc9568), "{zero:#x}");
    }
}

/// RFC 9568 §5.2.3: 1 to 255.
#[test]
fn packet_with_vrid_zero_is_rejected() {
    assert_eq!(
        parse(&envelope(), &summed(&with(&IPV4_RFC9568, 1, 0))),
        Err(Rejection::Vrid)
    );
}

/// RFC 9568 §5.2.5, erratum 8299: a packet without addresses MUST be ignored.
#[test]
fn packet_without_addresses_is_rejected() {
    let packet = summed(&[0x31, 51, 100, 0, 0, 100, 0, 0]);
    assert_eq!(parse(&envelope(), &packet), Err(Rejection::CountZero));
}

/// RFC 9568 §5.2.6: "SHOULD be set to 0 on transmission and ignored on reception."
#[test]
fn reserved_bits_are_sent_as_zero_and_ignored() {
    let packet = summed(&with(&IPV4_RFC9568, 4, 0xf0));
    let read = parse(&envelope(), &packet).map(|(advertisement, _)| advertisement);
    assert_eq!(read, Ok(ipv4(100, 100)));
    let mut out = Vec::new();
    build(
        &ipv4(100, 4095),
        ip("192.0.2.1"),
        ip("224.0.0.18"),
        ChecksumForm::Rfc5798,
        &mut out,
    );
    assert_eq!(
        out[4..6],
        [0x0f, 0xff],
        "the longest interval leaves them alone"
    );
}

/// RFC 9568 §5.2.7, erratum 8301: the interval is 1 to 4095.
#[test]
fn packet_with_interval_zero_is_rejected() {
    for reserved in [0x00, 0xf0] {
        let packet = with(&with(&IPV4_RFC9568, 5, 0), 4, reserved);
        assert_eq!(
            parse(&envelope(), &summed(&packet)),
            Err(Rejection::IntervalZero)
        );
    }
}

/// RFC 9568 §5.2.8, RFC 8200 §8.1: the IPv6 sum covers the pseudo-header, in no other form.
#[test]
fn ipv6_advertisement_is_written_and_read_byte_for_byte() {
    let mut wire = IPV6;
    wire[6..8].copy_from_slice(&[0xda, 0x1a]);
    let mut out = Vec::new();
    build(
        &ipv6(),
        ip("fe80::1"),
        ip("ff02::12"),
        ChecksumForm::Rfc5798,
        &mut out,
    );
    assert_eq!(out, wire);
    assert_eq!(
        parse(&envelope_ipv6(), &wire),
        Ok((ipv6(), ChecksumForm::Rfc5798))
    );
    assert_eq!(
        parse(&envelope_ipv6(), &summed(&IPV6)),
        Err(Rejection::Checksum)
    );
}

/// RFC 9568 §5.2.9, erratum 8300: the first IPv6 address MUST be link-local. A departure: seen, not
/// rejected.
#[test]
fn ipv6_advertisement_that_begins_with_a_global_address_is_told() {
    let mut broken = ipv6();
    broken.addresses.reverse();
    assert!(broken.lacks_link_local() && !ipv6().lacks_link_local());
    let mut bench = Bench::backup();
    let ours = Parameters {
        addresses: ipv6().addresses,
        ..bench.router.parameters().clone()
    };
    let fitness = bench.router.fitness().clone();
    bench.router.update(bench.now, ours, fitness);
    bench
        .router
        .handle_advertisement(bench.now, ip("fe80::1"), &broken);
    assert_eq!(bench.router.counters().link_local_missing, 1);
}

/// RFC 9568 §5.2.4: 0 to 255, and each has a meaning.
#[test]
fn every_priority_crosses_the_wire() {
    let mut out = Vec::new();
    for priority in 0..=255 {
        build(
            &ipv4(priority, 100),
            ip("192.0.2.1"),
            ip("224.0.0.18"),
            ChecksumForm::Rfc5798,
            &mut out,
        );
        assert_eq!(out[2], priority);
        let read = parse(&envelope(), &out).map(|(read, _)| read.priority.get());
        assert_eq!(read, Ok(priority));
    }
}

// §6.4.1: Initialize.

/// RFC 9568 §6.4.1: the owner sends, and is Active.
#[test]
fn owner_starts_as_active() {
    let mut bench = Bench::new(255);
    bench.router.handle_startup(bench.now);
    assert_eq!(bench.actions()[0], advertises(255));
    assert!(bench.is_active());
}

/// RFC 9568 §6.4.1: everybody else waits an Active_Down_Interval of its own interval.
#[test]
fn router_that_does_not_own_starts_as_backup() {
    let mut bench = Bench::new(100);
    bench.router.handle_startup(bench.now);
    assert_eq!(
        bench.backup_timers(),
        Some((Duration::from_micros(3_609_375), interval(100)))
    );
}

/// RFC 9568 §6.4.1: nothing else leaves Initialize.
#[test]
fn router_that_was_not_started_hears_nothing() {
    let mut bench = Bench::new(100);
    bench.hear("192.0.2.9", 1);
    bench.hear("192.0.2.9", 0);
    bench.pass(3600 * SECOND);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.router.state(), State::Initialize { release_at: None });
}

// §6.4.2: Backup.

/// RFC 9568 §6.4.2: a Backup MUST NOT accept packets to, nor answer for, the addresses: it holds
/// none.
#[test]
fn backup_holds_no_addresses_and_sends_nothing() {
    let mut bench = Bench::backup();
    for _ in 0..50 {
        bench.pass(SECOND);
        bench.hear("192.0.2.9", 200);
    }
    assert_eq!(bench.actions(), []);
    assert!(!bench.router.holds_addresses());
}

/// RFC 9568 §6.4.2: Shutdown cancels the timer.
#[test]
fn backup_that_stops_is_initialize_without_a_word() {
    let mut bench = Bench::backup();
    bench.router.handle_shutdown(bench.now);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.router.poll_timeout(), None);
    assert!(bench.router.is_released());
}

/// RFC 9568 §6.4.2: when Active_Down_Timer fires: advertise, announce, Active.
#[test]
fn backup_becomes_active_at_the_microsecond() {
    let mut bench = Bench::backup();
    bench.pass(Duration::from_micros(3_609_374));
    assert!(!bench.is_active(), "not a microsecond early");
    bench.pass(Duration::from_micros(1));
    assert!(bench.is_active());
    assert_eq!(
        bench.actions()[..2],
        [advertises(100), Action::InstallAddresses]
    );
    bench.router.handle_applied(bench.now);
    assert_eq!(bench.actions()[0], Action::Announce { rounds: 5 });
    assert_eq!(
        bench.next_advertisement(),
        SECOND,
        "Adver_Timer is Advertisement_Interval"
    );
}

/// RFC 9568 §6.4.2: priority 0 sets the timer to Skew_Time, whoever sends it.
#[test]
fn backup_that_hears_priority_zero_waits_its_skew() {
    let mut bench = Bench::backup();
    bench.hear("192.0.2.9", 0);
    assert_eq!(
        bench.backup_timers(),
        Some((Duration::from_micros(609_375), interval(100)))
    );
}

/// RFC 9568 §6.4.2: an Active of at least our priority resets the timer; addresses are not
/// compared.
#[test]
fn backup_waits_for_equal_and_higher_priority() {
    for (source, priority) in [("192.0.2.1", 100), ("192.0.2.9", 100), ("192.0.2.1", 255)] {
        let mut bench = Bench::backup();
        bench.pass(2 * SECOND);
        bench.hear(source, priority);
        assert_eq!(
            bench.backup_timers(),
            Some((Duration::from_micros(3_609_375), interval(100)))
        );
    }
}

/// RFC 9568 §6.4.2: the interval is the Active's, and both timers are computed anew from it.
#[test]
fn backup_learns_the_interval_of_the_active() {
    let mut bench = Bench::backup();
    bench.hear_with("192.0.2.9", 200, 10);
    assert_eq!(
        bench.backup_timers(),
        Some((Duration::from_micros(360_937), interval(10)))
    );
    bench.hear("192.0.2.9", 0);
    bench.pass(Duration::from_micros(60_937));
    assert!(bench.is_active(), "the skew of the learned interval");
    bench.actions();
    assert_eq!(
        bench.next_advertisement(),
        SECOND,
        "an Active keeps its own"
    );
}

/// RFC 9568 §6.4.2: with Preempt_Mode a lower priority is discarded: no timer, no interval.
#[test]
fn backup_that_preempts_does_not_wait_for_lower_priority() {
    let mut bench = Bench::backup();
    bench.pass(2 * SECOND);
    bench.hear_with("192.0.2.9", 99, 10);
    assert_eq!(
        bench.backup_timers(),
        Some((Duration::from_micros(1_609_375), interval(100)))
    );
}

/// RFC 9568 §6.4.2: without Preempt_Mode it is obeyed.
#[test]
fn backup_that_does_not_preempt_waits_for_lower_priority() {
    let mut bench = Bench::with(100, Preempt::Never);
    bench.router.handle_startup(bench.now);
    bench.pass(2 * SECOND);
    bench.hear("192.0.2.9", 1);
    assert_eq!(
        bench.backup_timers(),
        Some((Duration::from_micros(3_609_375), interval(100)))
    );
}

/// A departure from RFC 9568 §6.1: Preempt_Mode does not protect an Active that says it cannot
/// serve, unless the Backup cannot either.
#[test]
fn active_that_cannot_serve_is_replaced_by_a_backup_that_can_whatever_the_mode() {
    let takes_over = |preempt, own, heard| {
        let mut bench = Bench::with(100, preempt);
        let parameters = Parameters {
            ill_max: Priority::from_wire(2),
            ..bench.router.parameters().clone()
        };
        bench.router.update(bench.now, parameters, Fitness::Unready);
        let own = Fitness::Ready(Priority::from_wire(own));
        bench.router.set_fitness(bench.now, own);
        bench.router.handle_startup(bench.now);
        for _ in 0..8 {
            bench.pass(Duration::from_millis(500));
            bench.hear("192.0.2.9", heard);
        }
        bench.is_active()
    };
    for preempt in [Preempt::Never, Preempt::After(60 * SECOND)] {
        for (own, heard, hoped) in [
            (100, 2, true),
            (100, 1, true),
            (3, 2, true),
            (100, 3, false),
            (2, 1, false),
            (1, 2, false),
        ] {
            assert_eq!(
                takes_over(preempt, own, heard),
                hoped,
                "{own} hears {heard} with {preempt:?}"
            );
        }
    }
    assert!(takes_over(Preempt::Always, 2, 1), "among the ill as ever");
}

/// RFC 9568 §6.1: the owner preempts independent of Preempt_Mode.
#[test]
fn owner_preempts_whatever_it_was_told() {
    let mut bench = Bench::with(255, Preempt::Never);
    bench.router.set_fitness(bench.now, Fitness::Unready);
    bench.router.handle_startup(bench.now);
    bench
        .router
        .set_fitness(bench.now, Fitness::Ready(Priority::OWNER));
    for _ in 0..8 {
        bench.pass(Duration::from_millis(500));
        bench.hear("192.0.2.9", 254);
    }
    assert!(bench.is_active());
}

// §6.4.3: Active.

/// RFC 9568 §6.4.3: on Shutdown an advertisement with priority 0. A departure: twice, and make
/// before break.
#[test]
fn active_that_stops_says_so() {
    let mut bench = Bench::active(100);
    bench.router.handle_shutdown(bench.now);
    assert_eq!(bench.actions()[..2], [advertises(0), advertises(0)]);
    assert_eq!(bench.router.state().name(), "Initialize");
}

/// RFC 9568 §6.4.3: Adver_Timer fires every Advertisement_Interval, and late service makes no
/// drift.
#[test]
fn active_advertises_every_interval() {
    let mut bench = Bench::active(100);
    let start = bench.now;
    for count in 1..=100 {
        let late = Duration::from_millis(7 * u64::from(count % 9));
        bench.now = start + SECOND * count + late;
        bench.router.handle_timeout(bench.now);
        let sent = bench
            .actions()
            .into_iter()
            .filter(|action| *action == advertises(100));
        assert_eq!(sent.count(), 1, "interval {count}");
        assert_eq!(
            bench.next_advertisement(),
            SECOND - late,
            "interval {count}"
        );
    }
}

/// RFC 9568 §6.4.3: priority 0 is answered at once, and the timer begins anew.
#[test]
fn active_answers_priority_zero() {
    let mut bench = Bench::active(100);
    bench.pass(Duration::from_millis(400));
    bench.actions();
    bench.hear("192.0.2.9", 0);
    assert_eq!(bench.actions(), [advertises(100)]);
    assert_eq!(bench.next_advertisement(), SECOND);
}

/// RFC 9568 §6.4.3: a higher priority, or an equal one from a greater address, makes it Backup,
/// with the interval of the new Active.
#[test]
fn active_yields_to_higher_priority_and_to_higher_address() {
    for (source, priority) in [("192.0.2.1", 101), ("192.0.2.9", 255), ("192.0.2.201", 100)] {
        let mut bench = Bench::active(100);
        bench.hear_with(source, priority, 10);
        let hoped = Some((Duration::from_micros(360_937), interval(10)));
        assert_eq!(bench.backup_timers(), hoped, "{source} with {priority}");
    }
}

/// RFC 9568 §6.4.3: addresses compare as unsigned integers in network byte order.
#[test]
fn tie_is_decided_by_unsigned_network_order() {
    // 200.0.0.0 is negative where an octet is signed; 192.0.3.0 is smaller where the bytes are
    // swapped.
    for (source, yields) in [
        ("200.0.0.0", true),
        ("192.0.3.0", true),
        ("10.255.255.255", false),
        ("192.0.1.255", false),
    ] {
        let mut bench = Bench::active(100);
        bench.hear(source, 100);
        assert_eq!(!bench.is_active(), yields, "{source} against 192.0.2.100");
    }
}

/// RFC 9568 §6.4.3: any other advertisement is discarded and answered immediately; the timer goes
/// on.
#[test]
fn active_answers_lower_priority_at_once() {
    for (source, priority) in [("192.0.2.201", 99), ("192.0.2.1", 100)] {
        let mut bench = Bench::active(100);
        bench.pass(Duration::from_millis(400));
        bench.actions();
        bench.hear(source, priority);
        assert_eq!(
            bench.actions()[0],
            advertises(100),
            "{source} with {priority}"
        );
        assert_eq!(bench.next_advertisement(), Duration::from_millis(600));
    }
}

/// RFC 9568 §6.4.3: two Actives that are equal in all would answer each other for ever; ours does
/// not.
#[test]
fn active_does_not_answer_its_own_address() {
    let mut bench = Bench::active(100);
    bench.hear("192.0.2.100", 100);
    bench.hear("192.0.2.100", 1);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.router.counters().own_source_received, 2);
}

/// RFC 9568 §7.1, erratum 8298: a second owner is detected, shown, and its packet processed.
#[test]
fn second_owner_is_told_and_obeyed_when_its_address_is_greater() {
    let mut bench = Bench::active(255);
    bench.hear("192.0.2.1", 255);
    assert!(bench.is_active());
    bench.hear("192.0.2.201", 255);
    assert!(!bench.is_active());
    assert_eq!(bench.router.counters().owner_conflicts, 2);
}

/// RFC 9568 §7.1: another interval or address list SHOULD, MAY be noticed; it never rejects.
#[test]
fn differing_interval_and_addresses_are_counted_and_obeyed() {
    let mut bench = Bench::backup();
    let mut other = ipv4(200, 50);
    other.addresses.push(ip("192.0.2.77"));
    bench
        .router
        .handle_advertisement(bench.now, ip("192.0.2.9"), &other);
    let counters = bench.router.counters();
    assert_eq!(
        (counters.interval_errors, counters.address_list_errors),
        (1, 1)
    );
    assert_eq!(
        bench.backup_timers(),
        Some((Duration::from_micros(1_804_687), interval(50)))
    );
}

/// RFC 9568 §7.1: what fails a check is discarded, and keepalived's silence of a master is not
/// ours.
#[test]
fn rejected_packets_never_move_a_timer() {
    let mut bench = Bench::active(100);
    let before = (bench.router.state(), bench.router.poll_timeout());
    for rejection in Rejection::ALL {
        bench.router.count_rejection(rejection);
    }
    assert_eq!((bench.router.state(), bench.router.poll_timeout()), before);
    assert_eq!(bench.actions(), []);
}

/// A departure for unicast peers, which the RFC does not know: as many routers as are configured
/// may lie between them, and not one more.
#[test]
fn ttl_has_room_for_the_routers_that_are_configured_and_no_more() {
    let heard = |hop_limit, routers| {
        let envelope = Envelope {
            hop_limit,
            ..envelope()
        };
        envelope.beyond_routers(routers).hop_limit == 255
    };
    for routers in 0..=254 {
        for hop_limit in 0..=255 {
            let crossed = 255 - hop_limit;
            assert_eq!(
                heard(hop_limit, routers),
                crossed <= routers,
                "{hop_limit}, {routers}"
            );
        }
    }
}
