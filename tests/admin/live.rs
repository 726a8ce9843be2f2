//! Pages that are open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::{BackendChange, Request, ask};

use super::Rig;

/// A page that is open.
struct Page(BufReader<TcpStream>);

impl Page {
    fn open(rig: &Rig, more: &str) -> Self {
        let mut stream = TcpStream::connect(rig.admin).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let request = format!("GET /live{more} HTTP/1.1\r\nHost: {}\r\n\r\n", rig.admin);
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = Self(BufReader::new(stream));
        let head = page.until("\r\n");
        assert!(head.contains("text/event-stream"), "{head}");
        page
    }

    /// Reads lines up to one that is this.
    fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(&format!("\n{end}")) {
            assert!(self.0.read_line(&mut text).unwrap() > 0, "{text}");
        }
        text
    }

    /// Reads until an event says this; returns how long that took.
    fn hear(&mut self, what: &str) -> Duration {
        let began = Instant::now();
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "{what}");
            assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        }
        began.elapsed()
    }
}

fn drain(rig: &Rig, change: BackendChange) {
    let request = Request::Backend {
        pool: "webfarm".into(),
        backend: "one".into(),
        change,
    };
    ask(&rig.daemon.runtime_dir(), &request, Duration::from_secs(10)).unwrap();
}

#[test]
fn an_open_page_hears_of_a_change_within_a_second_or_so() {
    let rig = Rig::start();
    let mut pages: Vec<Page> = (0..3).map(|_| Page::open(&rig, "")).collect();
    for page in &mut pages {
        page.hear("event: changed");
    }
    drain(&rig, BackendChange::Drain);
    for page in &mut pages {
        // A second is what is hoped for; the machine of a test may be busy.
        assert!(page.hear(">drained<") < Duration::from_secs(3));
    }
}

#[test]
fn a_page_that_comes_back_hears_what_it_has_missed() {
    let rig = Rig::start();
    let mut page = Page::open(&rig, "");
    page.hear("event: changed");
    let id = page.until("\n");
    let id = id
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();
    drop(page);
    drain(&rig, BackendChange::Drain);
    let mut page = Page::open(&rig, &format!("?since={id}"));
    page.hear(">drained<");
}

#[test]
fn a_reload_with_more_to_see_has_pages_loaded_anew() {
    let rig = Rig::start();
    let mut page = Page::open(&rig, "");
    page.hear("event: changed");
    let path = rig.daemon.directory.path().join("evenkeel.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "pools:\n",
        "pools:\n  other: {backends: {a: \"127.0.0.1:9\"}, health_check: none}\n",
    );
    std::fs::write(&path, text).unwrap();
    rig.daemon.signal(nix::sys::signal::Signal::SIGHUP);
    page.hear("event: reshaped");
}

#[test]
fn who_does_not_read_keeps_nothing() {
    let rig = Rig::start();
    let idle: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(rig.admin).unwrap())
        .collect();
    let mut closed = 0;
    for mut stream in &idle {
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        if let Ok(0) = stream.read(&mut [0]) {
            closed += 1;
        }
    }
    assert!(closed >= 300 - 256, "one too many is closed: {closed}");
    drop(idle);
    rig.daemon.wait("it answers again", |_| {
        rig.try_ask("GET", "/livez", &[], "")
            .is_some_and(|answer| answer.status == 200)
    });
}
