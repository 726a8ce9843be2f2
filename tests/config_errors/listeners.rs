//! Errors in `listeners`, and what is accepted there.

mod http2;
mod pages;
mod proxy_protocol;
mod tcp;
mod tls;

use evenkeel::logic::http1::forwarding::OptionalField;
use insta::assert_snapshot;

use super::accepts::accepted;
use super::{errors, listener};

/// Returns a file with a pool of these keys, on line 4.
fn pool(keys: &str) -> String {
    format!(
        "listeners:\n  http: {{bind: [\"127.0.0.1:80\"], pool: a}}\npools:\n  a: {{backends: {{b: \"192.0.2.10:80\"}}{keys}}}\n"
    )
}

#[test]
fn a_listener_needs_a_place() {
    let text = listener("pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `http` listens nowhere
     --> lb.yaml:6:3
      |
    6 |   http:
      |   ^^^^
    help: add `virtual_router: NAME` and `port: 80`, or `bind: ["192.0.2.1:80"]`
    "#);
}

#[test]
fn a_listener_with_virtual_router_needs_a_port() {
    let text = listener("virtual_router: web\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `http` has no `port`
     --> lb.yaml:6:3
      |
    6 |   http:
      |   ^^^^
    help: add `port: 80`
    "#);
}

#[test]
fn a_listener_with_a_port_needs_a_virtual_router() {
    let text = listener("port: 80\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `http` has a `port` but no `virtual_router`
     --> lb.yaml:7:5
      |
    7 |     port: 80
      |     ^^^^
    help: add `virtual_router: NAME`, or write `bind: ["192.0.2.1:80"]` instead
    "#);
}

#[test]
fn a_listener_has_bind_or_virtual_router_not_both() {
    let text = listener(
        "virtual_router: web\n    port: 80\n    bind: [\"192.0.2.100:80\"]\n    pool: farm",
    );
    assert_snapshot!(errors(&text), @r#"
    error: `http` has `bind` and also `virtual_router` or `port`: it is one or the other
     --> lb.yaml:9:5
      |
    9 |     bind: ["192.0.2.100:80"]
      |     ^^^^
    help: keep `virtual_router` with `port`, or `bind`; a listener that binds a virtual address is tied to its virtual router by itself
    "#);
}

#[test]
fn a_listener_needs_a_pool() {
    let text = listener("virtual_router: web\n    port: 80");
    assert_snapshot!(errors(&text), @r#"
    error: `http` has no `pool`
     --> lb.yaml:6:3
      |
    6 |   http:
      |   ^^^^
    help: add `pool: NAME`
    "#);
}

#[test]
fn a_pool_that_is_not_there_gets_a_suggestion() {
    let text = listener("virtual_router: web\n    port: 80\n    pool: fram");
    assert_snapshot!(errors(&text), @r#"
    error: there is no pool `fram`
     --> lb.yaml:9:11
      |
    9 |     pool: fram
      |           ^^^^
    help: did you mean `farm`?
    "#);
}

#[test]
fn a_virtual_router_that_is_not_there_is_refused() {
    let text = listener("virtual_router: inside\n    port: 80\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: there is no virtual router `inside`
     --> lb.yaml:7:21
      |
    7 |     virtual_router: inside
      |                     ^^^^^^
    help: these are there: web
    "#);
}

#[test]
fn a_port_has_a_range() {
    let text = listener("virtual_router: web\n    port: 65536\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: port must be between 1 and 65535
     --> lb.yaml:8:11
      |
    8 |     port: 65536
      |           ^^^^^
    "#);
}

#[test]
fn bind_is_a_list() {
    let text = listener("bind: \"192.0.2.1:80\"\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: bind must be a list of addresses with ports
     --> lb.yaml:7:11
      |
    7 |     bind: "192.0.2.1:80"
      |           ^^^^^^^^^^^^^^
    help: write `bind: ["192.0.2.1:80"]`
    "#);
}

#[test]
fn a_bind_address_needs_a_port() {
    let text = listener("bind: [192.0.2.1]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `192.0.2.1` is not an address with a port
     --> lb.yaml:7:12
      |
    7 |     bind: [192.0.2.1]
      |            ^^^^^^^^^
    help: add the port: `"192.0.2.1:80"`
    "#);
}

#[test]
fn an_ipv6_bind_address_needs_brackets() {
    let text = listener("bind: [\"2001:db8::1:80:80\", \"::1:80\"]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `2001:db8::1:80:80` is not an address with a port
     --> lb.yaml:7:12
      |
    7 |     bind: ["2001:db8::1:80:80", "::1:80"]
      |            ^^^^^^^^^^^^^^^^^^^
    help: put the address in brackets, then the port: `"[2001:db8::10]:80"`

    error: `::1:80` is not an address with a port
     --> lb.yaml:7:33
      |
    7 |     bind: ["2001:db8::1:80:80", "::1:80"]
      |                                 ^^^^^^^^
    help: put the address in brackets, then the port: `"[2001:db8::10]:80"`
    "#);
}

#[test]
fn a_bind_port_is_not_zero() {
    let text = listener("bind: [\"192.0.2.1:0\"]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `192.0.2.1:0`: the port must be between 1 and 65535
     --> lb.yaml:7:12
      |
    7 |     bind: ["192.0.2.1:0"]
      |            ^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_bind_address_is_not_multicast() {
    let text = listener("bind: [\"224.0.0.18:80\"]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `224.0.0.18:80`: a multicast address cannot be used here
     --> lb.yaml:7:12
      |
    7 |     bind: ["224.0.0.18:80"]
      |            ^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_bind_address_is_not_link_local() {
    let text = listener("bind: [\"[fe80::1]:80\"]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: `[fe80::1]:80`: a link-local address cannot be used here: it says nothing about the interface
     --> lb.yaml:7:12
      |
    7 |     bind: ["[fe80::1]:80"]
      |            ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_bind_address_twice_in_a_listener_is_refused() {
    let text = listener("bind: [\"192.0.2.1:80\", \"192.0.2.1:80\"]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: 192.0.2.1:80 is already taken, by this listener itself
     --> lb.yaml:7:28
      |
    7 |     bind: ["192.0.2.1:80", "192.0.2.1:80"]
      |                            ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_address_and_port_of_two_listeners_is_refused() {
    let text = listener(
        "bind: [\"192.0.2.100:80\"]\n    pool: farm\n  other: {virtual_router: web, port: 80, pool: farm}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: 192.0.2.100:80 is already taken, by `http`
     --> lb.yaml:9:38
      |
    9 |   other: {virtual_router: web, port: 80, pool: farm}
      |                                      ^^
    "#);
}

#[test]
fn a_wildcard_overlaps_on_the_same_port() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n  other: {bind: [\"0.0.0.0:80\"], pool: farm}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: 0.0.0.0:80 and 192.0.2.1:80, of `http`, overlap
     --> lb.yaml:9:18
      |
    9 |   other: {bind: ["0.0.0.0:80"], pool: farm}
      |                  ^^^^^^^^^^^^
    help: `0.0.0.0` and `[::]` mean every address of their family; take another port than 80 or name the addresses one by one
    "#);
}

#[test]
fn a_listener_timeout_has_a_range() {
    let text = listener(
        "virtual_router: web\n    port: 80\n    pool: farm\n    timeouts: {request_head: 0s, idle: 25h}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: request_head must be between 1ms and 1h
      --> lb.yaml:10:30
       |
    10 |     timeouts: {request_head: 0s, idle: 25h}
       |                              ^^

    error: idle must be between 1ms and 24h
      --> lb.yaml:10:40
       |
    10 |     timeouts: {request_head: 0s, idle: 25h}
       |                                        ^^^
    "#);
}

#[test]
fn a_backend_that_is_the_listener_itself_is_refused() {
    let text = listener("bind: [\"192.0.2.10:80\"]\n    pool: farm");
    assert_snapshot!(errors(&text), @r#"
    error: 192.0.2.10:80 is where listener `http` itself listens
     --> lb.yaml:4:24
      |
    4 |   farm: {backends: {a: "192.0.2.10:80"}}
      |                        ^^^^^^^^^^^^^^^
    help: a backend is another server
    "#);
}

#[test]
fn a_listener_needs_an_address_that_is_not_link_local() {
    let text = r#"virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: ["fe80::1/64"]}
listeners:
  http: {virtual_router: web, port: 80, pool: farm}
pools:
  farm: {backends: {a: "192.0.2.10:80"}}
"#;
    assert_snapshot!(errors(text), @r#"
    error: `web` has no address to listen on: link-local ones are left out
     --> lb.yaml:4:26
      |
    4 |   http: {virtual_router: web, port: 80, pool: farm}
      |                          ^^^
    help: give `web` an address that clients can reach
    "#);
}

#[test]
fn without_any_pool_the_hint_is_to_add_one() {
    let text = r#"listeners:
  http: {bind: ["192.0.2.1:80"], pool: farm}
"#;
    assert_snapshot!(errors(text), @r#"
    error: there is no pool `farm`
     --> lb.yaml:2:40
      |
    2 |   http: {bind: ["192.0.2.1:80"], pool: farm}
      |                                        ^^^^
    help: add it under `pools`
    "#);
}

#[test]
fn limits_and_proxies_are_checked() {
    let text = listener(
        "virtual_router: web\n    port: 80\n    pool: farm\n    limits: {head_bytes: 0, fields: 129, body_bytes: x}\n    \
         trusted_proxies: [10.0.0.0/33, lb0]\n    forwarded: 1",
    );
    assert_snapshot!(errors(&text), @r#"
    error: head_bytes must be between 1 and 65536
      --> lb.yaml:10:26
       |
    10 |     limits: {head_bytes: 0, fields: 129, body_bytes: x}
       |                          ^

    error: fields must be between 1 and 128
      --> lb.yaml:10:37
       |
    10 |     limits: {head_bytes: 0, fields: 129, body_bytes: x}
       |                                     ^^^

    error: `body_bytes` must be a number between 1 and 4294967295, not text
      --> lb.yaml:10:54
       |
    10 |     limits: {head_bytes: 0, fields: 129, body_bytes: x}
       |                                                      ^

    error: `10.0.0.0/33` is neither an address nor a network
      --> lb.yaml:11:23
       |
    11 |     trusted_proxies: [10.0.0.0/33, lb0]
       |                       ^^^^^^^^^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: `lb0` is neither an address nor a network
      --> lb.yaml:11:36
       |
    11 |     trusted_proxies: [10.0.0.0/33, lb0]
       |                                    ^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: `forwarded` must be true or false, not a number
      --> lb.yaml:12:16
       |
    12 |     forwarded: 1
       |                ^
    "#);
}

#[test]
fn limits_and_proxies_can_be_said() {
    let text = listener(
        "virtual_router: web\n    port: 80\n    pool: farm\n    limits: {head_bytes: 65536, fields: 128, body_bytes: 1}\n    \
         trusted_proxies: [10.0.0.0/8, \"2001:db8::1\"]\n    forwarded: true\n    via: true\n    request_id: false",
    );
    let config =
        evenkeel::config::parse("lb.yaml", &text, evenkeel::config::NodeName::Given("lb1"));
    let listener = config.expect("it is right").listeners.remove(0);
    assert_eq!(listener.limits.body_bytes, Some(1));
    let lens: Vec<u8> = listener
        .forwarding
        .trusted_proxies
        .iter()
        .map(|network| network.prefix_len)
        .collect();
    assert_eq!(lens, [8, 128]);
    let forwarding = &listener.forwarding;
    let written = [forwarding.forwarded, forwarding.via, forwarding.request_id];
    assert_eq!(
        written,
        [
            OptionalField::Send,
            OptionalField::Send,
            OptionalField::Omit
        ]
    );
}

#[test]
fn proxy_fields_are_names_of_fields_that_are_not_the_proxys_own() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    proxy_fields: [X-User, \"X User\", Host, \"\"]\n    trace: maybe",
    );
    assert_snapshot!(errors(&text), @r#"
    error: `X User` is not the name of a field
     --> lb.yaml:9:28
      |
    9 |     proxy_fields: [X-User, "X User", Host, ""]
      |                            ^^^^^^^^
    help: write letters, digits and `-`: `X-User`

    error: Host is the proxy's own business already
     --> lb.yaml:9:38
      |
    9 |     proxy_fields: [X-User, "X User", Host, ""]
      |                                      ^^^^
    help: leave it out

    error: `` is not the name of a field
     --> lb.yaml:9:44
      |
    9 |     proxy_fields: [X-User, "X User", Host, ""]
      |                                            ^^
    help: write letters, digits and `-`: `X-User`

    error: `trace` must be true or false, not text
      --> lb.yaml:10:12
       |
    10 |     trace: maybe
       |            ^^^^^
    "#);
}

#[test]
fn the_time_to_read_a_last_answer_has_bounds() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    timeouts: {linger: 2h}\n    limits: {body_rate: -1}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: linger must be between 1ms and 1h
     --> lb.yaml:9:24
      |
    9 |     timeouts: {linger: 2h}
      |                        ^^

    error: body_rate must be between 0 and 4294967295
      --> lb.yaml:10:25
       |
    10 |     limits: {body_rate: -1}
       |                         ^^
    "#);
}

#[test]
fn no_upgrade_leads_to_more_requests() {
    for name in [
        "H2C", "h2", "HTTP/2.0", "http/1.1", "TLS", "tls/1.2", "https",
    ] {
        let lines = format!("bind: [\"192.0.2.1:80\"]\n    pool: farm\n    upgrades: [{name}]");
        let hoped = format!("error: an upgrade to {name} cannot be relayed\n");
        assert!(errors(&listener(&lines)).starts_with(&hoped), "{name}");
    }
}

#[test]
fn upgrades_are_names_of_protocols_that_end_http() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    upgrades: [websocket, h2c, TLS/1.0, \"a b\"]",
    );
    assert_snapshot!(errors(&text), @r#"
    error: an upgrade to h2c cannot be relayed
     --> lb.yaml:9:27
      |
    9 |     upgrades: [websocket, h2c, TLS/1.0, "a b"]
      |                           ^^^
    help: what follows would be requests that nobody has looked at; leave it out

    error: an upgrade to TLS/1.0 cannot be relayed
     --> lb.yaml:9:32
      |
    9 |     upgrades: [websocket, h2c, TLS/1.0, "a b"]
      |                                ^^^^^^^
    help: what follows would be requests that nobody has looked at; leave it out

    error: `a b` is not the name of a protocol
     --> lb.yaml:9:41
      |
    9 |     upgrades: [websocket, h2c, TLS/1.0, "a b"]
      |                                         ^^^^^
    help: write it as clients do: `websocket`, `tcp`
    "#);
}

#[test]
fn no_upgrade_at_all_can_be_asked_for() {
    let config = accepted(&listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    upgrades: []",
    ));
    assert_eq!(config.listeners[0].upgrades, []);
}

#[test]
fn a_listener_leaves_link_local_addresses_out() {
    let text = listener("virtual_router: web\n    port: 80\n    pool: farm").replace(
        "[192.0.2.100/24]",
        "[\"fe80::1/64\", \"2001:db8::1/64\", 192.0.2.100/24]",
    );
    let listener = &accepted(&text).listeners[0];
    let binds: Vec<_> = listener.binds.iter().map(ToString::to_string).collect();
    assert_eq!(binds, ["192.0.2.100:80", "[2001:db8::1]:80"]);
    assert_eq!(listener.virtual_router.as_deref(), Some("web"));
}

#[test]
fn a_listener_that_binds_a_virtual_address_is_tied_to_its_router() {
    let tied_to = |bind: &str| {
        let lan = "  lan: {interface: eth1, vrid: 51, addresses: [198.51.100.1/24]}\npools:";
        let text = listener(&format!("bind: [{bind}]\n    pool: farm")).replace("pools:", lan);
        accepted(&text).listeners[0].virtual_router.clone()
    };
    assert_eq!(
        tied_to("\"192.0.2.100:8080\", \"127.0.0.1:80\"").as_deref(),
        Some("web")
    );
    assert_eq!(tied_to("\"198.51.100.1:80\"").as_deref(), Some("lan"));
    assert_eq!(tied_to("\"192.0.2.100:80\", \"198.51.100.1:80\""), None);
    assert_eq!(tied_to("\"0.0.0.0:80\""), None);
}

#[test]
fn wildcards_of_both_families_may_have_one_port() {
    let text = listener("bind: [\"0.0.0.0:80\", \"[::]:80\"]\n    pool: farm");
    assert_eq!(accepted(&text).listeners[0].binds.len(), 2);
}

#[test]
fn tables_of_clients_have_a_bound_in_all() {
    let routes: Vec<String> = (0..300)
        .map(|n| {
            format!("{{path: /{n}, pool: farm, limits: {{requests_per_client: {{rate: 1/s}}}}}}")
        })
        .collect();
    let text = listener(&format!(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    routes: [{}]",
        routes.join(", ")
    ));
    let message = errors(&text);
    assert!(
        message.starts_with(
            "error: the limits of this section remember 19660800 clients in all, at most 16777216"
        ),
        "{message}"
    );
    assert!(message.contains("say a smaller `clients`"), "{message}");
}

#[test]
fn rates_are_checked() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    limits:\n      \
         requests: 50/s\n      \
         requests_per_client: {burst: 0, by: cookie, clients: 10}\n      \
         connection_rate_per_client: {rate: 50, by: address}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: `requests` must be a map, not text
      --> lb.yaml:10:17
       |
    10 |       requests: 50/s
       |                 ^^^^
    help: write `requests: {rate: 50/s, burst: 100}`

    error: `requests_per_client` has no `rate`
      --> lb.yaml:11:7
       |
    11 |       requests_per_client: {burst: 0, by: cookie, clients: 10}
       |       ^^^^^^^^^^^^^^^^^^^
    help: add `rate: 50/s`

    error: burst must be between 1 and 1000000
      --> lb.yaml:11:36
       |
    11 |       requests_per_client: {burst: 0, by: cookie, clients: 10}
       |                                    ^

    error: by must be `address`, or a map with `header`
      --> lb.yaml:11:43
       |
    11 |       requests_per_client: {burst: 0, by: cookie, clients: 10}
       |                                           ^^^^^^
    help: write `by: {header: X-Api-Key}`

    error: clients must be between 1024 and 1048576
      --> lb.yaml:11:60
       |
    11 |       requests_per_client: {burst: 0, by: cookie, clients: 10}
       |                                                            ^^

    error: rate has no unit of time
      --> lb.yaml:12:42
       |
    12 |       connection_rate_per_client: {rate: 50, by: address}
       |                                          ^^
    help: write `50/s`, `50/m` or `50/h`

    error: unknown key `by`
      --> lb.yaml:12:46
       |
    12 |       connection_rate_per_client: {rate: 50, by: address}
       |                                              ^^
    help: known keys here: rate, burst, clients
    "#);
}

#[test]
fn rates_have_words_for_what_is_none() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    limits:\n      \
         requests: {rate: 50/d}\n      \
         requests_per_client: {rate: 1/s, by: {header: X Y}}\n      \
         connection_rate_per_client: {rate: 0/s, clients: 2000000}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: rate cannot be `50/d`: not a rate
      --> lb.yaml:10:24
       |
    10 |       requests: {rate: 50/d}
       |                        ^^^^
    help: rates are written 50/s, 100/m or 10/h, with numbers from 1 to 1000000

    error: `X Y` is not the name of a field
      --> lb.yaml:11:53
       |
    11 |       requests_per_client: {rate: 1/s, by: {header: X Y}}
       |                                                     ^^^
    help: write letters, digits and `-`: `X-Api-Key`

    error: rate cannot be `0/s`: not a rate
      --> lb.yaml:12:42
       |
    12 |       connection_rate_per_client: {rate: 0/s, clients: 2000000}
       |                                          ^^^
    help: rates are written 50/s, 100/m or 10/h, with numbers from 1 to 1000000

    error: clients must be between 1024 and 1048576
      --> lb.yaml:12:56
       |
    12 |       connection_rate_per_client: {rate: 0/s, clients: 2000000}
       |                                                        ^^^^^^^
    "#);
}

#[test]
fn rates_have_a_burst_of_their_own_number_unless_it_is_said() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    limits:\n      \
         requests: {rate: 1000/m}\n      \
         requests_per_client: {rate: 50/s, burst: 7, by: {header: X-Api-Key}, clients: 1024}\n      \
         connection_rate_per_client: {rate: 10/h}",
    );
    let config = accepted(&text);
    let limits = &config.listeners[0].limits;
    let shown = |limit: Option<&dyn std::fmt::Display>| limit.map(ToString::to_string);
    let rates = &limits.rates;
    assert_eq!(
        [
            shown(rates.requests.as_ref().map(|it| it as _)),
            shown(rates.requests_per_client.as_ref().map(|it| it as _)),
            shown(limits.connection_rate_per_client.as_ref().map(|it| it as _)),
        ]
        .map(Option::unwrap_or_default),
        [
            "1000/m burst 1000",
            "50/s burst 7 of 1024 clients by header X-Api-Key",
            "10/h burst 10 of 65536 clients by address",
        ]
    );
}

/// Clients of IPv4 are compared as such, so a network of them is one, however it is written.
#[test]
fn networks_of_mapped_addresses_are_those_of_ipv4() {
    let text = listener(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    trusted_proxies: [\"::ffff:10.0.0.0/104\", \"::ffff:0:0/96\", \"::ffff:192.0.2.1\", \"::/0\"]",
    );
    let networks = &accepted(&text).listeners[0].forwarding.trusted_proxies;
    let shown: Vec<String> = networks
        .iter()
        .map(|it| format!("{}/{}", it.address, it.prefix_len))
        .collect();
    assert_eq!(shown, ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "::/0"]);
}
