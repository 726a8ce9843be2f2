//! The keys `backends_file` and `resolve`, names among `backends`, and the file itself.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel::config::check::{FILE_BACKENDS_MAX, backends_of_file, backends_of_name};
use evenkeel::config::{Config, Follow, FoundBackend, Tier};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, pool};

const KEYS: &str = "backends: {here: \"192.0.2.10:80\"}\n    backends_file: /etc/evenkeel/farm";

fn follow(text: &str) -> Follow {
    accepted(&pool(text)).pools[0].follow.clone()
}

fn read(text: &str) -> Result<Vec<FoundBackend>, String> {
    let config: Config = accepted(&pool(KEYS));
    let found = backends_of_file(&config, &config.pools[0], "/etc/evenkeel/farm", text);
    found.map_err(|errors| errors.to_string())
}

fn found(text: &str) -> Vec<String> {
    let found = read(text).unwrap_or_else(|errors| panic!("{errors}"));
    let shown = found.iter().map(|one| {
        let requests = one.requests.unwrap_or_default();
        let backup = one.tier == Tier::Backup;
        let (name, address, weight) = (&one.name, one.address, one.weight);
        format!("{name} {address} {weight} {requests} {backup}")
    });
    shown.collect()
}

fn refused(text: &str) -> String {
    read(text).expect_err("it is wrong")
}

#[test]
fn a_file_stands_beside_backends_or_in_their_place() {
    let path = Some(PathBuf::from("/etc/evenkeel/farm"));
    assert_eq!(follow("backends_file: /etc/evenkeel/farm").file, path);
    let config = accepted(&pool(KEYS));
    assert_eq!(config.pools[0].follow.file, path);
    assert_eq!(config.pools[0].backends.len(), 1);
}

#[test]
fn the_path_of_a_file_is_absolute() {
    assert_snapshot!(errors(&pool("backends_file: farm.backends")), @r#"
    error: `farm.backends` is not an absolute path
     --> lb.yaml:5:20
      |
    5 |     backends_file: farm.backends
      |                    ^^^^^^^^^^^^^
    help: the daemon runs in no directory of yours
    "#);
}

#[test]
fn lines_say_a_name_an_address_and_what_is_needed_besides() {
    let text = "\u{feff}# Written by a program.\n\n  http1 192.0.2.102:80\r\n\
                http2\t192.0.2.103:80 weight=256 requests=50 backup # the old one\n\
                192.0.2.104:8080\n[2001:db8::1]:80 backup";
    let hoped = [
        "http1 192.0.2.102:80 1 0 false",
        "http2 192.0.2.103:80 256 50 true",
        "192.0.2.104:8080 192.0.2.104:8080 1 0 false",
        "[2001:db8::1]:80 [2001:db8::1]:80 1 0 true",
    ];
    assert_eq!(found(text), hoped);
}

#[test]
fn json_says_what_would_stand_under_backends() {
    let map = " {\"a\": \"192.0.2.11:80\", \"b\": {\"address\": \"192.0.2.2:80\", \"weight\": 2, \
               \"requests\": 5, \"backup\": true}}";
    let hoped = ["a 192.0.2.11:80 1 0 false", "b 192.0.2.2:80 2 5 true"];
    assert_eq!(found(map), hoped);
    let list = "[\"192.0.2.11:80\",\n {\"name\": \"b\", \"address\": \"192.0.2.2:80\", \"weight\": 2, \
                \"requests\": 5, \"backup\": true}]\n";
    let hoped = ["192.0.2.11:80 192.0.2.11:80 1 0 false", hoped[1]];
    assert_eq!(found(list), hoped);
}

#[test]
fn what_is_wrong_with_lines_is_said_at_its_place() {
    let text = "a\nb 192.0.2.11\nno/name 192.0.2.11:80\nc 0.0.0.0:80\nhere 192.0.2.11:80\n";
    assert_snapshot!(refused(text), @r#"
    error: `a` is not an address with a port
     --> /etc/evenkeel/farm:1:1
      |
    1 | a
      | ^
    help: write `"192.0.2.10:80"` or `"[2001:db8::10]:80"`

    error: `192.0.2.11` is not an address with a port
     --> /etc/evenkeel/farm:2:3
      |
    2 | b 192.0.2.11
      |   ^^^^^^^^^^
    help: add the port: `"192.0.2.11:80"`

    error: `no/name` cannot be a name
     --> /etc/evenkeel/farm:3:1
      |
    3 | no/name 192.0.2.11:80
      | ^^^^^^^
    help: names are 1 to 64 letters, digits, `.`, `_` and `-`

    error: `0.0.0.0:80`: a backend needs the address of one machine
     --> /etc/evenkeel/farm:4:3
      |
    4 | c 0.0.0.0:80
      |   ^^^^^^^^^^
    help: write `NAME ADDRESS:PORT`, then what is needed of `weight=N`, `requests=N` and `backup`; or JSON, which begins with `{` or `[`

    error: pool farm has `here` under `backends`
     --> /etc/evenkeel/farm:5:1
      |
    5 | here 192.0.2.11:80
      | ^^^^
    help: give it another name, or write the backend in one place only
    "#);
    assert_snapshot!(refused("# nothing\n"), @r#"
    error: there is no backend in it
     --> /etc/evenkeel/farm:1:1
      |
    1 | # nothing
      | ^
    help: write `NAME ADDRESS:PORT`, then what is needed of `weight=N`, `requests=N` and `backup`; or JSON, which begins with `{` or `[`
    "#);
}

#[test]
fn what_lines_say_besides_is_checked_as_in_the_longer_form() {
    let text = "d 192.0.2.11:80 weight=0\ne 192.0.2.11:80 requests=no\nf 192.0.2.11:80 bakcup\n\
                g 192.0.2.11:80 backup backup\nh web.example.org:80\n i 192.0.2.11:80\ni 192.0.2.2:80\n";
    assert_snapshot!(refused(text), @r#"
    error: weight must be between 1 and 256
     --> /etc/evenkeel/farm:1:17
      |
    1 | d 192.0.2.11:80 weight=0
      |                 ^^^^^^^^
    help: write `weight=2`

    error: requests must be between 1 and 10000000
     --> /etc/evenkeel/farm:2:17
      |
    2 | e 192.0.2.11:80 requests=no
      |                 ^^^^^^^^^^^
    help: write `requests=2`

    error: `bakcup` says nothing of a backend
     --> /etc/evenkeel/farm:3:17
      |
    3 | f 192.0.2.11:80 bakcup
      |                 ^^^^^^
    help: write `NAME ADDRESS:PORT`, then what is needed of `weight=N`, `requests=N` and `backup`; or JSON, which begins with `{` or `[`

    error: `backup` is here twice
     --> /etc/evenkeel/farm:4:24
      |
    4 | g 192.0.2.11:80 backup backup
      |                        ^^^^^^
    help: keep one of the two

    error: `web.example.org:80` is not an address with a port
     --> /etc/evenkeel/farm:5:3
      |
    5 | h web.example.org:80
      |   ^^^^^^^^^^^^^^^^^^
    help: no name is looked up here, write the address: `"192.0.2.10:80"`

    error: `i` is here twice
     --> /etc/evenkeel/farm:7:1
      |
    7 | i 192.0.2.2:80
      | ^
    help: keep one of the two
    "#);
}

#[test]
fn what_is_wrong_with_json_is_said_at_its_place() {
    assert_snapshot!(refused("{\"a\": \"192.0.2.11:80\", \"a\": \"192.0.2.2:80\""), @r#"
    error: did not find expected ',' or '}', while parsing a flow mapping
     --> /etc/evenkeel/farm:2:1
    "#);
    let text = "{\n\"here\": \"192.0.2.11:80\",\n\"b\": \"web.example.org:80\",\n\
                \"c\": {\"address\": \"192.0.2.11:80\", \"weight\": 257, \"name\": \"c\"}\n}";
    assert_snapshot!(refused(text), @r#"
    error: pool farm has `here` under `backends`
     --> /etc/evenkeel/farm:2:1
      |
    2 | "here": "192.0.2.11:80",
      | ^^^^^^
    help: give it another name, or write the backend in one place only

    error: `web.example.org:80` is not an address with a port
     --> /etc/evenkeel/farm:3:6
      |
    3 | "b": "web.example.org:80",
      |      ^^^^^^^^^^^^^^^^^^^^
    help: no name is looked up here, write the address: `"192.0.2.10:80"`

    error: weight must be between 1 and 256
     --> /etc/evenkeel/farm:4:45
      |
    4 | "c": {"address": "192.0.2.11:80", "weight": 257, "name": "c"}
      |                                             ^^^

    error: unknown key `name`
     --> /etc/evenkeel/farm:4:50
      |
    4 | "c": {"address": "192.0.2.11:80", "weight": 257, "name": "c"}
      |                                                  ^^^^^^
    help: known keys here: address, weight, requests, backup
    "#);
    let text = "[\"192.0.2.11:80\", \"192.0.2.11:80\", {\"name\": \"a/b\", \"address\": \"192.0.2.3:80\"}]";
    assert_snapshot!(refused(text), @r#"
    error: `192.0.2.11:80` is here twice
     --> /etc/evenkeel/farm:1:19
      |
    1 | ["192.0.2.11:80", "192.0.2.11:80", {"name": "a/b", "address": "192.0.2.3:80"}]
      |                   ^^^^^^^^^^^^^^^
    help: keep one of the two

    error: `a/b` cannot be a name
     --> /etc/evenkeel/farm:1:45
      |
    1 | ["192.0.2.11:80", "192.0.2.11:80", {"name": "a/b", "address": "192.0.2.3:80"}]
      |                                             ^^^^^
    help: names are 1 to 64 letters, digits, `.`, `_` and `-`
    "#);
    assert_snapshot!(refused("[]"), @r#"
    error: `backends` must not be empty
     --> /etc/evenkeel/farm:1:1
      |
    1 | []
      | ^
    "#);
}

#[test]
fn a_file_has_a_thousand_backends_at_most() {
    let lines = |count: usize| -> String {
        let line = |index| format!("n{index} 10.0.{}.{}:80\n", index / 256, index % 256);
        (0..count).map(line).collect()
    };
    assert_eq!(found(&lines(FILE_BACKENDS_MAX)).len(), FILE_BACKENDS_MAX);
    let said = refused(&lines(FILE_BACKENDS_MAX + 7));
    assert!(
        said.starts_with(
            "error: there are more than 1000 backends in it\n    --> /etc/evenkeel/farm:1001:1\n"
        ),
        "{said}"
    );
    let items = vec!["\"10.0.0.1:80\""; 1001].join(",");
    let said = refused(&format!("[{items}]"));
    assert!(
        said.starts_with("error: there are more than 1000 backends in it\n"),
        "{said}"
    );
}

#[test]
fn a_backend_of_a_file_is_no_listener_of_its_pool() {
    let text = "listeners: {http: {bind: [\"192.0.2.1:80\"], pool: farm}}\n\
                pools: {farm: {backends_file: /etc/evenkeel/farm}}\n";
    let config = accepted(text);
    let found = backends_of_file(&config, &config.pools[0], "farm", "a 192.0.2.1:80\n");
    assert_snapshot!(found.expect_err("it is a loop").to_string(), @r#"
    error: 192.0.2.1:80 is where listener `http` itself listens: a backend is another server
     --> farm:1:3
      |
    1 | a 192.0.2.1:80
      |   ^^^^^^^^^^^^
    help: write `NAME ADDRESS:PORT`, then what is needed of `weight=N`, `requests=N` and `backup`; or JSON, which begins with `{` or `[`
    "#);
}

#[test]
fn a_backend_may_be_a_name() {
    let config = follow(
        "backends: {a: \"www.example.org:80\", b: {address: \"Web_2.:8080\", weight: 3, requests: \
         9, backup: true}, c: \"192.0.2.11:80\"}\n    resolve: {interval: 1h}",
    );
    assert_eq!(config.interval, Duration::from_secs(3600));
    let [a, b] = &config.names[..] else {
        panic!("two are names: {config:?}")
    };
    assert_eq!((&*a.name, &*a.host, a.port), ("a", "www.example.org", 80));
    let rest = (b.weight, b.requests, b.tier);
    assert_eq!((&*b.host, rest), ("Web_2.", (3, Some(9), Tier::Backup)));
}

#[test]
fn what_is_neither_a_name_nor_an_address_is_refused() {
    for wrong in [
        "www..org:80",
        "-a.org:80",
        "a b:80",
        "www.example.org:0",
        "www.example.org:70000",
        "www.example.org",
        "192.0.2.300:80",
        "a.1:80",
    ] {
        let said = errors(&pool(&format!("backends: {{a: \"{wrong}\"}}")));
        let hoped = format!("error: `{wrong}` is not an address with a port\n");
        assert!(said.starts_with(&hoped), "{said}");
    }
}

#[test]
fn a_name_is_looked_up_in_a_bounded_interval() {
    let text = "backends: {a: \"www.example.org:80\"}\n    resolve: {interval: 500ms, often: true}";
    assert_snapshot!(errors(&pool(text)), @r#"
    error: interval must be between 1s and 1h
     --> lb.yaml:6:25
      |
    6 |     resolve: {interval: 500ms, often: true}
      |                         ^^^^^

    error: unknown key `often`
     --> lb.yaml:6:32
      |
    6 |     resolve: {interval: 500ms, often: true}
      |                                ^^^^^
    help: known keys here: interval
    "#);
}

#[test]
fn without_a_name_nothing_is_resolved() {
    let text = "backends: {a: \"192.0.2.11:80\"}\n    resolve: {interval: 1s}";
    assert_snapshot!(errors(&pool(text)), @r#"
    error: no backend of pool farm has a name to resolve
     --> lb.yaml:6:5
      |
    6 |     resolve: {interval: 1s}
      |     ^^^^^^^
    help: leave `resolve` out, or write a name: `{b1: "web1.example.org:80"}`
    "#);
}

#[test]
fn a_name_has_a_backend_for_each_of_64_addresses_at_most_sorted() {
    let config = accepted(&pool("backends: {web: \"www.example.org:80\"}"));
    let named = &config.pools[0].follow.names[0];
    let addresses = |texts: &[&str]| -> Vec<IpAddr> {
        let parsed = texts.iter().map(|text| text.parse());
        parsed
            .collect::<Result<_, _>>()
            .expect("they are addresses")
    };
    let names = |found: &[FoundBackend]| -> Vec<String> {
        found.iter().map(|one| one.name.clone()).collect()
    };
    let some = addresses(&[
        "2001:db8::1",
        "192.0.2.9",
        "0.0.0.0",
        "192.0.2.7",
        "192.0.2.9",
    ]);
    let (found, why) = backends_of_name(&config, &config.pools[0], named, &some);
    let hoped = ["web/192.0.2.7", "web/192.0.2.9", "web/2001:db8::1"];
    assert_eq!(names(&found), hoped);
    assert!(why.is_some_and(|why| why.contains("`0.0.0.0:80`")));
    let many: Vec<IpAddr> = (0..70)
        .map(|last| IpAddr::from([192, 0, 2, last]))
        .collect();
    let (found, why) = backends_of_name(&config, &config.pools[0], named, &many);
    assert_eq!(found.len(), 64);
    assert_eq!(why.as_deref(), Some("only 64 of its addresses are used"));
}
