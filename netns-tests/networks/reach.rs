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

fn reach(client: &Host, what: &str) {
    for address in ["192.0.2.100", "192.0.2.101", "2001:db8::100"] {
        until(&format!("{what}: {address} answers"), || {
            answers(client, address)
        });
    }
}

/// A refusal is an answer as well.
fn answers(client: &Host, address: &str) -> bool {
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
