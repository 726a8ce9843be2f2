//! keepalived, a feature at a time.

use super::{assert_passes, body, imported, lost, otherwise, without_effect};

/// Returns a file with one instance of these lines, on eth0 with VRID 5 and 192.0.2.1/24.
fn instance(lines: &str) -> String {
    let mut text = "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n".to_owned();
    if !lines.contains("virtual_ipaddress {") {
        text.push_str(" virtual_ipaddress {\n 192.0.2.1/24\n }\n");
    }
    format!("{text}{lines}\n}}\n")
}

/// Asserts which keys the lines of an instance become, beside those of [`instance`].
fn becomes(lines: &str, hoped: &[&str]) {
    let outcome = imported(&[("keepalived.conf", &instance(lines))]);
    assert_passes(&outcome);
    let known = [
        "interface: eth0",
        "vrid: 5",
        "priority: 100",
        "addresses: [192.0.2.1/24]",
        "version: 2",
    ];
    let body = body(&outcome);
    let keys = body
        .lines()
        .skip(2)
        .map(str::trim)
        .filter(|line| !known.contains(line));
    assert_eq!(keys.collect::<Vec<_>>(), hoped, "{lines}");
    assert_eq!(lost(&outcome), "", "{lines}");
}

#[test]
fn lines_of_an_instance_become_keys() {
    becomes("advert_int 1", &[]);
    becomes("advert_int 0.3", &[]);
    becomes("advert_int 3", &["advertisement_interval: 3s"]);
    becomes("priority 255", &["owner: true"]);
    becomes("nopreempt", &["preempt: false"]);
    becomes("preempt_delay 5", &["preempt: {delay: 5s}"]);
    becomes("state MASTER", &["owner: true"]);
    becomes("state MASTER\npriority 100\nnopreempt", &[]);
    becomes("dont_track_primary", &["link: {required: false}"]);
    becomes("no_accept", &["accept: false"]);
    becomes("down_timer_adverts 5", &["down_multiplier: 5"]);
    becomes(
        "garp_master_refresh 0\ngarp_master_repeat 2",
        &["announcements: {repeat: 2}"],
    );
    becomes("use_vmac", &["virtual_mac: true"]);
    becomes(
        "authentication {\nauth_type PASS\nauth_pass \"a b#\"\n}",
        &["authentication: {password: \"a b#\"}"],
    );
    becomes(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}",
        &["peers: [10.0.0.1, 10.0.0.2]"],
    );
    becomes(
        "track_interface {\neth0\neth1\neth2 weight -5\n}",
        &[
            "track: [{interface: eth1, on_failure: fault}, {interface: eth2, on_failure: {lower_by: 5}}]",
        ],
    );
}

#[test]
fn version_3_has_fractions_and_no_version_2() {
    let text = "global_defs {\nvrrp_version 3\n}\n".to_owned() + &instance("advert_int 0.25");
    let outcome = imported(&[("keepalived.conf", &text)]);
    assert_passes(&outcome);
    assert!(body(&outcome).contains("advertisement_interval: 250ms"));
    assert!(!body(&outcome).contains("version:"));
}

#[test]
fn addresses_without_a_prefix_have_one_of_all_bits() {
    let lines =
        "virtual_ipaddress {\n192.0.2.1 dev eth0\n192.0.2.2/24 brd + scope global\n192.0.2.1/24\n}";
    let outcome = imported(&[("keepalived.conf", &instance(lines))]);
    assert!(body(&outcome).contains("addresses: [192.0.2.1/32, 192.0.2.2/24]"));
    assert!(without_effect(&outcome).contains("the address is there already"));
}

#[test]
fn scripts_that_look_for_a_process_are_looks_at_the_process() {
    let text = "vrrp_script c {\nscript \"killall -0 nginx\"\nweight 5\n}\n".to_owned()
        + &instance("track_script {\nc\n}");
    let outcome = imported(&[("keepalived.conf", &text)]);
    assert_passes(&outcome);
    assert!(body(&outcome).contains("track: [{process: {name: nginx}, raise_by: 5}]"));
    assert!(!body(&outcome).contains("track_scripts"));
}

#[test]
fn a_script_that_looks_for_the_replaced_proxy_is_not_needed() {
    let text = "vrrp_script c {\nscript \"pidof haproxy\"\n}\n".to_owned()
        + &instance("track_script {\nc\n}");
    let alone = imported(&[("keepalived.conf", &text)]);
    assert!(body(&alone).contains("{process: {name: haproxy}, on_failure: fault}"));
    let proxy = "listen a\n mode http\n bind 192.0.2.1:80\n server b 192.0.2.2:80 check\n";
    let both = imported(&[("keepalived.conf", &text), ("haproxy.cfg", proxy)]);
    assert_passes(&both);
    assert!(!body(&both).contains("track"), "{}", body(&both));
    assert!(otherwise(&both).contains("haproxy does not run any more"));
    assert!(body(&both).contains("virtual_router: A"));
}

#[test]
fn a_script_nobody_defines_is_passed_over_as_keepalived_does() {
    let outcome = imported(&[("keepalived.conf", &instance("track_script {\nnobody\n}"))]);
    assert!(without_effect(&outcome).contains("nothing says what nobody is"));
    assert_eq!(outcome.code, 0);
}

#[test]
fn what_has_no_like_here_is_lost() {
    for (lines, why) in [
        (
            "virtual_routes {\ndefault via 192.0.2.9\n}",
            "there are no routes and rules here",
        ),
        (
            "authentication {\nauth_type AH\nauth_pass x\n}",
            "there is no AH here",
        ),
        ("use_ipvlan", "there is no ipvlan here"),
        ("track_bfd {\nx\n}", "there is no BFD here"),
        (
            "notify_master /a",
            "programs are told NAME STATE PRIORITY EPOCH",
        ),
        ("lvs_sync_daemon_interface eth1", "there is no LVS here"),
        ("priority 300", "it is 1 to 255"),
        (
            "virtual_ipaddress {\nwww.example.org\n192.0.2.1\n}",
            "is not known to this import",
        ),
    ] {
        let outcome = imported(&[("keepalived.conf", &instance(lines))]);
        assert!(lost(&outcome).contains(why), "{lines}: {}", outcome.yaml);
        assert_eq!(outcome.code, 1, "{lines}");
        assert_passes(&outcome);
    }
}

#[test]
fn without_an_interface_or_a_vrid_there_is_no_virtual_router() {
    let text = "vrrp_instance A {\nvirtual_ipaddress {\n192.0.2.1\n}\n}\n".to_owned()
        + &instance("").replace("instance A", "instance B");
    let outcome = imported(&[("keepalived.conf", &text)]);
    assert_passes(&outcome);
    assert!(lost(&outcome).contains("keepalived.conf:1: vrrp_instance A {"));
    assert!(body(&outcome).starts_with("virtual_routers:\n  B:"));
}

#[test]
fn the_program_for_notify_calls_what_was_called() {
    let lines = "notify_master \"/usr/local/bin/up eth0\"\nnotify /usr/local/bin/any";
    let outcome = imported(&[("keepalived.conf", &instance(lines))]);
    let hoped = "#   [ \"$2\" = Active ] && { /usr/local/bin/up eth0; /usr/local/bin/any INSTANCE \
                 \"${1%/*}\" MASTER \"$3\"; }\n";
    assert!(outcome.yaml.contains(hoped), "{}", outcome.yaml);
}

#[test]
fn no_password_stands_in_a_comment() {
    let lines = "authentication {\nauth_type PASS\nauth_pass verysecretword\n}";
    let outcome = imported(&[("keepalived.conf", &instance(lines))]);
    let comments = outcome.yaml.lines().filter(|line| line.starts_with('#'));
    assert!(
        !comments.collect::<String>().contains("verysecret"),
        "{}",
        outcome.yaml
    );
    assert!(!outcome.summary.contains("verysecret"));
}
