//! Pools whose backends stand in a file of their own, or behind names, and change while the daemon
//! serves.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/daemon.rs"]
mod daemon;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use daemon::{Daemon, evenkeel};
use nix::sys::signal::{Signal, kill};

/// Says its name to everybody for as long as the test runs.
fn named_backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || answer_all(&stream, name));
        }
    });
    address
}

fn answer_all(mut stream: &TcpStream, name: &str) {
    let mut head = BufReader::new(stream);
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|len| len > 0) {
        if line == "\r\n" {
            let len = name.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{name}");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// A client whose connection is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(daemon: &Daemon) -> Self {
        Self::to(daemon.listen)
    }

    fn to(listen: SocketAddr) -> Self {
        let stream = TcpStream::connect(listen).unwrap();
        let timeout = Some(Duration::from_secs(5));
        stream.set_read_timeout(timeout).unwrap();
        Self(BufReader::new(stream))
    }

    /// Returns status and body.
    fn ask(&mut self) -> (String, String) {
        let mut stream = self.0.get_ref();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            .unwrap();
        let mut status = String::new();
        self.0.read_line(&mut status).unwrap();
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "it goes on");
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (
            status.trim_end().to_owned(),
            String::from_utf8(body).unwrap(),
        )
    }
}

/// A daemon whose pool has its backends in a file only.
struct Rig {
    daemon: Daemon,
    file: PathBuf,
}

impl Rig {
    fn start(text: &str) -> Self {
        Self::start_with(text, "backends_file: FILE")
    }

    fn start_with(text: &str, keys: &str) -> Self {
        let daemon = Daemon::start();
        let file = daemon.directory.path().join("webfarm.backends");
        fs::write(&file, text).unwrap();
        let rig = Self { daemon, file };
        let config = rig.daemon.directory.path().join("evenkeel.yaml");
        let old = fs::read_to_string(&config).unwrap();
        let keys = keys.replace("FILE", rig.file.to_str().unwrap());
        let lines = old.lines().map(|line| match line.contains("backends: {") {
            true => format!("    {keys}\n"),
            false => format!("{line}\n"),
        });
        fs::write(&config, lines.collect::<String>()).unwrap();
        rig.says(&["reload"]);
        rig
    }

    /// Returns what a command of the daemon says.
    fn says(&self, words: &[&str]) -> String {
        let (success, text) = self.answers(words);
        assert!(success, "{text}");
        text
    }

    fn answers(&self, words: &[&str]) -> (bool, String) {
        let output = evenkeel()
            .args(words)
            .arg("--runtime-dir")
            .arg(self.daemon.runtime_dir())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// Puts another file in its place.
    fn replace(&self, text: &str) {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &self.file).unwrap();
    }

    /// Changes the file in one of the ways that people have.
    fn change(&self, turn: u32, text: &str) {
        match turn % 4 {
            0 => self.replace(text),
            1 => fs::write(&self.file, text).unwrap(),
            2 => {
                let target = self.file.with_extension(turn.to_string());
                let link = self.file.with_extension("link");
                fs::write(&target, text).unwrap();
                symlink(&target, &link).unwrap();
                fs::rename(&link, &self.file).unwrap();
            }
            _ => {
                fs::remove_file(&self.file).unwrap();
                fs::write(&self.file, text).unwrap();
            }
        }
    }

    /// Returns the names of the pool's backends.
    fn backends(&self) -> Vec<String> {
        let status = self.daemon.status().unwrap();
        let backends = status.pools.iter().flat_map(|pool| &pool.backends);
        backends.map(|one| one.name.clone()).collect()
    }

    /// Returns what is wrong with pools.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.daemon.status().unwrap().warnings;
        warnings.retain(|warning| warning.starts_with("pool "));
        warnings
    }
}

/// Asks without pause until it is told to stop, on a kept connection and on fresh ones; counts what
/// is asked and what fails.
struct Load {
    shared: Arc<Counts>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    kept: AtomicU32,
    fresh: AtomicU32,
    failed: AtomicU32,
}

impl Load {
    fn on(daemon: &Daemon) -> Self {
        let shared = Arc::<Counts>::default();
        let listen = daemon.listen;
        let run = |is_kept: bool| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut client = Client::to(listen);
                while !shared.stop.load(Relaxed) {
                    let asked = if is_kept {
                        &shared.kept
                    } else {
                        client = Client::to(listen);
                        &shared.fresh
                    };
                    let (status, _) = client.ask();
                    asked.fetch_add(1, Relaxed);
                    let failed = u32::from(!status.contains(" 200 "));
                    shared.failed.fetch_add(failed, Relaxed);
                    thread::park_timeout(Duration::from_millis(2));
                }
            })
        };
        let threads = vec![run(true), run(false)];
        Self { shared, threads }
    }

    /// Returns how many were kept, fresh and failed.
    fn end(self) -> [u32; 3] {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let counts = &self.shared;
        [&counts.kept, &counts.fresh, &counts.failed].map(|count| count.load(Relaxed))
    }
}

/// `EVENKEEL_CHANGES=1000 EVENKEEL_BINARY=.../release/evenkeel` for the whole thing.
#[test]
fn a_file_that_is_replaced_again_and_again_is_followed_within_100_ms_and_nothing_fails() {
    let changes = std::env::var("EVENKEEL_CHANGES").map_or(200, |text| text.parse().unwrap());
    let backends = [named_backend("even"), named_backend("odd")];
    let line = |index: usize| match index {
        0 => format!("even {} weight=2\n", backends[0]),
        _ => format!("# Perlbal had these\n{}\n", backends[1]),
    };
    let rig = Rig::start(&line(0));
    let load = Load::on(&rig.daemon);
    let mut client = Client::new(&rig.daemon);
    let mut taken = Vec::new();
    let mut now = 0;
    for turn in 0..changes {
        if turn % 10 == 9 {
            rig.change(turn, BROKEN[turn as usize / 10 % BROKEN.len()]);
            thread::park_timeout(Duration::from_millis(70));
            assert_eq!(client.ask().1, ["even", "odd"][now], "nothing changes");
            continue;
        }
        now = 1 - now;
        let begun = Instant::now();
        rig.change(turn, &line(now));
        while client.ask().1 != ["even", "odd"][now] {
            assert!(begun.elapsed() < Duration::from_secs(2), "turn {turn}");
            thread::park_timeout(Duration::from_millis(1));
        }
        taken.push(begun.elapsed());
    }
    let [kept, fresh, failed] = load.end();
    taken.sort();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100];
    let late = taken.iter().filter(|it| **it > Duration::from_millis(100));
    println!(
        "{} changes honoured: median {:?}, 90 % {:?}, 99 % {:?}, most {:?}, {} later than 100 ms; \
         {kept} kept and {fresh} fresh requests, {failed} failed",
        taken.len(),
        at(50),
        at(90),
        at(99),
        at(100),
        late.count()
    );
    assert!(kept > changes && fresh > changes, "{kept} and {fresh}");
    assert_eq!(failed, 0, "of {kept} and {fresh}");
    assert!(at(50) < Duration::from_millis(100), "median {:?}", at(50));
    // Other tests run beside this one.
    assert!(at(90) < Duration::from_millis(300), "90 %: {:?}", at(90));
    let said = rig.warnings();
    assert!(said.len() == 1, "the last one was broken: {said:?}");
}

/// Files that change nothing.
const BROKEN: [&str; 4] = [
    "even 127.0.0.1:99999\n",
    "",
    "[\"127.0.0.1:80\", ",
    "even 127.0.0.1:80\neven 127.0.0.1:81\n",
];

#[test]
fn what_is_wrong_with_a_file_changes_nothing_and_is_said_as_long_as_it_lasts() {
    let one = named_backend("one");
    let rig = Rig::start(&format!("one {one}\n"));
    for (text, hoped) in [
        ("two 127.0.0.1\n", ":1:5: `127.0.0.1` is not an address"),
        ("", ":1:1: there is no backend in it"),
        ("{\"two\": }", ":1:"),
    ] {
        rig.replace(text);
        rig.daemon.wait("it is said", |_| {
            let warnings = rig.warnings();
            warnings.iter().any(|warning| {
                warning.starts_with("pool webfarm: its backends stay as they were: ")
                    && warning.contains(hoped)
            })
        });
        assert_eq!(Client::new(&rig.daemon).ask().1, "one");
        let (success, said) = rig.answers(&["reload"]);
        assert!(!success && said.contains("webfarm.backends:1:"), "{said}");
    }
    fs::remove_file(&rig.file).unwrap();
    rig.daemon.wait("it is said", |_| {
        rig.warnings().iter().any(|it| it.contains("No such file"))
    });
    rig.replace(&format!("[{{\"name\": \"two\", \"address\": \"{one}\"}}]"));
    rig.daemon.wait("it is right again", |_| {
        rig.warnings().is_empty() && rig.backends() == ["two"]
    });
}

#[test]
fn a_command_holds_over_a_file_also_while_the_file_does_not_have_the_backend() {
    let addresses = [named_backend("one"), named_backend("two")];
    let [one, two] = addresses;
    let both = format!("one {one}\ntwo {two} weight=3\n");
    let keys = format!("backends: {{here: \"{one}\"}}\n    backends_file: FILE");
    let rig = Rig::start_with(&both, &keys);
    assert_eq!(rig.backends(), ["here", "one", "two"]);
    rig.says(&["backend", "webfarm/two", "drain"]);
    let holds = |rig: &Rig| {
        let overrides = rig.daemon.status().unwrap().overrides;
        overrides
            .iter()
            .any(|it| it.subject == "backend webfarm/two" && it.change == "drained")
    };
    assert!(holds(&rig));
    rig.replace(&format!("one {one}\n"));
    rig.daemon
        .wait("it is gone", |_| rig.backends() == ["here", "one"]);
    assert!(holds(&rig));
    rig.says(&["reload"]);
    assert!(holds(&rig));
    rig.replace(&both);
    rig.daemon
        .wait("it is back", |_| rig.backends() == ["here", "one", "two"]);
    let mut client = Client::new(&rig.daemon);
    for _ in 0..20 {
        assert_eq!(client.ask().1, "one", "two is drained");
    }
    rig.says(&["backend", "webfarm/two", "up"]);
    rig.daemon
        .wait("it has its share", |_| client.ask().1 == "two");
}

#[test]
fn a_name_is_looked_up_and_one_without_an_answer_keeps_nobody_from_serving() {
    let backend = named_backend("here");
    let keys = format!("backends: {{web: \"localhost:{}\"}}", backend.port());
    let rig = Rig::start_with("", &keys);
    assert_eq!(Client::new(&rig.daemon).ask().1, "here");
    let known = rig.backends();
    assert!(known.contains(&"web/127.0.0.1".to_owned()), "{known:?}");
    rig.says(&["backend", "webfarm/web/127.0.0.1", "weight", "7"]);
    let config = rig.daemon.directory.path().join("evenkeel.yaml");
    let old = fs::read_to_string(&config).unwrap();
    let more = old.replace("{web:", "{no: \"no.example.invalid:80\", web:");
    fs::write(&config, more).unwrap();
    rig.says(&["reload"]);
    assert_eq!(rig.backends(), known, "the one has none");
    assert_eq!(Client::new(&rig.daemon).ask().1, "here");
    rig.daemon.wait("it is said", |daemon| {
        let warnings = daemon.status().unwrap().warnings;
        let said = "name no.example.invalid is not resolved, it has no backend: ";
        warnings.iter().any(|warning| warning.starts_with(said))
    });
    let overrides = rig.daemon.status().unwrap().overrides;
    assert!(overrides.iter().any(|it| it.change == "weight 7"));
}

#[test]
fn the_process_that_looks_names_up_is_there_for_names_alone_and_comes_back() {
    let backend = named_backend("here");
    let keys = format!("backends: {{web: \"localhost:{}\"}}", backend.port());
    let rig = Rig::start_with("", &keys);
    let known = rig.backends();
    let first = rig.daemon.pid(NAMES).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    rig.daemon.wait("it is back", |daemon| {
        daemon.pid(NAMES).is_some_and(|pid| pid != first)
    });
    assert_eq!(rig.backends(), known);
    rig.says(&["reload"]);
    assert_eq!(rig.backends(), known);
    let config = rig.daemon.directory.path().join("evenkeel.yaml");
    let old = fs::read_to_string(&config).unwrap();
    let more = old.replace("{web: ", "{ten: \"localhost:10\", web: ");
    fs::write(&config, more).unwrap();
    rig.says(&["reload"]);
    let backends = rig.backends();
    assert!(
        backends.contains(&"ten/127.0.0.1".to_owned()),
        "{backends:?}"
    );
    assert_eq!(Client::new(&rig.daemon).ask().1, "here");

    fs::write(&config, old.replace("localhost:", "127.0.0.1:")).unwrap();
    rig.says(&["reload"]);
    rig.daemon
        .wait("it is gone", |daemon| daemon.pid(NAMES).is_none());
    assert_eq!(rig.backends(), ["web"]);
    // What it is asked for a configuration that is not taken is no reason to stay.
    fs::write(&config, &old).unwrap();
    rig.says(&["reload", "--dry-run"]);
    rig.daemon
        .wait("it is gone", |daemon| daemon.pid(NAMES).is_none());
    assert_eq!(rig.backends(), ["web"]);
}

const NAMES: &str = "evenkeel-names";

#[test]
fn a_thousand_backends_are_followed_and_shown() {
    let one = named_backend("one");
    let lines = |count: usize, weight: usize| -> String {
        let line = |index| format!("{} weight={weight}\n", format_args!("n{index} {one}"));
        (0..count).map(line).collect()
    };
    let keys = "backends_file: FILE\n    slow_start: 0s";
    let rig = Rig::start_with(&format!("one {one}\n"), keys);
    // All of them are one backend of the test, for which ten thousand probes a second are many.
    let config = rig.daemon.directory.path().join("evenkeel.yaml");
    let old = fs::read_to_string(&config).unwrap();
    fs::write(&config, old.replace("interval: 100ms", "interval: 1s")).unwrap();
    rig.says(&["reload"]);
    rig.replace(&lines(1000, 1));
    rig.daemon
        .wait("all are there", |_| rig.backends().len() == 1000);
    rig.replace(&lines(999, 2));
    rig.daemon
        .wait("all but one are there", |_| rig.backends().len() == 999);
    rig.replace(&lines(1001, 2));
    rig.daemon.wait("it is said", |_| {
        let warnings = rig.warnings();
        warnings
            .iter()
            .any(|it| it.contains("there are more than 1000 backends in it"))
    });
    assert_eq!(Client::new(&rig.daemon).ask().1, "one");
    let restarted = rig.daemon.pid("evenkeel-proxy");
    assert!(restarted.is_some(), "it is believed");
}
