//! The process that looks names up dies, hangs, loses its files and is missed by nobody; and the
//! daemon restarts while no resolver answers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::process::role::Role;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{LISTENER, PATIENCE, SHORT, Site, is_up, names, set_name_server};
use crate::daemon::names::clients::Clients;

#[test]
fn a_process_that_dies_or_hangs_is_restarted_and_costs_nobody_an_answer() {
    let mut site = Site::build();
    site.say(&["10.90.0.11", "10.90.0.12"]);
    let known = ["web/10.90.0.11", "web/10.90.0.12"];
    site.comes_to("two addresses", &known);
    let begun = site.clients.asked();

    for round in 1..=3 {
        site.signal(Signal::SIGKILL);
        site.is_restarted(round);
    }
    site.stays(&known, SHORT);
    site.is_well();
    site.say(&["10.90.0.12", "10.90.0.13"]);
    site.comes_to("another address", &["web/10.90.0.12", "web/10.90.0.13"]);

    site.signal(Signal::SIGSTOP);
    let took = site.is_restarted(4);
    assert!(took < SILENCE, "{took:?}");
    let log = site.node.log();
    let silent = |line: &str| {
        line.contains("process makes no progress, killing it") && line.contains(name())
    };
    assert!(log.lines().any(silent), "{log}");
    site.has(&["web/10.90.0.12", "web/10.90.0.13"]);
    site.say(&["10.90.0.11"]);
    site.comes_to("one address", &["web/10.90.0.11"]);
    site.is_well();
    site.leave(begun);
}

/// A name server whose answers nobody hears, in a process that is killed all the while.
#[test]
fn a_process_that_dies_of_each_question_is_asked_less_and_less_often() {
    let mut site = Site::build();
    let begun = site.clients.asked();
    // What is asked now has no answer until it dies.
    site.dnsmasq.freeze();
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        site.signal(Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(300));
    }
    site.has(&["web/10.90.0.11"]);
    site.is_said("has died meanwhile");
    site.dnsmasq.thaw();
    site.is_well();
    site.leave(begun);
}

/// As all who write it do, and what landlock would keep out of reach.
#[test]
fn another_file_in_the_place_of_resolv_conf_is_taken_up() {
    let mut site = Site::build();
    let begun = site.clients.asked();
    let directory = site.directory.path().to_owned();
    set_name_server(&directory, "10.90.0.54");
    // Before, it would take up the next file as the one that it begins with.
    site.is_fenced_again(1);
    site.is_said("Temporary failure in name resolution");
    assert_eq!(site.restarts(), 1);
    set_name_server(&directory, "10.90.0.53");
    site.say(&["10.90.0.12"]);
    site.comes_to("another address", &["web/10.90.0.12"]);
    assert_eq!(site.restarts(), 2);
    // As tools leave it that write it for themselves alone first.
    let file = directory.join("etc/resolv.conf");
    let own = file.with_extension("own");
    fs::write(&own, "nameserver 10.90.0.53\n").unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o600)).unwrap();
    fs::rename(&own, &file).unwrap();
    site.is_said("Temporary failure in name resolution");
    set_name_server(&directory, "10.90.0.53");
    site.say(&["10.90.0.11"]);
    site.comes_to("what can be read again", &["web/10.90.0.11"]);
    let log = site.node.log();
    assert!(log.contains("file of the resolver replaced"), "{log}");
    assert!(!log.contains("process died"), "{log}");
    site.leave(begun);
}

#[test]
fn a_restart_while_no_resolver_answers_has_the_last_addresses() {
    let mut site = Site::build();
    site.say(&["10.90.0.12", "fd00:90::11"]);
    let known = ["web/10.90.0.12", "web/fd00:90::11"];
    site.comes_to("two addresses", &known);
    assert_eq!(site.clients.stop(), [""; 0]);
    site.dnsmasq.stop();
    site.stop();
    site.start();
    site.comes_to("the last addresses", &known);
    site.clients = Clients::start(&site.client, LISTENER.parse().unwrap());
    site.is_said("Temporary failure in name resolution");
    site.has(&known);
    site.say(&["10.90.0.13"]);
    site.comes_to("an answer", &["web/10.90.0.13"]);
    site.is_well();

    // What lies there is believed no more than an answer.
    assert_eq!(site.clients.stop(), [""; 0]);
    site.dnsmasq.stop();
    site.stop();
    let file = site.node.runtime_dir().join("names.json");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, "{\"web.lab\":[\"10.90.0.13\"]}");
    let lies = "{\"web.lab\":[\"224.0.0.1\",\"10.90.0.14\"],\"other.lab\":[\"10.90.0.11\"]}";
    fs::write(&file, lies).unwrap();
    site.start();
    site.comes_to("what can be used", &["web/10.90.0.14"]);
    site.clients = Clients::start(&site.client, LISTENER.parse().unwrap());
    site.say(&["10.90.0.11"]);
    site.comes_to("an answer", &["web/10.90.0.11"]);
    site.wait_for_clients();
    site.leave([0; 2]);
}

/// The process comes with the first name, and goes with the last.
#[test]
fn the_process_is_there_where_there_are_names() {
    let mut site = Site::build();
    let with_names = site.yaml.clone();
    let without = with_names.replace("web.lab:80", "10.90.0.11:80");
    let without = without.replace("    resolve: {interval: 1s}\n", "");
    site.node.reload(&without).unwrap();
    let gone = |status: &Status| names(status) == ["web"] && is_up(status) && pid(status).is_none();
    site.node.wait_for("no process", PATIENCE, gone).unwrap();
    // The status is told of its end a moment before the kernel lets it go.
    let gone_by = Instant::now() + PATIENCE;
    while site.node.pid_of(name()).is_some() {
        assert!(Instant::now() < gone_by, "it ends");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!site.node.runtime_dir().join("names.json").exists());
    site.node.reload(&with_names).unwrap();
    site.comes_to("a name", &["web/10.90.0.11"]);
    assert!(site.pid().is_some());
    site.wait_for_clients();
    site.leave([0; 2]);
}

impl Site {
    fn pid(&self) -> Option<u32> {
        pid(&self.node.status().unwrap())
    }

    fn restarts(&self) -> u64 {
        let status = self.node.status().unwrap();
        let mut processes = status.processes.iter();
        processes.find(|it| it.name == name()).unwrap().restarts
    }

    /// Sends the process a signal, when it runs.
    fn signal(&mut self, signal: Signal) {
        let runs = |status: &Status| pid(status).is_some();
        self.node.wait_for("a process", PATIENCE, runs).unwrap();
        let pid = Pid::from_raw(i32::try_from(self.pid().unwrap()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits until it has been restarted so often, and runs; returns how long that took.
    fn is_restarted(&mut self, times: u64) -> Duration {
        let begun = Instant::now();
        let runs = |status: &Status| {
            let mut processes = status.processes.iter();
            let own = processes.find(|it| it.name == name());
            own.is_some_and(|own| own.restarts == times && own.pid.is_some())
        };
        self.node.wait_for("a restart", PATIENCE, runs).unwrap();
        begun.elapsed()
    }

    /// Waits until it has been restarted so often, and has its files within reach and no others.
    fn is_fenced_again(&mut self, times: u64) {
        self.is_restarted(times);
        let file = format!("/proc/{}/status", self.pid().unwrap());
        let until = Instant::now() + PATIENCE;
        // The filter of system calls comes after landlock.
        let is_fenced = |status: &str| status.lines().any(|line| line == "Seccomp:\t2");
        while !is_fenced(&fs::read_to_string(&file).unwrap()) {
            assert!(Instant::now() < until, "{file} shows no fence");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) {
        let stopped = self.node.stop(PATIENCE).unwrap();
        assert!(stopped.success(), "{stopped}");
    }

    /// Starts the daemon anew that was stopped.
    fn start(&mut self) {
        self.node.start_again(&self.lb, &self.binary).unwrap();
    }

    fn wait_for_clients(&self) {
        let until = Instant::now() + PATIENCE;
        while self.clients.asked().iter().any(|asked| *asked <= 100) {
            assert!(Instant::now() < until, "{:?}", self.clients.asked());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn name() -> &'static str {
    Role::Names.profile().name
}

fn pid(status: &Status) -> Option<u32> {
    let mut processes = status.processes.iter();
    processes.find(|process| process.name == name())?.pid
}

/// 300 ms until it is killed, and what a busy machine takes.
const SILENCE: Duration = Duration::from_secs(2);
