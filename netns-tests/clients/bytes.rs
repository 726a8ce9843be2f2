//! TLS that goes through to its end: nginx has the certificates, Evenkeel picks by the name and
//! says with the PROXY protocol whose each connection is; curl over HTTP/1.1 and HTTP/2.

use std::fs;
use std::path::Path;

use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::Value;

use super::https::site::{Authority, NAME, write_certificate};
use super::program::CURL;
use super::site::{lab_of, large, logged, nginx_on, nginx_paths, printed, serving, stopped};

/// Ends in the order of its fields.
struct Site {
    node: Node,
    nginx: Process,
    lab: Lab,
    scratch: ScratchDir,
}

#[test]
fn curl_and_nginx_speak_tls_through_it() {
    let mut site = Site::build();
    let known = ["--http2", "-w", " %{http_version} %{ssl_verify_result}"];
    assert_eq!(site.curl(NAME, &known, "/"), "named 2 0");
    let line = site.logged(1);
    assert_eq!(line["protocol"], "TCP", "{line}");
    assert_eq!(line["route"], "named", "{line}");
    assert_eq!(line["termination"], "complete", "{line}");
    assert_eq!(line["ended_by"], "client", "{line}");
    assert_eq!(line["method"], Value::Null, "{line}");
    // Nobody has a certificate for the other name.
    let unknown = ["--http1.1", "-k"];
    let said = site.curl("other.example.org", &unknown, "/");
    assert_eq!(said, format!("other for {CLIENT}"));
    assert_eq!(site.logged(2)["client"], CLIENT);
    for (count, version) in (3..).zip(["--http1.1", "--http2"]) {
        let file = site.scratch.path().join("got");
        let got = file.display().to_string();
        site.curl(NAME, &[version, "-o", &got], "/large.bin");
        let whole = fs::read(&file).expect("it is there") == large();
        assert!(whole, "{version}");
        let line = site.logged(count);
        let bytes = line["response_bytes"].as_u64();
        assert!(bytes.is_some_and(|bytes| bytes > 16 << 20), "{line}");
        assert_eq!(line["termination"], "complete", "{line}");
    }
    site.nginx.kill().expect("it dies");
    let said = site.curl(NAME, &["-w", "%{exitcode}"], "/");
    assert_eq!(said, "35", "the handshake fails");
    let line = site.logged(5);
    let ends = [Some("connect_failed"), Some("no_backend_up")];
    assert!(ends.contains(&line["termination"].as_str()), "{line}");
    stopped(&mut site.node);
}

impl Site {
    fn build() -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        write_certificate(scratch.path(), &Authority::new());
        fs::write(scratch.path().join("large.bin"), large()).expect("a file");
        let lab = lab_of(&[("lb", BALANCER), ("web", WEB), ("client", CLIENT)]);
        let web = lab.host("web").expect("a host");
        let nginx = nginx_on(web, scratch.path(), &nginx(scratch.path()));
        let node = serving(&lab, &yaml(scratch.path()));
        Self {
            node,
            nginx,
            lab,
            scratch,
        }
    }

    /// Returns what curl prints that asks for something of this name.
    fn curl(&self, name: &str, options: &[&str], path: &str) -> String {
        let ca = self.scratch.path().join("ca.pem").display().to_string();
        let mut command = CURL.command();
        command
            .args(["-s", "--max-time", "10", "--cacert", &ca])
            .args(["--resolve", &format!("{name}:443:{BALANCER}")])
            .args(options)
            .arg(format!("https://{name}{path}"));
        let client = self.lab.host("client").expect("a host");
        printed(client.spawn(command).expect("curl starts"))
    }

    /// Returns the last line of the access log, once there are so many.
    fn logged(&self, count: usize) -> Value {
        logged(self.scratch.path(), count).remove(count - 1)
    }
}

fn yaml(at: &Path) -> String {
    let at = at.display();
    format!(
        "listeners:
  tls:
    bind: [\"{BALANCER}:443\"]
    mode: tcp
    routes:
      - {{name: named, sni: {NAME}, pool: named}}
    pool: other
pools:
  named: {{backends: {{a: \"{WEB}:443\"}}, health_check: {{tcp: {{}}, interval: 100ms}}}}
  other:
    backends: {{a: \"{WEB}:444\"}}
    proxy_protocol: v2
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
  ssl_certificate {at}/tls/www.crt;
  ssl_certificate_key {at}/tls/www.key;
  server {{
    listen {WEB}:443 ssl http2;
    root {at};
    location = / {{ return 200 named; }}
  }}
  server {{
    listen {WEB}:444 ssl proxy_protocol;
    location = / {{ return 200 \"other for $proxy_protocol_addr\"; }}
  }}
}}
"
    )
}

const BALANCER: &str = "10.83.0.1";
const WEB: &str = "10.83.0.2";
const CLIENT: &str = "10.83.0.9";
