//! Backends behind names whose resolver stops, dies, lies, says nothing and says too much: the pool
//! goes on with what was good, and takes up what is better, while clients notice nothing.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod clients;
mod process;
mod resolver;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::backend::{Backend, Behavior};
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;

use clients::Clients;
use resolver::{Dnsmasq, Liar, Lie};

#[test]
fn a_resolver_that_stops_dies_and_lies_costs_nobody_an_answer() {
    let mut site = Site::build();
    site.say(&["10.90.0.11", "10.90.0.12"]);
    site.comes_to("two addresses", &["web/10.90.0.11", "web/10.90.0.12"]);
    let begun = site.clients.asked();

    site.dnsmasq.freeze();
    site.is_said("Temporary failure in name resolution");
    site.dnsmasq.thaw();
    site.is_well();

    site.dnsmasq.stop();
    site.is_said("Temporary failure in name resolution");
    let yaml = site.yaml.clone();
    site.node.reload(&yaml).unwrap();
    site.stays(&["web/10.90.0.11", "web/10.90.0.12"], SHORT);
    // Of who leaves, what is in flight ends as it would.
    let slow = Duration::from_secs(8);
    site.clients
        .wait_long(&site.client, LISTENER.parse().unwrap(), slow);
    site.say(&["10.90.0.12", "10.90.0.13"]);
    site.comes_to("another address", &["web/10.90.0.12", "web/10.90.0.13"]);
    site.is_well();
    site.goes_on(begun);

    let known = ["web/10.90.0.12", "web/10.90.0.13"];
    site.dnsmasq.run(&site.dns, &["--address=/web.lab/"]);
    site.is_said("Name or service not known");
    site.dnsmasq
        .run(&site.dns, &["--txt-record=web.lab,nothing"]);
    site.is_said("No address associated with hostname");
    site.has(&known);
    site.say(&["10.90.0.12", "10.90.0.13"]);
    site.is_well();
    for lie in [Lie::Servfail, Lie::Forged] {
        site.dnsmasq.stop();
        let liar = Liar::start(&site.dns, lie);
        site.is_said("Temporary failure in name resolution");
        site.has(&known);
        drop(liar);
        site.say(&["10.90.0.12", "10.90.0.13"]);
        site.is_well();
    }
    site.leave(begun);
}

#[test]
fn addresses_that_answer_nothing_do_not_take_the_place_of_those_that_do() {
    let mut site = Site::build();
    site.say(&["10.90.0.11", "10.90.0.12"]);
    site.comes_to("two addresses", &["web/10.90.0.11", "web/10.90.0.12"]);
    let begun = site.clients.asked();

    // Nobody has the one, another site the other.
    for lie in ["10.90.0.99", "10.90.0.66"] {
        site.say(&[lie]);
        let lied = format!("web/{lie}");
        let both = ["web/10.90.0.11", "web/10.90.0.12", &lied];
        site.node
            .wait_for("the lie", PATIENCE, |status| {
                names(status) == both && state(status, &lied) == "down"
            })
            .unwrap();
        site.is_said("none of its addresses is up, those of before stay");
        site.stays(&both, SHORT);
        let yaml = site.yaml.clone();
        site.node.reload(&yaml).unwrap();
        site.stays(&both, SHORT);
    }

    let forty: Vec<String> = (1..=40).map(|last| format!("10.90.1.{last}")).collect();
    site.say(&forty.iter().map(String::as_str).collect::<Vec<_>>());
    let mut hoped: Vec<String> = forty.iter().map(|it| format!("web/{it}")).collect();
    hoped.sort_by_key(|name| name.rsplit('.').next().and_then(|it| it.parse::<u8>().ok()));
    site.comes_to(
        "forty addresses",
        &hoped.iter().map(String::as_str).collect::<Vec<_>>(),
    );

    site.say(&["fd00:90::11"]);
    site.comes_to("IPv6 alone", &["web/fd00:90::11"]);
    site.say(&["10.90.0.13", "fd00:90::11"]);
    let both = ["web/10.90.0.13", "web/fd00:90::11"];
    site.comes_to("both kinds", &both);

    // One kind fails, the other does not: what was good of the one stays.
    site.dnsmasq.stop();
    let liar = Liar::start(&site.dns, Lie::OnlyIpv4([10, 90, 0, 14]));
    site.comes_to("half an answer", &["web/10.90.0.14", "web/fd00:90::11"]);
    site.is_said("IPv6");
    drop(liar);
    site.say(&["10.90.0.13", "10.90.0.14"]);
    site.comes_to(
        "the other kind is gone",
        &["web/10.90.0.13", "web/10.90.0.14"],
    );
    site.is_well();
    site.leave(begun);
}

/// A load balancer, its resolver, web servers at many addresses, another site, and clients.
struct Site {
    node: Node,
    lb: Arc<Host>,
    binary: PathBuf,
    dnsmasq: Dnsmasq,
    clients: Clients,
    dns: Arc<Host>,
    client: Arc<Host>,
    yaml: String,
    _backends: Vec<Backend>,
    directory: tempfile::TempDir,
    _lab: Lab,
}

impl Site {
    fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut lab = Lab::new().unwrap();
        let lb = lab
            .add_host("lb", &["10.90.0.1/16", "fd00:90::1/64"])
            .unwrap();
        let dns = lab.add_host("dns", &["10.90.0.53/16"]).unwrap();
        let client = lab.add_host("client", &["10.90.0.9/16"]).unwrap();
        let other = lab.add_host("other", &["10.90.0.66/16"]).unwrap();
        let mut addresses = vec!["fd00:90::11/64".to_owned()];
        addresses.extend((11..=14).map(|last| format!("10.90.0.{last}/16")));
        addresses.extend((1..=40).map(|last| format!("10.90.1.{last}/16")));
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let web = lab.add_host("web", &addresses).unwrap();
        let any: SocketAddr = "[::]:80".parse().unwrap();
        let backends = vec![
            Backend::start(&web, "web", any).unwrap(),
            Backend::start(&other, "other", any).unwrap(),
        ];
        backends[1].set(Behavior::FailsHealth).unwrap();
        let mut dnsmasq = Dnsmasq::new(directory.path());
        dnsmasq.says(&dns, &["10.90.0.11"]);
        let log = directory.path().join("access.log");
        let yaml = format!(
            "listeners: {{http: {{bind: [\"10.90.0.1:80\"], pool: web}}}}\n\
             pools:\n  web:\n    backends: {{web: \"web.lab:80\"}}\n    \
             resolve: {{interval: 1s}}\n    slow_start: 0s\n    \
             health_check: {{http: {{path: /health}}, interval: 100ms, timeout: 500ms}}\n\
             access_log: {{to: {}}}\n",
            log.display()
        );
        let binary = with_resolver(directory.path());
        let mut node = Node::start(&lb, &yaml, "lb", &binary).unwrap();
        let first = |status: &Status| is_up(status) && names(status) == ["web/10.90.0.11"];
        node.wait_for("the first address", PATIENCE, first).unwrap();
        let clients = Clients::start(&client, LISTENER.parse().unwrap());
        Self {
            node,
            lb,
            binary,
            dnsmasq,
            clients,
            dns,
            client,
            yaml,
            _backends: backends,
            directory,
            _lab: lab,
        }
    }

    /// Has the resolver say these addresses from now on.
    fn say(&mut self, addresses: &[&str]) {
        self.dnsmasq.says(&self.dns, addresses);
    }

    fn has(&self, hoped: &[&str]) {
        assert_eq!(names(&self.node.status().unwrap()), hoped);
    }

    /// Waits until the pool has these backends, and all are up.
    fn comes_to(&mut self, what: &str, hoped: &[&str]) {
        let begun = Instant::now();
        let is_there = |status: &Status| names(status) == hoped && is_up(status);
        self.node.wait_for(what, PATIENCE, is_there).unwrap();
        println!("{what}: after {:?}", begun.elapsed());
    }

    /// Waits until the status and the log say what is wrong with the name.
    fn is_said(&mut self, why: &str) {
        let said = |status: &Status| {
            let mut warnings = status.warnings.iter();
            warnings.any(|it| it.contains("web.lab") && it.contains(why))
        };
        self.node.wait_for(why, PATIENCE, said).unwrap();
        let log = self.node.log();
        let mut lines = log.lines();
        let is_logged = lines.any(|line| line.contains("stay") && line.contains(why));
        assert!(is_logged, "{why} is not in the log:\n{log}");
    }

    /// Waits until nothing is wrong with the name.
    fn is_well(&mut self) {
        let well = |status: &Status| !status.warnings.iter().any(|it| it.contains("web.lab"));
        self.node.wait_for("no warning", PATIENCE, well).unwrap();
    }

    /// Holds it to have these backends for so long.
    fn stays(&self, hoped: &[&str], long: Duration) {
        let until = Instant::now() + long;
        while Instant::now() < until {
            self.has(hoped);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Holds that clients were answered all the time, and that none was refused.
    fn goes_on(&self, begun: [u64; 2]) {
        let asked = self.clients.asked();
        assert!(
            asked[0] > begun[0] + 100 && asked[1] > begun[1] + 100,
            "{asked:?}"
        );
        assert_eq!(self.clients.failures(), [""; 0], "{}", self.node.log());
    }

    fn leave(mut self, begun: [u64; 2]) {
        self.goes_on(begun);
        let asked = self.clients.asked();
        println!(
            "{} fresh and {} kept requests, none failed",
            asked[0], asked[1]
        );
        assert_eq!(self.clients.stop(), [""; 0], "{}", self.node.log());
        let status = self.node.stop(PATIENCE).unwrap();
        assert!(status.success(), "{status}");
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap();
        let whole = |line: &&str| line.contains("\"complete\"") || line.contains(" complete");
        let other: Vec<_> = log.lines().filter(|line| !whole(line)).collect();
        assert_eq!(other, [""; 0]);
    }
}

/// Writes a script that starts the daemon where the system's resolver asks the lab's: its settings
/// are in a directory that is /etc there.
fn with_resolver(directory: &Path) -> PathBuf {
    let etc = directory.join("etc");
    fs::create_dir(&etc).unwrap();
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), etc.join(name)).unwrap();
    }
    fs::write(etc.join("hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    set_name_server(directory, "10.90.0.53");
    let inner = directory.join("inner");
    let binary = env!("CARGO_BIN_EXE_evenkeel");
    let mount = format!("mount --bind {} /etc || exit 1\n", etc.display());
    write_script(&inner, &format!("{mount}exec {binary} \"$@\"\n"));
    let script = directory.join("resolving");
    let text = format!("exec unshare --mount {} \"$@\"\n", inner.display());
    write_script(&script, &text);
    script
}

/// Has this one be asked, as all who write the file do: another takes its place.
fn set_name_server(directory: &Path, address: &str) {
    let file = directory.join("etc/resolv.conf");
    let fresh = file.with_extension("new");
    let text = format!("nameserver {address}\noptions timeout:1 attempts:1\n");
    fs::write(&fresh, text).unwrap();
    fs::rename(&fresh, &file).unwrap();
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn names(status: &Status) -> Vec<&str> {
    let backends = status.pools.iter().flat_map(|pool| &pool.backends);
    backends.map(|backend| backend.name.as_str()).collect()
}

fn state<'s>(status: &'s Status, name: &str) -> &'s str {
    let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
    let backend = backends.find(|backend| backend.name == name);
    backend.map_or("gone", |backend| &backend.state)
}

fn is_up(status: &Status) -> bool {
    let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
    backends.all(|backend| backend.state == "up")
}

const LISTENER: &str = "10.90.0.1:80";
/// Longer than two questions that fail, and the pauses after them.
const PATIENCE: Duration = Duration::from_secs(12);
/// More than the interval.
const SHORT: Duration = Duration::from_millis(1300);
