//! Packets that only pretend to come from a peer. One of them makes keepalived's default give its
//! addresses up for minutes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::netlink;
use evenkeel::lab::pair::is_all;
use evenkeel::logic::vrrp::{Advertisement, ChecksumForm, packet};
use evenkeel::model::{AdverInterval, Priority, Vrid};
use socket2::{Domain, Protocol, Socket, Type};

use super::cell::{self, V4};
use super::nodes::{Link, Rank, Side};

#[test]
fn forged_unicast_packets_have_no_effect() {
    let cells = cell::all();
    let unicast = cells
        .iter()
        .find(|cell| cell.name == "v3 unicast, 2 nodes")
        .unwrap();
    let mut link = Link::new(unicast);
    link.start(Side::Ours, Rank::of(100));
    let ours = link.ours();
    ours.wait_for("Active", PATIENCE, |status| is_all(status, "Active"))
        .unwrap();
    // From an address that is no peer; by multicast from one that is; from one that is, but from
    // beyond a router.
    for (source, to, ttl) in [
        ("192.0.2.9", "192.0.2.1", 255),
        ("192.0.2.2", "224.0.0.18", 255),
        ("192.0.2.2", "192.0.2.1", 40),
    ] {
        send(&link.hosts[1], source, to, ttl);
    }
    let ours = link.ours();
    ours.wait_for("three refusals", PATIENCE, |status| {
        let rejected = &status.virtual_routers[0].rejected;
        ["peer", "destination", "hop_limit"]
            .iter()
            .all(|reason| rejected.get(*reason) == Some(&1))
    })
    .unwrap();
    let router = &ours.status().unwrap().virtual_routers[0];
    assert_eq!(
        (router.state.as_str(), router.counters["active_transitions"]),
        ("Active", 1),
        "nothing else happened"
    );
}

/// Sends the most harmful advertisement there is: the owner's, with the longest interval.
fn send(host: &Host, source: &str, to: &str, ttl: u32) {
    let (from, to): (IpAddr, IpAddr) = (source.parse().unwrap(), to.parse().unwrap());
    let forged = Advertisement {
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::OWNER,
        interval: AdverInterval::MAX,
        addresses: vec![V4.parse().unwrap()],
    };
    let mut message = Vec::new();
    packet::build(&forged, from, to, ChecksumForm::Rfc5798, &mut message);
    host.run(move || {
        netlink::add_address("eth0", from, 24).ok();
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))).unwrap();
        socket.set_ttl_v4(ttl).unwrap();
        socket.set_multicast_ttl_v4(ttl).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket
            .send_to(&message, &SocketAddr::new(to, 0).into())
            .unwrap();
    })
    .unwrap();
}

const PATIENCE: Duration = Duration::from_secs(15);
