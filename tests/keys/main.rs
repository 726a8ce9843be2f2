//! Private keys and the process that keeps them, in a daemon as a person starts it: the process
//! dies, files change under it, TLS comes and goes, and nobody else ever has a key in its memory.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "../common/daemon.rs"]
mod daemon;
mod affinity;
mod memory;
mod visitor;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daemon::{Daemon, backend, evenkeel, free_address};
use memory::Needle;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use visitor::{Authority, Identity, Visitor};

const KEYS: &str = "evenkeel-keys";

/// A daemon with a listener that speaks TLS, and one that does not.
struct Rig {
    daemon: Daemon,
    authority: Authority,
    visitor: Visitor,
    identity: Identity,
    plain: String,
    with_tls: String,
}

impl Rig {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (listen, secure) = (free_address(), free_address());
        let authority = Authority::new();
        let identity = authority.sign();
        identity.write(&directory.path().join("first"));
        symlink("first", directory.path().join("live")).unwrap();
        let with_tls = with_tls(directory.path(), listen, secure);
        let plain = with_tls.lines().filter(|line| !line.contains("tls:"));
        let plain = plain.collect::<Vec<_>>().join("\n");
        Self {
            visitor: authority.visitor(secure),
            daemon: Daemon::launch_in(directory, evenkeel(), listen, &with_tls),
            authority,
            identity,
            plain,
            with_tls,
        }
    }

    /// Returns a file of the certificate that serves.
    fn live(&self, file: &str) -> PathBuf {
        self.daemon.directory.path().join("live").join(file)
    }

    fn restarts(&self) -> Option<u64> {
        let status = self.daemon.status()?;
        let mut processes = status.processes.iter();
        let keys = processes.find(|process| process.name == KEYS)?;
        keys.pid.map(|_| keys.restarts)
    }

    fn reload(&self, config: &str, arguments: &[&str]) -> String {
        fs::write(self.daemon.directory.path().join("evenkeel.yaml"), config).unwrap();
        let mut command = evenkeel();
        command.arg("reload").args(arguments).arg("--runtime-dir");
        let output = command.arg(self.daemon.runtime_dir()).output().unwrap();
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        said
    }

    /// Waits until this serves, for no longer than a change of files may take.
    fn wait_for(&self, identity: &Identity) {
        let began = Instant::now();
        while self.visitor.visit().unwrap() != identity.der {
            let took = began.elapsed();
            assert!(took < Duration::from_secs(2), "the old one serves still");
        }
    }

    /// Holds this to serve as long as a change of files would take.
    fn assert_stays(&self, identity: &Identity) {
        let until = Instant::now() + Duration::from_millis(1200);
        while Instant::now() < until {
            assert_eq!(self.visitor.visit().unwrap(), identity.der);
        }
    }

    fn warns(&self, of: &str) -> bool {
        let status = self.daemon.status();
        let warnings = status.map(|it| it.warnings).unwrap_or_default();
        warnings.iter().any(|warning| warning.contains(of))
    }
}

fn with_tls(directory: &Path, listen: SocketAddr, secure: SocketAddr) -> String {
    let live = directory.join("live");
    let live = live.display();
    let backend = backend();
    format!(
        "listeners:
  http: {{bind: [\"{listen}\"], pool: webfarm}}
  https:
    bind: [\"{secure}\"]
    pool: webfarm
    tls: {{certificates: {{certificate: {live}/chain.pem, key: {live}/key.pem}}}}
pools:
  webfarm:
    backends: {{one: \"{backend}\"}}
proxy: {{threads: {THREADS}}}
"
    )
}

const THREADS: usize = 2;

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr];
    both.map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

#[test]
fn a_process_that_died_is_restarted_and_signs_again() {
    let rig = Rig::start();
    assert_eq!(rig.visitor.visit().unwrap(), rig.identity.der);
    for round in 1..=3 {
        kill(rig.daemon.pid(KEYS).unwrap(), Signal::SIGKILL).unwrap();
        rig.daemon
            .wait("it is restarted", |_| rig.restarts() == Some(round));
        for _ in 0..10 {
            assert_eq!(rig.visitor.visit().unwrap(), rig.identity.der);
        }
    }
}

/// It is stopped, and so silent, until the supervisor has killed it.
#[test]
fn a_handshake_that_begins_while_nobody_signs_waits_and_succeeds() {
    let rig = Rig::start();
    kill(rig.daemon.pid(KEYS).unwrap(), Signal::SIGSTOP).unwrap();
    let visits = (0..12).map(|_| {
        let visitor = rig.visitor.clone();
        thread::spawn(move || visitor.visit())
    });
    let visits: Vec<_> = visits.collect();
    let visits = visits.into_iter().map(|visit| visit.join().unwrap());
    let (answered, failed): (Vec<_>, Vec<_>) = visits.partition(Result::is_ok);
    assert!(failed.len() <= THREADS, "once a worker at most: {failed:?}");
    assert!(answered.len() >= 12 - THREADS);
    assert_eq!(rig.restarts(), Some(1));
}

#[test]
fn tls_goes_and_comes_by_reload_and_its_process_with_it() {
    let rig = Rig::start();
    for round in 0..3 {
        assert_eq!(rig.visitor.visit().unwrap(), rig.identity.der, "{round}");
        rig.reload(&rig.plain, &[]);
        assert!(rig.daemon.pid(KEYS).is_none());
        assert!(rig.visitor.visit().is_err());
        rig.reload(&rig.with_tls, &["--dry-run"]);
        rig.daemon.wait("it goes as it came", |daemon| {
            daemon.status().is_some() && daemon.pid(KEYS).is_none()
        });
        rig.reload(&rig.with_tls, &[]);
    }
    assert_eq!(rig.visitor.visit().unwrap(), rig.identity.der);
    assert_eq!(rig.restarts(), Some(0));
}

#[test]
fn files_that_change_are_taken_up_when_they_fit_and_no_handshake_fails() {
    let rig = Rig::start();
    let over = AtomicBool::new(false);
    let visits = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                rig.visitor.visit().expect("no handshake fails");
                visits.fetch_add(1, Ordering::Relaxed);
            }
        });
        let end = End(&over);
        change_files(&rig);
        drop(end);
    });
    let visits = visits.into_inner();
    assert!(visits > 100, "{visits}");
    assert_eq!(rig.restarts(), Some(0));
}

#[test]
fn a_key_that_was_written_over_is_missing_after_a_restart_and_the_status_says_so() {
    let rig = Rig::start();
    fs::write(rig.live("key.pem"), "garbage").unwrap();
    rig.assert_stays(&rig.identity);
    kill(rig.daemon.pid(KEYS).unwrap(), Signal::SIGKILL).unwrap();
    rig.daemon
        .wait("it is restarted", |_| rig.restarts() == Some(1));
    let missing = "a key is missing, handshakes with it fail";
    rig.daemon.wait("it says so", |_| rig.warns(missing));
    assert!(rig.visitor.visit().is_err());
    let second = rig.authority.sign();
    fs::write(rig.live("key.pem"), &second.key).unwrap();
    fs::write(rig.live("chain.pem"), &second.certificate).unwrap();
    rig.daemon.wait("it serves", |_| {
        rig.visitor.visit().is_ok_and(|der| der == second.der)
    });
    rig.daemon
        .wait("all is well", |_| !rig.warns(missing) && !rig.warns("pem"));
}

/// Ends the visits, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn change_files(rig: &Rig) {
    let write = |file: &str, text: &str| fs::write(rig.live(file), text).unwrap();
    let [second, third, fourth, fifth] = [(); 4].map(|()| rig.authority.sign());

    write("key.pem", &second.key);
    rig.assert_stays(&rig.identity);
    assert!(rig.warns("not that of the certificate"));
    write("chain.pem", &second.certificate);
    rig.wait_for(&second);

    write("chain.pem", &third.certificate);
    rig.assert_stays(&second);
    write("key.pem", &third.key);
    rig.wait_for(&third);

    write("key.pem", &fourth.key);
    let half = fourth.certificate.len() / 2;
    write("chain.pem", &fourth.certificate[..half]);
    rig.assert_stays(&third);
    write("chain.pem", "");
    rig.assert_stays(&third);
    assert!(rig.warns("no certificate"));
    fs::remove_file(rig.live("chain.pem")).unwrap();
    rig.assert_stays(&third);
    assert!(rig.warns("No such file"));
    write("chain.pem", &fourth.certificate);
    rig.wait_for(&fourth);
    rig.daemon
        .wait("nothing is wrong any more", |_| !rig.warns("pem"));

    let directory = rig.daemon.directory.path();
    fifth.write(&directory.join("second"));
    symlink("second", directory.join("new")).unwrap();
    fs::rename(directory.join("new"), directory.join("live")).unwrap();
    rig.wait_for(&fifth);
}

/// As somebody whom the file says nothing to where that can be, or without the file.
#[test]
fn a_key_that_cannot_be_read_is_refused_with_its_owner_and_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    Authority::new().sign().write(&at.join("live"));
    let config = with_tls(at, free_address(), free_address());
    fs::write(at.join("evenkeel.yaml"), config).unwrap();
    let key = at.join("live/key.pem");
    let check = |command: &mut Command| {
        let command = command.args(["check", "--node", "lb1", "--config"]);
        command.arg(at.join("evenkeel.yaml")).output()
    };
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = evenkeel();
    if Uid::effective().is_root() {
        for path in [at, &at.join("live")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    // Nobody may not reach the program everywhere.
    if let Ok(output) = check(&mut command) {
        let said = text(&output);
        assert!(!output.status.success(), "{said}");
        for word in ["key.pem cannot be read as", "mode 0000", "setfacl -m u:"] {
            assert!(said.contains(word), "{word} in {said}");
        }
    }
    fs::remove_file(&key).unwrap();
    let output = check(&mut evenkeel()).unwrap();
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("key.pem cannot be read as"), "{said}");
    assert!(said.contains("No such file"), "{said}");
}

const NOBODY: u32 = 65_534;

#[test]
fn a_private_key_is_in_the_memory_of_the_process_that_keeps_it_and_of_no_other() {
    let rig = Rig::start();
    for _ in 0..20 {
        rig.visitor.visit().unwrap();
    }
    let scalar = scalar_of(&rig.identity.key_der);
    let mut reversed = scalar.clone();
    reversed.reverse();
    let needles = [
        Needle::new(&scalar),
        Needle::new(&reversed),
        Needle::new(text_of(&rig.identity, &scalar)),
    ];
    let keys = memory::found_in(rig.daemon.pid(KEYS).unwrap(), &needles);
    assert!(keys[0] || keys[1], "it is found where it is: {keys:?}");
    let supervisor = Pid::from_raw(i32::try_from(rig.daemon.process.id()).unwrap());
    let proxy = rig.daemon.pid("evenkeel-proxy").unwrap();
    for pid in [supervisor, proxy] {
        assert_eq!(memory::found_in(pid, &needles), [false; 3], "{pid}");
    }
}

/// Returns the private number in a key of P-256 (RFC 5915 §3): an OCTET STRING of 32 bytes behind
/// the version.
fn scalar_of(der: &[u8]) -> Vec<u8> {
    let head = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(head.len()).position(|bytes| bytes == head);
    let at = at.unwrap() + head.len();
    der[at..at + 32].to_vec()
}

/// Returns what of the text of a file says the private number, and nothing else.
fn text_of<'a>(identity: &'a Identity, scalar: &[u8]) -> &'a [u8] {
    let der = &identity.key_der;
    let at = der.windows(32).position(|bytes| bytes == scalar).unwrap();
    let body = identity
        .key
        .find("-----\n")
        .or(identity.key.find("-----\r\n"));
    let body = body.unwrap() + 5;
    let text = identity.key.as_bytes();
    let letters = (body..text.len()).filter(|at| !text[*at].is_ascii_whitespace());
    let letters: Vec<usize> = letters.collect();
    // Four letters say three bytes.
    let (from, to) = ((at * 4).div_ceil(3), (at + 32) * 4 / 3);
    &text[letters[from]..letters[to]]
}
