//! One Evenkeel on a host of its own, the web servers on another, and a host for clients.
//!
//! Each web server has a listener and a pool of its own: the port says whom a client talks to.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::Value;

use super::program::{self, NGINX};
use crate::tutorial::apache;

/// A web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Files, gzip on the fly, and PUT below `/put/`.
    Nginx,
    /// Files, and below `/echo` what was sent.
    Apache,
    /// Echoes WebSocket messages.
    WebSocket,
}

/// Everything. Ends in the order of its fields: who serves, the network, the files.
#[derive(Debug)]
pub(super) struct Site {
    node: Node,
    servers: Vec<(Server, Process)>,
    lab: Lab,
    scratch: ScratchDir,
}

impl Server {
    const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::WebSocket => "websocket",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Nginx => 8001,
            Self::Apache => 8002,
            Self::WebSocket => 8003,
        }
    }

    /// Returns where Evenkeel answers for it.
    pub(super) fn door(self) -> SocketAddr {
        format!("{BALANCER}:{}", self.port())
            .parse()
            .expect("an address")
    }

    /// Returns the URL of one of its pages, through Evenkeel.
    pub(super) fn url(self, path: &str) -> String {
        format!("http://{}/{path}", self.door())
    }

    fn start(self, host: &Host, directory: &Path) -> Process {
        match self {
            Self::Nginx => {
                let file = directory.join("nginx.conf");
                fs::write(&file, nginx_configuration(directory)).expect("a configuration");
                let mut command = NGINX.command();
                command.args(["-e", "stderr", "-c"]).arg(&file);
                host.spawn(command).expect("nginx starts")
            }
            Self::Apache => {
                apache::require_apache();
                let (file, own) = (directory.join("apache2.conf"), directory.join("own"));
                fs::create_dir(&own).expect("a directory");
                fs::write(&file, apache_configuration(directory)).expect("a configuration");
                host.spawn(apache::command(&file, &own))
                    .expect("apache2 starts")
            }
            Self::WebSocket => program::python(
                host,
                "websocket_server.py",
                &[SERVERS.to_owned(), self.port().to_string()],
            ),
        }
    }
}

impl Site {
    /// Starts these web servers and Evenkeel, whose listeners have these timeouts, and waits until
    /// it serves.
    pub(super) fn build(servers: &[Server], timeouts: &str) -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        let documents = scratch.path().join("www");
        fs::create_dir(&documents).expect("a directory");
        fs::write(documents.join("index.html"), "welcome\n").expect("a page");
        fs::write(documents.join("page.txt"), page()).expect("a page");
        fs::write(documents.join("large.bin"), large()).expect("a page");
        // slowhttptest looks whether the page is there that it then sends bodies to.
        fs::create_dir(documents.join("put")).expect("a directory");
        fs::write(documents.join("put/slow"), "").expect("a page");
        let lab = lab_of(&[("lb", BALANCER), ("web", SERVERS), ("client", CLIENT)]);
        let web = lab.host("web").expect("a host");
        let running = servers
            .iter()
            .map(|server| (*server, server.start(web, scratch.path())))
            .collect();
        let yaml = configuration(servers, timeouts, &scratch.path().join(ACCESS_LOG));
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
        let node =
            Node::start(lab.host("lb").expect("a host"), &yaml, "lb", &binary).expect("a node");
        let mut site = Self {
            node,
            servers: running,
            lab,
            scratch,
        };
        site.wait_until_it_serves();
        site
    }

    fn wait_until_it_serves(&mut self) {
        let pools = self.servers.len();
        let served = self.node.wait_for("all backends up", START_MAX, |status| {
            let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
            status.pools.len() == pools
                && !status.listeners.is_empty()
                && backends.all(|backend| backend.state == "up")
        });
        if let Err(error) = served {
            panic!("{error}\n{}", self.complaints().join("\n"));
        }
    }

    /// Returns the host for clients.
    pub(super) fn client(&self) -> &Host {
        self.lab.host("client").expect("a host")
    }

    /// Returns a path for a file of a client's.
    pub(super) fn file(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Returns the most memory that the proxy ever had, in kibibytes.
    pub(super) fn proxy_peak_kib(&mut self) -> u64 {
        let pid = self.node.pid_of("evenkeel-proxy").expect("a proxy runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap_or_else(|| panic!("no peak in {status}"))
    }

    /// Returns what the access log says once so many lines are in it that are as hoped.
    pub(super) fn logged(&self, count: usize, hoped: impl Fn(&Value) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + LOG_MAX;
        loop {
            let lines = self.access_log();
            let found: Vec<Value> = lines.iter().filter(|line| hoped(line)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "hoped for {count} lines, found {}; how requests ended: {:#?}",
                found.len(),
                endings(&lines)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns all that the access log says.
    pub(super) fn access_log(&self) -> Vec<Value> {
        entries(&self.scratch.path().join(ACCESS_LOG))
    }

    /// Ends it; fails when a web server ended, or had something to say.
    pub(super) fn leave(mut self) {
        let status = self.node.stop(STOP_MAX).expect("it stops");
        assert!(status.success(), "{status}\n{}", self.node.log());
        let complaints = self.complaints();
        assert_eq!(complaints, [""; 0], "{}", self.node.log());
    }

    /// Returns what web servers printed or logged as warnings or worse, and which have ended.
    fn complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (server, process) in &mut self.servers {
            if let Err(error) = process.check_runs() {
                complaints.push(error.to_string());
            }
            let mut log = process.log();
            if *server == Server::Apache {
                let errors = self.scratch.path().join("own/error.log");
                log += &fs::read_to_string(errors).unwrap_or_default();
            }
            // Apache says with these that it began.
            let worth = log.lines().filter(|line| !line.contains(":notice] "));
            let lines = worth.map(|line| format!("{}: {line}", server.name()));
            complaints.extend(lines);
        }
        complaints
    }
}

/// Starts Evenkeel on the host `lb`, and waits until its listeners and all its backends are up.
pub(super) fn serving(lab: &Lab, yaml: &str) -> Node {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    let host = lab.host("lb").expect("a host");
    let mut node = Node::start(host, yaml, "lb", &binary).expect("a node");
    let up = node.wait_for("its backends are up", START_MAX, |status| {
        let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
        !status.listeners.is_empty() && backends.all(|backend| backend.state == "up")
    });
    up.unwrap_or_else(|error| panic!("{error}"));
    node
}

/// Stops it; fails when that does not end well.
pub(super) fn stopped(node: &mut Node) {
    let status = node.stop(STOP_MAX).expect("it stops");
    assert!(status.success(), "{status}\n{}", node.log());
}

/// Starts nginx on a host, with this text as its configuration.
pub(super) fn nginx_on(host: &Host, directory: &Path, text: &str) -> Process {
    let file = directory.join("nginx.conf");
    fs::write(&file, text).expect("a configuration");
    let mut command = NGINX.command();
    command.args(["-e", "stderr", "-c"]).arg(&file);
    host.spawn(command).expect("nginx starts")
}

/// Returns what a program prints until it ends, whatever it ends with.
pub(super) fn printed(mut process: Process) -> String {
    let ended = process.wait(PROGRAM_MAX);
    ended.unwrap_or_else(|error| panic!("{error}"));
    process.log()
}

/// Returns the access log in a directory, once it has so many lines.
pub(super) fn logged(directory: &Path, count: usize) -> Vec<Value> {
    let log = directory.join(ACCESS_LOG);
    wait_until("it is logged", LOG_MAX, || entries(&log).len() >= count);
    entries(&log)
}

/// Returns a network of these hosts, each with its address.
pub(super) fn lab_of(hosts: &[(&str, &str)]) -> Lab {
    let mut lab = Lab::new().expect("root, or a user namespace's");
    for (name, address) in hosts {
        lab.add_host(name, &[&format!("{address}/24")])
            .expect("a host");
    }
    lab
}

/// Waits until something is so.
pub(super) fn wait_until(hope: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "hoped in vain that {hope}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns what an access log says.
pub(super) fn entries(log: &Path) -> Vec<Value> {
    let log = fs::read_to_string(log).unwrap_or_default();
    // A line that is being written is no entry yet.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let entry = |line| serde_json::from_str(line).expect("a line is an object");
    whole.lines().map(entry).collect()
}

/// Returns where an nginx has what it keeps for a while: under names that begin so.
pub(super) fn nginx_paths(own: &Path) -> String {
    let own = own.display();
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {own}-{name};\n"))
        .concat()
}

/// Returns how many requests ended in which way.
pub(super) fn endings(lines: &[Value]) -> std::collections::BTreeMap<String, usize> {
    let mut endings = std::collections::BTreeMap::new();
    for line in lines {
        let ending = format!(
            "{} {} {}",
            line["termination"], line["phase"], line["status"]
        );
        *endings.entry(ending).or_default() += 1;
    }
    endings
}

/// Returns a text that gzip makes smaller.
pub(super) fn page() -> Vec<u8> {
    (0..1000)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect()
}

/// Returns 16 MiB that do not repeat.
pub(super) fn large() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..LARGE_BYTES / 8).flat_map(|_| {
        // Marsaglia's xorshift: no two parts are alike, and every run has the same.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

fn configuration(servers: &[Server], timeouts: &str, log: &Path) -> String {
    let each = |line: fn(Server, &str) -> String| -> String {
        servers
            .iter()
            .map(|server| line(*server, timeouts))
            .collect()
    };
    let listeners = each(|server, timeouts| {
        let (name, door) = (server.name(), server.door());
        format!("  {name}: {{bind: [\"{door}\"], pool: {name}, timeouts: {timeouts}}}\n")
    });
    let pools = each(|server, _| {
        let (name, port) = (server.name(), server.port());
        format!("  {name}: {{backends: {{{name}: \"{SERVERS}:{port}\"}}}}\n")
    });
    let log = log.display();
    format!("listeners:\n{listeners}pools:\n{pools}access_log: {{to: {log}}}\n")
}

/// One process, which stays who it is.
fn nginx_configuration(directory: &Path) -> String {
    let root = directory.display();
    let port = Server::Nginx.port();
    let temporary = nginx_paths(&directory.join("nginx"));
    format!(
        "daemon off;
master_process off;
pid {root}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 2000; }}
http {{
{temporary}  access_log off;
  types {{ text/plain txt; text/html html; }}
  gzip on;
  gzip_types text/plain;
  client_max_body_size 64m;
  server {{
    listen {SERVERS}:{port};
    root {root}/www;
    location /put/ {{ dav_methods PUT; create_full_put_path on; }}
  }}
}}
"
    )
}

fn apache_configuration(directory: &Path) -> String {
    let root = directory.display();
    let port = Server::Apache.port();
    let modules: String = ["mpm_event", "authz_core", "dir", "mime", "reflector"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    format!(
        "ServerRoot {root}
ServerName localhost
PidFile {root}/own/apache2.pid
DefaultRuntimeDir {root}/own
Mutex file:{root}/own
ErrorLog {root}/own/error.log
LogLevel warn
Listen {SERVERS}:{port}
{modules}
TypesConfig /dev/null
DocumentRoot {root}/www
DirectoryIndex index.html
StartServers 1
ThreadsPerChild 25
<Location /echo>
SetHandler reflector
</Location>
"
    )
}

const BALANCER: &str = "10.80.0.1";
const SERVERS: &str = "10.80.0.2";
const CLIENT: &str = "10.80.0.9";
const ACCESS_LOG: &str = "access.log";
/// Of `large.bin`: more than all buffers between a backend and a client together.
pub(super) const LARGE_BYTES: usize = 16 << 20;
const START_MAX: Duration = Duration::from_secs(20);
const PROGRAM_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(15);
/// Lines are written at the latest 50 ms after their requests.
const LOG_MAX: Duration = Duration::from_secs(10);
