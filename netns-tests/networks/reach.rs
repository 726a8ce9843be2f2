//! Addresses in odd places can be reached, and nothing of them stays behind.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;

use super::{PATIENCE, Site, has, ip, until, wait_for_state};

/// A2: public addresses on a link whose own ones are private.
#[test]
fn an_address_outside_the_networks_of_its_interface_is_reached_and_leaves_no_route() {
    for lines in ["accept: true", "virtual_mac: true"] {
        let site = Site::with(&[
            ("lb1", &["10.0.0.1/24", "fd00::1/64"]),
            ("lb2", &["10.0.0.2/24", "fd00::2/64"]),
            ("client", &["192.0.2.9/24", "2001:db8::9/64"]),
        ]);
        let yaml = format!(
            "virtual_routers:\n  web: {{interface: eth0, vrid: 51, advertisement_interval: 100ms, \
             priority: {{lb1: 150, lb2: 100}}, {lines}, \
             addresses: [192.0.2.100/24, 192.0.2.101/24, '2001:db8::100/64']}}\n"
        );
        let client = site.host("client");
        for name in ["lb1", "lb2"] {
            let filter = if name == "lb1" { "1" } else { "2" };
            let host = site.host(name);
            host.set_sysctl("net/ipv4/conf/all/rp_filter", filter)
                .unwrap();
            host.set_sysctl("net/ipv4/conf/eth0/rp_filter", filter)
                .unwrap();
        }
        let before = ["lb1", "lb2"].map(|name| routes(site.host(name)));
        let mut first = site.start_with("lb1", &yaml);
        wait_for_state(&mut first, "web/ipv4", "Active");
        let mut second = site.start_with("lb2", &yaml);
        wait_for_state(&mut second, "web/ipv4", "Backup");
        assert_eq!(routes(site.host("lb2")), before[1], "a Backup has none");
        reach(client, lines);
        // Longer than a lease: it is renewed.
        super::stays("reached", Duration::from_secs(3), || {
            answers(client, "2001:db8::100")
        });
        first.stop(PATIENCE).unwrap();
        assert_eq!(
            routes(site.host("lb1")),
            before[0],
            "they went with the addresses"
        );
        wait_for_state(&mut second, "web/ipv4", "Active");
        reach(client, lines);
        // Nobody is there to take anything away: the lease does.
        second.process().kill_family().unwrap();
        let host = site.host("lb2");
        until("the lease is over", || {
            !has(host, "192.0.2.100") && !has(host, "2001:db8::100")
        });
        until("the routes are gone with it", || {
            live_routes(host) == before[1]
        });
    }
}

/// A virtual address is the gateway of others, with and without its virtual MAC.
#[test]
fn who_has_a_virtual_address_as_the_gateway_gets_through_and_knows_a_router() {
    for lines in [
        "accept: true",
        "virtual_mac: true",
        "virtual_mac: true, accept: false",
    ] {
        let site = routed();
        let (client, server) = (site.host("client"), site.host("server"));
        let yaml = format!(
            "virtual_routers:\n  web: {{interface: eth0, vrid: 51, advertisement_interval: 100ms, \
             priority: {{lb1: 150, lb2: 100}}, {lines}, \
             addresses: [192.0.2.100/24, '2001:db8::100/64']}}\n"
        );
        let mut first = site.start_with("lb1", &yaml);
        for family in ["ipv4", "ipv6"] {
            wait_for_state(&mut first, &format!("web/{family}"), "Active");
        }
        let mut second = site.start_with("lb2", &yaml);
        for family in ["ipv4", "ipv6"] {
            wait_for_state(&mut second, &format!("web/{family}"), "Backup");
        }
        for (number, node) in [(1, &mut first), (2, &mut second)] {
            ip(
                server,
                &format!("route replace default via 198.51.100.{number}"),
            );
            ip(
                server,
                &format!("-6 route replace default via 2001:db8:1::{number}"),
            );
            for address in ["198.51.100.9", "2001:db8:1::9"] {
                until(&format!("{lines}: {address} is reached"), || {
                    answers(client, address)
                });
            }
            let neighbors = ip(client, "-6 neigh show");
            let gateway = neighbors
                .lines()
                .find(|line| line.starts_with("2001:db8::100"));
            assert!(
                gateway.is_some_and(|line| line.contains("router")),
                "{neighbors}"
            );
            if number == 1 {
                let idle = forwarding_macvlans(site.host("lb2"));
                assert_eq!(idle, none(), "a Backup forwards nothing");
                let busy = forwarding_macvlans(site.host("lb1"));
                let has_macvlans = lines.starts_with("virtual_mac");
                assert_eq!(busy.len(), if has_macvlans { 2 } else { 0 }, "{busy:?}");
                for (name, is_active) in [("lb1", true), ("lb2", false)] {
                    let table = forwarding_table(site.host(name)).unwrap_or_default();
                    assert_eq!(table.contains("drop"), has_macvlans, "{name}: {table}");
                    let drops = table.contains("elements");
                    assert_eq!(drops, has_macvlans && !is_active, "{name}: {table}");
                }
                node.stop(PATIENCE).unwrap();
            }
        }
        // A machine that is no router any more is none here either.
        let host = site.host("lb2");
        forward(host, "0");
        until("nothing is forwarded", || {
            forwarding_macvlans(host).is_empty()
        });
        until("nothing gets through", || !answers(client, "198.51.100.9"));
    }
}

/// A name alone makes nothing ours: what comes by an interface of somebody else is forwarded.
#[test]
fn an_interface_of_others_with_a_name_like_ours_goes_on_forwarding() {
    let site = routed();
    let (other, client) = (site.host("lb2"), site.host("client"));
    site.add_cable("ek6.other", "10.5.0");
    ip(
        site.host("lb1"),
        "addr add 2001:db8:5::1/64 dev ek6.other nodad",
    );
    ip(other, "addr add 2001:db8:5::2/64 dev ek6.other nodad");
    ip(other, "addr del 2001:db8::2/64 dev eth0");
    ip(other, "-6 route add 2001:db8::/64 via 2001:db8:5::1");
    ip(client, "-6 route add 2001:db8:5::/64 via 2001:db8::1");
    until("it forwards", || answers(other, "2001:db8::9"));
    let mut node = site.start(
        "lb1",
        "virtual_mac: true, addresses: ['2001:db8::100/64'], link: {up_delay: 1h}",
    );
    wait_for_state(&mut node, "web/ipv6", "Backup");
    let table = forwarding_table(site.host("lb1")).unwrap_or_default();
    assert!(table.contains("elements"), "ours is dropped: {table}");
    assert!(answers(other, "2001:db8::9"), "theirs is not: {table}");
}

/// Two routers between a client, whose gateway they have, and a server.
pub(super) fn routed() -> Site {
    let site = Site::with(&[
        ("lb1", &["192.0.2.1/24", "2001:db8::1/64"]),
        ("lb2", &["192.0.2.2/24", "2001:db8::2/64"]),
        ("client", &["192.0.2.9/24", "2001:db8::9/64"]),
        ("server", &["198.51.100.9/24", "2001:db8:1::9/64"]),
    ]);
    for (number, name) in [(1, "lb1"), (2, "lb2")] {
        let host = site.host(name);
        ip(host, &format!("addr add 198.51.100.{number}/24 dev eth0"));
        ip(
            host,
            &format!("addr add 2001:db8:1::{number}/64 dev eth0 nodad"),
        );
        forward(host, "1");
    }
    let client = site.host("client");
    ip(client, "route add default via 192.0.2.100");
    ip(client, "-6 route add default via 2001:db8::100");
    site
}

/// Returns the macvlans from which no IPv6 is forwarded; `None` where there is no such table.
fn forwarding_table(host: &Host) -> Option<String> {
    let list = || {
        let mut command = std::process::Command::new("nft");
        command.args(["list", "table", "ip6", "evenkeel_forward"]);
        command.output().unwrap()
    };
    let output = host.run(list).unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

fn forward(host: &Host, value: &str) {
    host.set_sysctl("net/ipv4/ip_forward", value).unwrap();
    host.set_sysctl("net/ipv6/conf/all/forwarding", value)
        .unwrap();
}

/// Returns the macvlans that forward, as far as their own settings go.
fn forwarding_macvlans(host: &Host) -> Vec<String> {
    let read = || {
        let links = nix::net::if_::if_nameindex().unwrap();
        let names = links
            .iter()
            .map(|link| link.name().to_str().unwrap().to_owned());
        let forwards = |name: &String| {
            let family = match name.get(..4) {
                Some("ek4.") => "ipv4",
                Some("ek6.") => "ipv6",
                Some(_) | None => return false,
            };
            let path = format!("/proc/sys/net/{family}/conf/{name}/forwarding");
            std::fs::read_to_string(path).unwrap().trim() == "1"
        };
        names.filter(forwards).collect()
    };
    host.run(read).unwrap()
}

const fn none() -> Vec<String> {
    Vec::new()
}

fn reach(client: &Host, what: &str) {
    for address in ["192.0.2.100", "192.0.2.101", "2001:db8::100"] {
        until(&format!("{what}: {address} answers"), || {
            answers(client, address)
        });
    }
}

/// A refusal is an answer as well.
pub(super) fn answers(client: &Host, address: &str) -> bool {
    let to = SocketAddr::new(address.parse().unwrap(), 9);
    let attempt = move || TcpStream::connect_timeout(&to, Duration::from_millis(500));
    let refused = std::io::ErrorKind::ConnectionRefused;
    client
        .run(attempt)
        .unwrap()
        .err()
        .is_some_and(|error| error.kind() == refused)
}

fn routes(host: &Host) -> Vec<String> {
    let shown = ip(host, "-4 route show") + &ip(host, "-6 route show");
    let lines = shown.lines().filter(|line| !line.starts_with("fe80"));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// What has expired is shown for a while, and not used.
fn live_routes(host: &Host) -> Vec<String> {
    let mut routes = routes(host);
    routes.retain(|line| !line.contains("expires -"));
    routes
}
