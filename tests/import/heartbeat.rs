//! heartbeat, a feature at a time.

use super::{assert_passes, body, imported, lost, otherwise, without_effect};

const CF: &str = "node lb1\nnode lb2\nbcast eth0\n";

fn resources(line: &str) -> evenkeel::cli::import::Outcome {
    imported(&[("ha.cf", CF), ("haresources", line)])
}

#[test]
fn addresses_have_parts_in_any_number() {
    for (resource, interface, address) in [
        ("192.0.2.1", "eth0", "192.0.2.1/32"),
        ("192.0.2.1/24", "eth0", "192.0.2.1/24"),
        (
            "IPaddr::192.0.2.1/255.255.255.0/eth1",
            "eth1",
            "192.0.2.1/24",
        ),
        (
            "IPaddr2::192.0.2.1/24/eth1:0/192.0.2.255",
            "eth1",
            "192.0.2.1/24",
        ),
        (
            "IPv6addr::2001:db8::1/64/eth1",
            "eth1",
            "\"2001:db8::1/64\"",
        ),
    ] {
        let outcome = resources(&format!("lb2 {resource}\n"));
        assert_passes(&outcome);
        let hoped = format!(
            "virtual_routers:\n  lb2-addresses:\n    interface: {interface}\n    vrid: 51\n    \
             priority: {{lb1: 100, lb2: 150}}\n    addresses: [{address}]"
        );
        assert_eq!(body(&outcome), hoped, "{resource}");
        assert_eq!(outcome.code, 0, "{resource}: {}", outcome.summary);
    }
}

#[test]
fn intervals_and_failback_are_those_of_heartbeat() {
    let cf = format!("{CF}keepalive 200ms\ndeadtime 2\nauto_failback off\n");
    let outcome = imported(&[("ha.cf", &cf), ("haresources", "lb1 192.0.2.1\n")]);
    assert_passes(&outcome);
    for hoped in [
        "advertisement_interval: 200ms",
        "down_multiplier: 10",
        "preempt: false",
    ] {
        assert!(body(&outcome).contains(hoped), "{hoped}: {}", outcome.yaml);
    }
}

#[test]
fn pings_count_where_ipfail_looks_at_them() {
    let cf = format!("{CF}ping 192.0.2.254 192.0.2.253\nping_group g 10.0.0.1 10.0.0.2\n");
    let without = imported(&[("ha.cf", &cf), ("haresources", "lb1 192.0.2.1\n")]);
    assert!(without_effect(&without).contains("without ipfail nothing follows from it"));
    let cf = format!("{cf}respawn hacluster /usr/lib/heartbeat/ipfail\n");
    let with = imported(&[("ha.cf", &cf), ("haresources", "lb1 192.0.2.1\n")]);
    assert_passes(&with);
    let hoped = "track: [{gateway: [192.0.2.254]}, {gateway: [192.0.2.253]}, {gateway: [10.0.0.1, 10.0.0.2]}]";
    assert!(body(&with).contains(hoped), "{}", body(&with));
}

#[test]
fn services_and_fencing_are_lost_and_the_proxy_is_ours() {
    let outcome = resources("lb1 192.0.2.1 Filesystem::/dev/a::/srv haproxy\n");
    assert!(
        lost(&outcome).contains("Filesystem is not started")
            && lost(&outcome).contains("haproxy is not started")
    );
    let proxy = "listen a\n mode http\n bind 192.0.2.1:80\n server b 192.0.2.2:80\n";
    let files = [
        ("ha.cf", CF),
        ("haresources", "lb1 192.0.2.1 haproxy\n"),
        ("haproxy.cfg", proxy),
    ];
    let outcome = imported(&files);
    assert_passes(&outcome);
    assert_eq!(lost(&outcome), "");
    assert!(otherwise(&outcome).contains("the proxy is ours"));
    assert!(body(&outcome).contains("virtual_router: lb1-addresses"));
    for line in ["stonith_host * x", "crm on", "serial /dev/ttyS0"] {
        let cf = format!("{CF}{line}\n");
        let outcome = imported(&[("ha.cf", &cf), ("haresources", "lb1 192.0.2.1\n")]);
        assert_eq!(outcome.code, 1, "{line}");
    }
}

#[test]
fn keys_are_not_shown() {
    let files = [
        ("ha.cf", CF),
        ("haresources", "lb1 192.0.2.1\n"),
        ("authkeys", "auth 1\n1 sha1 hush\n"),
    ];
    let outcome = imported(&files);
    assert!(otherwise(&outcome).contains("advertisements are not signed"));
    assert!(!outcome.yaml.contains("hush"));
}
