//! One Evenkeel, and behind it every server of Debian that the crossing needs, each of its own
//! process, so that each can die alone.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::Value;

use super::super::https::site::{Authority, NAME, write_certificate};
use super::super::program::{self, NGINX};
use super::super::site::{entries, lab_of, large, nginx_paths, wait_until};
use crate::tutorial::apache;

/// What stands behind Evenkeel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Software {
    Nginx,
    Apache,
    Grpc,
    WebSocket,
}

/// A server: what it is, and what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) software: Software,
    pub(super) is_http2: bool,
    pub(super) is_tls: bool,
}

impl Server {
    /// Returns its name, which is that of its pool and the first part of its paths.
    pub(super) fn name(self) -> String {
        let software = match self.software {
            Software::Nginx => "nginx",
            Software::Apache => "apache",
            Software::Grpc => "grpc",
            Software::WebSocket => "websocket",
        };
        let version = if self.is_http2 { 2 } else { 1 };
        format!("{software}-{version}{}", if self.is_tls { "s" } else { "" })
    }

    fn address(self) -> SocketAddr {
        let software = match self.software {
            Software::Nginx => 0,
            Software::Apache => 10,
            Software::Grpc => 20,
            Software::WebSocket => 30,
        };
        let port = 9000 + software + 2 * u16::from(self.is_http2) + u16::from(self.is_tls);
        SocketAddr::new(SERVERS.parse().expect("an address"), port)
    }

    fn start(self, host: &Host, at: &Path) -> Process {
        let (certificate, key) = (at.join("tls/www.crt"), at.join("tls/www.key"));
        let own = at.join(self.name());
        let configured = |text: String| {
            // It may be there of the one that died.
            fs::create_dir_all(&own).expect("a directory");
            let file = own.join("configuration");
            fs::write(&file, text).expect("a configuration");
            file
        };
        let script = |kind: &str| {
            let mut arguments = vec![kind.to_owned(), self.address().to_string()];
            if self.is_tls {
                arguments.extend([&certificate, &key].map(|path| path.display().to_string()));
            }
            program::python(host, "crossing/server.py", &arguments)
        };
        match self.software {
            Software::Nginx => {
                let mut command = NGINX.command();
                let file = configured(self.nginx_configuration(at, &own));
                command.args(["-e", "stderr", "-c"]).arg(file);
                host.spawn(command).expect("nginx starts")
            }
            Software::Apache => {
                apache::require_apache();
                let file = configured(self.apache_configuration(at, &own));
                host.spawn(apache::command(&file, &own))
                    .expect("apache2 starts")
            }
            Software::Grpc => script("grpc"),
            Software::WebSocket => script("websocket"),
        }
    }

    /// One process, which stays who it is.
    fn nginx_configuration(self, at: &Path, own: &Path) -> String {
        let temporary = nginx_paths(&own.join("kept"));
        let (at, own, address) = (at.display(), own.display(), self.address());
        let tls = if self.is_tls { " ssl" } else { "" };
        let http2 = if self.is_http2 { " http2" } else { "" };
        format!(
            "daemon off;
master_process off;
pid {own}/pid;
error_log stderr error;
events {{ worker_connections 500; }}
http {{
{temporary}  access_log off;
  server {{
    listen {address}{tls}{http2};
    ssl_certificate {at}/tls/www.crt;
    ssl_certificate_key {at}/tls/www.key;
    root {at}/www;
    location /slow/ {{ alias {at}/www/; limit_rate 100k; }}
    location /small/ {{ client_max_body_size 1k; dav_methods PUT; }}
    location /put/ {{ client_max_body_size 64m; dav_methods PUT; create_full_put_path on; }}
  }}
}}
"
        )
    }

    fn apache_configuration(self, at: &Path, own: &Path) -> String {
        let (at, own, address) = (at.display(), own.display(), self.address());
        let modules: String = ["mpm_event", "authz_core", "ssl", "http2"]
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .concat();
        let protocol = match (self.is_http2, self.is_tls) {
            (true, true) => "h2",
            (true, false) => "h2c http/1.1",
            (false, _) => "http/1.1",
        };
        let tls = if self.is_tls { "on" } else { "off" };
        format!(
            "ServerRoot {own}
ServerName localhost
PidFile {own}/pid
DefaultRuntimeDir {own}
Mutex file:{own}
ErrorLog {own}/error.log
LogLevel error
Listen {address}
{modules}
Protocols {protocol}
SSLEngine {tls}
SSLCertificateFile {at}/tls/www.crt
SSLCertificateKeyFile {at}/tls/www.key
StartServers 1
ThreadsPerChild 25
DocumentRoot {at}/www
"
        )
    }

    fn pool(self, at: &Path) -> String {
        let name = self.name();
        let protocol = match (self.is_http2, self.is_tls) {
            (true, true) => "protocol: h2, ",
            (true, false) => "protocol: h2c, ",
            (false, _) => "",
        };
        let tls = match self.is_tls {
            true => format!(
                "tls: {{ca: {}/ca.pem, server_name: {NAME}}}, ",
                at.display()
            ),
            false => String::new(),
        };
        let address = self.address();
        format!(
            "  {name}: {{{protocol}{tls}health_check: none, backends: {{one: \"{address}\"}}}}\n"
        )
    }

    fn route(self) -> String {
        let name = self.name();
        // The path of gRPC is its service and method. A server that knew of the deadline of this
        // call would end it, too, and nobody could say who is first.
        let (before, rewrite) = match self.software {
            Software::Nginx | Software::Apache => (String::new(), ", rewrite: {path: /}"),
            Software::Grpc => {
                let edits = "request_headers: {remove: [Grpc-Timeout]}";
                let route = format!("{{path: {{exact: /{name}/Idle}}, pool: {name}, {edits}}}");
                (format!("      - {route}\n"), "")
            }
            Software::WebSocket => (String::new(), ""),
        };
        format!("{before}      - {{path: /{name}/, pool: {name}{rewrite}}}\n")
    }
}

/// Everything. Ends in the order of its fields: who serves, the network, the files.
pub(super) struct Site {
    node: Node,
    servers: Vec<(Server, Process)>,
    lab: Lab,
    scratch: ScratchDir,
}

impl Site {
    /// Starts Evenkeel and these servers, and waits until all of them listen.
    pub(super) fn build(servers: &[Server]) -> Self {
        let scratch = ScratchDir::new().expect("a directory");
        write_files(scratch.path());
        let lab = lab_of(&[("lb", BALANCER), ("web", SERVERS), ("client", CLIENT)]);
        let web = lab.host("web").expect("a host");
        let running = servers
            .iter()
            .map(|server| (*server, server.start(web, scratch.path())));
        let running = running.collect();
        let yaml = configuration(servers, scratch.path());
        let built = env!("CARGO_BIN_EXE_evenkeel");
        let binary = std::env::var("EVENKEEL_BINARY").unwrap_or_else(|_| built.to_owned());
        let host = lab.host("lb").expect("a host");
        let mut node = Node::start(host, &yaml, "lb", &PathBuf::from(binary)).expect("a node");
        let served = node.wait_for("it serves", START_MAX, |it| !it.listeners.is_empty());
        served.unwrap_or_else(|error| panic!("{error}"));
        let site = Self {
            node,
            servers: running,
            lab,
            scratch,
        };
        for server in servers {
            site.wait_until_it_listens(*server);
        }
        site
    }

    fn wait_until_it_listens(&self, server: Server) {
        let address = server.address();
        let connect = move || TcpStream::connect(address);
        wait_until(&format!("{} listens", server.name()), START_MAX, || {
            let lb = self.lab.host("lb").expect("a host");
            lb.try_run("connect", connect).is_ok()
        });
    }

    /// Kills a server. Another one takes its place with [`Site::revive`].
    pub(super) fn kill(&mut self, server: Server) {
        let mut processes = self.servers.iter_mut();
        let found = processes.find(|(known, _)| *known == server);
        let (_, process) = found.expect("it was started");
        process.kill_family().expect("it dies");
    }

    pub(super) fn revive(&mut self, server: Server) {
        let web = self.lab.host("web").expect("a host");
        let fresh = server.start(web, self.scratch.path());
        self.servers.retain(|(known, _)| *known != server);
        self.servers.push((server, fresh));
        self.wait_until_it_listens(server);
    }

    /// Returns what a server has printed.
    pub(super) fn server_log(&self, server: Server) -> String {
        let mut processes = self.servers.iter();
        let found = processes.find(|(known, _)| *known == server);
        found.expect("it was started").1.log()
    }

    /// Starts a client.
    pub(super) fn spawn(&self, command: Command) -> Process {
        let client = self.lab.host("client").expect("a host");
        client
            .spawn(command)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Returns how many requests are with backends.
    pub(super) fn in_flight(&self) -> Option<u64> {
        let pools = self.node.status()?.pools;
        let backends = pools.iter().flat_map(|pool| &pool.backends);
        Some(backends.map(|backend| backend.active_requests).sum())
    }

    /// Returns the lines of the access log about the paths of a server.
    pub(super) fn lines_of(&self, server: Server) -> Vec<Value> {
        let lines = entries(&self.file("access.log")).into_iter();
        let prefix = format!("/{}/", server.name());
        let of_server = |line: &Value| {
            let path = line["path"].as_str();
            path.is_some_and(|path| path.starts_with(&prefix))
        };
        lines.filter(of_server).collect()
    }

    /// Ends it.
    pub(super) fn leave(mut self) {
        let status = self.node.stop(START_MAX).expect("it stops");
        assert!(status.success(), "{status}\n{}", self.node.log());
    }

    pub(super) fn node_log(&self) -> String {
        self.node.log()
    }
}

fn configuration(servers: &[Server], at: &Path) -> String {
    let routes: String = servers.iter().map(|server| server.route()).collect();
    let pools: String = servers.iter().map(|server| server.pool(at)).collect();
    let first = servers[0].name();
    let at = at.display();
    format!(
        "listeners:
  plain:
    bind: [\"{BALANCER}:8080\"]
    http2: {{prior_knowledge: true}}
    pool: {first}
    routes:
{routes}  tls:
    bind: [\"{BALANCER}:8443\"]
    tls: {{certificates: {at}/tls}}
    pool: {first}
    routes:
{routes}pools:
{pools}access_log: {{to: {at}/access.log}}
proxy: {{threads: 2}}
"
    )
}

fn write_files(at: &Path) {
    write_certificate(at, &Authority::new());
    for directory in ["www", "www/small"] {
        fs::create_dir(at.join(directory)).expect("a directory");
    }
    let page = &large()[..LARGE_BYTES];
    fs::write(at.join("www/large.bin"), page).expect("a page");
}

/// Returns where Evenkeel listens.
pub(super) fn door(is_tls: bool) -> SocketAddr {
    let port = if is_tls { 8443 } else { 8080 };
    SocketAddr::new(BALANCER.parse().expect("an address"), port)
}

const BALANCER: &str = "10.81.0.1";
const SERVERS: &str = "10.81.0.2";
const CLIENT: &str = "10.81.0.9";
/// More than all buffers on the way.
const LARGE_BYTES: usize = 4 << 20;
const START_MAX: Duration = Duration::from_secs(20);
