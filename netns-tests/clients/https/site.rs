//! One or two nodes on a switch, a backend behind them, a client with curl and openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::backend::Backend;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::scratch::ScratchDir;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

pub(crate) const NAME: &str = "www.example.org";
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends in the order of its fields: who serves, the network.
pub(crate) struct Site {
    nodes: Vec<Node>,
    _backend: Backend,
    pub(crate) scratch: ScratchDir,
    pub(crate) lab: Lab,
}

impl Site {
    /// Builds it, and waits until the first node serves; `keys` are more of the listener's `tls`,
    /// with `DIR` for the directory of its files.
    pub(crate) fn build(names: &[&str], keys: &str) -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        write_files(scratch.path());
        let mut lab = Lab::new().expect("root, or a user namespace's");
        for (name, address) in [
            ("lb1", "192.0.2.1"),
            ("lb2", "192.0.2.2"),
            ("web", "192.0.2.9"),
            ("client", "192.0.2.7"),
        ] {
            lab.add_host(name, &[&format!("{address}/24")])
                .expect("a host");
        }
        let web = lab.host("web").expect("a host");
        let address = "192.0.2.9:80".parse().expect("an address");
        let backend = Backend::start(web, "web", address).expect("a backend");
        let yaml = yaml(keys).replace("DIR", &scratch.path().display().to_string());
        let built = env!("CARGO_BIN_EXE_evenkeel");
        let binary = std::env::var("EVENKEEL_BINARY").unwrap_or_else(|_| built.to_owned());
        let binary = PathBuf::from(binary);
        let nodes = names.iter().map(|name| {
            let host = lab.host(name).expect("a host");
            Node::start(host, &yaml, name, &binary).expect("a node")
        });
        let mut site = Self {
            nodes: nodes.collect(),
            _backend: backend,
            scratch,
            lab,
        };
        for (index, state) in ["Active", "Backup"].iter().enumerate().take(names.len()) {
            site.nodes[index]
                .wait_for("its state and its pool", PATIENCE, |status| {
                    let up = |it: &evenkeel::ipc::control::PoolStatus| it.backends[0].state == "up";
                    status.virtual_routers[0].state == *state && status.pools.iter().all(up)
                })
                .unwrap_or_else(|error| panic!("{error}"));
        }
        site
    }

    pub(crate) fn status(&self, node: usize) -> Status {
        self.nodes[node].status().expect("it answers")
    }

    pub(crate) fn log(&self, node: usize) -> String {
        self.nodes[node].log()
    }

    /// Returns a file of the site's.
    pub(crate) fn file(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Kills a node, and waits until the other serves.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node]
            .process()
            .kill_family()
            .expect("a node dies");
        let other = 1 - node;
        self.nodes[other]
            .wait_for("Active", PATIENCE, |status| {
                status.virtual_routers[0].state == "Active"
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Asks with curl; returns the status and what the verification came to.
    pub(crate) fn curl(&self, options: &[&str]) -> String {
        let url = format!("https://{NAME}/");
        let written = [
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{ssl_verify_result}\n",
        ];
        self.curl_url(&url, &[&written, options].concat())
    }

    pub(crate) fn curl_url(&self, url: &str, options: &[&str]) -> String {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "10", "--cacert", &self.file("ca.pem")])
            .args(["--resolve", &format!("{NAME}:443:192.0.2.100")])
            .args(options)
            .arg(url);
        self.output(command)
    }

    /// Speaks to the address with openssl, and asks for a page.
    pub(crate) fn s_client(&self, options: &[&str]) -> String {
        let line = r#"(printf 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'; sleep 0.5) |
                      timeout 10 openssl s_client -connect 192.0.2.100:443 "$@" 2>&1"#;
        let mut command = Command::new("sh");
        command
            .args(["-c", line, "sh", "-CAfile", &self.file("ca.pem")])
            .args(options);
        self.output(command)
    }

    fn output(&self, mut command: Command) -> String {
        let client = self.lab.host("client").expect("a host");
        let output = client
            .try_run("run a client", move || command.output())
            .unwrap_or_else(|error| panic!("{error}"));
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until `done`, at most this long; returns how long it took.
    pub(crate) fn wait(&self, within: Duration, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !done(self) {
            assert!(
                began.elapsed() < within,
                "in vain; the log:\n{}",
                self.log(0)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        began.elapsed()
    }
}

fn yaml(keys: &str) -> String {
    format!(
        "group: {{secret: {{file: DIR/group.key}}}}
virtual_routers:
  web: {{interface: eth0, vrid: 51, priority: {{lb1: 150, lb2: 100}}, addresses: [192.0.2.100/24],
        advertisement_interval: 100ms}}
listeners:
  https:
    virtual_router: web
    port: 443
    pool: farm
    tls: {{certificates: DIR/tls, {keys}}}
pools:
  farm: {{backends: {{web: \"192.0.2.9:80\"}}, health_check: {{tcp: {{}}, interval: 100ms}}}}
"
    )
}

/// Who signs certificates in these tests.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            pem: made.pem(),
        }
    }

    /// Returns a certificate and its key, as PEM.
    pub(crate) fn sign(&self, common_name: &str, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = named(common_name, names);
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        (made.pem(), key.serialize_pem())
    }
}

fn named(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

/// Writes `ca.pem`, and a certificate for [`NAME`] below `tls`.
pub(crate) fn write_certificate(at: &Path, authority: &Authority) {
    let (certificate, key) = authority.sign("www", &[NAME]);
    fs::create_dir(at.join("tls")).expect("a directory");
    for (name, text) in [
        ("ca.pem", &authority.pem),
        ("tls/www.crt", &certificate),
        ("tls/www.key", &key),
    ] {
        fs::write(at.join(name), text).expect("a file");
    }
}

fn write_files(at: &Path) {
    let authority = Authority::new();
    write_certificate(at, &authority);
    let (client, client_key) = authority.sign("client one", &["client.example.org"]);
    for (name, text) in [
        ("client.crt", &client),
        ("client.key", &client_key),
        ("group.key", &"0123456789abcdef".repeat(4)),
    ] {
        fs::write(at.join(name), text).expect("a file");
    }
}
