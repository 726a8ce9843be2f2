//! The PROXY protocol with those who have written it down: HAProxy in front says whose each
//! connection is, in both versions, with TLVs and a checksum, and HAProxy behind hears it; curl
//! says it itself, before TLS and HTTP/2.
//!
//! curl -> HAProxy (front) -> Evenkeel -> HAProxy (back), which answers with what it was told.

use std::fs;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::Value;

use super::https::site::{Authority, NAME, write_certificate};
use super::program::{CURL, HAPROXY};
use super::site::{lab_of, logged, printed, serving, stopped, wait_until};

/// Ends in the order of its fields.
struct Site {
    node: Node,
    _haproxies: [Process; 2],
    lab: Lab,
    scratch: ScratchDir,
}

#[test]
fn haproxy_is_believed_and_believes() {
    let site = Site::build();
    // Each port of the front sends in another form.
    for (port, form) in FORMS {
        let url = format!("http://{FRONT}:{port}/");
        let said = site.curl(&[&url]);
        let hoped = format!("{CLIENT} via v2\n");
        assert_eq!(said, hoped, "{form}");
    }
    let lines = site.logged(FORMS.len());
    for line in &lines {
        assert_eq!(line["client"], CLIENT, "{line}");
        assert_eq!(line["via"], FRONT, "{line}");
        assert!(line["client_port"].is_u64(), "{line}");
    }
    // The front's own checks of Evenkeel, LOCAL, and its backends' of ours keep everything up.
    let status = site.node.status().expect("it answers");
    assert_eq!(status.pools[0].backends[0].state, "up", "{status:?}");
    assert_eq!(status.listeners[0].proxy_headers_failed_total, 0);
    site.leave();
}

#[test]
fn curl_announces_itself_before_tls_and_http_2() {
    let site = Site::build();
    let resolved = format!("{NAME}:8443:{BALANCER}");
    let ca = site.scratch.path().join("ca.pem").display().to_string();
    let url = format!("https://{NAME}:8443/");
    let secure = ["--resolve", &resolved, "--cacert", &ca];
    // Each is logged before the next is asked: lines of two connections have no order.
    for (count, version) in (1..).zip(["--http1.1", "--http2"]) {
        let options = [&secure[..], &["--haproxy-protocol", version, &url]].concat();
        assert_eq!(site.curl(&options), format!("{CLIENT} via v2 tls {NAME}\n"));
        let _ = site.logged(count);
    }
    let plain = format!("http://{BALANCER}:8080/");
    for (count, version) in (3..).zip(["--http1.1", "--http2-prior-knowledge"]) {
        let said = site.curl(&["--haproxy-protocol", version, &plain]);
        assert_eq!(said, format!("{CLIENT} via v2\n"), "{version}");
        let _ = site.logged(count);
    }
    let without = site.curl(&[&plain, "-w", "%{exitcode} %{http_code}"]);
    // What it has sent is not read: that may be a reset.
    assert!(["52 000", "56 000"].contains(&&*without), "{without}");
    let lines = site.logged(5);
    let protocols: Vec<&str> = lines
        .iter()
        .map(|line| line["protocol"].as_str().unwrap_or("-"))
        .collect();
    let hoped = ["HTTP/1.1", "HTTP/2.0", "HTTP/1.1", "HTTP/2.0", "-"];
    assert_eq!(protocols, hoped);
    assert_eq!(lines[4]["termination"], "proxy_header_invalid");
    assert_eq!(lines[4]["phase"], "proxy_header");
    site.leave();
}

impl Site {
    fn build() -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        write_certificate(scratch.path(), &Authority::new());
        let lab = lab_of(&[
            ("front", FRONT),
            ("lb", BALANCER),
            ("back", BACK),
            ("client", CLIENT),
        ]);
        let host = |name| lab.host(name).expect("a host");
        let haproxies = [("back", back()), ("front", front())].map(|(name, text)| {
            let file = scratch.path().join(name);
            fs::write(&file, text).expect("a configuration");
            let mut command = HAPROXY.command();
            command.arg("-db").arg("-f").arg(file);
            host(name).spawn(command).expect("haproxy starts")
        });
        let node = serving(&lab, &yaml(scratch.path()));
        let site = Self {
            node,
            _haproxies: haproxies,
            lab,
            scratch,
        };
        site.wait_until_the_front_serves();
        site
    }

    fn client(&self) -> &Host {
        self.lab.host("client").expect("a host")
    }

    /// Its checks have found Evenkeel up; what was asked until then is not counted.
    fn wait_until_the_front_serves(&self) {
        for (port, form) in FORMS {
            let url = format!("http://{FRONT}:{port}/");
            wait_until(form, PATIENCE, || self.curl(&[&url]).starts_with(CLIENT));
        }
        let _ = self.logged(FORMS.len());
        fs::write(self.scratch.path().join("access.log"), "").expect("an empty log");
    }

    /// Returns what curl prints, whatever it ends with.
    fn curl(&self, options: &[&str]) -> String {
        let mut command = CURL.command();
        command.args(["-s", "--max-time", "10"]).args(options);
        printed(self.client().spawn(command).expect("curl starts"))
    }

    /// Returns the lines of the access log, once there are so many.
    fn logged(&self, count: usize) -> Vec<Value> {
        logged(self.scratch.path(), count)
    }

    fn leave(mut self) {
        stopped(&mut self.node);
    }
}

fn yaml(at: &std::path::Path) -> String {
    let at = at.display();
    format!(
        "listeners:
  plain:
    bind: [\"{BALANCER}:8080\"]
    http2: {{prior_knowledge: true}}
    proxy_protocol: {{from: [10.82.0.0/24]}}
    pool: back
  tls:
    bind: [\"{BALANCER}:8443\"]
    tls: {{certificates: {at}/tls}}
    proxy_protocol: {{from: [10.82.0.0/24]}}
    pool: back
pools:
  back:
    proxy_protocol: v2
    backends: {{back: \"{BACK}:80\"}}
    health_check: {{http: {{path: /health}}, interval: 200ms}}
access_log: {{to: {at}/access.log}}
"
    )
}

/// A front that says in every form whose its connections are.
fn front() -> String {
    let listens: String = FORMS
        .iter()
        .map(|(port, form)| {
            format!(
                "listen l{port}
  bind {FRONT}:{port}
  server lb {BALANCER}:8080 {form} check inter 200ms
"
            )
        })
        .collect();
    format!("{DEFAULTS}  mode tcp\n{listens}")
}

/// A back that answers with what it was told.
fn back() -> String {
    format!(
        "{DEFAULTS}  mode http
frontend back
  bind {BACK}:80 accept-proxy
  acl is_tls fc_pp_authority -m found
  http-request return status 200 content-type text/plain lf-string \"%[src] via v2 tls %[fc_pp_authority]\\n\" if is_tls
  http-request return status 200 content-type text/plain lf-string \"%[src] via v2\\n\" if {{ fc_pp_unique_id -m found }}
  http-request return status 200 if {{ path /health }}
"
    )
}

const DEFAULTS: &str = "defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
";
const FORMS: [(u16, &str); 4] = [
    (81, "send-proxy"),
    (82, "send-proxy-v2"),
    (83, "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    (84, "send-proxy-v2-ssl-cn"),
];
const FRONT: &str = "10.82.0.1";
const BALANCER: &str = "10.82.0.2";
const BACK: &str = "10.82.0.3";
const CLIENT: &str = "10.82.0.9";
const PATIENCE: Duration = Duration::from_secs(20);
