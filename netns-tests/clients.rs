//! Programs that people use, from Debian's packages, against Evenkeel: nothing in what they print
//! may surprise.
//!
//! curl, ab and wrk ask nginx and Apache through it, Python's WebSockets talk through it, and
//! slowhttptest tries to keep everybody else out. A program that is missing is a failure that says
//! the package.

mod announced;
mod bytes;
mod crossing;
pub(crate) mod https;
mod kept;
mod killed;
mod program;
mod redis;
mod site;
mod slow;

use std::fs;

use program::{AB, CURL, PATIENCE, WRK};
use site::{LARGE_BYTES, Server, Site, endings, large, page};

#[test]
fn curl_gets_what_nginx_and_apache_have() {
    let site = Site::build(&WEB, "{}");
    let mut requests = 0;
    for server in WEB {
        requests += keep_alive(&site, server);
        requests += whole_download(&site, server);
        requests += head(&site, server);
        requests += range(&site, server);
        requests += http_1_0(&site, server);
    }
    requests += compressed(&site);
    all_complete(&site, requests);
    site.leave();
}

#[test]
fn curl_uploads_in_every_way() {
    let site = Site::build(&WEB, "{}");
    let source = site.file("www/large.bin");
    let mut requests = 0;
    for (number, fields) in UPLOADS.into_iter().enumerate() {
        let options: Vec<&str> = fields.iter().flat_map(|field| ["-H", field]).collect();
        let got = site.file("got");
        let url = Server::Apache.url("echo");
        let (data, patient) = (format!("@{source}"), ["--expect100-timeout", "50", "-v"]);
        let post = ["-o", &got, "--data-binary", &data, &url];
        let said = curl(&site, &[&options[..], &patient, &post].concat());
        assert!(said.contains("< HTTP/1.1 200 "), "{fields:?}: {said}");
        let waited = fields.contains(&EXPECT);
        assert_eq!(
            said.contains("< HTTP/1.1 100 "),
            waited,
            "{fields:?}: {said}"
        );
        assert!(fs::read(&got).expect("an answer") == large(), "{fields:?}");

        let path = format!("put/{number}/file");
        let url = Server::Nginx.url(&path);
        let put = ["-w", "%{http_code}", "-T", &source, &url];
        let said = curl(&site, &[&options[..], &patient[..2], &put].concat());
        assert_eq!(said, "201", "{fields:?}");
        let kept = fs::read(site.file(&format!("www/{path}"))).expect("nginx has it");
        assert!(kept == large(), "{fields:?}");
        requests += 2;
    }
    all_complete(&site, requests);
    site.leave();
}

#[test]
fn ab_and_wrk_find_no_failure() {
    let site = Site::build(&WEB, "{}");
    for server in WEB {
        for keep in [&["-k"][..], &[]] {
            let (count, url) = (AB_REQUESTS.to_string(), server.url("page.txt"));
            let arguments = [&["-q", "-n", &count, "-c", "32"], keep, &[&url]].concat();
            let said = AB.run(site.client(), &arguments);
            let number = |name: &str| {
                let line = said.lines().find_map(|line| line.strip_prefix(name));
                line.map(|rest| rest.trim().to_owned())
            };
            assert_eq!(number("Complete requests:"), Some(count.clone()), "{said}");
            assert_eq!(number("Failed requests:").as_deref(), Some("0"), "{said}");
            assert_eq!(number("Non-2xx responses:"), None, "{said}");
            let kept = (!keep.is_empty()).then_some(count);
            assert_eq!(number("Keep-Alive requests:"), kept, "{said}");
        }
    }
    let count = 4 * AB_REQUESTS;
    all_complete(&site, count);
    for server in WEB {
        let url = server.url("page.txt");
        let said = WRK.run(
            site.client(),
            &["-t1", "-c64", "-d2s", "--timeout", "9s", &url],
        );
        assert!(said.contains("Requests/sec:"), "{said}");
        assert!(!said.contains("Socket errors"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
    // At its end it leaves in the middle of answers.
    let lines = site.access_log();
    let broken = |line: &&serde_json::Value| {
        line["termination"] != "complete" && line["termination"] != "client_gone"
    };
    assert_eq!(lines.iter().find(broken), None, "{:#?}", endings(&lines));
    site.leave();
}

#[test]
fn websockets_echo_ping_and_close_and_a_silent_one_is_cut() {
    let site = Site::build(&[Server::WebSocket], "{tunnel: 8s}");
    let url = Server::WebSocket.url("chat").replace("http://", "ws://");
    let arguments = [url, TALKERS.to_string()];
    let mut client = program::python(site.client(), "websocket_client.py", &arguments);
    let status = client
        .wait(PATIENCE)
        .unwrap_or_else(|error| panic!("{error}"));
    let said = client.log();
    assert!(
        status.success(),
        "{status}\n{said}\n{:#?}",
        site.access_log()
    );
    assert!(
        said.contains(&format!("{TALKERS} clients are content")),
        "{said}"
    );
    let cut = said
        .lines()
        .find_map(|line| line.strip_prefix("cut after ")?.strip_suffix(" ms"));
    let cut_ms: u64 = cut.and_then(|ms| ms.parse().ok()).expect(&said);
    assert!((7_700..16_000).contains(&cut_ms), "{said}");

    let tunnels = site.logged(TALKERS + 1, |line| line["status"] == 101);
    let ended = |how: &str| {
        tunnels
            .iter()
            .filter(|line| line["termination"] == how)
            .count()
    };
    assert_eq!(ended("complete"), TALKERS, "{:#?}", endings(&tunnels));
    assert_eq!(ended("tunnel_timeout"), 1, "{:#?}", endings(&tunnels));
    assert!(tunnels.iter().all(|line| line["phase"] == "tunnel"));
    site.leave();
}

/// Three pages on one connection.
fn keep_alive(site: &Site, server: Server) -> usize {
    let url = server.url("page.txt");
    let mut arguments = vec!["-w", "%{http_code} %{num_connects} %{size_download}\n"];
    for _ in 0..3 {
        arguments.extend(["-o", "/dev/null", &url]);
    }
    let bytes = page().len();
    let hoped = format!("200 1 {bytes}\n200 0 {bytes}\n200 0 {bytes}\n");
    assert_eq!(curl(site, &arguments), hoped, "{server:?}");
    3
}

/// 16 MiB, byte for byte.
fn whole_download(site: &Site, server: Server) -> usize {
    let (got, url) = (site.file("got"), server.url("large.bin"));
    assert_eq!(curl(site, &["-o", &got, &url]), "", "{server:?}");
    assert!(fs::read(&got).expect("a file") == large(), "{server:?}");
    1
}

/// A length without a body, and the connection goes on after it.
fn head(site: &Site, server: Server) -> usize {
    let url = server.url("large.bin");
    let said = curl(
        site,
        &["-I", "-w", "connects: %{num_connects}\n", &url, &url],
    );
    let said = said.to_ascii_lowercase();
    let length = format!("content-length: {LARGE_BYTES}\r\n");
    assert_eq!(said.matches(&length).count(), 2, "{server:?}: {said}");
    let connects: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("connects"))
        .collect();
    assert_eq!(connects, ["connects: 1", "connects: 0"], "{server:?}");
    2
}

fn range(site: &Site, server: Server) -> usize {
    let (got, url) = (site.file("got"), server.url("large.bin"));
    let said = curl(
        site,
        &["-r", "70000-169999", "-o", &got, "-w", "%{http_code}", &url],
    );
    assert_eq!(said, "206", "{server:?}");
    let hoped = &large()[70_000..170_000];
    assert!(fs::read(&got).expect("a file") == hoped, "{server:?}");
    1
}

fn http_1_0(site: &Site, server: Server) -> usize {
    let (got, url) = (site.file("got"), server.url("page.txt"));
    let said = curl(site, &["-0", "-o", &got, "-w", "%{http_code}", &url]);
    assert_eq!(said, "200", "{server:?}");
    assert!(fs::read(&got).expect("a file") == page(), "{server:?}");
    1
}

/// nginx compresses on the fly and cannot know the length: chunked for 1.1, until the end for 1.0.
fn compressed(site: &Site) -> usize {
    let (got, url) = (site.file("got"), Server::Nginx.url("page.txt"));
    for (version, chunked) in [("--http1.1", true), ("--http1.0", false)] {
        let said = curl(site, &[version, "--compressed", "-v", "-o", &got, &url]);
        let said = said.to_ascii_lowercase();
        assert!(
            said.contains("< content-encoding: gzip"),
            "{version}: {said}"
        );
        let field = said.contains("< transfer-encoding: chunked");
        assert_eq!(field, chunked, "{version}: {said}");
        assert!(fs::read(&got).expect("a file") == page(), "{version}");
    }
    2
}

/// Runs curl on the host for clients and returns what it printed: nothing but what was asked for.
fn curl(site: &Site, arguments: &[&str]) -> String {
    // First of all: no file of settings.
    CURL.run(site.client(), &[&["-q", "-sS"], arguments].concat())
}

/// Waits until so many requests are in the log and sees that each came to its good end at the first
/// attempt.
fn all_complete(site: &Site, requests: usize) {
    let lines = site.logged(requests, |_| true);
    assert_eq!(lines.len(), requests, "{:#?}", endings(&lines));
    let bad = lines.iter().find(|line| line["termination"] != "complete");
    assert_eq!(bad, None, "{:#?}", endings(&lines));
}

const WEB: [Server; 2] = [Server::Nginx, Server::Apache];
const EXPECT: &str = "Expect: 100-continue";
const CHUNKED: &str = "Transfer-Encoding: chunked";
/// Without the field, curl asks for 100 by itself when a body is large.
const UPLOADS: [&[&str]; 4] = [
    &["Expect:"],
    &[EXPECT],
    &["Expect:", CHUNKED],
    &[EXPECT, CHUNKED],
];
const AB_REQUESTS: usize = 3_000;
/// WebSockets at the same time.
const TALKERS: usize = 8;
