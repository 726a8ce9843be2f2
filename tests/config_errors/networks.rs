//! Errors about links, peers and intervals, and what is written in keepalived's manner.

use insta::assert_snapshot;

use super::{errors, router};

#[test]
fn a_link_has_two_keys() {
    let text = router("link: {required: 1, up_delay: 2h, down_delay: 1s}");
    assert_snapshot!(errors(&text), @r#"
    error: `required` must be true or false, not a number
     --> lb.yaml:6:22
      |
    6 |     link: {required: 1, up_delay: 2h, down_delay: 1s}
      |                      ^

    error: up_delay must be between 0s and 1h
     --> lb.yaml:6:35
      |
    6 |     link: {required: 1, up_delay: 2h, down_delay: 1s}
      |                                   ^^

    error: unknown key `down_delay`
     --> lb.yaml:6:39
      |
    6 |     link: {required: 1, up_delay: 2h, down_delay: 1s}
      |                                       ^^^^^^^^^^
    help: known keys here: required, up_delay
    "#);
}

#[test]
fn words_of_keepalived_are_answered_with_ours() {
    let text = router("virtual_router_id: 51\n    nopreempt: true\n    unicast_src_ip: 192.0.2.1");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `virtual_router_id`
     --> lb.yaml:6:5
      |
    6 |     virtual_router_id: 51
      |     ^^^^^^^^^^^^^^^^^
    help: that is keepalived's word: write `vrid: 51`

    error: unknown key `nopreempt`
     --> lb.yaml:7:5
      |
    7 |     nopreempt: true
      |     ^^^^^^^^^
    help: that is keepalived's word: write `preempt: false`

    error: unknown key `unicast_src_ip`
     --> lb.yaml:8:5
      |
    8 |     unicast_src_ip: 192.0.2.1
      |     ^^^^^^^^^^^^^^
    help: that is keepalived's word: write this node's address among `peers`: it is the source
    "#);
}

#[test]
fn address_in_the_manner_of_keepalived_says_where_the_rest_goes() {
    let text = router(
        "addresses: [192.0.2.100/24 dev eth1 label eth1:0, 192.0.2.101/24 scope link, {192.0.2.102/24: eth1}]",
    );
    assert_snapshot!(errors(&text), @r#"
    error: `dev eth1 label eth1:0` stands behind the address 192.0.2.100/24
     --> lb.yaml:5:17
      |
    5 |     addresses: [192.0.2.100/24 dev eth1 label eth1:0, 192.0.2.101/24 scope link, {192.0.2.102/24: eth1}]
      |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write only the address, and `address_interface: eth1` in the entry

    error: `scope link` stands behind the address 192.0.2.101/24
     --> lb.yaml:5:55
      |
    5 |     addresses: [192.0.2.100/24 dev eth1 label eth1:0, 192.0.2.101/24 scope link, {192.0.2.102/24: eth1}]
      |                                                       ^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write only the address: labels, scopes and sources are not needed

    error: an address is text, and `192.0.2.102/24` begins a map
     --> lb.yaml:5:82
      |
    5 |     addresses: [192.0.2.100/24 dev eth1 label eth1:0, 192.0.2.101/24 scope link, {192.0.2.102/24: eth1}]
      |                                                                                  ^
    help: write `192.0.2.100/24`; where it does not go to `interface`, write `address_interface: eth1` in the entry
    "#);
}

#[test]
fn peers_have_one_scope() {
    let text = router("peers: [192.0.2.1, \"fe80::1\", \"2001:db8::1\"]");
    assert_snapshot!(errors(&text), @r#"
    error: fe80::1 is link-local, and 2001:db8::1 is not
     --> lb.yaml:6:12
      |
    6 |     peers: [192.0.2.1, "fe80::1", "2001:db8::1"]
      |            ^
    help: advertisements have one source: name all peers by the one or by the other
    "#);
}

#[test]
fn hops_are_between_peers() {
    let text = router("peer_hops: 1");
    assert_snapshot!(errors(&text), @r#"
    error: peer_hops is for `peers` alone
     --> lb.yaml:6:16
      |
    6 |     peer_hops: 1
      |                ^
    help: multicast never crosses a router (RFC 9568 section 5.1.1.3)
    "#);
    let text = router("peers: [192.0.2.1]\n    peer_hops: 255");
    assert_snapshot!(errors(&text), @r#"
    error: peer_hops must be between 0 and 254
     --> lb.yaml:7:16
      |
    7 |     peer_hops: 255
      |                ^^^
    "#);
}

#[test]
fn virtual_mac_is_on_the_link_of_its_addresses() {
    let text = router("interface: eth0\n    virtual_mac: true\n    address_interface: eth1");
    assert_snapshot!(errors(&text), @r#"
    error: address_interface and `virtual_mac` exclude each other
     --> lb.yaml:7:24
      |
    7 |     address_interface: eth1
      |                        ^^^^
    help: a virtual MAC is learned from the advertisements on the link of the addresses
    "#);
    let text = router("interface: eth0\n    address_interface: eth/1");
    assert_snapshot!(errors(&text), @r#"
    error: address_interface cannot be `eth/1`
     --> lb.yaml:6:24
      |
    6 |     address_interface: eth/1
      |                        ^^^^^
    help: names of interfaces are 1 to 15 bytes without `/`, `:` and spaces
    "#);
}

#[test]
fn intervals_of_version_2_end_at_255_seconds() {
    let text = router("version: 2\n    advertisement_interval: 256s");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval must be between 10ms and 255s
     --> lb.yaml:7:29
      |
    7 |     advertisement_interval: 256s
      |                             ^^^^
    "#);
    let text = router("version: 2\n    advertisement_interval: 254.5s");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval is in whole seconds with version 2
     --> lb.yaml:7:29
      |
    7 |     advertisement_interval: 254.5s
      |                             ^^^^^^
    help: write 1s, or use version 3
    "#);
    let text = router("advertisement_interval: 41s");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval must be between 10ms and 40.95s
     --> lb.yaml:6:29
      |
    6 |     advertisement_interval: 41s
      |                             ^^^
    "#);
}
