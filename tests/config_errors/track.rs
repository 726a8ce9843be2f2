//! Errors in `track` and `track_scripts`, and what is made of what is right.

use evenkeel::cli::check::describe;
use evenkeel::config::track::{Condition, Effect, ProcessSelector, Source};
use insta::assert_snapshot;

use super::accepts::accepted;
use super::errors;

/// Returns a file with these items of `track` and these scripts.
fn file(track: &str, scripts: &str) -> String {
    format!(
        "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    \
         addresses: [192.0.2.100/24]\n    priority: {{lb1: 150, lb2: 100}}\n    track:\n{track}\
         pools:\n  farm: {{backends: {{a: \"192.0.2.10:80\"}}}}\n{scripts}"
    )
}

fn item(item: &str) -> String {
    let scripts = "track_scripts: {uplink: {command: [/usr/bin/true]}}\n";
    file(&format!("      - {item}\n"), scripts)
}

fn script(script: &str) -> String {
    let scripts = format!("track_scripts:\n  uplink: {script}\n");
    file("      - {script: uplink}\n", &scripts)
}

fn conditions(text: &str) -> Vec<(Source, Effect)> {
    let conditions = accepted(text).virtual_routers[0].track.conditions.clone();
    let pair = |Condition { source, effect }| (source, effect);
    conditions.into_iter().map(pair).collect()
}

#[test]
fn every_kind_and_effect_is_read() {
    let uplink = || Source::Script("uplink".into());
    for (text, hoped) in [
        ("{script: uplink}", vec![(uplink(), Effect::Ill)]),
        (
            "{script: uplink, on_failure: ill}",
            vec![(uplink(), Effect::Ill)],
        ),
        (
            "{script: uplink, on_failure: fault}",
            vec![(uplink(), Effect::Fault)],
        ),
        (
            "{script: uplink, on_failure: {lower_by: 60}, raise_by: 5}",
            vec![
                (uplink(), Effect::LowerBy(60)),
                (uplink(), Effect::RaiseBy(5)),
            ],
        ),
        (
            "{interface: eth1, raise_by: 253}",
            vec![(Source::Interface("eth1".into()), Effect::RaiseBy(253))],
        ),
        (
            "{file: /run/w, lower_by: content}",
            vec![(Source::File("/run/w".into()), Effect::LowerByContent)],
        ),
        (
            "{pool: farm, on_failure: fault}",
            vec![(Source::Pool("farm".into()), Effect::Fault)],
        ),
        (
            "{proxy: true, on_failure: fault}",
            vec![(Source::Proxy, Effect::Fault)],
        ),
    ] {
        assert_eq!(conditions(&item(text)), hoped, "{text}");
    }
    let config = accepted(&item("{process: {name: named}, on_failure: fault}"));
    let process = &config.virtual_routers[0].track.processes[0];
    assert_eq!(process.selector, ProcessSelector::Name("named".into()));
    let config = accepted(&item(
        "{gateway: [192.0.2.1, 192.0.2.2], at_least: 2, fall: 1}",
    ));
    let gateway = &config.virtual_routers[0].track.gateways[0];
    assert_eq!(
        gateway.label,
        "2 of 192.0.2.1, 192.0.2.2 on eth0 (1 questions every 1s)"
    );
    assert_eq!((gateway.at_least, gateway.fall), (2, 1));
}

#[test]
fn an_item_names_one_thing() {
    assert_snapshot!(errors(&item("{on_failure: fault}")), @r"
    error: this follows nothing
     --> lb.yaml:8:9
      |
    8 |       - {on_failure: fault}
      |         ^
    help: name one of script, interface, gateway, process, file, pool, proxy
    ");
    assert_snapshot!(errors(&item("{script: uplink, pool: farm}")), @r"
    error: this follows script and pool at once
     --> lb.yaml:8:9
      |
    8 |       - {script: uplink, pool: farm}
      |         ^
    help: name one of script, interface, gateway, process, file, pool, proxy
    ");
    assert_snapshot!(errors(&item("{process: {}}")), @r"
    error: a process is named in one way
     --> lb.yaml:8:19
      |
    8 |       - {process: {}}
      |                   ^
    help: write {name: postgres} or {pidfile: /run/postgres.pid}
    ");
    assert_snapshot!(errors(&item("{proxy: false}")), @r"
    error: proxy can only be `true`
     --> lb.yaml:8:17
      |
    8 |       - {proxy: false}
      |                 ^^^^^
    help: it is followed by itself; an item is only needed for another effect
    ");
}

#[test]
fn what_is_named_must_be_there() {
    assert_snapshot!(errors(&item("{script: uplimk}")), @r"
    error: `uplimk` is not in `track_scripts`
     --> lb.yaml:8:18
      |
    8 |       - {script: uplimk}
      |                  ^^^^^^
    help: did you mean `uplink`?
    ");
    assert_snapshot!(errors(&item("{pool: web}")), @r"
    error: `web` is not in `pools`
     --> lb.yaml:8:16
      |
    8 |       - {pool: web}
      |                ^^^
    help: give it an entry in `pools`
    ");
    assert_snapshot!(errors(&item("{interface: \"a b\"}")), @r#"
    error: interface cannot be `a b`
     --> lb.yaml:8:21
      |
    8 |       - {interface: "a b"}
      |                     ^^^^^
    help: names of interfaces are 1 to 15 bytes without `/`, `:` and spaces
    "#);
    assert_snapshot!(errors(&item("{process: {pidfile: run.pid}}")), @r"
    error: `run.pid` is not an absolute path
     --> lb.yaml:8:29
      |
    8 |       - {process: {pidfile: run.pid}}
      |                             ^^^^^^^
    help: the daemon runs in no directory of yours
    ");
    assert_snapshot!(errors(&item("{process: {name: /usr/sbin/named}}")), @r"
    error: name cannot be `/usr/sbin/named`
     --> lb.yaml:8:26
      |
    8 |       - {process: {name: /usr/sbin/named}}
      |                          ^^^^^^^^^^^^^^^
    help: a program's name has no path: postgres
    ");
}

#[test]
fn an_effect_is_one_of_the_known() {
    assert_snapshot!(errors(&item("{script: uplink, on_failure: down}")), @r"
    error: on_failure cannot be `down`
     --> lb.yaml:8:38
      |
    8 |       - {script: uplink, on_failure: down}
      |                                      ^^^^
    help: write `ill` (the default), `fault`, or {lower_by: 50}; evenkeel.yaml(5) says what each does
    ");
    assert_snapshot!(errors(&item("{script: uplink, on_failure: {lower_by: 254}}")), @r"
    error: lower_by must be between 1 and 253
     --> lb.yaml:8:49
      |
    8 |       - {script: uplink, on_failure: {lower_by: 254}}
      |                                                 ^^^
    ");
    assert_snapshot!(errors(&item("{script: uplink, lower_by: 60}")), @r"
    error: `lower_by` alone belongs to a file
     --> lb.yaml:8:36
      |
    8 |       - {script: uplink, lower_by: 60}
      |                                    ^^
    help: write `on_failure: {lower_by: 50}`
    ");
    assert_snapshot!(errors(&item("{file: /run/w, on_failure: fault}")), @r"
    error: what does the number in the file do?
     --> lb.yaml:8:9
      |
    8 |       - {file: /run/w, on_failure: fault}
      |         ^
    help: write `raise_by: content` or `lower_by: content`
    ");
    assert_snapshot!(errors(&item("{file: /run/w, raise_by: content, on_failure: fault}")), @r"
    error: a file does not fail
     --> lb.yaml:8:55
      |
    8 |       - {file: /run/w, raise_by: content, on_failure: fault}
      |                                                       ^^^^^
    help: write `raise_by: content` or `lower_by: content`
    ");
    assert_snapshot!(errors(&item("{file: /run/w, raise_by: 20}")), @r"
    error: raise_by of a file can only be `content`
     --> lb.yaml:8:34
      |
    8 |       - {file: /run/w, raise_by: 20}
      |                                  ^^
    help: its number is what counts
    ");
}

#[test]
fn gateways_are_addresses_and_as_many_as_must_answer() {
    assert_snapshot!(errors(&item("{gateway: []}")), @r"
    error: `gateway` must not be empty
     --> lb.yaml:8:19
      |
    8 |       - {gateway: []}
      |                   ^
    ");
    assert_snapshot!(errors(&item("{gateway: [gw]}")), @r"
    error: `gw` is not an address
     --> lb.yaml:8:20
      |
    8 |       - {gateway: [gw]}
      |                    ^^
    help: a gateway is asked by its address
    ");
    for nobody in [
        "0.0.0.0",
        "224.0.0.18",
        "255.255.255.255",
        "127.0.0.1",
        "\"::1\"",
    ] {
        let said = errors(&item(&format!("{{gateway: [{nobody}]}}")));
        assert!(said.contains("is no address of a gateway"), "{said}");
    }
    assert_snapshot!(errors(&item("{gateway: [192.0.2.1, 192.0.2.1]}")), @r"
    error: 192.0.2.1 is here twice
     --> lb.yaml:8:31
      |
    8 |       - {gateway: [192.0.2.1, 192.0.2.1]}
      |                               ^^^^^^^^^
    ");
    assert_snapshot!(errors(&item("{gateway: [192.0.2.1], at_least: 2}")), @r"
    error: at_least must be between 1 and 1
     --> lb.yaml:8:42
      |
    8 |       - {gateway: [192.0.2.1], at_least: 2}
      |                                          ^
    ");
    assert_snapshot!(errors(&item("{script: uplink, interval: 1s}")), @r"
    error: `interval` belongs to a gateway
     --> lb.yaml:8:36
      |
    8 |       - {script: uplink, interval: 1s}
      |                                    ^^
    ");
}

#[test]
fn a_script_is_a_command_without_a_shell() {
    assert_snapshot!(errors(&script("{interval: 1s}")), @r"
    error: `uplink` has no `command`
      --> lb.yaml:12:3
       |
    12 |   uplink: {interval: 1s}
       |   ^^^^^^
    help: add `command: [/usr/local/bin/check]`
    ");
    assert_snapshot!(errors(&script("{command: []}")), @r"
    error: `command` must not be empty
      --> lb.yaml:12:21
       |
    12 |   uplink: {command: []}
       |                     ^
    ");
    assert_snapshot!(errors(&script("{command: [ping, -c1]}")), @r"
    error: `ping` is not an absolute path
      --> lb.yaml:12:22
       |
    12 |   uplink: {command: [ping, -c1]}
       |                      ^^^^
    help: no shell reads a command: its first word is the path of a program
    ");
    assert_snapshot!(errors(&script("{command: /bin/true}")), @r"
    error: `command` must be a list of a program and its arguments, not text
      --> lb.yaml:12:21
       |
    12 |   uplink: {command: /bin/true}
       |                     ^^^^^^^^^
    ");
    assert_snapshot!(errors(&script("{command: [/bin/true], user: root}")), @r"
    error: user cannot be `root`
      --> lb.yaml:12:40
       |
    12 |   uplink: {command: [/bin/true], user: root}
       |                                        ^^^^
    help: a script runs as a user that owns nothing; leave `user` out for evenkeel-script
    ");
    assert_snapshot!(errors(&script("{command: [/bin/true], interval: 1ms}")), @r"
    error: interval must be between 10ms and 1h
      --> lb.yaml:12:44
       |
    12 |   uplink: {command: [/bin/true], interval: 1ms}
       |                                            ^^^
    ");
    assert_snapshot!(errors(&script("{command: [/bin/true], fall: 0}")), @r"
    error: fall must be between 1 and 100
      --> lb.yaml:12:40
       |
    12 |   uplink: {command: [/bin/true], fall: 0}
       |                                        ^
    ");
}

#[test]
fn defaults_of_a_script_are_those_of_the_manual() {
    let config = accepted(&script(
        "{command: [/usr/bin/test, -e, /x], interval: 500ms}",
    ));
    assert_snapshot!(format!("{:#?}", config.track_scripts), @r#"
    [
        TrackScriptConfig {
            name: "uplink",
            program: "/usr/bin/test",
            arguments: [
                "-e",
                "/x",
            ],
            interval: 500ms,
            timeout: 500ms,
            thresholds: Thresholds {
                rise: 1,
                fall: 1,
            },
            user: "evenkeel-script",
        },
    ]
    "#);
}

#[test]
fn check_shows_with_which_priorities_nodes_can_stand() {
    let text = file(
        "      - {script: uplink, on_failure: {lower_by: 50}}\n      \
         - {interface: eth1, on_failure: {lower_by: 20}}\n      \
         - {gateway: [192.0.2.254]}\n      - {file: /run/w, raise_by: content}\n",
        "track_scripts: {uplink: {command: [/usr/bin/true]}}\n",
    );
    let described = describe(&accepted(&text));
    let table = described.find("\nTRACK").expect("a table");
    assert_snapshot!(&described[table..], @r"
    TRACK web                          lb1  lb2
    all well                           150  100
    script uplink fails                100  50
    interface eth1 fails               130  80
    gateway 192.0.2.254 on eth0 fails  2    1
    all of these fail                  2    1

    note: web: lb1 stays Active where interface eth1 fails there: 130 is above the 100 of lb2
    note: web: where script uplink fails on lb1 it has 100, as lb2 has: the higher address is Active

    POOL  BALANCE        HEALTH CHECK                  BACKENDS
    farm  random_of_two  tcp every 1s, rise 2, fall 2  a=192.0.2.10:80
    ");
    let text = file("      - {interface: eth1, on_failure: fault}\n", "");
    let described = describe(&accepted(&text));
    let table = described.find("\nTRACK").expect("a table");
    assert_snapshot!(&described[table..], @r"
    TRACK web             lb1    lb2
    all well              150    100
    interface eth1 fails  fault  fault

    POOL  BALANCE        HEALTH CHECK                  BACKENDS
    farm  random_of_two  tcp every 1s, rise 2, fall 2  a=192.0.2.10:80
    ");
}
