//! A host whose default gateway is a virtual address behind a virtual MAC, while the address moves
//! every second: how many of its pings are lost, with our nodes and with keepalived's `use_vmac`.
//!
//! `EVENKEEL_GATEWAY_SECONDS=60` makes it longer; `netns-tests/run gateway 60` runs it alone and
//! shows its table.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use super::reach::{answers, routed};
use super::{PATIENCE, Site, has, ip, until};
use crate::interop::start_keepalived;

#[test]
fn a_gateway_behind_a_virtual_mac_moves_without_a_loss() {
    let seconds = std::env::var("EVENKEEL_GATEWAY_SECONDS").map_or(6, |text| {
        text.parse().expect("EVENKEEL_GATEWAY_SECONDS is a number")
    });
    // Side by side, so that a busy moment is the same for both.
    let live_both = |fault| {
        std::thread::scope(|scope| {
            let both = [Router::Ours, Router::Keepalived];
            let both = both.map(|router| scope.spawn(move || live(router, fault, seconds)));
            both.map(|thread| thread.join().unwrap())
        })
    };
    let (stopped, cut) = (live_both(Fault::Stop), live_both(Fault::Cut));
    println!("\n| nodes | every second lb1 is | moves | family | pings | lost | ms a move |");
    println!("|---|---|---|---|---|---|---|");
    stopped.iter().chain(&cut).for_each(Row::print);
    let [ours, theirs] = &stopped;
    for (ours_lost, theirs_lost) in ours.lost.iter().zip(theirs.lost) {
        // Two pings a move are a busy machine.
        let bound = theirs_lost + 2 * ours.moves;
        assert!(*ours_lost <= bound, "{ours:?}, and {theirs:?}");
    }
    // keepalived loses none here, because its Backup forwards what a switch floods, which RFC 9568
    // §6.4.2 forbids. Of ours every second move is one: three intervals, the skew time, a tenth.
    let [ours, _] = &cut;
    let bound = ours.moves.div_ceil(2) * 460 / PING_MS as usize;
    assert!(ours.lost.iter().all(|lost| *lost <= bound), "{ours:?}");
}

/// Whose nodes.
#[derive(Clone, Copy, Debug)]
enum Router {
    Ours,
    Keepalived,
}

/// What happens to lb1, and is undone a second later.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Stop,
    Cut,
}

/// What became of the pings.
#[derive(Debug)]
struct Row {
    router: Router,
    fault: Fault,
    moves: usize,
    /// Of IPv4 and IPv6.
    sent: [usize; 2],
    lost: [usize; 2],
}

impl Row {
    fn print(&self) {
        let router = match self.router {
            Router::Ours => "evenkeel",
            Router::Keepalived => "keepalived use_vmac",
        };
        let fault = match self.fault {
            Fault::Stop => "stopped or started",
            Fault::Cut => "cut off or joined",
        };
        for (number, family) in ["IPv4", "IPv6"].iter().enumerate() {
            let (moves, sent, lost) = (self.moves, self.sent[number], self.lost[number]);
            let each = lost * PING_MS as usize / moves;
            println!("| {router} | {fault} | {moves} | {family} | {sent} | {lost} | {each} |");
        }
    }
}

/// A daemon of either kind.
enum Daemon {
    Ours(Node),
    Keepalived(Process),
}

impl Daemon {
    fn start(router: Router, site: &Site, name: &str, scratch: &tempfile::TempDir) -> Self {
        match router {
            Router::Ours => Self::Ours(site.start(name, OURS)),
            Router::Keepalived => {
                let priority = if name == "lb1" { "150" } else { "100" };
                let config = scratch.path().join(format!("{name}.conf"));
                fs::write(&config, KEEPALIVED.replace("PRIORITY", priority)).unwrap();
                Self::Keepalived(start_keepalived(site.host(name), &config))
            }
        }
    }

    fn stop(self) {
        match self {
            Self::Ours(mut node) => drop(node.stop(PATIENCE).unwrap()),
            Self::Keepalived(mut process) => {
                process.signal(Signal::SIGTERM).unwrap();
                process.wait(PATIENCE).unwrap();
            }
        }
    }
}

fn live(router: Router, fault: Fault, seconds: u64) -> Row {
    let site = routed();
    let scratch = tempfile::tempdir().unwrap();
    let (client, server) = (site.host("client"), site.host("server"));
    // The way back is the same whoever is Active.
    ip(server, "route add 192.0.2.0/24 dev eth0");
    ip(server, "-6 route add 2001:db8::/64 dev eth0");
    let start = |name: &str| Daemon::start(router, &site, name, &scratch);
    let (mut first, second) = (Some(start("lb1")), start("lb2"));
    for address in ["198.51.100.9", "2001:db8:1::9"] {
        until("the server is reached", || answers(client, address));
    }
    for address in ["192.0.2.100", "2001:db8::100"] {
        let one = || has(site.host("lb1"), address) && !has(site.host("lb2"), address);
        until("lb1 has the address alone", one);
    }
    let pingers = ["198.51.100.9", "2001:db8:1::9"].map(|to| Pinger::start(client, to));
    let began = Instant::now();
    let mut moves = 0;
    for second in 1..seconds {
        let due = began + Duration::from_secs(second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        match (fault, first.take()) {
            (Fault::Stop, Some(daemon)) => daemon.stop(),
            (Fault::Stop, None) => first = Some(start("lb1")),
            (Fault::Cut, daemon) => {
                first = daemon;
                if moves % 2 == 0 {
                    site.lab.isolate("lb1").unwrap();
                } else {
                    site.lab.join("lb1").unwrap();
                }
            }
        }
        moves += 1;
    }
    std::thread::sleep(Duration::from_secs(1));
    let [v4, v6] = pingers.map(Pinger::stop);
    second.stop();
    Row {
        router,
        fault,
        moves,
        sent: [v4.0, v6.0],
        lost: [v4.1, v6.1],
    }
}

/// Asks for echoes, one every so often, until it is stopped.
struct Pinger {
    over: Arc<AtomicBool>,
    answered: Arc<Mutex<BTreeSet<u32>>>,
    sent: Arc<AtomicU32>,
    threads: [JoinHandle<()>; 2],
}

impl Pinger {
    fn start(host: &Host, to: &str) -> Self {
        host.set_sysctl("net/ipv4/ping_group_range", "0 0").unwrap();
        let to: IpAddr = to.parse().unwrap();
        let open = move || {
            let (domain, protocol) = match to {
                IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
                IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
            };
            let socket = Socket::new(domain, Type::DGRAM, Some(protocol)).unwrap();
            socket.connect(&SocketAddr::new(to, 0).into()).unwrap();
            socket.set_read_timeout(Some(PING)).unwrap();
            socket
        };
        let mut receiver = host.run(open).unwrap();
        let sender = receiver.try_clone().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(Mutex::new(BTreeSet::new()));
        let sent = Arc::new(AtomicU32::new(0));
        let kind = if to.is_ipv4() { 8 } else { 128 };
        let (until, count) = (Arc::clone(&over), Arc::clone(&sent));
        let ask = move || {
            let mut due = Instant::now();
            while !until.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let head: [u8; 8] = [kind, 0, 0, 0, 0, 0, 0, 0];
                // Without a way it is lost, as on the link.
                let _ = sender.send(&[&head[..], &number.to_be_bytes()].concat());
                due += PING;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        };
        let (until, into) = (Arc::clone(&over), Arc::clone(&answered));
        let hear = move || {
            let mut buf = [0; 64];
            while !until.load(Ordering::Relaxed) {
                if let Ok(12) = receiver.read(&mut buf) {
                    let number = u32::from_be_bytes(buf[8..12].try_into().unwrap());
                    into.lock().unwrap().insert(number);
                }
            }
        };
        let threads = [
            host.thread("ask", ask).unwrap(),
            host.thread("hear", hear).unwrap(),
        ];
        Self {
            over,
            answered,
            sent,
            threads,
        }
    }

    /// Returns how many were sent, and how many of these were lost.
    fn stop(self) -> (usize, usize) {
        let sent = self.sent.load(Ordering::Relaxed) as usize;
        let all = || self.answered.lock().unwrap().len() >= sent;
        let patience = Instant::now() + Duration::from_secs(1);
        while !all() && Instant::now() < patience {
            std::thread::sleep(PING);
        }
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let answered = self.answered.lock().unwrap();
        let answered = answered.iter().filter(|number| (**number as usize) < sent);
        (sent, sent - answered.count())
    }
}

const OURS: &str = "virtual_mac: true, priority: {lb1: 150, lb2: 100}, \
                    addresses: [192.0.2.100/24, '2001:db8::100/64']";
const KEEPALIVED: &str = "
vrrp_instance v4 {
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.1
    version 3
    use_vmac
    virtual_ipaddress {
        192.0.2.100/24
    }
}
vrrp_instance v6 {
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.1
    version 3
    use_vmac
    virtual_ipaddress {
        fe80::112:33
        2001:db8::100/64
    }
}
";
const PING_MS: u64 = 10;
const PING: Duration = Duration::from_millis(PING_MS);
