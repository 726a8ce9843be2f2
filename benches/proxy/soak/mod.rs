//! The soak: all kinds of clients and backends at once, for long, and never an answer for somebody
//! else.
//!
//! To our own they come by every protocol that it speaks: HTTP/1.1 and HTTP/2, gRPC, upgrades, and
//! bytes (`mode: tcp`); half of them by TLS with sessions that are resumed, some behind a header of
//! the PROXY protocol. Its backends speak HTTP/1.1 or HTTP/2, and some are asked when an upload is
//! there to its end. Its certificates are replaced and it is reloaded over and over. `site` has the
//! listeners.
//!
//! Of the backends of HTTP/1.1 one is steady, one dies and returns every few seconds, one answers
//! garbage half of the time; of the others one is steady and one comes and goes. Every answer bears
//! the token of its request. An error of the proxy's own and an answer that is visibly cut are
//! allowed, since backends die; an answer that belongs to another request, or is complete and
//! wrong, is not, and nobody may wait in vain. Memory and descriptors of the proxy are sampled, and
//! must not grow.

mod backends;
mod calls;
mod carried;
mod client;
mod garbage;
mod message;
mod multiplexed;
mod site;
mod streams;
mod upgrades;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;

use crate::measure::{Memory, descriptors};
use crate::options::everybody;
use crate::peers::{Behind, Carries, Kind, Peer, Routes, Setting, Threads};
use crate::wire::token_text;
use backends::{Backends, PORTS};
use client::Habit;
use garbage::{SURPLUS, UNASKED};
use message::Wish;
use site::Ways;
use wire::Authority;

/// What clients and backends count, by name; what begins with `WRONG` must never be.
#[derive(Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<String, u64>>,
    stop: AtomicBool,
}

impl Tally {
    /// Counts one, and returns how many there are now.
    pub(crate) fn count(&self, what: &str) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Returns whether the soak is over.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn snapshot(&self) -> BTreeMap<String, u64> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn wrong(&self) -> u64 {
        self.snapshot()
            .iter()
            .filter(|(what, _)| what.starts_with(WRONG))
            .map(|(_, count)| count)
            .sum()
    }
}

/// What the proxy's processes hold at one moment.
#[derive(Clone, Copy)]
struct Held {
    memory: Memory,
    descriptors: usize,
}

/// What the clients of one habit count.
#[derive(Clone)]
pub(crate) struct Notes {
    of: &'static str,
    /// The listener that they have come in by.
    at: &'static str,
    tally: Arc<Tally>,
}

impl Notes {
    fn new(of: &'static str, tally: &Arc<Tally>) -> Self {
        Self {
            of,
            at: "",
            tally: Arc::clone(tally),
        }
    }

    /// Returns whether the soak is over.
    fn is_over(&self) -> bool {
        self.tally.is_over()
    }

    /// Counts one.
    fn note(&self, what: &str) {
        self.tally.count(&self.named(what));
    }

    /// Counts what must never be, and shows the first few.
    fn wrong(&self, what: &str, seen: &[u8]) {
        let what = self.named(&format!("{WRONG} {what}"));
        if self.tally.count(&what) <= SHOWN {
            eprintln!(
                "{what} (at {}): {:.400}",
                self.at,
                format!("{:?}", String::from_utf8_lossy(seen))
            );
        }
    }

    /// Counts an error of reading that may not be.
    fn failed(&self, error: &io::Error) {
        if matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ) {
            self.wrong("wait: not a byte for seconds", b"");
        }
        if error.kind() == io::ErrorKind::InvalidData {
            self.wrong("framing", error.to_string().as_bytes());
        }
    }

    /// Returns whether an answer bears the token of its request, or counts whose it is.
    fn is_ours<'a>(
        &self,
        mut tokens: impl Iterator<Item = &'a [u8]>,
        wish: &Wish,
        head: &[u8],
    ) -> bool {
        match tokens.find(|token| *token != wish.token) {
            None => true,
            Some(token) if token == token_text(SURPLUS) => {
                self.wrong(
                    "surplus bytes behind an answer, taken for the next one",
                    head,
                );
                false
            }
            // A request was on its way when the backend spoke: nobody can tell, unless it happens
            // often.
            Some(token) if token == token_text(UNASKED) => {
                self.tally.count(TAKEN);
                false
            }
            Some(_) => {
                self.wrong("answer of another request", head);
                false
            }
        }
    }

    /// The first word sorts; the habit follows.
    fn named(&self, what: &str) -> String {
        let (first, rest) = what.split_once(' ').unwrap_or((what, ""));
        format!("{first} {}: {rest}", self.of)
    }
}

type Value = fn(&Held) -> f64;
type Lives = fn(Ways, &Arc<Tally>);
type Life = Box<dyn FnOnce(Ways, &Arc<Tally>) + Send>;

/// Soaks these proxies, one after the other; returns whether ours came through.
pub(crate) fn run(host: &Host, span: Duration, kinds: &[Kind]) -> Result<bool, LabError> {
    let mut passed = true;
    // Without a choice only ours: the others are for finding out whether the soak itself is right.
    let chosen: Vec<Kind> = kinds
        .iter()
        .copied()
        .filter(|kind| *kind != Kind::Direct)
        .collect();
    let chosen = if kinds == everybody() {
        vec![Kind::Evenkeel]
    } else {
        chosen
    };
    for kind in chosen {
        let right = soak(host, kind, span)?;
        passed &= right || kind != Kind::Evenkeel;
    }
    Ok(passed)
}

fn soak(host: &Host, kind: Kind, span: Duration) -> Result<bool, LabError> {
    let tally = Arc::new(Tally::default());
    let backends = Backends::start(host, &tally)?;
    let mut peer = Peer::start(host, kind, SETTING, &PORTS)?;
    print_heading(kind, span);
    let authority = Authority::new();
    let is_ours = kind == Kind::Evenkeel;
    if is_ours {
        change(&mut peer, &authority, 0)?;
        for port in site::ports() {
            peer.wait_until_it_listens(host, port)?;
        }
    }
    let mut clients = Vec::new();
    for (number, live) in crowd(is_ours).into_iter().enumerate() {
        let tally = Arc::clone(&tally);
        let ways = Ways {
            port: kind.port(),
            // Each has tickets of its own.
            config: is_ours.then(|| authority.config()),
        };
        let name = format!("client-{number}");
        clients.push(host.thread(&name, move || live(ways, &tally))?);
    }
    let began = Instant::now();
    let every = (span / 40).clamp(Duration::from_secs(1), Duration::from_secs(10));
    let mut samples = Vec::new();
    let mut died = false;
    let mut changes = 0;
    while began.elapsed() < span && !died {
        let next = began + span.min(began.elapsed() + every);
        loop {
            let due = began + CHANGE_EVERY * (changes + 1);
            let until = if is_ours { due.min(next) } else { next };
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            if until == next {
                break;
            }
            changes += 1;
            change(&mut peer, &authority, changes)?;
        }
        let pids = peer.pids()?;
        died = pids.is_empty();
        samples.push(sample(&pids));
        print_line(began.elapsed(), &tally, samples.last());
    }
    tally.stop.store(true, Relaxed);
    for client in clients {
        died |= client.join().is_err();
    }
    std::thread::sleep(AFTER);
    let last = sample(&peer.pids()?);
    println!("{changes} times other certificates, and a reload");
    println!(
        "clients gone: {} descriptors, {:.1} MB",
        last.descriptors,
        last.memory.pss as f64 / 1e6
    );
    if died {
        println!(
            "  FAIL: the proxy or a client ended early; its log:\n{}",
            peer.log()
        );
    }
    drop(peer);
    drop(backends);
    Ok(verdict(&tally, &samples) && !died)
}

/// Returns who comes; what they speak beside HTTP/1.1 is for our own alone.
fn crowd(is_ours: bool) -> Vec<Life> {
    let mut crowd: Vec<Life> = Vec::new();
    for (habit, count) in Habit::CROWD {
        for _ in 0..count {
            crowd.push(Box::new(move |ways, tally| {
                client::live(habit, ways, tally)
            }));
        }
    }
    let more: [(Lives, usize); 4] = [
        (streams::live, 4),
        (calls::live, 2),
        (upgrades::live, 2),
        (carried::live, 4),
    ];
    for (live, count) in more.into_iter().filter(|_| is_ours) {
        for _ in 0..count {
            crowd.push(Box::new(live));
        }
    }
    crowd
}

/// Has our own serve with another certificate, and follow another configuration, which always has
/// all doors.
fn change(peer: &mut Peer, authority: &Authority, number: u32) -> Result<(), LabError> {
    let (certificate, key) = authority.sign();
    peer.replace_certificate(&certificate, &key)?;
    peer.reload(|yaml, directory| site::configuration(yaml, directory, number))
}

fn sample(pids: &[u32]) -> Held {
    Held {
        memory: Memory::of(pids),
        descriptors: descriptors(pids),
    }
}

fn print_heading(kind: Kind, span: Duration) {
    println!(
        "\nsoak of {}, {} s; two threads",
        kind.name(),
        span.as_secs()
    );
    println!(
        "{:>6} {:>10} {:>8} {:>8} {:>8} {:>6} {:>7}",
        "second", "answers", "errors", "RSS MB", "PSS MB", "fds", "wrong"
    );
}

fn print_line(at: Duration, tally: &Tally, held: Option<&Held>) {
    let Some(held) = held else { return };
    let counts = tally.snapshot();
    let sum = |begin: &str| -> u64 {
        counts
            .iter()
            .filter(|(what, _)| what.starts_with(begin))
            .map(|(_, count)| count)
            .sum()
    };
    println!(
        "{:>6} {:>10} {:>8} {:>8.1} {:>8.1} {:>6} {:>7}",
        at.as_secs(),
        sum("answered"),
        sum("error") + sum("cut"),
        held.memory.rss as f64 / 1e6,
        held.memory.pss as f64 / 1e6,
        held.descriptors,
        sum(WRONG),
    );
}

fn verdict(tally: &Tally, samples: &[Held]) -> bool {
    for (what, count) in tally.snapshot() {
        println!("  {what:60} {count:>9}");
    }
    let wrong = tally.wrong();
    println!("  answers that were wrong: {wrong} {}", word(wrong == 0));
    let counts = tally.snapshot();
    let of = |what| counts.get(what).copied().unwrap_or(0);
    let watches = of(TAKEN) * 50 <= of(SPOKEN);
    println!(
        "  unsolicited answers taken for a request's own: {} of {} {}",
        of(TAKEN),
        of(SPOKEN),
        word(watches)
    );
    let wrong = wrong + u64::from(!watches);
    let quarter = samples.len() / 4;
    if quarter == 0 {
        println!("  flat: not measured, too few samples");
        return wrong == 0;
    }
    let most = |part: &[Held], value: Value| part.iter().map(value).fold(0.0, f64::max);
    let mut flat = true;
    let values: [(&str, f64, Value); 2] = [
        ("memory, MB", 2.0, |held| held.memory.pss as f64 / 1e6),
        ("descriptors", 16.0, |held| held.descriptors as f64),
    ];
    for (name, slack, value) in values {
        let early = most(&samples[quarter..2 * quarter], value);
        let late = most(&samples[samples.len() - quarter..], value);
        let is_flat = late <= early * FLAT + slack;
        flat &= is_flat;
        println!(
            "  {name}: most in the second quarter {early:.1}, in the last {late:.1} {}",
            word(is_flat)
        );
    }
    wrong == 0 && flat
}

/// Two threads, and nothing between listener and pool.
const SETTING: Setting = Setting {
    threads: Threads::Two,
    routes: Routes::None,
    tls: false,
    carries: Carries::Requests,
    behind: Behind::Http1,
};

const CHANGE_EVERY: Duration = Duration::from_secs(3);

const fn word(right: bool) -> &'static str {
    if right { "PASS" } else { "FAIL" }
}

/// What the names of events begin with that must never be.
pub(crate) const WRONG: &str = "WRONG";
/// What a backend said while nobody had asked, on a connection that seemed idle.
const SPOKEN: &str = "unsolicited answers written";
/// An unsolicited answer that a request got: a race that no proxy can win always, and that one
/// which watches its idle connections loses hardly ever.
const TAKEN: &str = "unsolicited answers taken";
/// So many of each kind of what must never be are shown.
const SHOWN: u64 = 2;
const FLAT: f64 = 1.15;
const AFTER: Duration = Duration::from_secs(2);
