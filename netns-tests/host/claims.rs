//! What others claim, where it could not be heard at first.

use std::net::IpAddr;

use caps::{CapSet, Capability};
use evenkeel::model::Family;
use evenkeel::process::vrrp::host::{Node, Outlet};
use evenkeel::process::vrrp::link::frames::Announcers;

use super::daemon::Daemon;
use super::namespace::{Namespace, Pair};
use super::{FAMILIES, VIRTUAL_V4, VIRTUAL_V6, read_config, wait};

#[test]
fn who_could_not_listen_for_claims_tries_again() {
    let pair = Pair::new();
    let one = Daemon::idle(&pair.one, read_config);
    one.interrupt(|| caps::drop(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap());
    one.configure(150, Vec::new());
    wait("a refusal", || {
        let mut routers = one.status().into_iter();
        routers.any(|router| router.priority_reason.contains("cannot be opened"))
    });
    one.interrupt(|| caps::raise(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap());
    for family in FAMILIES {
        one.wait_for(family, "Active");
    }
    for (family, address) in [(Family::Ipv4, VIRTUAL_V4), (Family::Ipv6, VIRTUAL_V6)] {
        wait("it to be heard", || {
            claim(&pair.two, address);
            let mut routers = one.status().into_iter();
            routers
                .any(|router| router.name.family == family && router.counters["address_claims"] > 0)
        });
    }
}

fn claim(namespace: &Namespace, address: IpAddr) {
    namespace.run(move || {
        let outlet = Outlet {
            interface: "eth0".to_owned(),
            ifindex: nix::net::if_::if_nametoindex("eth0").unwrap(),
            mac: [2, 0, 0, 0, 0, 0x66],
            node: Node::Host,
        };
        let mut announcers = Announcers::open().unwrap();
        announcers.of(&outlet).unwrap().announce(address).unwrap();
    });
}
