//! A configuration that changes while it serves, on a real kernel, told by a supervisor that is
//! only a queue.

mod adoption;
mod gateways;
mod places;
mod virtual_mac;
mod watching;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::config::check::NodeName;
use evenkeel::config::{self, ConfigErrors, VirtualRouterConfig};
use evenkeel::ipc::control::RouterStatus;
use evenkeel::ipc::message::{Followed, FromVrrp, Overrides, SocketKey, ToVrrp, TransitionReport};
use evenkeel::model::{Family, Fitness};
use evenkeel::process::vrrp::link::socket::{Packet, RECEIVE_BYTES, VrrpSocket};

use super::daemon::Daemon;
use super::namespace::{Namespace, Pair};
use super::wait;
use watching::{Listener, Watched};

#[test]
fn what_changes_of_an_active_is_said_and_moves_nothing() {
    let pair = Pair::new();
    let one = Reloading::start(&pair.one, "lb1", &web("addresses: [192.0.2.100/24]"));
    let two = Reloading::start(&pair.two, "lb2", &web("addresses: [192.0.2.100/24]"));
    one.wait_for("web", "Active");
    two.wait_for("web", "Backup");
    pair.one.wait_for_address(address(100), true);
    let watched = Watched::new(&pair.one, address(100));
    let before = one.router("web");
    one.reload(&web(
        "addresses: [192.0.2.101/24, 192.0.2.100/24]\n    lease: 5s",
    ));
    pair.one.wait_for_address(address(101), true);
    pair.two.wait_for_refusal(address(101));
    wait("the peer to know both", || {
        two.router("web").peers[0].addresses.len() == 2
    });
    one.reload(&web(
        "addresses: [192.0.2.100/24]\n    advertisement_interval: 200ms",
    ));
    pair.one.wait_for_address(address(101), false);
    wait("the peer to know the interval", || {
        two.router("web").active_adver_interval_ms == Some(200)
    });
    one.reload(&renamed(&web("addresses: [192.0.2.100/24]"), "site"));
    let after = one.router("site");
    assert_eq!(after.state, "Active");
    assert_eq!(after.counters["active_transitions"], 1, "never let go");
    assert_eq!(after.counters["priority_zero_sent"], 0, "nor said so");
    assert!(after.since_ms > before.since_ms, "since it was Active");
    assert_eq!(two.router("web").counters["active_transitions"], 0);
    assert_eq!(watched.absences(), 0, "the address was there all the time");
    wait("a beat with the new name", || {
        one.daemon.roles()[0].router.entry == "site"
    });
}

#[test]
fn lower_priority_is_preempted_by_the_standard_and_a_higher_one_preempts() {
    let pair = Pair::new();
    let one = Reloading::start(&pair.one, "lb1", &web("addresses: [192.0.2.100/24]"));
    let two = Reloading::start(&pair.two, "lb2", &web("addresses: [192.0.2.100/24]"));
    one.wait_for("web", "Active");
    two.wait_for("web", "Backup");
    one.reload(&web(
        "addresses: [192.0.2.100/24]\n    priority: {lb1: 50, lb2: 100}",
    ));
    two.wait_for("web", "Active");
    one.wait_for("web", "Backup");
    let cause = one.transitions().pop().unwrap().cause;
    assert_eq!(cause, "peer with higher priority", "no demotion");
    one.reload(&web("addresses: [192.0.2.100/24]"));
    one.wait_for("web", "Active");
}

#[test]
fn what_comes_while_the_process_begins_is_prepared_when_it_runs() {
    let pair = Pair::new();
    let yaml = web("addresses: [192.0.2.100/24]");
    let one = Reloading::begin(&pair.one, "lb1", &yaml);
    assert_eq!(one.prepare(&web("addresses: [192.0.2.101/24]")), Ok(()));
    one.commit(&yaml);
    one.wait_for("web", "Active");
}

#[test]
fn router_that_is_removed_gives_its_address_up_and_may_come_back() {
    let pair = Pair::new();
    let both = web("addresses: [192.0.2.100/24]") + &entry("api", 52, "[192.0.2.110/24]");
    let web_alone = web("addresses: [192.0.2.100/24]");
    let one = Reloading::start(&pair.one, "lb1", &both);
    let two = Reloading::start(&pair.two, "lb2", &both);
    for name in ["web", "api"] {
        one.wait_for(name, "Active");
        two.wait_for(name, "Backup");
    }
    pair.one.wait_for_address(address(100), true);
    let watched = Watched::new(&pair.one, address(100));
    one.reload(&web_alone);
    assert_eq!(one.names(), ["web"], "not shown any more");
    two.wait_for("api", "Active");
    pair.one.wait_for_address(address(110), false);
    pair.two.wait_for_refusal(address(110));
    one.reload(&both);
    assert_eq!(one.names(), ["web", "api"], "in the order of the file");
    one.wait_for("api", "Active");
    two.wait_for("api", "Backup");
    // At once again, while the one before still lets go.
    one.reload(&web_alone);
    one.reload(&both);
    one.wait_for("api", "Active");
    pair.one.wait_for_address(address(110), true);
    assert_eq!(watched.absences(), 0, "the other was there all the time");
}

#[test]
fn router_that_is_added_joins_its_active_group() {
    let pair = Pair::new();
    let grouped = |more: &str| {
        web("addresses: [192.0.2.100/24]\n    synchronize_with: [api]")
            + &entry("api", 52, "[192.0.2.110/24]")
            + more
    };
    let one = Reloading::start(&pair.one, "lb1", &grouped(""));
    one.wait_for("web", "Active");
    one.wait_for("api", "Active");
    let more = entry("lan", 53, "[192.0.2.120/24]") + "    synchronize_with: [api]\n";
    let added_at = Instant::now();
    one.reload(&grouped(&more));
    one.wait_for("lan", "Active");
    let took = added_at.elapsed();
    assert!(
        took < Duration::from_millis(250),
        "it waits for nothing: {took:?}"
    );
    pair.one.wait_for_address(address(120), true);
    one.reload(&grouped(""));
    pair.one.wait_for_address(address(120), false);
    for name in ["web", "api"] {
        let router = one.router(name);
        assert_eq!(router.state, "Active");
        assert_eq!(
            router.counters["active_transitions"], 1,
            "{name}: untouched"
        );
        assert_eq!(
            router.counters["priority_zero_sent"], 0,
            "{name}: untouched"
        );
    }
}

#[test]
fn addresses_move_to_another_interface_and_to_a_virtual_mac_and_back() {
    let pair = Pair::new();
    add_lan(&pair.one);
    let plain = web("addresses: [192.0.2.100/24, \"2001:db8::100/64\"]");
    let one = Reloading::start(&pair.one, "lb1", &plain);
    for address in [V4, V6] {
        pair.one.wait_for_address(address, true);
    }
    let watched = [V4, V6].map(|address| Watched::new(&pair.one, address));
    for (lines, interface) in [
        ("address_interface: lan0", "lan0"),
        ("virtual_mac: true", "ek"),
        ("", "eth0"),
        ("virtual_mac: true", "ek"),
        ("address_interface: lan0", "lan0"),
        ("", "eth0"),
    ] {
        one.reload(&format!("{plain}    {lines}\n"));
        for address in [V4, V6] {
            wait(&format!("{address} on {interface} alone"), || {
                let shown = pair.one.ip(&["-o", "addr", "show"]);
                let lines: Vec<&str> = shown
                    .lines()
                    .filter(|line| line.contains(&format!(" {address}/")))
                    .collect();
                lines.len() == 1 && lines[0].contains(&format!(": {interface}"))
            });
        }
        if interface != "lan0" {
            pair.two.wait_for_refusal(V4);
        }
    }
    wait("the macvlans to be gone", || {
        !pair.one.ip(&["-o", "link", "show"]).contains("ek4")
    });
    for router in one.daemon.status() {
        assert_eq!(router.counters["active_transitions"], 1, "{}", router.name);
        assert_eq!(router.counters["priority_zero_sent"], 0, "{}", router.name);
    }
    for watched in watched {
        assert_eq!(watched.absences(), 0, "it was there all the time");
    }
}

#[test]
fn vrid_that_changes_leaves_the_address_where_the_new_router_has_it() {
    let pair = Pair::new();
    let one = Reloading::start(&pair.one, "lb1", &web("addresses: [192.0.2.100/24]"));
    one.wait_for("web", "Active");
    pair.one.wait_for_address(address(100), true);
    one.reload(&web("addresses: [192.0.2.100/24]").replace("vrid: 51", "vrid: 61"));
    one.wait_for("web", "Active");
    pair.one.wait_for_address(address(100), true);
    let watched = Watched::new(&pair.one, address(100));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(watched.absences(), 0, "nobody takes it away behind");
    assert_eq!(one.router("web").counters["addresses_put_back"], 0);
}

#[test]
fn router_on_a_new_interface_has_its_socket_and_one_that_goes_gives_it_back() {
    let pair = Pair::new();
    add_lan(&pair.one);
    pair.one
        .ip(&["addr", "add", "198.51.100.1/24", "dev", "lan0"]);
    let plain = web("addresses: [192.0.2.100/24]");
    let one = Reloading::start(&pair.one, "lb1", &plain);
    one.wait_for("web", "Active");
    let more = entry("lan", 7, "[198.51.100.100/24]").replace("eth0", "lan0");
    one.reload(&format!("{plain}{more}"));
    one.wait_for("lan", "Active");
    let interfaces = |keys: &[SocketKey]| -> Vec<String> {
        keys.iter().map(|key| key.interface.clone()).collect()
    };
    wait("both sockets to be kept", || {
        interfaces(&one.kept()) == ["eth0", "lan0"]
    });
    one.reload(&plain);
    wait("one socket to be kept", || {
        interfaces(&one.kept()) == ["eth0"]
    });
    one.daemon.let_go();
    wait("the group to be left", || {
        let groups = pair.one.ip(&["maddr", "show", "dev", "lan0"]);
        !groups.contains("224.0.0.18")
    });
    assert_eq!(one.router("web").counters["active_transitions"], 1);
}

/// What the state machine does not know: who is spoken to, what is delivered, what is followed.
#[test]
fn surroundings_of_an_active_change_without_a_transition() {
    let pair = Pair::new();
    let with = |lines: &str| web(&format!("addresses: [192.0.2.100/24]\n{lines}"));
    let one = Reloading::start(&pair.one, "lb1", &with(""));
    let two = Reloading::start(&pair.two, "lb2", &with(""));
    one.wait_for("web", "Active");
    two.wait_for("web", "Backup");
    pair.two.wait_for_refusal(address(100));
    one.reload(&with("    accept: false\n"));
    wait("what is sent there to be dropped", || {
        pair.two.knock(address(100)) != Some(libc::ECONNREFUSED)
    });
    one.reload(&with(""));
    pair.two.wait_for_refusal(address(100));
    let peers = "    peers: [192.0.2.1, 192.0.2.2]\n";
    // Whoever is told first is not understood for a moment: shorter than anybody waits.
    one.prepare(&with(peers)).unwrap();
    two.prepare(&with(peers)).unwrap();
    for node in [&one, &two] {
        node.commit(&with(peers));
    }
    let heard = two.router("web").counters["advertisements_received"];
    wait("advertisements one by one", || {
        two.router("web").counters["advertisements_received"] > heard + 5
    });
    let follow = |interfaces: &[&str]| {
        let conditions = interfaces
            .iter()
            .map(|name| format!("      - {{interface: {name}, on_failure: {{lower_by: 5}}}}\n"));
        with(peers) + "    track:\n" + &conditions.collect::<String>()
    };
    one.reload(&follow(&["eth0"]));
    wait("eth0 to be told of", || {
        one.observed() == [("eth0".into(), true)]
    });
    one.reload(&follow(&["eth0", "absent0"]));
    let both = [("eth0".into(), true), ("absent0".into(), false)];
    wait("the other alone to be told of", || one.observed() == both);
    one.reload(&with(peers));
    one.reload(&follow(&["absent0"]));
    wait("it to be told of anew", || one.observed().len() == 3);
    for (node, actives) in [(&one, 1), (&two, 0)] {
        let router = node.router("web");
        assert_eq!(router.counters["active_transitions"], actives);
        assert_eq!(router.counters["priority_zero_sent"], 0);
    }
}

#[test]
fn broken_or_forgotten_configuration_changes_nothing() {
    let pair = Pair::new();
    let plain = web("addresses: [192.0.2.100/24]");
    let one = Reloading::start(&pair.one, "lb1", &plain);
    one.wait_for("web", "Active");
    let why = one.prepare("virtual_routers: 5").unwrap_err();
    assert!(why.contains("virtual_routers"), "{why}");
    let other = entry("api", 52, "[192.0.2.110/24]");
    assert_eq!(one.prepare(&format!("virtual_routers:\n{other}")), Ok(()));
    let generation = one.generation.get();
    one.daemon.say(ToVrrp::Forget { generation });
    one.daemon.say(ToVrrp::Commit {
        generation,
        fitness: BTreeMap::new(),
    });
    assert_eq!(one.names(), ["web"]);
    assert_eq!(one.router("web").counters["active_transitions"], 1);
    one.reload(&format!("{plain}{other}"));
    assert_eq!(one.names(), ["web", "api"], "the next one works");
    one.daemon.say(ToVrrp::Stop { hold_ms: 500 });
    let why = one.prepare(&plain).unwrap_err();
    assert_eq!(why, "the process is stopping");
}

#[test]
fn nothing_is_prepared_before_the_start_is_over() {
    let namespace = Namespace::new();
    let one = Reloading {
        daemon: Daemon::idle(&namespace, read),
        node: "lb1",
        generation: Cell::new(0),
    };
    let why = one.prepare("virtual_routers: {}").unwrap_err();
    assert_eq!(why, "the process is still starting");
}

/// No advertisement comes later than one and a half of its interval, whatever the size of the file.
#[test]
fn one_change_among_250_routers_is_in_place_at_once_and_delays_nobody() {
    let pair = Pair::new();
    let many = |changed: &str| {
        let mut yaml = "virtual_routers:\n".to_owned();
        for vrid in 1..=250 {
            let addresses = match vrid {
                77 => format!("[10.9.0.{vrid}/24{changed}]"),
                _ => format!("[10.9.0.{vrid}/24]"),
            };
            yaml += &entry(&format!("r{vrid}"), vrid, &addresses);
        }
        yaml
    };
    let one = Reloading::start(&pair.one, "lb1", &many(""));
    for vrid in [1, 250] {
        one.wait_for(&format!("r{vrid}"), "Active");
    }
    wait("all to be Active", || {
        let all = one.daemon.status();
        all.iter().all(|router| router.state == "Active")
    });
    std::thread::sleep(Duration::from_secs(1));
    let listener = Listener::start(&pair.two, 250);
    let mut took = Vec::new();
    for step in 0..10 {
        std::thread::sleep(Duration::from_millis(150));
        let changed = [", 10.9.1.1/24", ""][step % 2];
        took.push(one.reload(&many(changed)));
    }
    let (longest, shortest) = listener.end();
    took.sort_unstable();
    println!("commit with 250 routers: {took:?}; longest gap {longest:?}, shortest {shortest:?}");
    assert!(took[5] < Duration::from_millis(20), "{took:?}");
    assert!(longest < Duration::from_millis(150), "late by {longest:?}");
    let sent: u64 = one.transitions().len() as u64;
    assert_eq!(sent, 500, "each started and became Active, nothing else");
}

/// Half of many routers go and others come: those that stay are in time.
#[test]
fn half_of_250_routers_go_and_others_come_and_nobody_else_is_late() {
    let pair = Pair::new();
    let some = |vrids: &mut dyn Iterator<Item = u8>| {
        let one = |vrid: u8| entry(&format!("r{vrid}"), vrid, &format!("[10.9.0.{vrid}/24]"));
        "virtual_routers:\n".to_owned() + &vrids.map(one).collect::<String>()
    };
    let one = Reloading::start(&pair.one, "lb1", &some(&mut (1..=200)));
    let all_active = || {
        let all = one.daemon.status();
        all.iter().all(|router| router.state == "Active")
    };
    wait("all to be Active", all_active);
    std::thread::sleep(Duration::from_secs(1));
    let listener = Listener::start(&pair.two, 100);
    for vrids in [101..=200, 151..=250, 101..=200] {
        let took = one.reload(&some(&mut (1..=100).chain(vrids)));
        println!("commit with 50 gone and 50 new: {took:?}");
        wait("all to be Active", all_active);
        std::thread::sleep(Duration::from_millis(300));
    }
    let (longest, _) = listener.end();
    println!("longest gap {longest:?}");
    assert!(longest < Duration::from_millis(150), "late by {longest:?}");
}

/// Whatever comes after whatever, the host has in the end what the last file says.
#[test]
fn hundred_reloads_at_random_leave_what_the_last_one_says() {
    let seed = std::env::var("EVENKEEL_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap());
    println!("EVENKEEL_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let pair = Pair::new();
    add_lan(&pair.one);
    let last = web("addresses: [192.0.2.100/24]");
    let one = Reloading::start(&pair.one, "lb1", &last);
    let two = Reloading::start(&pair.two, "lb2", &last);
    one.wait_for("web", "Active");
    pair.one.wait_for_address(address(100), true);
    let watched = Watched::new(&pair.one, address(100));
    for _ in 0..100 {
        one.reload(&(last.clone() + &at_random(&mut chance)));
        if chance.bool() {
            // Where `lan0` is missing, as it may be at a start.
            two.reload(&(last.clone() + &at_random(&mut chance)));
        }
        std::thread::sleep(Duration::from_millis(chance.u64(0..60)));
    }
    for node in [&one, &two] {
        node.reload(&last);
    }
    wait("nothing on the Backup", || {
        let shown = pair.two.ip(&["-o", "addr", "show", "dev", "eth0"]);
        let links = pair.two.ip(&["-o", "link", "show"]);
        !shown.contains("/32 ") && !shown.contains("/128 ") && !links.contains("ek")
    });
    wait("the addresses of the last", || {
        let shown = pair.one.ip(&["-o", "addr", "show"]);
        let ours = shown
            .lines()
            .filter(|line| line.contains("/32 ") || line.contains("/128 "));
        let ours: Vec<&str> = ours.filter(|line| !line.contains(": lo")).collect();
        ours.len() == 1 && ours[0].contains("192.0.2.100/32 ")
    });
    wait("no macvlan", || {
        !pair.one.ip(&["-o", "link", "show"]).contains("ek")
    });
    let router = one.router("web");
    assert_eq!(router.counters["active_transitions"], 1, "untouched");
    assert_eq!(router.counters["priority_zero_sent"], 0, "untouched");
    assert_eq!(watched.absences(), 0, "untouched");
    assert_eq!(two.router("web").counters["active_transitions"], 0);
    wait("nothing to be silent or refused", || {
        let rules = pair.one.run(|| {
            let mut nft = std::process::Command::new("nft");
            let output = nft.args(["list", "ruleset"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        });
        !rules.contains("elements")
    });
}

/// Entries beside `web`, each with what chance gives it.
fn at_random(chance: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    for vrid in 61..=66 {
        if chance.bool() {
            continue;
        }
        let mut addresses = vec![format!("192.0.2.{}/24", vrid)];
        if chance.bool() {
            addresses.push(format!("10.7.{}.{vrid}/24", chance.u8(0..3)));
        }
        if chance.bool() {
            addresses.push(format!("\"2001:db8::{vrid}/64\""));
        }
        let (place, group, accept) = (chance.u8(0..5), chance.u8(0..4), chance.u8(0..4));
        let more = [
            match place {
                0 => "virtual_mac: true",
                1 => "address_interface: lan0",
                _ => "",
            },
            if accept == 0 { "accept: false" } else { "" },
            if chance.bool() { "lease: 4s" } else { "" },
            if chance.bool() { "preempt: false" } else { "" },
            if chance.bool() {
                "down_multiplier: 5"
            } else {
                ""
            },
        ];
        let more: String = more
            .into_iter()
            .filter(|line| !line.is_empty())
            .map(|line| format!("    {line}\n"))
            .collect();
        text += &entry(
            &format!("x{vrid}"),
            vrid,
            &format!("[{}]", addresses.join(", ")),
        );
        text += &more;
        if group == 0 && text.contains("  x61:") && vrid != 61 {
            text += "    synchronize_with: [x61]\n";
        }
    }
    text
}

/// A loop whose configurations are real ones.
struct Reloading {
    daemon: Daemon,
    node: &'static str,
    generation: Cell<u64>,
}

impl Reloading {
    fn start(namespace: &Namespace, node: &'static str, yaml: &str) -> Self {
        let one = Self::begin(namespace, node, yaml);
        wait("the start", || {
            let ready = |message: &FromVrrp| (*message == FromVrrp::Ready).then_some(());
            !one.daemon.heard(ready).is_empty()
        });
        one
    }

    fn begin(namespace: &Namespace, node: &'static str, yaml: &str) -> Self {
        Self::begin_after(namespace, node, yaml, None)
    }

    /// Begins in the place of one that was frozen.
    fn begin_after(
        namespace: &Namespace,
        node: &'static str,
        yaml: &str,
        before: Option<&Self>,
    ) -> Self {
        let daemon = Daemon::idle(namespace, read);
        let adopt = before.map_or_else(Vec::new, |before| before.daemon.roles());
        if let Some(before) = before {
            let (keys, descriptors) = before.daemon.kept();
            daemon.send(ToVrrp::KeptSockets(keys), descriptors);
        }
        for (entry, fitness) in fitness(yaml, node) {
            daemon.say(ToVrrp::Fitness { entry, fitness });
        }
        daemon.say(ToVrrp::Configure {
            yaml: yaml.to_owned(),
            node: node.to_owned(),
            adopt,
            overrides: Overrides::default(),
        });
        Self {
            daemon,
            node,
            generation: Cell::new(0),
        }
    }

    fn prepare(&self, yaml: &str) -> Result<(), String> {
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        self.daemon.say(ToVrrp::Prepare {
            generation,
            yaml: yaml.to_owned(),
            node: self.node.to_owned(),
            overrides: Overrides::default(),
        });
        let answer = |message: &FromVrrp| {
            let FromVrrp::Prepared {
                generation: of,
                refused,
            } = message
            else {
                return None;
            };
            (*of == generation).then(|| refused.clone())
        };
        let mut answers = Vec::new();
        wait("the preparation", || {
            answers = self.daemon.heard(answer);
            !answers.is_empty()
        });
        answers.remove(0).map_or(Ok(()), Err)
    }

    /// Prepares and commits; returns how long the second took.
    fn reload(&self, yaml: &str) -> Duration {
        self.prepare(yaml).unwrap();
        self.commit(yaml)
    }

    /// Commits what was prepared last; returns how long it took.
    fn commit(&self, yaml: &str) -> Duration {
        let generation = self.generation.get();
        let fitness = fitness(yaml, self.node);
        let said_at = Instant::now();
        self.daemon.say(ToVrrp::Commit {
            generation,
            fitness,
        });
        wait("the commitment", || {
            let done =
                |message: &FromVrrp| (*message == FromVrrp::Committed { generation }).then_some(());
            !self.daemon.heard(done).is_empty()
        });
        said_at.elapsed()
    }

    fn names(&self) -> Vec<String> {
        let names = self.daemon.status().into_iter();
        names.map(|router| router.name.entry).collect()
    }

    fn router(&self, entry: &str) -> RouterStatus {
        let mut all = self.daemon.status().into_iter();
        all.find(|router| router.name.entry == entry).unwrap()
    }

    fn wait_for(&self, entry: &str, state: &str) {
        wait(&format!("{entry} to be {state}"), || {
            self.router(entry).state == state
        });
    }

    fn transitions(&self) -> Vec<TransitionReport> {
        self.daemon.heard(|message| {
            let FromVrrp::Transition(report) = message else {
                return None;
            };
            Some(report.clone())
        })
    }

    /// What was said of interfaces, in this order.
    fn observed(&self) -> Vec<(String, bool)> {
        self.daemon.heard(|message| {
            let FromVrrp::Observed {
                what: Followed::Interface(name),
                well,
            } = message
            else {
                return None;
            };
            Some((name.clone(), *well))
        })
    }

    /// The sockets that the supervisor last was given.
    fn kept(&self) -> Vec<SocketKey> {
        let kept = self.daemon.heard(|message| {
            let FromVrrp::KeepSockets { sockets, .. } = message else {
                return None;
            };
            Some(sockets.clone())
        });
        kept.last().cloned().unwrap_or_default()
    }
}

fn read(
    yaml: &str,
    node: &str,
    overrides: &Overrides,
) -> Result<Vec<VirtualRouterConfig>, ConfigErrors> {
    let mut config = config::parse("evenkeel.yaml", yaml, NodeName::Given(node))?;
    overrides.apply(&mut config);
    Ok(config.virtual_routers)
}

/// What tracking says where all is well.
fn fitness(yaml: &str, node: &str) -> BTreeMap<String, Fitness> {
    let routers = read(yaml, node, &Overrides::default()).unwrap();
    let well = |router: VirtualRouterConfig| {
        let fitness = Fitness::Ready(router.rank.well());
        (router.name.entry, fitness)
    };
    routers.into_iter().map(well).collect()
}

/// A file with one entry; its lines may say more than once what is in it, and the last word counts.
fn web(lines: &str) -> String {
    let mut text = "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n".to_owned();
    for (key, line) in [
        ("priority", "priority: {lb1: 150, lb2: 100}"),
        ("advertisement_interval", "advertisement_interval: 100ms"),
    ] {
        if !lines.contains(key) {
            writeln!(text, "    {line}").unwrap();
        }
    }
    text + "    " + lines + "\n"
}

fn entry(name: &str, vrid: u8, addresses: &str) -> String {
    format!(
        "  {name}:\n    interface: eth0\n    vrid: {vrid}\n    priority: {{lb1: 150, lb2: 100}}\n    \
         advertisement_interval: 100ms\n    addresses: {addresses}\n"
    )
}

fn renamed(yaml: &str, name: &str) -> String {
    yaml.replace("  web:", &format!("  {name}:"))
}

/// Another interface, whose other end is in the same namespace.
fn add_lan(namespace: &Namespace) {
    namespace.ip(&[
        "link", "add", "lan0", "type", "veth", "peer", "name", "lan1",
    ]);
    for end in ["lan0", "lan1"] {
        namespace.ip(&["link", "set", end, "up"]);
    }
}

fn address(host: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, host])
}

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100));
