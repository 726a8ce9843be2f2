//! Resolvers of the lab: Debian's dnsmasq, and one that lies where dnsmasq cannot.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::process::Process;

use super::PATIENCE;

/// Debian's, started anew for each answer.
pub(super) struct Dnsmasq {
    process: Option<Process>,
    hosts: PathBuf,
}

impl Dnsmasq {
    pub(super) fn new(directory: &Path) -> Self {
        let hosts = directory.join("addresses");
        Self {
            process: None,
            hosts,
        }
    }

    /// Has it say these addresses of `web.lab` from now on.
    pub(super) fn says(&mut self, host: &Host, addresses: &[&str]) {
        let line = |address: &&str| format!("{address} web.lab\n");
        fs::write(&self.hosts, addresses.iter().map(line).collect::<String>()).unwrap();
        let hosts = format!("--addn-hosts={}", self.hosts.display());
        self.run(host, &[&hosts]);
    }

    /// Starts it anew with these options.
    pub(super) fn run(&mut self, host: &Host, options: &[&str]) {
        self.stop();
        let path = "/usr/sbin/dnsmasq";
        assert!(
            Path::new(path).exists(),
            "`{path}` is needed: install Debian's package dnsmasq-base"
        );
        let mut command = Command::new(path);
        command.args([
            // It neither forks nor changes its user, which a user namespace may not let it.
            "--no-daemon",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--listen-address=10.90.0.53",
            "--local=/lab/",
        ]);
        command.args(options);
        let mut process = host.spawn(command).unwrap();
        let until = Instant::now() + PATIENCE;
        while !process.log().contains("started, version") {
            process.check_runs().unwrap();
            assert!(Instant::now() < until, "{}", process.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
    }

    pub(super) fn freeze(&mut self) {
        self.process.as_mut().unwrap().freeze().unwrap();
    }

    pub(super) fn thaw(&mut self) {
        self.process.as_mut().unwrap().thaw().unwrap();
    }

    /// Kills it.
    pub(super) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
        }
    }
}

/// What a liar says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    /// That it fails.
    Servfail,
    /// This address, and that it fails where IPv6 is asked for.
    OnlyIpv4([u8; 4]),
    /// Addresses under another number, of another name, and from another port.
    Forged,
}

/// Answers whoever asks until it is dropped.
pub(super) struct Liar {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub(super) fn start(host: &Host, lie: Lie) -> Self {
        let bind = |port| host.try_run("bind", move || UdpSocket::bind(("10.90.0.53", port)));
        let (socket, other) = (bind(53).unwrap(), bind(0).unwrap());
        let turn = Some(Duration::from_millis(20));
        socket.set_read_timeout(turn).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut question = [0; 512];
            while !stopped.load(Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut question) else {
                    continue;
                };
                for (answer, is_own) in answers(&question[..len], lie) {
                    let socket = if is_own { &socket } else { &other };
                    // Who asked may be gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns what is answered, and whether from the port that was asked.
fn answers(question: &[u8], lie: Lie) -> Vec<(Vec<u8>, bool)> {
    let failure = |question: &[u8]| {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[3] = 0x82;
        answer
    };
    let is_ipv6 = question[question.len() - 4..] == [0, 28, 0, 1];
    match lie {
        Lie::Servfail => vec![(failure(question), true)],
        Lie::OnlyIpv4(_) if is_ipv6 => vec![(failure(question), true)],
        Lie::OnlyIpv4(address) => vec![(with_address(question, address), true)],
        Lie::Forged => {
            let whole = with_address(question, [10, 90, 0, 11]);
            let (mut number, mut name) = (whole.clone(), whole.clone());
            number[1] ^= 1;
            name[13] ^= 1;
            vec![(number, true), (name, true), (whole, false)]
        }
    }
}

/// Returns an answer to a question without additional records (RFC 1035 §4.1).
fn with_address(question: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80;
    answer[7] = 1;
    // The name of the question, A, IN, for 0 seconds, 4 bytes.
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
    answer.extend(address);
    answer
}
