//! Another service on the link that has our VRID: it never takes an address away.

use super::*;
use crate::logic::vrrp::packet::{derived_link_local, is_of_stranger};

fn list(texts: &[&str]) -> Vec<IpAddr> {
    let address = |text: &&str| text.parse().expect("an address");
    texts.iter().map(address).collect()
}

/// RFC 3768 §7.1 and, where RFC 9568 §7.1 leaves it open, our own rule.
#[test]
fn no_state_is_moved_by_a_list_that_has_nothing_of_ours() {
    for version in [Version::V2, Version::V3] {
        for (name, make) in states() {
            for priority in [0, 1, 100, 200, 254] {
                let mut bench = make();
                let parameters = Parameters {
                    version,
                    ..parameters()
                };
                bench.router.update(bench.now, parameters);
                bench.take();
                let before = (bench.router.state(), bench.router.peer());
                let heard = advertisement(priority, list(&["192.0.2.200"]));
                let source = IpAddr::from([192, 0, 2, 250]);
                bench.router.handle_advertisement(bench.now, source, &heard);
                let after = (bench.router.state(), bench.router.peer());
                assert_eq!(after, before, "{name}, {version:?}, priority {priority}");
                assert_eq!(bench.take(), [], "{name}, {version:?}, priority {priority}");
                let counters = bench.router.counters();
                assert_eq!(counters.address_list_errors, 1, "{name}: counted");
            }
        }
    }
}

#[test]
fn only_a_list_that_has_nothing_of_ours_is_a_strangers() {
    let derived = derived_link_local(parameters().vrid).to_string();
    let ours = ["192.0.2.10", "192.0.2.11"];
    let ours_v6 = [derived.as_str(), "2001:db8::100"];
    let (v2, v3) = (Version::V2, Version::V3);
    type Case<'a> = (Version, u8, &'a [&'a str], &'a [&'a str], bool);
    let cases: [Case<'_>; 11] = [
        (v3, 200, &["192.0.2.12"], &ours, true),
        (v2, 200, &["192.0.2.12"], &ours, true),
        (v3, 255, &["192.0.2.12"], &ours, true),
        // RFC 3768 §7.1: an owner is believed.
        (v2, 255, &["192.0.2.12"], &ours, false),
        (v3, 200, &["192.0.2.11", "192.0.2.12"], &ours, false),
        (v3, 200, &["192.0.2.11", "192.0.2.10"], &ours, false),
        // keepalived does not list what it has excluded.
        (v3, 200, &[], &ours, false),
        // What both derive from the VRID is no sign of kinship.
        (v3, 200, &[&derived, "2001:db8::200"], &ours_v6, true),
        (v3, 200, &[&derived, "2001:db8::100"], &ours_v6, false),
        (v3, 200, &[&derived], &ours_v6, false),
        (v3, 200, &["fe80::1"], &ours_v6, true),
    ];
    for (version, priority, theirs, ours, expected) in cases {
        let heard = advertisement(priority, list(theirs));
        let is = is_of_stranger(version, &heard, &list(ours));
        assert_eq!(
            is, expected,
            "{version:?}, {priority}: {theirs:?} against {ours:?}"
        );
    }
}
