//! Bodies of requests on the disk, with the real program: who opens the file, who has it, and what
//! is left of it.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "../common/daemon.rs"]
mod daemon;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use daemon::{Daemon, evenkeel, free_address};
use nix::sys::signal::{Signal, kill};

/// Says how many bytes of a body it got.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() || body != numbered(body.len()) {
        return;
    }
    let text = body.len().to_string();
    let length = text.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
    let _ = stream.write_all(answer.as_bytes());
}

/// Bytes that say where they are.
fn numbered(len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8)).flat_map(|at| (at as u64).to_be_bytes());
    words.take(len).collect()
}

struct Site {
    daemon: Daemon,
    backend: SocketAddr,
    /// What the pool says besides.
    config: PathBuf,
}

const KEPT: &str = "    buffer_requests: {disk: 4MiB}\n";

impl Site {
    /// Begins with a pool that says this besides, and a directory for the file.
    fn start(keys: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let (listen, backend) = (free_address(), backend());
        let text = text(listen, backend, keys);
        let config = directory.path().join("evenkeel.yaml");
        let mut command = evenkeel();
        // The second is another unit's.
        command.env("CACHE_DIRECTORY", format!("{}:/nowhere", cache.display()));
        let daemon = Daemon::launch_in(directory, command, listen, &text);
        Self {
            daemon,
            backend,
            config,
        }
    }

    /// Follows another pool; returns what is said of it.
    fn reload(&self, keys: &str) -> Output {
        fs::write(&self.config, text(self.daemon.listen, self.backend, keys)).unwrap();
        let mut command = evenkeel();
        command.args(["reload", "--runtime-dir"]);
        command.arg(self.daemon.runtime_dir()).output().unwrap()
    }

    fn cache(&self) -> PathBuf {
        self.daemon.directory.path().join("cache")
    }

    /// Begins to send a body, and sends all but a byte of it.
    fn begin(&self, len: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.daemon.listen).unwrap();
        let timeout = Some(Duration::from_secs(10));
        stream.set_read_timeout(timeout).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&numbered(len)[..len - 1]).unwrap();
        stream
    }

    /// Sends the last byte; returns the answer.
    fn end(mut stream: TcpStream, len: usize) -> String {
        stream.write_all(&numbered(len)[len - 1..]).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn disk_bytes(&self) -> u64 {
        let status = self.daemon.status();
        status.map_or(0, |status| status.pools[0].buffered_disk_bytes)
    }

    /// Requires that a body goes through the file, and nothing is left of it.
    fn keeps(&self) {
        let stream = self.begin(1_000_000);
        self.daemon
            .wait("it is on the disk", |_| self.disk_bytes() >= 14 * 65_536);
        assert_eq!(fs::read_dir(self.cache()).unwrap().count(), 0);
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(Self::end(stream, 1_000_000).ends_with("\r\n\r\n1000000"));
        self.daemon.wait("nothing is kept", |_| {
            self.disk_bytes() == 0 && self.files_bytes() == 0
        });
    }

    /// Returns what the proxy has open in the directory.
    fn files(&self) -> Vec<PathBuf> {
        let pid = self.daemon.pid("evenkeel-proxy").unwrap();
        let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let cache = self.cache();
        let ours = all.filter_map(|entry| {
            let path = entry.ok()?.path();
            let target = fs::read_link(&path).ok()?;
            target.starts_with(&cache).then_some(path)
        });
        ours.collect()
    }

    fn files_bytes(&self) -> u64 {
        let files = self.files().into_iter();
        files
            .map(|file| fs::metadata(file).map_or(1, |it| it.len()))
            .sum()
    }
}

fn text(listen: SocketAddr, backend: SocketAddr, keys: &str) -> String {
    format!(
        "listeners: {{http: {{bind: [\"{listen}\"], pool: webfarm}}}}\n\
         pools:\n  webfarm:\n    backends: {{one: \"{backend}\"}}\n    \
         health_check: {{tcp: {{}}, interval: 100ms}}\n{keys}proxy: {{threads: 2}}\n"
    )
}

#[test]
fn each_proxy_has_a_file_of_its_own_that_nobody_sees() {
    let site = Site::start(KEPT);
    site.keeps();
    // What it had is gone with it, and the next has another at once.
    let stream = site.begin(500_000);
    site.daemon
        .wait("it is on the disk", |_| site.disk_bytes() > 0);
    let before = site.daemon.pid("evenkeel-proxy").unwrap();
    kill(before, Signal::SIGKILL).unwrap();
    site.daemon.wait("another proxy", |daemon| {
        daemon
            .pid("evenkeel-proxy")
            .is_some_and(|pid| pid != before)
            && daemon.get().is_some()
    });
    drop(stream);
    site.keeps();
}

#[test]
fn a_reload_brings_the_file_and_what_is_on_the_way_goes_on() {
    let site = Site::start("");
    let (len, kept) = (700_000, |site: &Site| site.begin(700_000));
    assert!(site.files().is_empty());
    let said = site.reload(KEPT);
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stdout).unwrap();
    let hoped = "buffer_requests none to memory 64KiB, disk 4MiB";
    assert!(said.contains(hoped), "{said}");
    site.keeps();
    let stream = kept(&site);
    site.daemon
        .wait("it is on the disk", |_| site.disk_bytes() > 0);
    assert!(site.reload("").status.success());
    assert!(Site::end(stream, len).ends_with("\r\n\r\n700000"));
    assert!(site.reload(KEPT).status.success());
    site.keeps();
}

#[test]
fn a_directory_that_is_not_there_is_said_with_the_cure_and_changes_nothing() {
    let site = Site::start("");
    fs::remove_dir(site.cache()).unwrap();
    let said = site.reload(KEPT);
    assert!(!said.status.success());
    let said = String::from_utf8(said.stderr).unwrap();
    for part in [
        "failed to open a file in the cache directory",
        "`buffer_requests`",
        "help: it is not there; under systemd write `CacheDirectory=evenkeel` into the unit",
        "--cache-dir",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(site.daemon.get().as_deref(), Some("0"));
    fs::create_dir(site.cache()).unwrap();
    assert!(site.reload(KEPT).status.success());
    site.keeps();

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.yaml");
    fs::write(&file, text(free_address(), backend(), KEPT)).unwrap();
    let run = |cache: &str| {
        let mut command: Command = evenkeel();
        command.arg("run").arg("--config").arg(&file);
        command
            .arg("--runtime-dir")
            .arg(directory.path().join("run"));
        command.args(["--node", "lb1", "--cache-dir", cache]);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = run("/nowhere/at/all");
    assert_eq!(code, Some(1));
    assert!(said.contains("cache directory /nowhere/at/all"), "{said}");
    let (code, said) = run("/proc");
    assert_eq!(code, Some(1));
    assert!(said.contains("--cache-dir"), "{said}");
}
