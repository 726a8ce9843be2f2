//! What is kept of a request, and what is elsewhere of its answer, with programs that people use:
//! curl uploads through a pool that reads bodies whole to a server in Python, which occupies it no
//! sooner, and downloads what nginx names with `X-Accel-Redirect` and another nginx has.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::PoolStatus;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::Value;

use super::program::{CURL, python};
use super::site::{
    LARGE_BYTES, lab_of, large, logged, nginx_on, nginx_paths, printed, serving, stopped,
    wait_until,
};

/// Ends in the order of its fields.
struct Site {
    node: Node,
    _servers: [Process; 2],
    lab: Lab,
    scratch: ScratchDir,
}

#[test]
fn uploads_of_curl_occupy_their_server_once_they_are_whole() {
    let mut site = Site::build();
    let file = site.path("large.bin");
    let upload = |method: &str, framing: &[&str]| {
        let known = ["-X", method, "--data-binary"];
        let of_file = format!("@{file}");
        let said = site.curl(&[framing, &known, &[&of_file]].concat(), "/up");
        assert_eq!(
            said,
            format!("{method} length {LARGE_BYTES} {}", site.digest())
        );
    };
    upload("PUT", &["--http1.1"]);
    upload("POST", &["--http1.1", "-H", "Transfer-Encoding: chunked"]);
    upload("PUT", &["--http2-prior-knowledge"]);
    upload("POST", &["--http1.1", "-H", "Expect: 100-continue"]);
    // Its server takes one request at a time; a slow upload is none yet.
    let slow = site.begin(&[
        "--limit-rate",
        "100k",
        "--data-binary",
        &format!("@{}", site.path("half.bin")),
    ]);
    wait_until("it has begun", PATIENCE, || {
        site.pool().buffered_disk_bytes >= 64 * 1024
    });
    let began = Instant::now();
    for _ in 0..10 {
        assert!(site.curl(&[], "/up").starts_with("GET length 0 "));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "they have waited");
    let pool = site.pool();
    let held = (pool.buffered_requests, pool.backends[0].active_requests);
    assert_eq!(held, (1, 0), "{pool:?}");
    assert!(printed(slow).starts_with("POST length 400000 "));
    wait_until("nothing is kept", PATIENCE, || {
        let pool = site.pool();
        (pool.buffered_requests, pool.buffered_disk_bytes) == (0, 0)
    });
    let lines = site.logged(15);
    assert!(lines.iter().all(|line| line["termination"] == "complete"));
    site.leave();
}

#[test]
fn curl_downloads_what_nginx_says_another_has() {
    let mut site = Site::build();
    let got = site.path("got");
    site.curl(&["-o", &got], "/doc/7");
    assert!(fs::read(&got).expect("it is there") == large());
    let line = site.logged(1).remove(0);
    for (field, hoped) in [
        ("pool", "files"),
        ("reproxied_by", "app/nginx"),
        ("path", "/doc/7"),
    ] {
        assert_eq!(line[field], hoped, "{line}");
    }
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let part = [version, "-r", "5-104", "-o", &got, "-w", "%{http_code}"];
        assert_eq!(site.curl(&part, "/doc/7"), "206");
        assert!(fs::read(&got).expect("it is there") == large()[5..105]);
        let head = site.curl(&[version, "-I"], "/doc/7").to_lowercase();
        for hoped in [
            format!("content-length: {LARGE_BYTES}"),
            "content-type: application/pdf".to_owned(),
            "content-disposition: attachment".to_owned(),
            "accept-ranges: bytes".to_owned(),
        ] {
            assert!(head.contains(&hoped), "{hoped} is not in {head}");
        }
        assert!(!head.contains("x-accel"), "{head}");
    }
    let missing = ["-o", &got, "-w", "%{http_code}"];
    assert_eq!(site.curl(&missing, "/gone"), "404");
    // Nobody but the application may say so.
    assert_eq!(site.curl(&missing, "/store/large.bin"), "404");
    site.leave();
}

impl Site {
    fn build() -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        fs::create_dir(scratch.path().join("store")).expect("a directory");
        for (name, bytes) in [
            ("large.bin", large()),
            ("store/large.bin", large()),
            ("half.bin", vec![b'a'; 400_000]),
        ] {
            fs::write(scratch.path().join(name), bytes).expect("a file");
        }
        let lab = lab_of(&[("lb", BALANCER), ("web", WEB), ("client", CLIENT)]);
        let web = lab.host("web").expect("a host");
        let nginx = nginx_on(web, scratch.path(), &nginx(scratch.path()));
        let arguments = [WEB.to_owned(), "82".to_owned()];
        let uploads = python(web, "uploads_server.py", &arguments);
        let node = serving(&lab, &yaml(scratch.path()));
        Self {
            node,
            _servers: [nginx, uploads],
            lab,
            scratch,
        }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Returns the SHA-256 of the large file, as its tool says it.
    fn digest(&self) -> String {
        let said = std::process::Command::new("sha256sum")
            .arg(self.path("large.bin"))
            .output()
            .expect("coreutils are there");
        let text = String::from_utf8(said.stdout).expect("it is text");
        text.split(' ').next().unwrap_or_default().to_owned()
    }

    fn pool(&self) -> PoolStatus {
        let status = self.node.status().expect("it answers");
        let mut pools = status.pools.into_iter();
        pools.find(|pool| pool.name == "uploads").expect("a pool")
    }

    /// Starts curl.
    fn begin(&self, options: &[&str]) -> Process {
        self.spawn(options, "/up")
    }

    fn spawn(&self, options: &[&str], path: &str) -> Process {
        let mut command = CURL.command();
        command
            .args(["-s", "--max-time", "20"])
            .args(options)
            .arg(format!("http://{BALANCER}{path}"));
        let client = self.lab.host("client").expect("a host");
        client.spawn(command).expect("curl starts")
    }

    /// Returns what curl prints.
    fn curl(&self, options: &[&str], path: &str) -> String {
        printed(self.spawn(options, path))
    }

    /// Returns the access log, once it has so many lines.
    fn logged(&self, count: usize) -> Vec<Value> {
        logged(self.scratch.path(), count)
    }

    fn leave(&mut self) {
        stopped(&mut self.node);
    }
}

fn yaml(at: &Path) -> String {
    let at = at.display();
    format!(
        "listeners:
  http:
    bind: [\"{BALANCER}:80\"]
    http2: {{prior_knowledge: true}}
    routes: [{{path: /up, pool: uploads}}]
    pool: app
pools:
  app:
    backends: {{nginx: \"{WEB}:80\"}}
    reproxy: files
    health_check: {{tcp: {{}}, interval: 100ms}}
  files: {{backends: {{nginx: \"{WEB}:81\"}}, health_check: {{tcp: {{}}, interval: 100ms}}}}
  uploads:
    backends: {{python: {{address: \"{WEB}:82\", requests: 1}}}}
    buffer_requests: {{disk: 64MiB}}
    health_check: {{tcp: {{}}, interval: 100ms}}
access_log: {{to: {at}/access.log}}
"
    )
}

fn nginx(at: &Path) -> String {
    let paths = nginx_paths(&at.join("nginx"));
    let at = at.display();
    format!(
        "daemon off;
master_process off;
pid {at}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 200; }}
http {{
{paths}  access_log off;
  server {{
    listen {WEB}:80;
    location /doc/ {{
      default_type application/pdf;
      add_header X-Accel-Redirect /store/large.bin;
      add_header Content-Disposition attachment;
      return 200;
    }}
    location /gone {{
      add_header X-Accel-Redirect /store/nothing;
      return 200;
    }}
    location / {{ return 404; }}
  }}
  server {{
    listen {WEB}:81;
    root {at};
    location /store/ {{ }}
    location / {{ return 403; }}
  }}
}}
"
    )
}

const BALANCER: &str = "10.84.0.1";
const WEB: &str = "10.84.0.2";
const CLIENT: &str = "10.84.0.9";
const PATIENCE: Duration = Duration::from_secs(25);
