//! Errors in `virtual_routers`.

use insta::assert_snapshot;

use super::{errors, router};

#[test]
fn an_unknown_key_gets_a_suggestion() {
    let text = router("prioritty: 150");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `prioritty`
     --> lb.yaml:6:5
      |
    6 |     prioritty: 150
      |     ^^^^^^^^^
    help: did you mean `priority`?
    "#);
}

#[test]
fn an_unknown_key_far_from_all_lists_the_known_ones() {
    let text = router("colour: []");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `colour`
     --> lb.yaml:6:5
      |
    6 |     colour: []
      |     ^^^^^^
    help: known keys here: interface, vrid, priority, owner, addresses, address_interface, version, advertisement_interval, down_multiplier, checksum, authentication, peers, peer_hops, preempt, lease, link, announcements, accept, virtual_mac, synchronize_with, notify, track
    "#);
}

#[test]
fn a_duplicate_key_is_refused_at_its_second_place() {
    let text = router("vrid: 51\n    vrid: 52");
    assert_snapshot!(errors(&text), @r#"
    error: `vrid` is here twice
     --> lb.yaml:6:5
      |
    6 |     vrid: 52
      |     ^^^^
    help: keep one of the two
    "#);
}

#[test]
fn an_interface_is_needed() {
    let text = router("-interface");
    assert_snapshot!(errors(&text), @r#"
    error: `web` has no `interface`
     --> lb.yaml:2:3
      |
    2 |   web:
      |   ^^^
    help: add `interface: eth0`
    "#);
}

#[test]
fn a_vrid_is_needed() {
    let text = router("-vrid");
    assert_snapshot!(errors(&text), @r#"
    error: `web` has no `vrid`
     --> lb.yaml:2:3
      |
    2 |   web:
      |   ^^^
    help: add `vrid: 51`
    "#);
}

#[test]
fn addresses_are_needed() {
    let text = router("-addresses");
    assert_snapshot!(errors(&text), @r#"
    error: `web` has no `addresses`
     --> lb.yaml:2:3
      |
    2 |   web:
      |   ^^^
    help: add `addresses: [192.0.2.100/24]`
    "#);
}

#[test]
fn a_key_without_a_value_is_pointed_at() {
    let text = router("interface:");
    assert_snapshot!(errors(&text), @r#"
    error: `interface` must be the name of an interface, not nothing
     --> lb.yaml:5:5
      |
    5 |     interface:
      |     ^^^^^^^^^
    "#);
}

#[test]
fn an_interface_name_has_at_most_15_bytes() {
    let text = router("interface: enp0s31f6.100.200");
    assert_snapshot!(errors(&text), @r#"
    error: interface cannot be `enp0s31f6.100.200`
     --> lb.yaml:5:16
      |
    5 |     interface: enp0s31f6.100.200
      |                ^^^^^^^^^^^^^^^^^
    help: names of interfaces are 1 to 15 bytes without `/`, `:` and spaces
    "#);
}

#[test]
fn a_vrid_is_not_zero() {
    let text = router("vrid: 0");
    assert_snapshot!(errors(&text), @r#"
    error: vrid must be between 1 and 255
     --> lb.yaml:5:11
      |
    5 |     vrid: 0
      |           ^
    "#);
}

#[test]
fn a_vrid_is_at_most_255() {
    let text = router("vrid: 256");
    assert_snapshot!(errors(&text), @r#"
    error: vrid must be between 1 and 255
     --> lb.yaml:5:11
      |
    5 |     vrid: 256
      |           ^^^
    "#);
}

#[test]
fn a_vrid_is_a_number() {
    let text = router("vrid: web");
    assert_snapshot!(errors(&text), @r#"
    error: `vrid` must be a number between 1 and 255, not text
     --> lb.yaml:5:11
      |
    5 |     vrid: web
      |           ^^^
    "#);
}

#[test]
fn a_priority_is_at_most_254() {
    let text = router("priority: 300");
    assert_snapshot!(errors(&text), @r#"
    error: priority must be between 1 and 254
     --> lb.yaml:6:15
      |
    6 |     priority: 300
      |               ^^^
    "#);
}

#[test]
fn a_priority_is_at_least_1() {
    let text = router("priority: 0");
    assert_snapshot!(errors(&text), @r#"
    error: priority must be between 1 and 254
     --> lb.yaml:6:15
      |
    6 |     priority: 0
      |               ^
    "#);
}

#[test]
fn the_priority_of_the_owner_has_a_hint() {
    let text = router("priority: 255");
    assert_snapshot!(errors(&text), @r#"
    error: priority must be between 1 and 254
     --> lb.yaml:6:15
      |
    6 |     priority: 255
      |               ^^^
    help: 255 belongs to the address owner; write `owner: true` instead
    "#);
}

#[test]
fn the_priority_of_another_node_is_checked_too() {
    let text = router("priority: {lb1: 150, lb2: 255}");
    assert_snapshot!(errors(&text), @r#"
    error: priority must be between 1 and 254
     --> lb.yaml:6:31
      |
    6 |     priority: {lb1: 150, lb2: 255}
      |                               ^^^
    help: 255 belongs to the address owner; write `owner: true` instead
    "#);
}

#[test]
fn a_node_missing_in_priority_is_refused() {
    let text = router("priority: {lb2: 150, lb3: 100}");
    assert_snapshot!(errors(&text), @r#"
    error: priority has no number for this node, `lb1`
     --> lb.yaml:6:5
      |
    6 |     priority: {lb2: 150, lb3: 100}
      |     ^^^^^^^^
    help: add `lb1: 100`, or say with --node or `node:` which of these this is: lb2, lb3
    "#);
}

#[test]
fn a_node_twice_in_priority_is_refused() {
    let text = router("priority: {lb1: 150, lb1: 100}");
    assert_snapshot!(errors(&text), @r#"
    error: `lb1` is here twice
     --> lb.yaml:6:26
      |
    6 |     priority: {lb1: 150, lb1: 100}
      |                          ^^^
    help: keep one of the two
    "#);
}

#[test]
fn an_advertisement_interval_has_a_range() {
    let text = router("advertisement_interval: 41s");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval must be between 10ms and 40.95s
     --> lb.yaml:6:29
      |
    6 |     advertisement_interval: 41s
      |                             ^^^
    "#);
}

#[test]
fn an_advertisement_interval_is_a_multiple_of_10_ms() {
    let text = router("advertisement_interval: 15ms");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval must be a multiple of 10ms
     --> lb.yaml:6:29
      |
    6 |     advertisement_interval: 15ms
      |                             ^^^^
    "#);
}

#[test]
fn a_duration_needs_a_unit() {
    let text = router("advertisement_interval: 1");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval has no unit
     --> lb.yaml:6:29
      |
    6 |     advertisement_interval: 1
      |                             ^
    help: write `1s` or `1ms`
    "#);
}

#[test]
fn a_duration_with_an_unknown_unit_is_refused() {
    let text = router("advertisement_interval: 1d");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval cannot be `1d`: not a duration
     --> lb.yaml:6:29
      |
    6 |     advertisement_interval: 1d
      |                             ^^
    help: durations are written 10ms, 1.5s, 2m or 1h
    "#);
}

#[test]
fn a_duration_is_no_list() {
    let text = router("advertisement_interval: [1s]");
    assert_snapshot!(errors(&text), @r#"
    error: `advertisement_interval` must be a duration, not a list
     --> lb.yaml:6:29
      |
    6 |     advertisement_interval: [1s]
      |                             ^
    "#);
}

#[test]
fn preempt_is_true_false_or_a_delay() {
    let text = router("preempt: yes");
    assert_snapshot!(errors(&text), @r#"
    error: `preempt` must be true, false or `{delay: 30s}`, not text
     --> lb.yaml:6:14
      |
    6 |     preempt: yes
      |              ^^^
    "#);
}

#[test]
fn preempt_with_a_map_needs_a_delay() {
    let text = router("preempt: {}");
    assert_snapshot!(errors(&text), @r#"
    error: `preempt` has no `delay`
     --> lb.yaml:6:5
      |
    6 |     preempt: {}
      |     ^^^^^^^
    help: add `delay: 30s`
    "#);
}

#[test]
fn version_2_has_no_ipv6() {
    let text = router("version: 2\n    addresses: [192.0.2.100/24, \"2001:db8::100/64\"]");
    assert_snapshot!(errors(&text), @r#"
    error: version 2 has no IPv6
     --> lb.yaml:5:14
      |
    5 |     version: 2
      |              ^
    help: put the IPv6 addresses into an entry of their own, with version 3
    "#);
}

#[test]
fn version_2_counts_whole_seconds() {
    let text = router("version: 2\n    advertisement_interval: 1.5s");
    assert_snapshot!(errors(&text), @r#"
    error: advertisement_interval is in whole seconds with version 2
     --> lb.yaml:7:29
      |
    7 |     advertisement_interval: 1.5s
      |                             ^^^^
    help: write 1s, or use version 3
    "#);
}

#[test]
fn version_3_has_no_authentication() {
    let text = router("authentication: {password: s3cret}");
    assert_snapshot!(errors(&text), @r#"
    error: version 3 has no authentication
     --> lb.yaml:6:21
      |
    6 |     authentication: {password: s3cret}
      |                     ^
    help: it came with version 2 and protects nothing: the password travels in the clear
    "#);
}

#[test]
fn a_password_has_at_most_eight_bytes() {
    let text = router("version: 2\n    authentication: {password: overlong1}");
    assert_snapshot!(errors(&text), @r#"
    error: a password has 1 to 8 bytes
     --> lb.yaml:7:32
      |
    7 |     authentication: {password: overlong1}
      |                                ^^^^^^^^^
    help: keepalived cuts longer ones; write its first eight
    "#);
}

#[test]
fn a_checksum_has_one_of_two_forms() {
    let text = router("checksum: rfc2338");
    assert_snapshot!(errors(&text), @r#"
    error: checksum must be rfc5798 or rfc9568, not `rfc2338`
     --> lb.yaml:6:15
      |
    6 |     checksum: rfc2338
      |               ^^^^^^^
    "#);
}

#[test]
fn peers_are_of_the_families_of_the_addresses() {
    let text = router("peers: [fe80::1]");
    assert_snapshot!(errors(&text), @r#"
    error: no peer is of ipv4, but an address is
     --> lb.yaml:6:5
      |
    6 |     peers: [fe80::1]
      |     ^^^^^
    help: name the peers of both families, or make an entry for each
    "#);
}

#[test]
fn peers_are_addresses_of_routers() {
    let text = router("peers: [lb2, 224.0.0.18, \"2001:db8::1\", 192.0.2.1, 192.0.2.1]");
    assert_snapshot!(errors(&text), @r#"
    error: `lb2` is not an address
     --> lb.yaml:6:13
      |
    6 |     peers: [lb2, 224.0.0.18, "2001:db8::1", 192.0.2.1, 192.0.2.1]
      |             ^^^
    help: write it as 192.0.2.1

    error: 224.0.0.18 cannot be the address of a router
     --> lb.yaml:6:18
      |
    6 |     peers: [lb2, 224.0.0.18, "2001:db8::1", 192.0.2.1, 192.0.2.1]
      |                  ^^^^^^^^^^

    error: 192.0.2.1 is here twice
     --> lb.yaml:6:56
      |
    6 |     peers: [lb2, 224.0.0.18, "2001:db8::1", 192.0.2.1, 192.0.2.1]
      |                                                        ^^^^^^^^^
    "#);
}

#[test]
fn a_notify_program_is_an_absolute_path() {
    let text = router("notify: [notify.sh]");
    assert_snapshot!(errors(&text), @r#"
    error: `notify.sh` is not an absolute path
     --> lb.yaml:6:14
      |
    6 |     notify: [notify.sh]
      |              ^^^^^^^^^
    help: a program is named by its path, without arguments: /etc/evenkeel/notify.sh
    "#);
}

#[test]
fn a_lease_is_at_least_a_second() {
    let text = router("lease: 500ms");
    assert_snapshot!(errors(&text), @r#"
    error: lease must be between 1s and 1h
     --> lb.yaml:6:12
      |
    6 |     lease: 500ms
      |            ^^^^^
    "#);
}

#[test]
fn a_lease_is_whole_seconds() {
    let text = router("lease: 1.5s");
    assert_snapshot!(errors(&text), @r#"
    error: lease must be whole seconds
     --> lb.yaml:6:12
      |
    6 |     lease: 1.5s
      |            ^^^^
    "#);
}

#[test]
fn addresses_are_a_list() {
    let text = router("addresses: 192.0.2.100/24");
    assert_snapshot!(errors(&text), @r#"
    error: `addresses` must be a list of addresses, not text
     --> lb.yaml:5:16
      |
    5 |     addresses: 192.0.2.100/24
      |                ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn addresses_are_not_empty() {
    let text = router("addresses: []");
    assert_snapshot!(errors(&text), @r#"
    error: `addresses` must not be empty
     --> lb.yaml:5:16
      |
    5 |     addresses: []
      |                ^
    "#);
}

#[test]
fn an_address_needs_a_prefix_length() {
    let text = router("addresses: [192.0.2.100]");
    assert_snapshot!(errors(&text), @r#"
    error: `192.0.2.100` has no prefix length
     --> lb.yaml:5:17
      |
    5 |     addresses: [192.0.2.100]
      |                 ^^^^^^^^^^^
    help: write that of its network, as in `192.0.2.100/24`
    "#);
}

#[test]
fn an_address_must_be_one() {
    let text = router("addresses: [web.example.org/24]");
    assert_snapshot!(errors(&text), @r#"
    error: `web.example.org/24` is not an address with its prefix length
     --> lb.yaml:5:17
      |
    5 |     addresses: [web.example.org/24]
      |                 ^^^^^^^^^^^^^^^^^^
    help: write `192.0.2.100/24` or `"2001:db8::100/64"`
    "#);
}

#[test]
fn an_address_without_slash_must_be_one() {
    let text = router("addresses: [web]");
    assert_snapshot!(errors(&text), @r#"
    error: `web` is not an address with its prefix length
     --> lb.yaml:5:17
      |
    5 |     addresses: [web]
      |                 ^^^
    help: write `192.0.2.100/24` or `"2001:db8::100/64"`
    "#);
}

#[test]
fn an_ipv4_prefix_length_is_at_most_32() {
    let text = router("addresses: [192.0.2.100/33]");
    assert_snapshot!(errors(&text), @r#"
    error: the prefix length of 192.0.2.100 must be between 1 and 32
     --> lb.yaml:5:17
      |
    5 |     addresses: [192.0.2.100/33]
      |                 ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_ipv6_prefix_length_is_at_most_128() {
    let text = router("addresses: [\"2001:db8::1/129\"]");
    assert_snapshot!(errors(&text), @r#"
    error: the prefix length of 2001:db8::1 must be between 1 and 128
     --> lb.yaml:5:17
      |
    5 |     addresses: ["2001:db8::1/129"]
      |                 ^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_is_not_loopback() {
    let text = router("addresses: [127.0.0.1/8]");
    assert_snapshot!(errors(&text), @r#"
    error: 127.0.0.1/8 cannot be a virtual address: it is a loopback address
     --> lb.yaml:5:17
      |
    5 |     addresses: [127.0.0.1/8]
      |                 ^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_is_not_multicast() {
    let text = router("addresses: [\"ff02::12/64\"]");
    assert_snapshot!(errors(&text), @r#"
    error: ff02::12/64 cannot be a virtual address: it is a multicast address
     --> lb.yaml:5:17
      |
    5 |     addresses: ["ff02::12/64"]
      |                 ^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_is_not_unspecified() {
    let text = router("addresses: [0.0.0.0/24]");
    assert_snapshot!(errors(&text), @r#"
    error: 0.0.0.0/24 cannot be a virtual address: it means every address
     --> lb.yaml:5:17
      |
    5 |     addresses: [0.0.0.0/24]
      |                 ^^^^^^^^^^
    "#);
}

#[test]
fn an_address_is_not_broadcast() {
    let text = router("addresses: [192.0.2.255/24]");
    assert_snapshot!(errors(&text), @r#"
    error: 192.0.2.255/24 cannot be a virtual address: it is the network's broadcast address
     --> lb.yaml:5:17
      |
    5 |     addresses: [192.0.2.255/24]
      |                 ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_is_not_that_of_the_network() {
    let text = router("addresses: [192.0.2.0/24, \"2001:db8::/64\"]");
    assert_snapshot!(errors(&text), @r#"
    error: 192.0.2.0/24 cannot be a virtual address: it is the address of the network itself
     --> lb.yaml:5:17
      |
    5 |     addresses: [192.0.2.0/24, "2001:db8::/64"]
      |                 ^^^^^^^^^^^^

    error: 2001:db8::/64 cannot be a virtual address: it is the address of the network itself
     --> lb.yaml:5:31
      |
    5 |     addresses: [192.0.2.0/24, "2001:db8::/64"]
      |                               ^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_is_not_an_ipv4_address_in_ipv6() {
    let text = router("addresses: [\"::ffff:192.0.2.1/96\"]");
    assert_snapshot!(errors(&text), @r#"
    error: ::ffff:192.0.2.1/96 cannot be a virtual address: it is an IPv4 address
     --> lb.yaml:5:17
      |
    5 |     addresses: ["::ffff:192.0.2.1/96"]
      |                 ^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_twice_in_an_entry_is_refused() {
    let text = router("addresses: [192.0.2.100/24, 192.0.2.100/32]");
    assert_snapshot!(errors(&text), @r#"
    error: 192.0.2.100 is here twice
     --> lb.yaml:5:33
      |
    5 |     addresses: [192.0.2.100/24, 192.0.2.100/32]
      |                                 ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_in_two_entries_is_refused() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
  lan: {interface: eth1, vrid: 51, addresses: [192.0.2.100/24]}
"#;
    assert_snapshot!(errors(text), @r#"
    error: 192.0.2.100 already belongs to `web`
     --> lb.yaml:3:48
      |
    3 |   lan: {interface: eth1, vrid: 51, addresses: [192.0.2.100/24]}
      |                                                ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_vrid_twice_on_an_interface_is_refused() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
  lan: {interface: eth0, vrid: 51, addresses: [192.0.2.101/24]}
"#;
    assert_snapshot!(errors(text), @r#"
    error: vrid 51 on eth0 already belongs to `web/ipv4`
     --> lb.yaml:3:32
      |
    3 |   lan: {interface: eth0, vrid: 51, addresses: [192.0.2.101/24]}
      |                                ^^
    help: each needs its own on a link
    "#);
}

#[test]
fn more_nodes_than_there_are_priorities_for_are_refused() {
    let nodes: Vec<String> = (1..=128).map(|node| format!("lb{node}: 100")).collect();
    let text = router(&format!("priority: {{{}}}", nodes.join(", ")));
    let printed = errors(&text);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        [lines[0], lines[lines.len() - 1]],
        [
            "error: priority names 128 nodes; there is room for 127",
            "help: of 1 to 254 each node needs a number for when it can serve, and a lower one for when it cannot",
        ],
        "{printed}"
    );
    let fewer = router(&format!("priority: {{{}}}", nodes[..127].join(", ")));
    let config = super::accepts::accepted(&fewer);
    let rank = config.virtual_routers[0].rank;
    assert_eq!((rank.well().get(), rank.ill_max().get()), (128, 127));
}
