//! A configuration that changes while the daemon serves, without privileges: whole or not at all,
//! by signal and by command, and what operators are told.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/daemon.rs"]
mod daemon;
#[path = "reload/answers.rs"]
mod answers;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daemon::{Daemon, backend, evenkeel, free_address};
use evenkeel::ipc::control::{ConfigurationStatus, Status};
use nix::sys::signal::{Signal, kill};

#[test]
fn a_changed_file_is_followed_and_said_in_words() {
    let daemon = Daemon::start();
    let mut kept = Kept::open(daemon.listen);
    let more = own_address();
    let before = text(&daemon);
    let changed = before
        .replace(
            "pools:\n",
            &format!("  more: {{bind: [\"{more}\"], pool: webfarm}}\npools:\n"),
        )
        .replace("requests: 50", "requests: 40, weight: 3");
    write(&daemon, &changed);
    let steps = "listener more: added\npool webfarm: backend one weight 1 to 3\npool webfarm: \
                 backend one requests 50 to 40\n";
    let dry = reload(&daemon, &["--dry-run"]);
    assert_eq!(
        said(&dry),
        (
            0,
            format!("{steps}dry run: generation 1 goes on\n"),
            String::new()
        )
    );
    assert!(TcpStream::connect(more).is_err(), "nothing has changed");
    let done = reload(&daemon, &[]);
    assert_eq!(
        said(&done),
        (0, format!("{steps}generation 2 is in use\n"), String::new())
    );
    assert_eq!(Kept::open(more).ask().as_deref(), Some("hello"));
    assert_eq!(kept.ask().as_deref(), Some("hello"), "it is not concerned");
    write(&daemon, &before);
    daemon.signal(Signal::SIGHUP);
    daemon.wait("the signal has been followed", |_| {
        TcpStream::connect(more).is_err()
    });
    assert_eq!(running(&daemon).generation, 3);
    assert_eq!(
        kept.ask().as_deref(),
        Some("hello"),
        "nor is it by the signal"
    );
    let nothing = said(&reload(&daemon, &[]));
    assert_eq!(nothing.1, "nothing changes\ngeneration 4 is in use\n");
}

#[test]
fn another_file_holds_until_the_next_reload_and_the_status_says_so() {
    let daemon = Daemon::start();
    let other = daemon.directory.path().join("other.yaml");
    fs::write(&other, text(&daemon).replace("requests: 50", "requests: 7")).unwrap();
    let path = other.to_str().unwrap();
    assert_eq!(said(&reload(&daemon, &["--config", path])).0, 0);
    let now = running(&daemon);
    assert_eq!(
        (now.file.as_str(), now.is_own, now.file_differs),
        (path, false, Some(true))
    );
    let shown = evenkeel_says(&daemon, &["status"]);
    assert!(
        shown
            .1
            .contains("note: it holds until the next reload or restart"),
        "{}",
        shown.1
    );
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    let now = running(&daemon);
    assert_eq!((now.is_own, now.file_differs), (true, Some(false)));
    write(
        &daemon,
        &text(&daemon).replace("requests: 50", "requests: 51"),
    );
    assert_eq!(running(&daemon).file_differs, Some(true));
    let shown = evenkeel_says(&daemon, &["status"]);
    assert!(
        shown.1.contains("note: the file differs from what runs"),
        "{}",
        shown.1
    );
}

/// Texts that are wrong, and machines that cannot, in turn with good ones.
#[test]
fn what_is_wrong_changes_nothing_and_the_next_good_file_works() {
    let daemon = Daemon::start();
    let good = text(&daemon);
    let mut kept = Kept::open(daemon.listen);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let mut generation = 1;
    for (wrong, status, why) in wrong_texts(&good, taken) {
        write(&daemon, &wrong);
        let began_at = Instant::now();
        let (exit, _, error) = said(&reload(&daemon, &[]));
        assert_eq!(exit, status, "{why}: {error}");
        assert!(error.contains(why), "{why}: {error}");
        assert!(began_at.elapsed() < Duration::from_secs(3), "{why}");
        generation = good_again(&daemon, &good, generation, &error);
        assert_eq!(kept.ask().as_deref(), Some("hello"), "{why}");
    }
}

/// Returns texts, the exit status of their reload, and what it says.
fn wrong_texts(good: &str, taken: SocketAddr) -> Vec<(String, i32, &'static str)> {
    let taken = format!("  more: {{bind: [\"{taken}\"], pool: webfarm}}\npools:\n");
    vec![
        (
            good.replace("pool: webfarm", "pool: webfram"),
            78,
            "webfram",
        ),
        (good.replace("requests: 50", "requests: -1"), 78, "requests"),
        (good.replace("listeners:", "listener:"), 78, "listeners"),
        (good.replace("{tcp: {}", "{tcp: {}, rise: 0"), 78, "rise"),
        (good.replace("pools:", "pools: ["), 78, "-->"),
        (good.replace("threads: 2", "threads: two"), 78, "threads"),
        (good.replace("127.0.0.1:", "localhost:"), 78, "localhost"),
        (format!("{good}include: [x]\n"), 78, "include"),
        ("\u{1}".into(), 78, "control"),
        (String::new(), 78, "error"),
        (
            good.replace("pools:\n", &taken),
            1,
            "another program listens there",
        ),
        (
            format!("access_log: {{to: /nonexistent/log}}\n{good}"),
            1,
            "access log",
        ),
        (
            format!("{good}#{}", "x".repeat(1 << 20)),
            78,
            "larger than 1024 KiB",
        ),
        ("x".repeat((16 << 20) + 1), 1, "larger than 16 MiB"),
    ]
}

#[test]
fn what_is_no_file_to_be_read_changes_nothing() {
    let daemon = Daemon::start();
    let good = text(&daemon);
    let path = daemon.directory.path().join("evenkeel.yaml");
    let files: [(&str, &dyn Fn()); 5] = [
        ("No such file", &|| {}),
        ("not a regular file", &|| fs::create_dir(&path).unwrap()),
        ("not a regular file", &|| {
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("not UTF-8", &|| fs::write(&path, [0xff]).unwrap()),
        ("not a regular file", &|| {
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        }),
    ];
    let mut generation = 1;
    for (why, make) in files {
        fs::remove_file(&path).unwrap();
        make();
        let (exit, _, error) = said(&reload(&daemon, &[]));
        assert!(exit != 0 && error.contains(why), "{why}: {error}");
        let _ = fs::remove_dir(&path);
        generation = good_again(&daemon, &good, generation, &error);
    }
    assert!(daemon.get().is_some(), "to the end");
}

/// Checks that the failure is remembered, and that the good file is followed.
fn good_again(daemon: &Daemon, good: &str, generation: u64, failed: &str) -> u64 {
    let now = running(daemon);
    assert_eq!(now.generation, generation, "{failed}");
    assert!(now.last_failure.is_some(), "{failed}");
    write(daemon, good);
    assert_eq!(said(&reload(daemon, &[])).0, 0, "after {failed}");
    assert_eq!(running(daemon).last_failure, None);
    generation + 1
}

#[test]
fn a_file_that_the_caller_may_not_read_is_not_read_for_them() {
    let daemon = Daemon::start();
    let secret = daemon.directory.path().join("secret");
    fs::write(&secret, "password: hidden\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        // Root may read it; the directory is no file for anybody.
        let directory = daemon.directory.path().to_str().unwrap();
        let (exit, _, error) = said(&reload(&daemon, &["--config", directory]));
        assert_eq!(exit, 1);
        assert!(error.contains("is not a regular file"), "{error}");
        return;
    }
    let (exit, _, error) = said(&reload(&daemon, &["--config", secret.to_str().unwrap()]));
    assert_eq!(exit, 1);
    assert!(
        error.contains("failed to read") && !error.contains("hidden"),
        "{error}"
    );
}

/// Old or new, whole, within a second, wherever a child dies.
#[test]
fn a_proxy_that_is_killed_in_the_middle_leaves_the_old_or_the_new_whole() {
    let daemon = Daemon::start();
    let good = text(&daemon);
    let more = own_address();
    let with_more = with_listener(&good, more);
    for step in 0..16 {
        let wanted = if step % 2 == 0 { &with_more } else { &good };
        write(&daemon, wanted);
        let before = running(&daemon).generation;
        let proxy = daemon.pid("evenkeel-proxy").unwrap();
        daemon.signal(Signal::SIGHUP);
        let at = Instant::now() + Duration::from_micros(step * 400);
        while Instant::now() < at {
            std::hint::spin_loop();
        }
        kill(proxy, Signal::SIGKILL).unwrap();
        daemon.wait("another proxy serves", |daemon| {
            daemon.get().is_some() && daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != proxy)
        });
        daemon.wait("the change is over", |daemon| {
            let now = running(daemon);
            now.generation > before || now.last_failure.is_some()
        });
        let has_more = |daemon: &Daemon| daemon.status().unwrap().listeners.len() == 2;
        let now = running(&daemon);
        let hoped = if now.generation > before {
            step % 2 == 0
        } else {
            step % 2 != 0
        };
        let is = |daemon: &Daemon| (has_more(daemon), TcpStream::connect(more).is_ok());
        let until = Instant::now() + Duration::from_secs(5);
        while is(&daemon) != (hoped, hoped) {
            let (seen, step) = (is(&daemon), (step, before, &now));
            assert!(
                Instant::now() < until,
                "hoped for {hoped}: {seen:?} after {step:?}"
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert_eq!(said(&reload(&daemon, &[])).0, 0, "the next one works");
        daemon.wait("it is what the file says", |daemon| {
            has_more(daemon) == (step % 2 == 0)
        });
        // A proxy that lives for less than a second is started again later and later.
        std::thread::park_timeout(Duration::from_millis(1050));
    }
}

#[test]
fn a_frozen_proxy_fails_the_reload_and_not_the_daemon() {
    let daemon = Daemon::start();
    let good = text(&daemon);
    write(&daemon, &good.replace("requests: 50", "requests: 51"));
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    kill(proxy, Signal::SIGSTOP).unwrap();
    let (exit, _, error) = said(&reload(&daemon, &[]));
    assert_eq!(
        (exit, error.as_str()),
        (1, "error: evenkeel-proxy has died meanwhile\n")
    );
    daemon.wait("another one serves", |daemon| daemon.get().is_some());
    assert_eq!(
        daemon.status().unwrap().pools[0].backends[0].requests_max,
        Some(50)
    );
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    assert_eq!(
        daemon.status().unwrap().pools[0].backends[0].requests_max,
        Some(51)
    );
}

#[test]
fn commands_lie_over_the_file_and_outlive_reloads_and_restarts() {
    let mut daemon = Daemon::start();
    let other = backend();
    let steps = [
        (
            vec!["backend", "webfarm/one", "weight", "3"],
            "pool webfarm: backend one weight 1 to 3\ngeneration 2 is in use\n",
        ),
        (
            vec!["backend", "webfarm/one", "drain"],
            "pool webfarm: backend one mode up to drained\ngeneration 3 is in use\n",
        ),
    ];
    for (words, hoped) in steps {
        assert_eq!(
            evenkeel_says(&daemon, &words),
            (0, hoped.into(), String::new())
        );
    }
    daemon.wait("no backend takes requests", |daemon| daemon.get().is_none());
    let address = other.to_string();
    let add = ["backend", "add", "webfarm", "two", &address];
    assert_eq!(evenkeel_says(&daemon, &add).0, 0);
    daemon.wait("the other one does", |daemon| daemon.get().is_some());
    let overrides = |daemon: &Daemon| -> Vec<String> {
        let all = daemon.status().unwrap().overrides.into_iter();
        all.map(|one| format!("{}: {}", one.subject, one.change))
            .collect()
    };
    let hoped = [
        "backend webfarm/one: drained".to_owned(),
        "backend webfarm/one: weight 3".to_owned(),
        format!("backend webfarm/two: added at {other}"),
    ];
    assert_eq!(overrides(&daemon), hoped);
    // Another weight in the file is held by the command.
    write(
        &daemon,
        &text(&daemon).replace("requests: 50", "requests: 50, weight: 9"),
    );
    let (_, out, _) = said(&reload(&daemon, &[]));
    assert!(
        out.contains("note: pool webfarm: backend one: weight 3 by command holds"),
        "{out}"
    );
    assert_eq!(overrides(&daemon), hoped, "over a reload");
    daemon.restart();
    assert_eq!(overrides(&daemon), hoped, "over a restart");
    assert!(daemon.get().is_some(), "by the backend that was added");
    let (exit, _, error) = evenkeel_says(&daemon, &["backend", "webfarm/three", "drain"]);
    assert_eq!(
        (exit, error.as_str()),
        (1, "error: pool webfarm has no backend three; it has: one\n")
    );
    for name in ["webfarm/one", "webfarm/two"] {
        assert_eq!(evenkeel_says(&daemon, &["backend", name, "reset"]).0, 0);
    }
    assert_eq!(overrides(&daemon), [""; 0]);
    let weight = daemon.get();
    assert!(weight.is_some(), "as in the file");
}

/// Eight clients ask without a pause while a backend is taken out of use and put back.
#[test]
fn a_maintained_backend_gets_its_last_request_within_50_ms_and_none_fails() {
    let heard: [Arc<Mutex<Vec<Instant>>>; 2] = Default::default();
    let daemon = Daemon::start();
    let [one, two] = [0, 1].map(|index| recorder(&heard[index]));
    let own = text(&daemon);
    let at = own.find("one: {address").unwrap();
    let end = at + own[at..].find("}}").unwrap() + 2;
    let both = format!("one: \"{one}\", two: \"{two}\"}}");
    write(&daemon, &own.replace(&own[at..end], &both));
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    let (over, listen) = (Arc::new(AtomicBool::new(false)), daemon.listen);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let (mut kept, mut failed) = (Kept::open(listen), 0);
                while !over.load(Relaxed) {
                    failed += u64::from(kept.ask().is_none());
                }
                failed
            })
        })
        .collect();
    let mut latest = Vec::new();
    for _ in 0..5 {
        let count = heard[0].lock().unwrap().len();
        daemon.wait("both are asked", |_| {
            heard[0].lock().unwrap().len() > count + 20
        });
        let asked_at = Instant::now();
        let maintain = ["backend", "webfarm/one", "maintain"];
        assert_eq!(evenkeel_says(&daemon, &maintain).0, 0);
        let (answered_at, count) = (Instant::now(), heard[1].lock().unwrap().len());
        daemon.wait("the other goes on", |_| {
            heard[1].lock().unwrap().len() > count + 200
        });
        let last = *heard[0].lock().unwrap().last().unwrap();
        assert!(last <= answered_at, "a request came after the answer");
        latest.push(last.saturating_duration_since(asked_at));
        assert_eq!(
            evenkeel_says(&daemon, &["backend", "webfarm/one", "up"]).0,
            0
        );
    }
    over.store(true, Relaxed);
    let failed: u64 = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum();
    assert_eq!(failed, 0);
    latest.sort();
    println!("the last request of a backend after the command to maintain it: {latest:?}");
    assert!(latest[2] < Duration::from_millis(50), "{latest:?}");
}

/// Starts a backend that answers on kept connections, and notes when it is asked.
fn recorder(heard: &Arc<Mutex<Vec<Instant>>>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || {
                let (mut head, mut buf) = (Vec::new(), [0; 1024]);
                while let Ok(len @ 1..) = stream.read(&mut buf) {
                    head.extend_from_slice(&buf[..len]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        heard.lock().unwrap().push(Instant::now());
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_large_configuration_with_one_change_touches_one_thing_in_little_time() {
    let pools: String = (0..100)
        .map(|pool| {
            let backends: Vec<String> = (0..50)
                .map(|backend| format!("b{backend}: \"127.{}.0.1:{}\"", pool + 1, 1000 + backend))
                .collect();
            let backends = backends.join(", ");
            format!("  pool{pool}: {{backends: {{{backends}}}, health_check: none}}\n")
        })
        .collect();
    let daemon = Daemon::launch(evenkeel(), "", &pools);
    let good = text(&daemon);
    let mut took = Vec::new();
    for round in 0..5 {
        let change = format!(
            "b7: {{address: \"127.43.0.1:1007\", weight: {}}}",
            round + 2
        );
        write(&daemon, &good.replace("b7: \"127.43.0.1:1007\"", &change));
        let began_at = Instant::now();
        let (exit, out, error) = said(&reload(&daemon, &[]));
        took.push(began_at.elapsed());
        assert_eq!(exit, 0, "{error}");
        assert_eq!(out.lines().count(), 2, "{out}");
        assert!(out.starts_with("pool pool42: backend b7 weight"), "{out}");
    }
    took.sort();
    println!("reloads of 100 pools of 50 backends with one change: {took:?}");
    // Without optimization, on a busy machine: what is quadratic takes longer.
    assert!(took[2] < Duration::from_secs(2), "{took:?}");
}

/// Returns an address on which no other test ever listens.
fn own_address() -> SocketAddr {
    SocketAddr::from(([127, 77, 0, 1], free_address().port()))
}

/// The proxy knows it from its start: whatever it holds of it is let go.
#[test]
fn a_listener_that_was_there_at_the_start_is_closed_by_everybody() {
    let daemon = Daemon::start();
    let (more, before) = (own_address(), text(&daemon));
    write(&daemon, &with_listener(&before, more));
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    kill(proxy, Signal::SIGKILL).unwrap();
    daemon.wait("another proxy serves", |daemon| {
        daemon.get().is_some() && daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != proxy)
    });
    write(&daemon, &before);
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    daemon.wait("nobody listens", |_| TcpStream::connect(more).is_err());
}

fn with_listener(text: &str, bind: SocketAddr) -> String {
    let listener = format!("  more: {{bind: [\"{bind}\"], pool: webfarm}}\npools:\n");
    text.replace("pools:\n", &listener)
}

/// A connection that is kept.
struct Kept(TcpStream);

impl Kept {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        Self(stream)
    }

    /// Returns the body of an answer, if there is one.
    fn ask(&mut self) -> Option<String> {
        self.0
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            .ok()?;
        let mut answer = Vec::new();
        let mut buf = [0; 512];
        while !answer.ends_with(b"hello") {
            match self.0.read(&mut buf).ok()? {
                0 => return None,
                len => answer.extend_from_slice(&buf[..len]),
            }
        }
        Some("hello".to_owned())
    }
}

fn text(daemon: &Daemon) -> String {
    fs::read_to_string(daemon.directory.path().join("evenkeel.yaml")).unwrap()
}

fn write(daemon: &Daemon, text: &str) {
    let path = daemon.directory.path().join("evenkeel.yaml");
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

fn reload(daemon: &Daemon, arguments: &[&str]) -> Output {
    command(daemon, &[&["reload"], arguments].concat())
}

fn evenkeel_says(daemon: &Daemon, arguments: &[&str]) -> (i32, String, String) {
    said(&command(daemon, arguments))
}

fn command(daemon: &Daemon, arguments: &[&str]) -> Output {
    let mut command = evenkeel();
    command
        .args(arguments)
        .arg("--runtime-dir")
        .arg(daemon.runtime_dir());
    command.output().unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn running(daemon: &Daemon) -> ConfigurationStatus {
    let status: Option<Status> = daemon.status();
    status.unwrap().configuration
}

#[test]
fn a_dry_run_makes_nothing_and_a_command_hides_no_failure() {
    let daemon = Daemon::start();
    let log = daemon.directory.path().join("access.log");
    let good = text(&daemon);
    let with_log = format!("access_log: {{to: {}}}\n{good}", log.display());
    write(&daemon, &with_log);
    assert_eq!(said(&reload(&daemon, &["--dry-run"])).0, 0);
    assert!(!log.exists(), "it is only asked what would change");
    write(&daemon, "wrong");
    assert_eq!(said(&reload(&daemon, &[])).0, 78);
    let drain = evenkeel_says(&daemon, &["backend", "webfarm/one", "weight", "3"]);
    assert_eq!(drain.0, 0, "{}", drain.2);
    assert!(
        running(&daemon).last_failure.is_some(),
        "the file is still wrong"
    );
    write(&daemon, &with_log);
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    assert!(log.exists() && running(&daemon).last_failure.is_none());
}

#[test]
fn what_a_stop_refuses_is_not_in_the_next_start_either() {
    let daemon = Daemon::start();
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    kill(proxy, Signal::SIGSTOP).unwrap();
    let runtime_dir = daemon.runtime_dir();
    let asked = std::thread::spawn(move || {
        let mut command = evenkeel();
        command.args(["backend", "webfarm/one", "drain", "--runtime-dir"]);
        command.arg(runtime_dir).output().unwrap()
    });
    let kept = daemon.runtime_dir().join("commanded.json");
    let until = Instant::now() + Duration::from_secs(5);
    while !kept.exists() {
        assert!(Instant::now() < until, "it is kept before it is true");
    }
    daemon.signal(Signal::SIGTERM);
    let (exit, _, error) = said(&asked.join().unwrap());
    assert_eq!(exit, 1, "{error}");
    daemon.wait("it has stopped", |daemon| daemon.status().is_none());
    assert!(
        !fs::read_to_string(kept).unwrap().contains("drained"),
        "it was refused: {error}"
    );
}

#[test]
fn a_warning_goes_with_what_it_is_of() {
    let daemon = Daemon::start();
    let good = text(&daemon);
    let wanting = |connections: u32| {
        let limits = format!("threads: 2, limits: {{connections: {connections}}}");
        good.replace("threads: 2", &limits)
    };
    let is_warned = || {
        let warnings = daemon.status().unwrap().warnings;
        warnings.iter().any(|warning| warning.contains("of `proxy"))
    };
    write(&daemon, &wanting(900_000));
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    assert!(is_warned(), "no machine has so many descriptors");
    write(&daemon, &wanting(10));
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    assert!(!is_warned(), "it has what it wants");
}
