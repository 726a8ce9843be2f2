//! Where else an address is, and an interface that has another name by now.

use super::super::namespace::Pair;
use super::super::wait;
use super::{Reloading, add_lan, address, web};

#[test]
fn address_that_comes_with_a_reload_and_is_on_another_interface_is_noted() {
    let pair = Pair::new();
    let plain = web("addresses: [192.0.2.100/24]");
    let one = Reloading::start(&pair.one, "lb1", &plain);
    one.wait_for("web", "Active");
    pair.one.ip(&["addr", "add", "192.0.2.101/32", "dev", "lo"]);
    let is_noted = || {
        let notes = one.router("web").notes;
        notes.iter().any(|note| note.contains("lo of this machine"))
    };
    assert!(!is_noted(), "it is none of ours");
    one.reload(&web("addresses: [192.0.2.100/24, 192.0.2.101/24]"));
    wait("a note", is_noted);
    one.reload(&plain);
    wait("no note", || !is_noted());
    let shown = pair.one.ip(&["-o", "addr", "show", "dev", "lo"]);
    assert!(shown.contains(" 192.0.2.101/32 "), "it stays: {shown}");
}

#[test]
fn interface_of_addresses_that_is_renamed_is_followed_by_a_reload() {
    let pair = Pair::new();
    add_lan(&pair.one);
    let on = |interface: &str| {
        web(&format!(
            "addresses: [192.0.2.100/24]\n    address_interface: {interface}"
        ))
    };
    let one = Reloading::start(&pair.one, "lb1", &on("lan0"));
    one.wait_for("web", "Active");
    pair.one.wait_for_address(address(100), true);
    for name in ["lan8", "lan9"] {
        one.prepare(&on(name)).unwrap();
        let before = if name == "lan8" { "lan0" } else { "lan8" };
        pair.one.ip(&["link", "set", before, "down"]);
        pair.one.ip(&["link", "set", before, "name", name]);
        pair.one.ip(&["link", "set", name, "up"]);
        one.commit(&on(name));
        one.wait_for("web", "Active");
        let mut shown = String::new();
        wait("it on the interface by its new name", || {
            shown = pair.one.ip(&["-o", "addr", "show"]);
            let mut lines = shown.lines();
            lines.any(|line| {
                line.contains(&format!(": {name} ")) && line.contains(" 192.0.2.100/32 ")
            })
        });
        let count = shown.matches(" 192.0.2.100/32 ").count();
        assert_eq!(count, 1, "{shown}");
    }
}

/// The supervisor believes no word of an interface that is in no configuration.
#[test]
fn socket_of_a_router_that_only_lets_go_is_kept_by_nobody_else() {
    let pair = Pair::new();
    add_lan(&pair.one);
    pair.one
        .ip(&["addr", "add", "198.51.100.1/24", "dev", "lan0"]);
    // Nobody is heard there: the address is held for more than an interval.
    let lan = "  lan:\n    interface: lan0\n    vrid: 7\n    advertisement_interval: 1s\n    addresses: \
               [198.51.100.100/24]\n";
    let plain = web("addresses: [192.0.2.100/24]");
    let one = Reloading::start(&pair.one, "lb1", &format!("{plain}{lan}"));
    one.wait_for("lan", "Active");
    let interfaces = || -> Vec<String> {
        let kept = one.kept().into_iter();
        kept.map(|socket| socket.interface).collect()
    };
    wait("both sockets", || interfaces().len() == 2);
    one.reload(&plain);
    wait("one alone", || interfaces() == ["eth0"]);
    let held = pair.one.ip(&["-o", "addr", "show", "dev", "lan0"]);
    assert!(held.contains("198.51.100.100"), "it lets go later: {held}");
}
