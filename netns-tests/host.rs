//! The system side of the vrrp process against the real kernel: sockets, addresses as leases,
//! silence, adoption.
//!
//! Each test makes its own network namespaces on threads of its own, joined by a veth pair, and
//! runs the protocol loop in them with a supervisor that is only a queue. Needs root, or a user
//! namespace's.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod claims;
mod daemon;
mod links;
mod namespace;
mod reload;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel::config::{ConfigErrors, VirtualRouterConfig};
use evenkeel::ipc::message::{Overrides, SocketKey, ToVrrp};
use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::{AdverInterval, Family, Priority, RouterName, VirtualAddress, Vrid};
use evenkeel::process::vrrp::host::{
    Acceptance, Command, Event, Host, Leftovers, Ownership, RouterSpec, What,
};
use evenkeel::process::vrrp::link::socket::VrrpSocket;
use evenkeel::process::vrrp::routers::{RouterId, Routers};

use daemon::Daemon;
use namespace::Pair;

#[test]
fn the_higher_priority_becomes_active_and_holds_the_addresses() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    let two = Daemon::start(&pair.two, 100);
    for family in FAMILIES {
        one.wait_for(family, "Active");
        two.wait_for(family, "Backup");
    }
    pair.one.wait_for_address(VIRTUAL_V4, true);
    pair.one.wait_for_address(VIRTUAL_V6, true);
    assert!(
        !pair.two.has(VIRTUAL_V4),
        "the Backup does not have the address"
    );
    wait("the Backup to hear its peer", || {
        two.status().iter().all(|router| router.peers.len() == 1)
    });
    let status = two.status();
    let peer = &status[0].peers[0];
    assert_eq!(
        peer.address,
        IpAddr::from([192, 0, 2, 1]),
        "the Backup knows its peer"
    );
    assert_eq!(
        (peer.priority, peer.checksum.as_str()),
        (150, "rfc5798"),
        "and what it said"
    );
    for router in &status {
        assert_eq!(router.rejected.len(), 0, "nothing was rejected");
        assert_eq!(
            router.counters["active_transitions"], 0,
            "it was never Active"
        );
    }
    pair.two.wait_for_refusal(VIRTUAL_V4);
    pair.two.wait_for_refusal(VIRTUAL_V6);
}

#[test]
fn a_graceful_stop_hands_the_addresses_over() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    let two = Daemon::start(&pair.two, 100);
    for family in FAMILIES {
        one.wait_for(family, "Active");
        two.wait_for(family, "Backup");
    }
    one.say(ToVrrp::Stop { hold_ms: 0 });
    let stopped_at = Instant::now();
    for family in FAMILIES {
        two.wait_for(family, "Active");
    }
    assert!(
        stopped_at.elapsed() < Duration::from_millis(300),
        "priority 0 shortens the wait"
    );
    one.wait_until_stopped();
    assert!(
        !pair.one.has(VIRTUAL_V4),
        "the addresses are gone when the process says Stopped"
    );
    assert!(!pair.one.has(VIRTUAL_V6), "the same for IPv6");
    pair.two.wait_for_address(VIRTUAL_V4, true);
}

#[test]
fn losing_the_supervisor_gives_the_addresses_up() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    one.wait_for(Family::Ipv4, "Active");
    pair.one.wait_for_address(VIRTUAL_V4, true);
    one.abandon();
    assert!(
        !pair.one.has(VIRTUAL_V4),
        "nobody watches over the address, so it is not there"
    );
}

#[test]
fn an_address_that_somebody_removes_is_put_back_without_a_transition() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    for family in FAMILIES {
        one.wait_for(family, "Active");
    }
    for (address, len) in [(VIRTUAL_V4, 32), (VIRTUAL_V6, 128)] {
        pair.one.wait_for_address(address, true);
        let removed_at = Instant::now();
        pair.one
            .ip(&["addr", "del", &format!("{address}/{len}"), "dev", "eth0"]);
        pair.one.wait_for_address(address, true);
        assert!(
            removed_at.elapsed() < Duration::from_millis(200),
            "{address} is back at once"
        );
    }
    let status = one.status();
    for router in &status {
        assert_eq!(router.state, "Active", "its role did not change");
        assert_eq!(
            router.counters["active_transitions"], 1,
            "not even for a moment"
        );
        assert_eq!(router.counters["addresses_put_back"], 1, "it was counted");
    }
}

#[test]
fn a_link_that_goes_down_and_is_made_again_is_noticed() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    one.wait_for(Family::Ipv4, "Active");
    pair.two.ip(&["link", "set", "eth0", "down"]);
    one.wait_for(Family::Ipv4, "Initialize");
    pair.two.ip(&["link", "set", "eth0", "up"]);
    one.wait_for(Family::Ipv4, "Active");
    pair.one.ip(&["link", "del", "eth0"]);
    one.wait_for(Family::Ipv4, "Initialize");
    pair.join();
    one.wait_for(Family::Ipv4, "Active");
    one.wait_for(Family::Ipv6, "Active");
    let two = Daemon::start(&pair.two, 100);
    two.wait_for(Family::Ipv4, "Backup");
    assert_eq!(
        two.status()[0].state,
        "Backup",
        "the new socket of the other node sends"
    );
}

#[test]
fn the_kernel_ends_a_lease_that_nobody_renews() {
    let pair = Pair::new();
    let host = pair
        .one
        .run(|| Host::start(specs(Leftovers::Remove), Vec::new(), Vec::new()).unwrap());
    for router in 0..2 {
        host.command(command(router, 1, What::Install(LEASE)))
            .unwrap();
    }
    let installed_at = Instant::now();
    wait_for_event(
        &host,
        |event| matches!(event, Event::Applied(answer) if answer.router == router(1)),
    );
    assert!(
        pair.one.has(VIRTUAL_V4) && pair.one.has(VIRTUAL_V6),
        "both are there"
    );
    pair.one.wait_for_address(VIRTUAL_V4, false);
    pair.one.wait_for_address(VIRTUAL_V6, false);
    let lived = installed_at.elapsed();
    assert!(
        lived >= LEASE - Duration::from_millis(100),
        "they lived for the lease: {lived:?}"
    );
    assert!(
        lived < LEASE + Duration::from_millis(500),
        "and not much longer: {lived:?}"
    );
}

#[test]
fn a_silent_address_serves_those_who_know_it_and_answers_nobody_else() {
    let pair = Pair::new();
    let mut host = pair
        .one
        .run(|| Host::start(specs(Leftovers::Remove), Vec::new(), Vec::new()).unwrap());
    for (router, address) in [(0, VIRTUAL_V4), (1, VIRTUAL_V6)] {
        host.command(command(router, 1, What::Install(Duration::from_secs(60))))
            .unwrap();
        wait_for_event(&host, |event| matches!(event, Event::Applied(_)));
        pair.two.wait_for_refusal(address);
        host.command(command(router, 2, What::Suppress)).unwrap();
        host.command(command(router, 2, What::Renew(Duration::from_secs(60))))
            .unwrap();
        wait_for_event(&host, |event| matches!(event, Event::Renewed(_)));
        assert_eq!(
            pair.two.knock(address),
            Some(libc::ECONNREFUSED),
            "{address} is known there"
        );
        pair.two.ip(&["neigh", "flush", "all"]);
        pair.two
            .ip(&["neigh", "del", &address.to_string(), "dev", "eth0"]);
        assert_ne!(
            pair.two.knock(address),
            Some(libc::ECONNREFUSED),
            "{address} is not resolved"
        );
        host.command(command(router, 3, What::Install(Duration::from_secs(60))))
            .unwrap();
        wait_for_event(&host, |event| matches!(event, Event::Applied(_)));
        pair.two.wait_for_refusal(address);
    }
    host.close();
    let ended = host.wait_for_end(Duration::from_secs(1));
    assert_eq!(ended, Some(Ok(())), "it ends when it is told to");
    assert!(
        !pair.one.has(VIRTUAL_V4),
        "the end of the thread takes all away"
    );
}

#[test]
fn an_address_of_a_former_run_is_removed_at_the_start() {
    let pair = Pair::new();
    let former = IpAddr::from([192, 0, 2, 77]);
    let addresses = [VirtualAddress {
        address: former,
        prefix_len: 24,
    }]
    .into();
    let spec = RouterSpec {
        interface: "eth0".into(),
        addresses,
        virtual_mac: None,
        peers: [].into(),
        address_interface: "eth0".into(),
        ownership: Ownership::Lease,
        acceptance: Acceptance::Accept,
        leftovers: Leftovers::Remove,
    };
    let before = pair
        .one
        .run(|| Host::start(Routers::first(vec![spec]), Vec::new(), Vec::new()).unwrap());
    before
        .command(command(0, 1, What::Install(Duration::from_secs(60))))
        .unwrap();
    wait_for_event(&before, |event| matches!(event, Event::Applied(_)));
    assert!(pair.one.has(former), "it was installed");
    let host = pair
        .one
        .run(|| Host::start(specs(Leftovers::Remove), Vec::new(), Vec::new()).unwrap());
    wait_for_event(&host, |event| matches!(event, Event::Surveyed(_)));
    assert!(!pair.one.has(former), "a former run's address is gone");
}

#[test]
fn five_hundred_addresses_are_installed_at_once() {
    let pair = Pair::new();
    let addresses = (0..500_u16).map(|number| VirtualAddress {
        address: IpAddr::from([10, 9, (number >> 8) as u8, number as u8]),
        prefix_len: 16,
    });
    let interface = "eth0".to_owned();
    let spec = RouterSpec {
        interface,
        addresses: addresses.collect(),
        virtual_mac: None,
        peers: [].into(),
        address_interface: "eth0".into(),
        ownership: Ownership::Lease,
        acceptance: Acceptance::Accept,
        leftovers: Leftovers::Remove,
    };
    let host = pair
        .one
        .run(|| Host::start(Routers::first(vec![spec]), Vec::new(), Vec::new()).unwrap());
    wait_for_event(&host, |event| matches!(event, Event::Surveyed(_)));
    let asked_at = Instant::now();
    host.command(command(0, 1, What::Install(LEASE))).unwrap();
    wait_for_event(&host, |event| matches!(event, Event::Applied(_)));
    let took = asked_at.elapsed();
    println!("500 addresses in {took:?}");
    assert!(took < Duration::from_millis(250), "they took {took:?}");
}

#[test]
fn a_new_process_adopts_the_role_and_the_sockets_of_the_one_before() {
    let pair = Pair::new();
    let mut one = Daemon::start(&pair.one, 150);
    let two = Daemon::start(&pair.two, 100);
    for family in FAMILIES {
        one.wait_for(family, "Active");
        two.wait_for(family, "Backup");
    }
    pair.one.wait_for_address(VIRTUAL_V4, true);
    pair.one.wait_for_address(VIRTUAL_V6, true);
    one.wait_for_beat(2);
    let (keys, kept) = one.kept();
    let adopt = one.roles();
    // It neither sends nor removes anything any more, as if it had been killed.
    one.freeze();
    let again = Daemon::start_after(&pair.one, 150, Some((keys, kept)), adopt);
    for family in FAMILIES {
        again.wait_for(family, "Active");
    }
    let status = again.status();
    assert_eq!(
        status[0].cause, "adopted from the process before",
        "it took the role over"
    );
    assert_eq!(
        status[1].cause, "adopted from the process before",
        "the same for IPv6"
    );
    let peer = two.status();
    assert_eq!(
        peer[0].counters["active_transitions"], 0,
        "the Backup noticed nothing"
    );
    one.thaw();
}

/// Behaviour 9: who wakes later than its peers wait is a Backup before it does anything else.
#[test]
fn an_active_that_slept_is_a_backup_when_it_wakes() {
    let pair = Pair::new();
    let mut one = Daemon::start(&pair.one, 150);
    let two = Daemon::start(&pair.two, 100);
    for family in FAMILIES {
        one.wait_for(family, "Active");
        two.wait_for(family, "Backup");
    }
    pair.one.wait_for_address(VIRTUAL_V4, true);
    one.freeze();
    for family in FAMILIES {
        two.wait_for(family, "Active");
    }
    one.thaw();
    pair.one.wait_for_address(VIRTUAL_V4, false);
    let status = &one.status()[0];
    assert_eq!(status.counters["stalls"], 1, "it noticed");
    // It has the higher priority, so it comes back, but as any Backup does.
    one.wait_for(Family::Ipv4, "Active");
    assert_eq!(
        one.status()[0].cause,
        "the Active has a lower priority",
        "it preempts"
    );
}

#[test]
fn rejected_packets_are_counted_by_reason_and_change_nothing() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 100);
    one.wait_for(Family::Ipv4, "Active");
    pair.two.run(|| {
        let ifindex = nix::net::if_::if_nametoindex("eth0").unwrap();
        let key = SocketKey {
            interface: "eth0".into(),
            ifindex,
            family: Family::Ipv4,
        };
        let mut socket = VrrpSocket::open(key).unwrap();
        let source = IpAddr::from([192, 0, 2, 2]);
        let of_another_router = [0x31, 9, 254, 1, 0, 10, 0, 0, 192, 0, 2, 100];
        let with_a_wrong_checksum = [0x31, 51, 254, 1, 0, 10, 0, 0, 192, 0, 2, 100];
        let of_version_2 = [
            0x21, 51, 254, 1, 0, 1, 0, 0, 192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let mut carp = [0; 36];
        carp[..4].copy_from_slice(&[0x21, 51, 0, 7]);
        let packets: [&[u8]; 5] = [
            &carp,
            &of_another_router,
            &with_a_wrong_checksum,
            &of_version_2,
            &[0x31],
        ];
        for packet in packets {
            socket.send(source, socket.group(), packet).unwrap();
        }
    });
    wait("all to be counted", || {
        one.status()[0].rejected.values().sum::<u64>() == 5
    });
    let status = &one.status()[0];
    let rejected: Vec<(&str, u64)> = status
        .rejected
        .iter()
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect();
    let expected = ["carp", "checksum", "length", "version", "vrid"].map(|reason| (reason, 1));
    assert_eq!(rejected, expected, "each for its reason");
    let last = status.last_rejected.as_ref().unwrap();
    assert_eq!(last.source, IpAddr::from([192, 0, 2, 2]), "with its source");
    assert_eq!(
        (status.state.as_str(), status.peers.len()),
        ("Active", 0),
        "nothing else happened"
    );
}

const VIRTUAL_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));
const VIRTUAL_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100));
const VIRTUAL_LINK_LOCAL: IpAddr =
    IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x112, 0x33));
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];
const LEASE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// The virtual routers `web/ipv4` and `web/ipv6` with an interval of 100 ms.
fn routers(priority: u8) -> Vec<VirtualRouterConfig> {
    FAMILIES
        .map(|family| VirtualRouterConfig {
            name: RouterName {
                entry: "web".into(),
                family,
            },
            interface: "eth0".into(),
            vrid: Vrid::new(51).unwrap(),
            version: evenkeel::model::Version::V3,
            notify: Vec::new(),
            track: evenkeel::config::TrackConfig::default(),
            peers: Vec::new(),
            peer_hops: 0,
            address_interface: "eth0".into(),
            checksum: evenkeel::config::ChecksumForm::Rfc5798,
            authentication: evenkeel::config::Authentication::None,
            priority: Priority::new(priority).unwrap(),
            rank: evenkeel::model::Rank::alone(Priority::new(priority).unwrap()),
            priorities: std::collections::BTreeMap::new(),
            addresses: addresses(family),
            advertisement_interval: AdverInterval::from_centiseconds(10).unwrap(),
            preempt: Preempt::Always,
            lease: LEASE,
            link: evenkeel::config::LinkRules::default(),
            sync_group: "web".into(),
            down_multiplier: 3,
            announcements: evenkeel::config::AnnouncementPlan::default(),
            announcement_pace: Duration::ZERO,
            accept: true,
            virtual_mac: false,
        })
        .into()
}

fn addresses(family: Family) -> Vec<VirtualAddress> {
    match family {
        Family::Ipv4 => vec![VirtualAddress {
            address: VIRTUAL_V4,
            prefix_len: 24,
        }],
        Family::Ipv6 => vec![
            VirtualAddress {
                address: VIRTUAL_LINK_LOCAL,
                prefix_len: 64,
            },
            VirtualAddress {
                address: VIRTUAL_V6,
                prefix_len: 64,
            },
        ],
    }
}

/// The text of the "configuration" of these tests is the priority.
fn read_config(
    text: &str,
    _node: &str,
    _overrides: &Overrides,
) -> Result<Vec<VirtualRouterConfig>, ConfigErrors> {
    Ok(routers(text.parse().unwrap()))
}

fn specs(leftovers: Leftovers) -> Routers<RouterSpec> {
    let specs = FAMILIES.map(|family| RouterSpec {
        interface: "eth0".into(),
        addresses: addresses(family).into(),
        virtual_mac: None,
        peers: [].into(),
        address_interface: "eth0".into(),
        ownership: Ownership::Lease,
        acceptance: Acceptance::Accept,
        leftovers,
    });
    Routers::first(specs.into())
}

/// Returns the virtual router in this place, among those of `specs`.
fn router(place: usize) -> RouterId {
    Routers::first(vec![(); FAMILIES.len()]).ids()[place]
}

fn command(place: usize, generation: u64, what: What) -> Command {
    Command {
        router: router(place),
        generation,
        not_after: Instant::now() + PATIENCE,
        what,
    }
}

fn wait_for_event(host: &Host, wanted: impl Fn(&Event) -> bool) {
    wait("an event of the host thread", || {
        std::iter::from_fn(|| host.event()).any(|event| {
            assert!(
                !matches!(event, Event::ApplyFailed(..) | Event::Ended(_)),
                "{event:?}"
            );
            wanted(&event)
        })
    });
}

fn wait(what: &str, mut arrived: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !arrived() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
