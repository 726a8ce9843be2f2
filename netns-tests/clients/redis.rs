//! A database behind TCP: Redis and its own programs, in the clear and by TLS that Evenkeel ends,
//! with much in flight, calls that wait, subscriptions, reloads, and the death of the first server.

use std::path::Path;

use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;

use super::https::site::{Authority, NAME, write_certificate};
use super::program::{PATIENCE, REDIS, REDIS_BENCHMARK, REDIS_CLI};
use super::site::{lab_of, logged, printed, serving, stopped, wait_until};

/// Ends in the order of its fields.
struct Site {
    node: Node,
    servers: [Process; 2],
    lab: Lab,
    scratch: ScratchDir,
}

#[test]
fn redis_is_used_through_it() {
    let mut site = Site::build();
    for tls in [false, true] {
        site.values_come_back(tls);
        site.waiting_calls_outlive_a_reload(tls);
    }
    site.benchmark_finds_no_error();
    site.the_second_serves_when_the_first_has_died();
    let lines = logged(site.scratch.path(), 50);
    let wrong: Vec<_> = lines
        .iter()
        .filter(|line| line["protocol"] != "TCP" || line["status"] != serde_json::Value::Null)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    stopped(&mut site.node);
}

impl Site {
    fn build() -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        write_certificate(scratch.path(), &Authority::new());
        let lab = lab_of(&[("lb", BALANCER), ("db", SERVERS), ("client", CLIENT)]);
        let servers = [FIRST, SECOND].map(|port| server(&lab, scratch.path(), port));
        let node = serving(&lab, &yaml(scratch.path(), "1h"));
        Self {
            node,
            servers,
            lab,
            scratch,
        }
    }

    fn begin(&self, tls: bool, command: &[&str]) -> Process {
        let ca = self.scratch.path().join("ca.pem").display().to_string();
        let secure = ["-p", "6390", "--tls", "--sni", NAME, "--cacert", &ca];
        let door = match tls {
            true => &secure[..],
            false => &["-p", "6379"],
        };
        let mut all = REDIS_CLI.command();
        all.args(["-h", BALANCER]).args(door).args(command);
        let client = self.lab.host("client").expect("a host");
        client.spawn(all).expect("redis-cli starts")
    }

    /// Returns what redis-cli prints.
    fn ask(&self, tls: bool, command: &[&str]) -> String {
        printed(self.begin(tls, command)).trim_end().to_owned()
    }

    fn values_come_back(&self, tls: bool) {
        assert_eq!(self.ask(tls, &["SET", "name", "evenkeel"]), "OK");
        assert_eq!(self.ask(tls, &["GET", "name"]), "evenkeel");
        // Larger than every buffer on the way.
        assert_eq!(
            self.ask(tls, &["SETRANGE", "large", "16777215", "x"]),
            "16777216"
        );
        let large = self.ask(tls, &["--no-raw", "GET", "large"]);
        assert_eq!(large.matches("\\x00").count(), 16_777_215);
        assert_eq!(self.ask(tls, &["DEL", "large"]), "1");
    }

    /// One waits for a value and one for messages while the configuration changes.
    fn waiting_calls_outlive_a_reload(&mut self, tls: bool) {
        let pops = self.begin(tls, &["BLPOP", "queue", "0"]);
        let mut hears = self.begin(tls, &["SUBSCRIBE", "news"]);
        wait_until("both wait", PATIENCE, || {
            let clients = self.ask(false, &["CLIENT", "LIST"]);
            clients.contains("cmd=blpop") && clients.contains("cmd=subscribe")
        });
        for tunnel in ["2h", "1h"] {
            let yaml = yaml(self.scratch.path(), tunnel);
            self.node.reload(&yaml).expect("it reloads");
        }
        assert_eq!(self.ask(tls, &["RPUSH", "queue", "first"]), "1");
        assert_eq!(printed(pops), "queue\nfirst\n");
        assert_eq!(self.ask(tls, &["PUBLISH", "news", "a word"]), "1");
        wait_until("it is heard", PATIENCE, || {
            hears.log().ends_with("message\nnews\na word\n")
        });
        hears.kill().expect("it dies");
    }

    /// Pipelines of sixteen on a hundred connections, and values of 100 kB.
    fn benchmark_finds_no_error(&self) {
        let client = self.lab.host("client").expect("a host");
        for load in [
            &[
                "-n",
                "50000",
                "-c",
                "100",
                "-P",
                "16",
                "-t",
                "set,get,lpush,mset",
            ][..],
            &["-n", "500", "-c", "20", "-d", "100000", "-t", "set,get"],
            &["-n", "300", "-c", "10", "-k", "0", "-t", "set"],
        ] {
            let said = REDIS_BENCHMARK.run(client, &[&["-h", BALANCER, "-q"], load].concat());
            assert!(said.contains("requests per second"), "{said}");
            assert!(!said.to_lowercase().contains("error"), "{said}");
        }
    }

    fn the_second_serves_when_the_first_has_died(&mut self) {
        let mut waits = self.begin(false, &["BLPOP", "never", "0"]);
        wait_until("it waits", PATIENCE, || {
            self.ask(false, &["CLIENT", "LIST"]).contains("cmd=blpop")
        });
        self.servers[0].kill().expect("it dies");
        let status = waits.wait(PATIENCE).expect("its connection has ended");
        assert!(!status.success(), "{}", waits.log());
        // A backup, with nothing in it.
        assert_eq!(self.ask(false, &["GET", "name"]), "");
        assert_eq!(self.ask(true, &["SET", "name", "second"]), "OK");
        self.servers[0] = server(&self.lab, self.scratch.path(), FIRST);
        wait_until("the first serves again", PATIENCE, || {
            self.ask(false, &["GET", "name"]).is_empty()
        });
    }
}

fn server(lab: &Lab, directory: &Path, port: u16) -> Process {
    let mut command = REDIS.command();
    command
        .args(["--bind", SERVERS, "--port", &port.to_string()])
        .args(["--protected-mode", "no", "--save", "", "--dir"])
        .arg(directory);
    let host = lab.host("db").expect("a host");
    host.spawn(command).expect("redis-server starts")
}

fn yaml(at: &Path, tunnel: &str) -> String {
    let at = at.display();
    format!(
        "listeners:
  plain:
    bind: [\"{BALANCER}:6379\"]
    mode: tcp
    pool: redis
    timeouts: {{tunnel: {tunnel}}}
  secure:
    bind: [\"{BALANCER}:6390\"]
    mode: tcp
    pool: redis
    tls: {{certificates: {at}/tls}}
    timeouts: {{tunnel: {tunnel}}}
pools:
  redis:
    backends:
      first: \"{SERVERS}:{FIRST}\"
      second: {{address: \"{SERVERS}:{SECOND}\", backup: true}}
    health_check: {{tcp: {{}}, interval: 100ms, rise: 1}}
access_log: {{to: {at}/access.log}}
"
    )
}

const BALANCER: &str = "10.85.0.1";
const SERVERS: &str = "10.85.0.2";
const CLIENT: &str = "10.85.0.9";
const FIRST: u16 = 6379;
const SECOND: u16 = 6380;
