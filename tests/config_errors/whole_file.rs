//! Errors of the file as a whole: YAML, sections, `node`, `proxy`, order and places.

use insta::assert_snapshot;

use super::errors;

#[test]
fn an_empty_file_has_nothing_to_do() {
    let text = "# only a comment\n";
    assert_snapshot!(errors(text), @r#"
    error: neither `virtual_routers` nor `listeners` is here: nothing to do
     --> lb.yaml
    help: write `virtual_routers:` or `listeners:`; evenkeel.yaml(5) shows a whole file
    "#);
}

#[test]
fn a_file_without_a_main_section_has_nothing_to_do() {
    let text = "proxy: {threads: 2}\n";
    assert_snapshot!(errors(text), @r#"
    error: neither `virtual_routers` nor `listeners` is here: nothing to do
     --> lb.yaml
    help: write `virtual_routers:` or `listeners:`; evenkeel.yaml(5) shows a whole file
    "#);
}

#[test]
fn an_empty_section_is_refused() {
    let text = "virtual_routers:\n";
    assert_snapshot!(errors(text), @r#"
    error: `virtual_routers` must be a map of virtual routers by name, not nothing
     --> lb.yaml:1:1
      |
    1 | virtual_routers:
      | ^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_empty_map_is_refused() {
    let text = "listeners: {}\n";
    assert_snapshot!(errors(text), @r#"
    error: `listeners` must not be empty
     --> lb.yaml:1:12
      |
    1 | listeners: {}
      |            ^
    "#);
}

#[test]
fn a_file_that_is_no_map_is_refused() {
    let text = "- virtual_routers\n";
    assert_snapshot!(errors(text), @r#"
    error: a configuration is a map of sections
     --> lb.yaml:1:1
      |
    1 | - virtual_routers
      | ^
    help: write `virtual_routers:` or `listeners:`; evenkeel.yaml(5) shows a whole file
    "#);
}

#[test]
fn yaml_that_does_not_parse_has_line_and_column() {
    let text = r#"listeners:
  http: {port: 80]
"#;
    assert_snapshot!(errors(text), @r#"
    error: did not find expected ',' or '}', while parsing a flow mapping at line 2 column 9
     --> lb.yaml:2:18
      |
    2 |   http: {port: 80]
      |                  ^
    "#);
}

#[test]
fn yaml_that_does_not_end_points_after_the_last_line() {
    let text = "listeners: [\n";
    assert_snapshot!(errors(text), @r#"
    error: did not find expected node content, while parsing a flow node
     --> lb.yaml:2:1
    "#);
}

#[test]
fn a_tab_as_indentation_is_refused() {
    let text = "listeners:\n\thttp: {}\n";
    assert_snapshot!(errors(text), @r#"
    error: found character that cannot start any token, while scanning for the next token
     --> lb.yaml:2:1
      |
    2 | 	http: {}
      | ^
    "#);
}

#[test]
fn a_second_document_is_refused() {
    let text = r#"listeners:
---
pools:
"#;
    assert_snapshot!(errors(text), @r#"
    error: a configuration is one YAML document; `---` begins a second one
     --> lb.yaml
    "#);
}

#[test]
fn a_tag_is_refused() {
    let text = "listeners: !here {}\n";
    assert_snapshot!(errors(text), @r#"
    error: listeners: tags (`!name`) have no meaning here
     --> lb.yaml:1:12
      |
    1 | listeners: !here {}
      |            ^
    "#);
}

#[test]
fn a_list_as_key_is_refused() {
    let text = r#"? [a]
: b
"#;
    assert_snapshot!(errors(text), @r#"
    error: a key must be a name, not a list or a map
     --> lb.yaml:1:3
      |
    1 | ? [a]
      |   ^
    "#);
}

#[test]
fn an_unknown_anchor_is_refused() {
    let text = "listeners: *other\n";
    assert_snapshot!(errors(text), @r#"
    error: unknown anchor
     --> lb.yaml:1:12
      |
    1 | listeners: *other
      |            ^
    "#);
}

#[test]
fn a_control_character_is_refused() {
    let text = "# \u{1b}[2J\nlisteners: {}\n";
    assert_snapshot!(errors(text), @r#"
    error: control characters are not allowed
     --> lb.yaml:1:3
      |
    1 | # �[2J
      |   ^
    "#);
}

#[test]
fn an_unknown_section_is_refused() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
dashboard: {listen: "127.0.0.1:8404"}
"#;
    assert_snapshot!(errors(text), @r#"
    error: unknown key `dashboard`
     --> lb.yaml:3:1
      |
    3 | dashboard: {listen: "127.0.0.1:8404"}
      | ^^^^^^^^^
    help: known keys here: node, virtual_routers, track_scripts, listeners, pools, proxy, access_log, group, admin
    "#);
}

#[test]
fn a_merge_key_is_an_unknown_key() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
<<: {node: lb1}
"#;
    assert_snapshot!(errors(text), @r#"
    error: unknown key `<<`
     --> lb.yaml:3:1
      |
    3 | <<: {node: lb1}
      | ^^
    help: known keys here: node, virtual_routers, track_scripts, listeners, pools, proxy, access_log, group, admin
    "#);
}

#[test]
fn a_name_with_a_space_is_refused() {
    let text = r#"virtual_routers:
  my web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
"#;
    assert_snapshot!(errors(text), @r#"
    error: `my web` cannot be a name
     --> lb.yaml:2:3
      |
    2 |   my web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
      |   ^^^^^^
    help: names are 1 to 64 letters, digits, `.`, `_` and `-`
    "#);
}

#[test]
fn a_node_with_a_space_is_refused() {
    let text = r#"node: my node
virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
"#;
    assert_snapshot!(errors(text), @r#"
    error: node cannot be `my node`
     --> lb.yaml:1:7
      |
    1 | node: my node
      |       ^^^^^^^
    help: a node's name is letters, digits, `.`, `_` and `-`
    "#);
}

#[test]
fn a_node_must_be_text() {
    let text = r#"node: 12
virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
"#;
    assert_snapshot!(errors(text), @r#"
    error: `node` must be the name of a node, not a number
     --> lb.yaml:1:7
      |
    1 | node: 12
      |       ^^
    help: put it in quotes
    "#);
}

#[test]
fn proxy_threads_have_a_range() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
proxy: {threads: 0}
"#;
    assert_snapshot!(errors(text), @r#"
    error: threads must be between 1 and 250
     --> lb.yaml:3:18
      |
    3 | proxy: {threads: 0}
      |                  ^
    "#);
}

#[test]
fn proxy_threads_are_whole() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}
proxy: {threads: 1.5}
"#;
    assert_snapshot!(errors(text), @r#"
    error: threads must be a whole number
     --> lb.yaml:3:18
      |
    3 | proxy: {threads: 1.5}
      |                  ^^^
    "#);
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file() {
    let text = r#"virtual_routers:
  web:
    interface: eth0/1
    vrid: 0                   # not a vrid
    priorities: {lb1: 150}
    addresses: [192.0.2.100, 192.0.2.101/24]
listeners:
  http: {virtual_router: wbe, port: eighty, pool: farm}
pools:
  farm:
    backends:
      a: 192.0.2.10:80
      a: 192.0.2.11:80
    health_check: {http: {path: /}, interval: 5}
nodes: [lb1]
"#;
    assert_snapshot!(errors(text), @r#"
    error: interface cannot be `eth0/1`
     --> lb.yaml:3:16
      |
    3 |     interface: eth0/1
      |                ^^^^^^
    help: names of interfaces are 1 to 15 bytes without `/`, `:` and spaces

    error: vrid must be between 1 and 255
     --> lb.yaml:4:11
      |
    4 |     vrid: 0                   # not a vrid
      |           ^

    error: unknown key `priorities`
     --> lb.yaml:5:5
      |
    5 |     priorities: {lb1: 150}
      |     ^^^^^^^^^^
    help: did you mean `priority`?

    error: `192.0.2.100` has no prefix length
     --> lb.yaml:6:17
      |
    6 |     addresses: [192.0.2.100, 192.0.2.101/24]
      |                 ^^^^^^^^^^^
    help: write that of its network, as in `192.0.2.100/24`

    error: there is no virtual router `wbe`
     --> lb.yaml:8:26
      |
    8 |   http: {virtual_router: wbe, port: eighty, pool: farm}
      |                          ^^^
    help: did you mean `web`?

    error: `port` must be a number between 1 and 65535, not text
     --> lb.yaml:8:37
      |
    8 |   http: {virtual_router: wbe, port: eighty, pool: farm}
      |                                     ^^^^^^

    error: `a` is here twice
      --> lb.yaml:13:7
       |
    13 |       a: 192.0.2.11:80
       |       ^
    help: keep one of the two

    error: interval has no unit
      --> lb.yaml:14:47
       |
    14 |     health_check: {http: {path: /}, interval: 5}
       |                                               ^
    help: write `5s` or `5ms`

    error: unknown key `nodes`
      --> lb.yaml:15:1
       |
    15 | nodes: [lb1]
       | ^^^^^
    help: did you mean `node`?
    "#);
}

#[test]
fn a_tab_and_a_wide_character_keep_the_caret_in_place() {
    let text = "listeners: {http: {bind:\t[\"192.0.2.1:80\"], pool: \"färm\", prot: 1}}\npools:\n  farm: {backends: {a: \"192.0.2.10:80\"}}\n";
    assert_snapshot!(errors(text), @r#"
    error: there is no pool `färm`
     --> lb.yaml:1:50
      |
    1 | listeners: {http: {bind:	["192.0.2.1:80"], pool: "färm", prot: 1}}
      |                         	                        ^^^^^^
    help: did you mean `farm`?

    error: unknown key `prot`
     --> lb.yaml:1:58
      |
    1 | listeners: {http: {bind:	["192.0.2.1:80"], pool: "färm", prot: 1}}
      |                         	                                ^^^^
    help: did you mean `port`?
    "#);
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = r#"listeners: {http: {bind: ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80", "192.0.2.4:80", "192.0.2.5:80", "192.0.2.6:80", "192.0.2.7:80", "192.0.2.8:80", "192.0.2.9:80", "192.0.2.10:80", "192.0.2.11:80", "192.0.2.12:80", "192.0.2.13:80", "192.0.2.14:80", "192.0.2.15:80", "192.0.2.16:80", "192.0.2.17:80", "192.0.2.18:80", "192.0.2.19:80", "192.0.2.20:80", "192.0.2.21:80", "192.0.2.22:80", "192.0.2.23:80", "192.0.2.24:80", "192.0.2.25:80", "192.0.2.26:80", "192.0.2.27:80", "192.0.2.28:80", "192.0.2.29:80"], pool: nowhere}}
pools:
  farm: {backends: {a: "192.0.2.10:80"}}
"#;
    assert_snapshot!(errors(text), @r#"
    error: there is no pool `nowhere`
     --> lb.yaml:1:518
      |
    1 | ...80", "192.0.2.26:80", "192.0.2.27:80", "192.0.2.28:80", "192.0.2.29:80"], pool: nowhere}}
      |                                                                                    ^^^^^^^
    help: these are there: farm
    "#);
}

#[test]
fn the_proxys_times_and_limits_are_checked() {
    let text = "proxy:\n  timeouts: {drain: 1m}\n  limits: {connections: 0, connection_bytes: 1}\n";
    assert_snapshot!(errors(text), @r#"
    error: neither `virtual_routers` nor `listeners` is here: nothing to do
     --> lb.yaml
    help: write `virtual_routers:` or `listeners:`; evenkeel.yaml(5) shows a whole file

    error: drain must be between 1ms and 30s
     --> lb.yaml:2:21
      |
    2 |   timeouts: {drain: 1m}
      |                     ^^

    error: connections must be between 1 and 10000000
     --> lb.yaml:3:25
      |
    3 |   limits: {connections: 0, connection_bytes: 1}
      |                         ^

    error: connection_bytes must be between 16384 and 262144
     --> lb.yaml:3:46
      |
    3 |   limits: {connections: 0, connection_bytes: 1}
      |                                              ^
    "#);
}
