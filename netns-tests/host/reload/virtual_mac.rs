//! Virtual MACs that come and go: a Backup forwards and reports nothing from the first frame on.

use super::super::namespace::{Namespace, Pair};
use super::super::wait;
use super::{Reloading, web};

#[test]
fn virtual_mac_that_comes_with_a_reload_is_idle_in_a_backup_and_is_not_in_an_active() {
    let pair = Pair::new();
    let plain = web("addresses: [\"2001:db8::100/64\"]");
    let nodes = [
        Reloading::start(&pair.one, "lb1", &plain),
        Reloading::start(&pair.two, "lb2", &plain),
    ];
    nodes[0].wait_for("web", "Active");
    nodes[1].wait_for("web", "Backup");
    for _ in 0..2 {
        for node in &nodes {
            node.reload(&format!("{plain}    virtual_mac: true\n"));
        }
        for (namespace, hoped) in [(&pair.one, false), (&pair.two, true)] {
            wait("its macvlan to be there", || has_macvlan(namespace));
            wait(&format!("it to be idle: {hoped}"), || {
                idle(namespace) == [hoped; 2]
            });
        }
        for node in &nodes {
            node.reload(&plain);
        }
        for namespace in [&pair.one, &pair.two] {
            wait("nothing to be left", || {
                !has_macvlan(namespace) && idle(namespace) == [false; 2]
            });
        }
    }
    let router = nodes[0].router("web");
    assert_eq!(router.counters["active_transitions"], 1, "untouched");
}

fn has_macvlan(namespace: &Namespace) -> bool {
    namespace.ip(&["-o", "link", "show"]).contains("ek6.")
}

/// Returns whether a macvlan is in the set of each table; the tables stay.
fn idle(namespace: &Namespace) -> [bool; 2] {
    ["evenkeel_forward", "evenkeel_report"].map(|table| {
        let rules = namespace.run(move || {
            let mut nft = std::process::Command::new("nft");
            let output = nft.args(["list", "table", "ip6", table]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        });
        assert!(rules.contains("@idle"), "{table}: {rules}");
        // nft(8) does not read the names of this set.
        rules.contains("elements")
    })
}
