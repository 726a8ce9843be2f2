//! A configuration that changes over and over while a pair serves kept, slow and heavy traffic.
//!
//! Nothing that a change does not concern may notice it: no request fails, no connection is closed,
//! no advertisement is late, nobody's role changes, and nothing piles up. In short here;
//! `netns-tests/run reloads` makes a thousand of them under 5,000 requests a second.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evenkeel::ipc::control::{Request, Response, Status, ask};
use evenkeel::lab::events::Event;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::pair::{Pair, Settings, VIRTUAL, configuration, node_address};
use evenkeel::lab::visitors::Crowd;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INTERVAL: Duration = Duration::from_millis(100);

fn pair(crowd: Crowd) -> Pair {
    let built = env!("CARGO_BIN_EXE_evenkeel");
    let binary = std::env::var("EVENKEEL_BINARY").unwrap_or_else(|_| built.to_owned());
    Pair::start(Settings {
        binary: PathBuf::from(binary),
        interval: INTERVAL,
        crowd,
    })
    .unwrap()
}

#[test]
fn a_reload_with_changes_is_not_noticed() {
    let outcome = pair(Crowd::SMALL).inject(Event::Reload).unwrap();
    assert_eq!(outcome.broken, [""; 0], "{outcome:#?}");
}

#[test]
fn random_reloads_are_noticed_by_nobody() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let reloads = number("EVENKEEL_RELOADS", 60);
    let rate = number("EVENKEEL_RELOAD_RATE", 200);
    let seed = number("EVENKEEL_SEED", fastrand::u64(..));
    println!("EVENKEEL_SEED={seed}");
    let mut pair = pair(Crowd::SMALL);
    let client = Arc::clone(pair.lab().host("client").unwrap());
    let watch = Watch::start(pair.lab().host("lb2").unwrap());
    let askers = Askers::start(&client, rate);
    let mark = pair.probe().mark();
    pair.visitors().unwrap().begin().unwrap();
    let before = pair.node(0).unwrap().status().unwrap();
    let mut looks = Vec::new();
    let mut chance = fastrand::Rng::with_seed(seed);
    let certificates = certificates();
    let mut slowest = Duration::ZERO;
    for round in 1..=reloads {
        let began_at = Instant::now();
        let yaml = variant(&mut chance, certificates.path());
        let node = pair.node(0).unwrap();
        fs::write(node.config_path(), &yaml).unwrap();
        let answer = order(&node.runtime_dir());
        assert!(matches!(answer, Response::Changed(_)), "{answer:?}\n{yaml}");
        slowest = slowest.max(began_at.elapsed());
        if round % (reloads / 5).max(1) == 0 {
            looks.push(Held::by(&node.status().unwrap()));
        }
        let rest = PACE.saturating_sub(began_at.elapsed());
        std::thread::park_timeout(rest);
    }
    let after = pair.node(0).unwrap().status().unwrap();
    let longest = watch.longest();
    let asked = askers.stop();
    // Requests in flight have their answers by now.
    let report = pair.probe().report(mark);
    let visits = pair.visitors().unwrap().end().unwrap();
    println!(
        "{reloads} reloads, the slowest {slowest:?}; {asked:?}; fresh: {} of {} failed {:?}; visitors: {}; \
         longest between two advertisements {longest:?}; held {looks:?}",
        report.failed,
        report.requests,
        report.failures,
        visits.all()
    );
    assert_eq!(
        (report.failed, asked.failed),
        (0, 0),
        "requests that failed"
    );
    let kept = visits.kept();
    assert_eq!(
        (kept.cut, kept.failed, kept.closed_idle),
        (0, 0, 0),
        "{}",
        visits.all()
    );
    assert!(
        longest < INTERVAL * 3 / 2 + BUSY,
        "{longest:?} without an advertisement"
    );
    assert_roles(&before, &after);
    Held::is_flat(&looks);
}

/// The virtual router `web` is what it was, and its counters and those of the proxy go on.
fn assert_roles(before: &Status, after: &Status) {
    let router = |status: &Status| {
        let mut all = status.virtual_routers.iter();
        all.find(|router| router.vrid == 51).unwrap().clone()
    };
    let (old, new) = (router(before), router(after));
    assert_eq!(new.state, "Active");
    let transitions = |router: &evenkeel::ipc::control::RouterStatus| {
        router.counters.get("active_transitions").copied()
    };
    assert_eq!(transitions(&old), transitions(&new), "no change of role");
    assert!(new.since_ms > old.since_ms, "it is Active since before");
    assert!(new.counters["advertisements_sent"] > old.counters["advertisements_sent"]);
    let requests = |status: &Status| status.listeners[0].requests_total;
    assert!(requests(after) > requests(before), "counters continue");
    assert_eq!(after.processes.iter().map(|it| it.restarts).sum::<u64>(), 0);
}

/// What is replaced by what, where chance says so; # is a number from 1 to 4, DIR has a
/// certificate.
const CHANGES: &[(&str, &str)] = &[
    (
        "virtual_routers:\n",
        "virtual_routers:\n  more: {interface: eth0, vrid: 52, addresses: [10.77.0.102/24]}\n",
    ),
    ("{lb1: 150, lb2: 100}", "{lb1: 15#, lb2: 100}"),
    ("/64\"]", "/64\", 10.77.0.101/24]"),
    ("    vrid: 51\n", "    vrid: 51\n    lease: #2s\n"),
    (
        "pool: webfarm}\n",
        "pool: webfarm, limits: {connections: 500#, requests_per_client: {rate: 10000#/s, \
         burst: 50000}}}\n",
    ),
    (
        "  http: {",
        "  http: {routes: [{name: a, path: /section#/, pool: webfarm}, {host: h#.example.org, \
         respond: {status: 404}}], ",
    ),
    (
        "  http: {",
        "  http: {request_headers: {set: {X-Number: \"#\"}}, response_headers: {set: {X-Number: \
         \"#\"}}, ",
    ),
    (
        "pools:\n",
        "  secure: {bind: [\"10.77.0.1:443\"], pool: webfarm, tls: {certificates: {certificate: \
         DIR/chain.pem, key: DIR/key.pem}}}\npools:\n",
    ),
    (
        "  webfarm:\n",
        "  webfarm:\n    affinity: {cookie: {name: c#}}\n",
    ),
    (
        "  webfarm:\n",
        "  webfarm:\n    ejection: {failures: 9#%}\n    slow_start: #s\n",
    ),
    (
        "  webfarm:\n",
        "  webfarm:\n    fallback: {respond: {status: 503, body: \"#\"}}\n",
    ),
    (
        "pools:\n",
        "  more: {bind: [\"10.77.0.1:81\"], pool: more}\npools:\n  more: {backends: {web1: \
         \"10.77.0.11:80\"}}\n",
    ),
    (
        "web2: \"10.77.0.12:80\"}",
        "web2: {address: \"10.77.0.12:80\", weight: #, requests: 5000}}",
    ),
    (
        "{web1: \"10.77.0.11:80\", web2",
        "{web1: \"10.77.0.11:80\", web3: \"10.77.0.12:80\", web2",
    ),
    ("interval: 200ms, fall: 2", "interval: 20#ms, fall: 3"),
    ("  webfarm:\n", "  webfarm:\n    balance: round_robin\n"),
    (
        "  webfarm:\n",
        "  webfarm:\n    keep_alive: {timeout: 3s}\n",
    ),
    ("listeners:\n", "proxy: {threads: #}\nlisteners:\n"),
    ("listeners:\n", "access_log: {to: stdout}\nlisteners:\n"),
];

/// Returns another configuration that is right: in it lb1 is above lb2, and serves on port 80.
fn variant(chance: &mut fastrand::Rng, certificates: &Path) -> String {
    let mut yaml = configuration(INTERVAL);
    for (from, to) in CHANGES {
        if chance.bool() {
            let to = to.replace('#', &chance.u8(1..=4).to_string());
            yaml = yaml.replacen(from, &to, 1);
        }
    }
    yaml = yaml.replace("DIR", &certificates.display().to_string());
    if chance.bool() {
        yaml = yaml.replace("  web:\n", "  www:\n");
        yaml = yaml.replace("virtual_router: web,", "virtual_router: www,");
    }
    yaml
}

/// Returns a directory with a certificate and its key.
fn certificates() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    for (name, text) in [
        ("chain.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// Has the daemon follow its file.
fn order(runtime_dir: &std::path::Path) -> Response {
    let request = Request::Reload {
        file: None,
        dry_run: false,
    };
    ask(runtime_dir, &request, Duration::from_secs(30)).unwrap()
}

/// What the processes of the daemon hold.
#[derive(Clone, Debug)]
struct Held {
    /// By process: kilobytes resident, descriptors, threads.
    by_process: BTreeMap<String, (u64, usize, usize)>,
}

impl Held {
    fn by(status: &Status) -> Self {
        let look = |process: &evenkeel::ipc::control::ProcessStatus| {
            let directory = PathBuf::from(format!("/proc/{}", process.pid?));
            let count = |name: &str| fs::read_dir(directory.join(name)).unwrap().count();
            let text = fs::read_to_string(directory.join("status")).unwrap();
            let resident = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
            let digits: String = resident.chars().filter(char::is_ascii_digit).collect();
            let held = (digits.parse().unwrap(), count("fd"), count("task"));
            Some((process.name.clone(), held))
        };
        Self {
            by_process: status.processes.iter().filter_map(look).collect(),
        }
    }

    /// From the second look on nothing may grow but by what moves with the traffic.
    fn is_flat(looks: &[Self]) {
        let (first, last) = (&looks[1], looks.last().unwrap());
        for (name, (resident, descriptors, threads)) in &last.by_process {
            // The process that keeps keys comes and goes with them.
            let Some((resident_before, descriptors_before, _)) = first.by_process.get(name) else {
                continue;
            };
            assert!(
                *resident < resident_before + resident_before / 4 + 4096,
                "{name}: memory grows: {looks:?}"
            );
            assert!(
                *descriptors < descriptors_before + 64,
                "{name}: descriptors grow: {looks:?}"
            );
            assert!(*threads < 32, "{name}: threads grow: {looks:?}");
        }
    }
}

/// Hears the advertisements of VRID 51 on another node.
struct Watch {
    over: Arc<AtomicBool>,
    longest_us: Arc<AtomicU64>,
}

impl Watch {
    fn start(host: &Arc<Host>) -> Self {
        let (over, longest_us) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, longest) = (Arc::clone(&over), Arc::clone(&longest_us));
        host.thread("watch", move || {
            let protocol = Some(Protocol::from(112));
            let socket = Socket::new(Domain::IPV4, Type::RAW, protocol).unwrap();
            let group = Ipv4Addr::new(224, 0, 0, 18);
            let IpAddr::V4(own) = node_address(1) else {
                panic!("an IPv4 address")
            };
            socket.join_multicast_v4(&group, &own).unwrap();
            socket.set_read_timeout(Some(INTERVAL)).unwrap();
            let mut last = None;
            let mut buf = [MaybeUninit::new(0); 256];
            while !stop.load(Relaxed) {
                let Ok(len) = socket.recv(&mut buf) else {
                    continue;
                };
                // SAFETY: so many bytes were received.
                let packet: Vec<u8> = buf[..len]
                    .iter()
                    .map(|byte| unsafe { byte.assume_init() })
                    .collect();
                // Behind the header of IP: version and type, VRID, priority.
                if packet[20..22] == [0x31, 51] {
                    let now = Instant::now();
                    let gap = last.map_or(Duration::ZERO, |last| now - last);
                    last = Some(now);
                    longest.fetch_max(u64::try_from(gap.as_micros()).unwrap(), Relaxed);
                }
            }
        })
        .unwrap();
        Self { over, longest_us }
    }

    fn longest(&self) -> Duration {
        self.over.store(true, Relaxed);
        Duration::from_micros(self.longest_us.load(Relaxed))
    }
}

/// Clients that ask on kept connections, so many times a second in all.
struct Askers {
    over: Arc<AtomicBool>,
    counts: std::sync::mpsc::Receiver<Asked>,
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    answered: u64,
    failed: u64,
}

impl Askers {
    fn start(host: &Arc<Host>, rate: u64) -> Self {
        let over = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&over);
        let (tell, counts) = std::sync::mpsc::sync_channel(1);
        host.thread("askers", move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let all = async {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..ASKERS {
                    let every = Duration::from_micros(1_000_000 * ASKERS / rate);
                    tasks.spawn(ask_for_ever(every, Arc::clone(&stop)));
                }
                let mut sum = Asked::default();
                while let Some(asked) = tasks.join_next().await {
                    let asked = asked.unwrap();
                    sum.answered += asked.answered;
                    sum.failed += asked.failed;
                }
                sum
            };
            tell.send(runtime.unwrap().block_on(all)).unwrap();
        })
        .unwrap();
        Self { over, counts }
    }

    fn stop(self) -> Asked {
        self.over.store(true, Relaxed);
        self.counts.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

async fn ask_for_ever(every: Duration, over: Arc<AtomicBool>) -> Asked {
    let mut asked = Asked::default();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stream = TcpStream::connect(SocketAddr::new(VIRTUAL, 80))
        .await
        .unwrap();
    while !over.load(Relaxed) {
        ticks.tick().await;
        let answered = tokio::time::timeout(Duration::from_secs(5), ask_once(&mut stream)).await;
        if matches!(answered, Ok(Ok(()))) {
            asked.answered += 1;
        } else {
            asked.failed += 1;
            stream = TcpStream::connect(SocketAddr::new(VIRTUAL, 80))
                .await
                .unwrap();
        }
    }
    asked
}

async fn ask_once(stream: &mut TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if !head.starts_with("http/1.1 200") {
            return Err(std::io::Error::other(head.to_owned()));
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| length.trim().parse() == Ok(body.len())) {
            return Ok(());
        }
    }
}

/// The vrrp process dies at any moment of a change: old or new, whole, and no role changes.
#[test]
fn a_vrrp_process_that_is_killed_in_the_middle_is_no_failover() {
    let mut pair = pair(Crowd::NONE);
    let own = configuration(INTERVAL);
    let other = own.replace("/64\"]", "/64\", 10.77.0.101/24]");
    for step in 0..10 {
        let node = pair.node(0).unwrap();
        let wanted = if step % 2 == 0 { &other } else { &own };
        fs::write(node.config_path(), wanted).unwrap();
        let before = node.status().unwrap();
        let vrrp = node.pid_of("evenkeel-vrrp").unwrap();
        node.process().signal(Signal::SIGHUP).unwrap();
        let at = Instant::now() + Duration::from_micros(step * 500);
        while Instant::now() < at {
            std::hint::spin_loop();
        }
        evenkeel::lab::process::send(vrrp, Signal::SIGKILL).unwrap();
        let generation = before.configuration.generation;
        node.wait_for(
            "the change is over, and lb1 Active",
            Duration::from_secs(5),
            |status| {
                let now = &status.configuration;
                let over = now.generation > generation || now.last_failure.is_some();
                let count = if now.generation > generation {
                    step % 2
                } else {
                    1 - step % 2
                };
                let addresses = status
                    .virtual_routers
                    .iter()
                    .map(|router| router.addresses.len());
                let whole = addresses.sum::<usize>() == if count == 0 { 4 } else { 3 };
                over && whole && status.virtual_routers.iter().all(|it| it.state == "Active")
            },
        )
        .unwrap();
        let answer = order(&node.runtime_dir());
        assert!(
            matches!(answer, Response::Changed(_)),
            "the next one works: {answer:?}"
        );
        // A process that lives for less than a second is started again later and later.
        std::thread::park_timeout(Duration::from_millis(1100));
    }
    let other = pair.node(1).unwrap().status().unwrap();
    let was_active = |it: &evenkeel::ipc::control::RouterStatus| {
        it.counters.get("active_transitions").copied().unwrap_or(0)
    };
    // Whichever started first may have been Active for a moment at the beginning.
    let most = other.virtual_routers.iter().map(was_active).max();
    assert!(most <= Some(1), "the addresses moved: {other:#?}");
}

/// As often as the bound says.
const PACE: Duration = Duration::from_millis(100);
/// Kept connections that ask.
const ASKERS: u64 = 20;
/// What a build without optimization on two busy cores may add.
const BUSY: Duration = Duration::from_millis(150);
