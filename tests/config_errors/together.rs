//! Errors in what makes virtual routers owners, lets them move together, and says how they announce
//! themselves.

use evenkeel::config::{NodeName, parse};
use evenkeel::model::Priority;
use insta::assert_snapshot;

use super::{errors, router};

/// Returns a file with two entries; the lines are of the second.
fn two(lines: &str) -> String {
    format!(
        "virtual_routers:\n  web: {{interface: eth0, vrid: 51, addresses: [192.0.2.100/24, \"2001:db8::100/64\"]}}\n  \
         lan:\n    interface: eth1\n    vrid: 52\n    addresses: [198.51.100.1/24]\n    {lines}\n"
    )
}

/// Returns the group of every virtual router.
fn groups(text: &str) -> Vec<(String, String)> {
    let config = parse("lb.yaml", text, NodeName::Given("lb1")).expect("no error is hoped for");
    let group = |router: &evenkeel::config::VirtualRouterConfig| {
        (router.name.to_string(), router.sync_group.clone())
    };
    config.virtual_routers.iter().map(group).collect()
}

#[test]
fn both_families_of_an_entry_move_together_and_entries_that_say_so() {
    let text = two("synchronize_with: [web]");
    let hoped = [
        ("web/ipv4", "web"),
        ("web/ipv6", "web"),
        ("lan/ipv4", "web"),
    ];
    assert_eq!(groups(&text), hoped.map(|(a, b)| (a.into(), b.into())));
    let text = two("preempt: true");
    let hoped = [
        ("web/ipv4", "web"),
        ("web/ipv6", "web"),
        ("lan/ipv4", "lan"),
    ];
    assert_eq!(groups(&text), hoped.map(|(a, b)| (a.into(), b.into())));
}

#[test]
fn groups_hang_together_whoever_names_whom() {
    let entry = |name: &str, vrid: u8, with: &str| {
        let with = if with.is_empty() {
            String::new()
        } else {
            format!(", synchronize_with: [{with}]")
        };
        format!(
            "  {name}: {{interface: eth0, vrid: {vrid}, addresses: [192.0.2.{vrid}/24]{with}}}\n"
        )
    };
    let text = format!(
        "virtual_routers:\n{}{}{}{}",
        entry("a", 1, "c"),
        entry("b", 2, ""),
        entry("c", 3, ""),
        entry("d", 4, "c")
    );
    let groups: Vec<String> = groups(&text).into_iter().map(|(_, group)| group).collect();
    assert_eq!(groups, ["a", "b", "a", "a"], "a with c, and c with d");
}

#[test]
fn an_entry_that_is_not_there_cannot_be_synchronized_with() {
    let text = two("synchronize_with: [wep]");
    assert_snapshot!(errors(&text), @r#"
    error: there is no virtual router `wep`
     --> lb.yaml:7:24
      |
    7 |     synchronize_with: [wep]
      |                        ^^^
    help: did you mean `web`?
    "#);
}

#[test]
fn an_entry_cannot_be_synchronized_with_itself() {
    let text = two("synchronize_with: [lan]");
    assert_snapshot!(errors(&text), @r#"
    error: `lan` cannot be synchronized with itself
     --> lb.yaml:7:24
      |
    7 |     synchronize_with: [lan]
      |                        ^^^
    "#);
}

#[test]
fn an_owner_has_priority_255_on_the_node_that_owns() {
    let text = router("owner: {lb1: true, lb2: false}\n    priority: 90");
    let priority = |node| {
        let config = parse("lb.yaml", &text, NodeName::Given(node)).expect("no error");
        config.virtual_routers[0].priority
    };
    assert_eq!(priority("lb1"), Priority::OWNER, "it owns");
    assert_eq!(
        Some(priority("lb2")),
        Priority::new(90),
        "the other does not"
    );
}

#[test]
fn an_owner_for_all_nodes_has_no_other_priority() {
    let text = router("owner: true\n    priority: 100");
    assert_snapshot!(errors(&text), @r#"
    error: `owner: true` and `priority` exclude each other
     --> lb.yaml:7:15
      |
    7 |     priority: 100
      |               ^^^
    help: the owner's priority is 255; where only one node owns the addresses, write `owner: {lb1: true, lb2: false}`
    "#);
}

#[test]
fn a_node_that_is_missing_among_the_owners_is_an_error() {
    let text = router("owner: {lb2: true}");
    assert_snapshot!(errors(&text), @r#"
    error: owner says nothing of this node, `lb1`
     --> lb.yaml:6:5
      |
    6 |     owner: {lb2: true}
      |     ^^^^^
    help: add `lb1: false`
    "#);
}

#[test]
fn an_owner_is_true_or_false() {
    let text = router("owner: lb1");
    assert_snapshot!(errors(&text), @r#"
    error: `owner` must be true or false, not text
     --> lb.yaml:6:12
      |
    6 |     owner: lb1
      |            ^^^
    "#);
}

#[test]
fn an_owner_accepts() {
    let text = router("owner: true\n    accept: false");
    assert_snapshot!(errors(&text), @r#"
    error: the owner of an address accepts what is sent to it
     --> lb.yaml:7:13
      |
    7 |     accept: false
      |             ^^^^^
    help: leave `accept` out (RFC 9568 section 6.1)
    "#);
}

#[test]
fn a_virtual_mac_is_true_or_false() {
    let text = router("virtual_mac: 00:00:5e:00:01:33");
    assert_snapshot!(errors(&text), @r#"
    error: `virtual_mac` must be true or false, not text
     --> lb.yaml:6:18
      |
    6 |     virtual_mac: 00:00:5e:00:01:33
      |                  ^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_down_multiplier_has_a_range() {
    let text = router("down_multiplier: 0");
    assert_snapshot!(errors(&text), @r#"
    error: down_multiplier must be between 1 and 100
     --> lb.yaml:6:22
      |
    6 |     down_multiplier: 0
      |                      ^
    "#);
}

#[test]
fn announcements_have_ranges() {
    let text = router("announcements: {repeat: 0, delay: 2h, refresh: 500ms, pace: 1s}");
    assert_snapshot!(errors(&text), @r#"
    error: repeat must be between 1 and 20
     --> lb.yaml:6:29
      |
    6 |     announcements: {repeat: 0, delay: 2h, refresh: 500ms, pace: 1s}
      |                             ^

    error: delay must be between 0s and 1h
     --> lb.yaml:6:39
      |
    6 |     announcements: {repeat: 0, delay: 2h, refresh: 500ms, pace: 1s}
      |                                       ^^

    error: refresh must be between 1s and 24h
     --> lb.yaml:6:52
      |
    6 |     announcements: {repeat: 0, delay: 2h, refresh: 500ms, pace: 1s}
      |                                                    ^^^^^

    error: pace must be between 0s and 10ms
     --> lb.yaml:6:65
      |
    6 |     announcements: {repeat: 0, delay: 2h, refresh: 500ms, pace: 1s}
      |                                                                 ^^
    "#);
}

#[test]
fn announcements_have_their_keys() {
    let text = router("announcements: {repeats: 3}");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `repeats`
     --> lb.yaml:6:21
      |
    6 |     announcements: {repeats: 3}
      |                     ^^^^^^^
    help: did you mean `repeat`?
    "#);
}

/// RFC 9568 §6.1: Accept_Mode is for those who do not own the addresses; one file serves both kinds
/// of nodes.
#[test]
fn who_does_not_own_may_refuse_beside_one_who_does() {
    let text = router("owner: {lb1: true, lb2: false}\n    accept: false");
    for node in ["lb1", "lb2"] {
        let config = parse("lb.yaml", &text, NodeName::Given(node));
        assert!(config.is_ok(), "{node}: {config:?}");
    }
}
