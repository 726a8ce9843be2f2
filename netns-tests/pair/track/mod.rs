//! What the address follows: scripts, interfaces, files, processes and gateways on our side,
//! scripts on both, with keepalived as the peer.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod bench;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;

use bench::{Bench, INTERVAL, PATIENCE, Side};

/// Every answer arrives at every socket that listens on the link: with one for each of a hundred
/// gateways, a hundred times.
#[test]
fn gateways_on_one_link_share_its_sockets() {
    let mut sockets = Vec::new();
    for count in [1, 50] {
        let mut lab = Lab::new().unwrap();
        let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
        lab.add_host("gw", &["192.0.2.254/24"]).unwrap();
        let entries = (0..count).map(|number| {
            let interval = 1000 + number;
            format!(
                "{{gateway: [192.0.2.254], interval: {interval}ms, on_failure: {{lower_by: 1}}}}"
            )
        });
        let yaml = format!(
            "virtual_routers:\n  web: {{interface: eth0, vrid: 51, addresses: [192.0.2.100/24],\n    \
             advertisement_interval: 100ms, track: [{}]}}\n",
            entries.collect::<Vec<_>>().join(", ")
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let mut node = Node::start(&host, &yaml, "lb1", binary).unwrap();
        node.wait_for("Active", PATIENCE, |status| is_all(status, "Active"))
            .unwrap();
        let pid = node.pid_of("evenkeel-vrrp").unwrap();
        sockets.push(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count());
        let router = &node.status().unwrap().virtual_routers[0];
        assert_eq!(router.effective_priority, 100, "all answer");
    }
    assert_eq!(
        sockets[0], sockets[1],
        "descriptors with one and with fifty"
    );
}

/// Each thing fails on the Active, whose own requests are still answered: the better node is Active
/// in the time that noticing takes, and comes back when all is well again.
#[test]
fn whatever_fails_on_the_active_moves_the_address_and_it_comes_back() {
    let mut bench = Bench::start("", |directory| {
        let path = |name: &str| directory.join(name).display().to_string();
        format!(
            "    track:\n      - {{script: check, on_failure: {{lower_by: 60}}}}\n      \
             - {{interface: side, on_failure: fault}}\n      \
             - {{file: {}, lower_by: content}}\n      \
             - {{process: {{pidfile: {}}}, on_failure: {{lower_by: 60}}}}\n      \
             - {{gateway: [192.0.2.254], interval: 50ms, on_failure: {{lower_by: 60}}}}\n\
             track_scripts:\n  check: {{command: [/usr/bin/test, -e, {}], interval: 50ms}}\n",
            path("weight"),
            path("pid"),
            path("check"),
        )
    });
    let directory = bench.directory().to_owned();
    let ours = bench.host(Side::Ours);
    let run = |line: &str| drop(bench::ip(&ours, line));
    let gateway = bench.gateway();
    let mut sleeper = ours.spawn(sleep()).unwrap();
    fs::write(directory.join("pid"), sleeper.pid().to_string()).unwrap();
    bench.wait_for_active(Side::Ours, PATIENCE);

    // Two runs of the script and one that goes on, then the skew of the peer.
    bench.moves(
        "the script fails",
        ms(100),
        "150 - 60 (script check failing",
        || {
            fs::remove_file(directory.join("check")).unwrap();
        },
    );
    bench.comes_back(|| fs::write(directory.join("check"), "").unwrap());

    bench.moves(
        "an interface loses its carrier",
        ms(50),
        "interface side has no carrier",
        || {
            run("link set side-end down");
        },
    );
    bench.comes_back(|| run("link set side-end up"));

    bench.moves("a file changes", ms(60), "(file ", || {
        fs::write(directory.join("weight"), "70\n").unwrap();
    });
    bench.comes_back(|| fs::write(directory.join("weight"), "0\n").unwrap());

    bench.moves("a process dies", ms(20), "is not running", || {
        sleeper.kill().unwrap();
    });
    let sleeper = ours.spawn(sleep()).unwrap();
    bench.comes_back(|| fs::write(directory.join("pid"), sleeper.pid().to_string()).unwrap());

    // Three questions without an answer, and one more to see it.
    bench.moves("the gateway is gone", ms(250), "does not answer", || {
        bench::ip(&gateway, "link set eth0 down");
    });
    bench.comes_back(|| drop(bench::ip(&gateway, "link set eth0 up")));
    bench.stop();
}

/// The same priorities, weights and scripts on both sides: the same node is Active, whatever fails.
#[test]
fn keepalived_with_the_same_scripts_and_weights_agrees_on_who_is_active() {
    // Base priorities, then the weights of both scripts: what keepalived adds while a script is
    // well, or takes away while it fails.
    let pairs: [([u8; 2], [i16; 2]); 4] = [
        ([150, 100], [-60, -20]),
        ([100, 150], [-60, -20]),
        ([150, 100], [30, -120]),
        ([200, 199], [50, 4]),
    ];
    std::thread::scope(|scope| {
        for pair in pairs {
            scope.spawn(move || agree(pair));
        }
    });
}

/// Lives through five sets of failing scripts.
fn agree((priorities, weights): ([u8; 2], [i16; 2])) {
    let effect = |weight: i16| match weight {
        0.. => format!("raise_by: {weight}"),
        ..0 => format!("on_failure: {{lower_by: {}}}", -weight),
    };
    let theirs = bench::keepalived_scripts(priorities[1], weights);
    let mut bench = Bench::start(&theirs, |directory| {
        let script = |name: &str| {
            let path = directory.join(format!("ours-{name}"));
            format!(
                "{{command: [/usr/bin/test, -e, {}], interval: 100ms}}",
                path.display()
            )
        };
        format!(
            "    priority: {}\n    track:\n      - {{script: a, {}}}\n      - {{script: b, {}}}\n\
             track_scripts:\n  a: {}\n  b: {}\n",
            priorities[0],
            effect(weights[0]),
            effect(weights[1]),
            script("a"),
            script("b"),
        )
    });
    // Whether a and b are well on our side, and on theirs.
    for well in [
        [true, true, true, true],
        [false, true, true, true],
        [false, true, false, true],
        [true, false, true, true],
        [true, true, false, false],
    ] {
        for (name, well) in ["ours-a", "ours-b", "theirs-a", "theirs-b"]
            .iter()
            .zip(well)
        {
            let path = bench.directory().join(name);
            match well {
                true => fs::write(path, "").unwrap(),
                false => drop(fs::remove_file(path)),
            }
        }
        let sum = |base: u8, well: &[bool]| {
            let weights = weights.iter().zip(well);
            let added = weights.map(|(weight, well)| match (weight, well) {
                (0.., true) | (..0, false) => i32::from(*weight),
                (0.., false) | (..0, true) => 0,
            });
            (i32::from(base) + added.sum::<i32>()).clamp(1, 254)
        };
        let [ours, theirs] = [
            sum(priorities[0], &well[..2]),
            sum(priorities[1], &well[2..]),
        ];
        assert_ne!(ours, theirs, "no tie is asked about");
        bench.wait_for_priorities(ours, theirs);
        let better = if ours > theirs {
            Side::Ours
        } else {
            Side::Theirs
        };
        bench.wait_for_active(better, PATIENCE);
    }
    bench.stop();
}

fn sleep() -> Command {
    let mut command = Command::new("/bin/sleep");
    command.arg("600");
    command
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Bench {
    /// Something fails on our side, which takes so long to be noticed: the peer is Active, and
    /// nobody was refused.
    fn moves(&mut self, what: &str, noticed: Duration, reason: &str, fail: impl FnOnce()) {
        let mark = self.mark();
        let failed_at = Instant::now();
        fail();
        let took = self.wait_for_active(Side::Theirs, PATIENCE) - failed_at;
        println!("{what}: {took:?}");
        // A second demotion within 10 s waits for the peer to miss it, and its skew.
        let bound = noticed + ms(150) + 4 * INTERVAL;
        // The machine is shared: late is what is late twice over.
        let bound = 2 * bound;
        assert!(
            took < bound,
            "{what} took {took:?}, not {bound:?}: {}",
            self.logs()
        );
        self.expect_reason(reason);
        self.nobody_was_refused_since(mark);
    }

    fn comes_back(&mut self, heal: impl FnOnce()) {
        heal();
        self.wait_for_active(Side::Ours, PATIENCE);
    }
}
