//! What a daemon answers itself: pages that a reload reads, and maintenance by command.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};

use super::daemon::{Daemon, evenkeel};
use super::{evenkeel_says, reload, said, text, write};

/// Asks for `/` on a new connection, and returns the whole answer.
fn answer(daemon: &Daemon) -> String {
    let mut stream = TcpStream::connect(daemon.listen).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns whether it is in maintenance, as the next two tests say it.
fn is_closed(daemon: &Daemon) -> bool {
    let answer = answer(daemon);
    answer.starts_with("HTTP/1.1 503 ")
        && answer.contains("\r\nRetry-After: 600\r\n")
        && answer.ends_with("\r\n\r\n<p>soon")
}

/// Has a page for maintenance, which begins.
fn close(daemon: &Daemon) {
    let page = daemon.directory.path().join("soon.html");
    fs::write(&page, "<p>soon").unwrap();
    let keys = format!(
        "maintenance: {{page: {}, retry_after: 10m}}",
        page.display()
    );
    let good = text(daemon);
    write(
        daemon,
        &good.replace("pool: webfarm\n", &format!("pool: webfarm\n    {keys}\n")),
    );
    let (exit, out, error) = said(&reload(daemon, &[]));
    assert_eq!((exit, error.as_str()), (0, ""));
    let steps = "listener http: maintenance page added\nlistener http: maintenance retry_after 300s \
                 to 600s\n";
    assert_eq!(out, format!("{steps}generation 2 is in use\n"));
    let on = evenkeel_says(daemon, &["maintenance", "http", "on"]);
    assert_eq!(
        on,
        (
            0,
            "listener http: maintenance begins\ngeneration 3 is in use\n".into(),
            String::new()
        )
    );
    assert!(is_closed(daemon), "{}", answer(daemon));
}

#[test]
fn maintenance_is_shown_and_ends() {
    let daemon = Daemon::start();
    let show = || evenkeel_says(&daemon, &["maintenance", "http"]).1;
    assert_eq!(show(), "listener http: serving\n");
    close(&daemon);
    let shown = show();
    assert!(
        shown.starts_with("listener http: in maintenance by command ") && shown.ends_with(" ago\n"),
        "{shown}"
    );
    let status = evenkeel_says(&daemon, &["status"]).1;
    assert!(
        status.contains("listener http: in maintenance by command "),
        "{status}"
    );
    let pool = &daemon.status().unwrap().pools[0];
    assert_eq!(pool.backends[0].state, "up", "backends are not concerned");
    let later = ["maintenance", "http", "on", "--retry-after", "5s"];
    let later = evenkeel_says(&daemon, &later).1;
    assert!(
        later.contains("listener http: maintenance retry_after 600s to 5s\n"),
        "{later}"
    );
    let (exit, _, error) = evenkeel_says(&daemon, &["maintenance", "https", "on"]);
    let hoped = "error: there is no listener https; there are: http\n";
    assert_eq!((exit, error.as_str()), (1, hoped));
    assert_eq!(
        evenkeel_says(&daemon, &["maintenance", "https"]),
        (1, String::new(), hoped.into())
    );
    assert_eq!(evenkeel_says(&daemon, &["maintenance", "http", "off"]).0, 0);
    assert_eq!(daemon.get().as_deref(), Some("hello"));
    assert_eq!(show(), "listener http: serving\n");
}

#[test]
fn maintenance_outlives_reloads_restarts_and_the_proxy() {
    let mut daemon = Daemon::start();
    close(&daemon);
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    assert!(is_closed(&daemon), "over a reload");
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    kill(proxy, Signal::SIGKILL).unwrap();
    daemon.wait("over the proxy", |daemon| {
        daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != proxy) && is_closed(daemon)
    });
    daemon.restart();
    daemon.wait("over a restart", is_closed);
}

#[test]
fn error_pages_are_read_at_a_reload_and_one_that_is_missing_changes_nothing() {
    let daemon = Daemon::start();
    let page = daemon.directory.path().join("error.html");
    fs::write(&page, "<p>{status} old").unwrap();
    let pages = format!("error_pages: {{503: {}}}, threads: 2", page.display());
    write(&daemon, &text(&daemon).replace("threads: 2", &pages));
    assert_eq!(said(&reload(&daemon, &[])).0, 0);
    let drain = evenkeel_says(&daemon, &["backend", "webfarm/one", "drain"]);
    assert_eq!(drain.0, 0, "{}", drain.2);
    assert!(
        answer(&daemon).ends_with("\r\n\r\n<p>503 old"),
        "{}",
        answer(&daemon)
    );
    fs::write(&page, "<p>{status} new").unwrap();
    assert!(answer(&daemon).ends_with("old"), "nobody watches the file");
    let step = "listener http: error page 503 changed\n";
    let dry = said(&reload(&daemon, &["--dry-run"]));
    assert_eq!(dry.1, format!("{step}dry run: generation 3 goes on\n"));
    assert!(answer(&daemon).ends_with("old"));
    let done = said(&reload(&daemon, &[]));
    assert_eq!(done.1, format!("{step}generation 4 is in use\n"));
    assert!(answer(&daemon).ends_with("<p>503 new"));
    fs::remove_file(&page).unwrap();
    let up = evenkeel_says(&daemon, &["backend", "webfarm/one", "weight", "2"]);
    assert_eq!(up.0, 0, "a command reads no file: {}", up.2);
    for arguments in [&[][..], &["--dry-run"]] {
        let (exit, _, error) = said(&reload(&daemon, arguments));
        assert_eq!(exit, 78, "{error}");
        let hoped = format!(
            "listener http: error page 503: {}: it cannot be read",
            page.display()
        );
        assert!(error.starts_with(&format!("error: {hoped}")), "{error}");
        assert!(error.contains("\nhelp: "), "{error}");
    }
    let config = daemon.directory.path().join("evenkeel.yaml");
    let mut check = evenkeel();
    check.arg("check").arg("--config").arg(config);
    let (exit, _, error) = said(&check.output().unwrap());
    assert!(exit == 78 && error.contains("error page 503"), "{error}");
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    kill(proxy, Signal::SIGKILL).unwrap();
    daemon.wait("another proxy has the page that runs", |daemon| {
        let serves = daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != proxy);
        serves && answer(daemon).ends_with("<p>503 new")
    });
}
