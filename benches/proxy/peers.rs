//! The proxies as a careful administrator sets them up for speed, all before the same backend.
//!
//! For all: no access log, connections kept alive on both sides, the client's address handed on in
//! X-Forwarded-For, no health checks, one thread (or two). Everything else is the packages'
//! default, but for what a comment says.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use nix::sys::resource::{Resource, getrlimit};

use crate::load::secure::{Certified, certified};
use crate::measure::{Place, pin};
use crate::wire::Template;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The backend itself: how far generator and backend are from being what is measured.
    Direct,
    /// This program.
    Evenkeel,
    /// This program as it was, the binary that `EVENKEEL_BEFORE` names.
    Before,
    /// Debian's HAProxy.
    Haproxy,
    /// Debian's nginx.
    Nginx,
    /// Debian's Perlbal.
    Perlbal,
}

impl Kind {
    /// Everybody, in the order of the tables.
    pub(crate) const ALL: [Self; 6] = [
        Self::Direct,
        Self::Evenkeel,
        Self::Before,
        Self::Haproxy,
        Self::Nginx,
        Self::Perlbal,
    ];

    /// Returns its name in flags and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Evenkeel => "evenkeel",
            Self::Before => "before",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Perlbal => "perlbal",
        }
    }

    /// Returns where it listens.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Direct => BACKEND_PORT,
            Self::Evenkeel => 8001,
            Self::Haproxy => 8002,
            Self::Nginx => 8003,
            Self::Perlbal => 8004,
            Self::Before => 8005,
        }
    }

    /// Returns the program and Debian's package that has it, where it is not ours.
    pub(crate) const fn program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Direct | Self::Evenkeel | Self::Before => None,
            Self::Haproxy => Some(("/usr/sbin/haproxy", "haproxy")),
            Self::Nginx => Some(("/usr/sbin/nginx", "nginx-light")),
            Self::Perlbal => Some(("/usr/bin/perlbal", "perlbal")),
        }
    }
}

/// How proxies are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// How many threads they have.
    pub threads: Threads,
    /// What they look at before they pick the pool; the binary of before has none, and Perlbal
    /// neither.
    pub routes: Routes,
    /// Whether they speak TLS, with the same certificate.
    pub tls: bool,
    /// What connections are to them; nginx-light has requests alone, and so has Perlbal.
    pub carries: Carries,
    /// What the backend speaks.
    pub behind: Behind,
}

/// What a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Http1,
    /// HTTP/2 without TLS and without a question before it.
    Http2,
}

/// What connections carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    Requests,
    /// Whatever it is.
    Bytes,
    /// Requests of HTTP/2, without TLS and without a question before it.
    Streams,
}

/// Routes of which none is for the requests that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routes {
    /// None at all.
    None,
    /// A hundred, each for a host.
    Hosts,
    /// A hundred, each for the beginning of a path.
    Paths,
}

impl Routes {
    /// Returns a line for each, with its number in the place of `@`.
    fn lines(self, host: &str, path: &str) -> String {
        let line = match self {
            Self::None => return String::new(),
            Self::Hosts => host,
            Self::Paths => path,
        };
        let numbers = 0..100;
        numbers
            .map(|number: u32| line.replace('@', &number.to_string()))
            .collect()
    }
}

/// How many threads or workers a proxy has, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// One, on a core of its own.
    One,
    /// Two, wherever the scheduler puts them.
    Two,
}

impl Threads {
    const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Returns where the proxy's threads run.
    pub(crate) const fn proxy_place(self) -> Place {
        match self {
            Self::One => Place::ProxyCore,
            Self::Two => Place::Anywhere,
        }
    }

    /// Returns where generator and backend run.
    pub(crate) const fn load_place(self) -> Place {
        match self {
            Self::One => Place::LoadCore,
            Self::Two => Place::Anywhere,
        }
    }
}

/// A running proxy; it ends on drop.
pub(crate) struct Peer {
    /// Who it is.
    pub kind: Kind,
    running: Running,
}

enum Running {
    Nobody,
    /// With the directory of its certificates, and its configuration.
    Node(Box<Node>, ScratchDir, String),
    Process(
        Process,
        #[expect(dead_code, reason = "removed with the process")] ScratchDir,
    ),
}

impl Peer {
    /// Starts it on a host, and waits until it answers a request.
    pub(crate) fn start(
        host: &Host,
        kind: Kind,
        setting: Setting,
        backends: &[u16],
    ) -> Result<Self, LabError> {
        let place = setting.threads.proxy_place();
        // What the host's thread starts inherits where it runs.
        host.run(move || pin(place))?;
        let running = match kind {
            Kind::Direct => Running::Nobody,
            Kind::Evenkeel | Kind::Before => {
                let (node, scratch, yaml) = evenkeel(host, kind, setting, backends)?;
                Running::Node(Box::new(node), scratch, yaml)
            }
            Kind::Haproxy => debian(host, kind, &haproxy(setting, backends), &["-db", "-f"])?,
            Kind::Nginx => debian(host, kind, &nginx(setting, backends), &["-c"])?,
            Kind::Perlbal => debian(host, kind, &perlbal(backends), &["-c"])?,
        };
        let mut peer = Self { kind, running };
        let asks = !setting.tls && setting.carries != Carries::Streams;
        peer.wait_until_it_answers(host, asks)?;
        Ok(peer)
    }

    /// Returns its processes.
    pub(crate) fn pids(&mut self) -> Result<Vec<u32>, LabError> {
        match &mut self.running {
            Running::Nobody => Ok(Vec::new()),
            Running::Node(node, ..) => node.process().family(),
            Running::Process(process, _) => process.family(),
        }
    }

    /// Returns what it printed.
    pub(crate) fn log(&self) -> String {
        match &self.running {
            Running::Nobody => String::new(),
            Running::Node(node, ..) => node.log(),
            Running::Process(process, _) => process.log(),
        }
    }

    /// Has our own follow its configuration as it is changed here; it is given the directory of its
    /// certificates. Others stay as they are.
    pub(crate) fn reload(
        &mut self,
        change: impl FnOnce(&str, &Path) -> String,
    ) -> Result<(), LabError> {
        match &mut self.running {
            Running::Nobody | Running::Process(..) => Ok(()),
            Running::Node(node, scratch, yaml) => node.reload(&change(yaml, scratch.path())),
        }
    }

    /// Puts another certificate in the place of our own.
    pub(crate) fn replace_certificate(&self, certificate: &str, key: &str) -> Result<(), LabError> {
        let Running::Node(_, scratch, _) = &self.running else {
            return Ok(());
        };
        for (name, text) in [("chain.crt", certificate), ("chain.key", key)] {
            let (aside, path) = (scratch.path().join("aside"), scratch.path().join(name));
            let written = fs::write(&aside, text).and_then(|()| fs::rename(&aside, path));
            written.map_err(LabError::system("write a certificate"))?;
        }
        Ok(())
    }

    /// Waits until somebody listens there.
    pub(crate) fn wait_until_it_listens(&mut self, host: &Host, port: u16) -> Result<(), LabError> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        self.wait_for("a listener", || {
            host.run(move || listens(address).unwrap_or(false))
        })
    }

    fn check_runs(&mut self) -> Result<(), LabError> {
        match &mut self.running {
            Running::Nobody => Ok(()),
            Running::Node(node, ..) => node.process().check_runs(),
            Running::Process(process, _) => process.check_runs(),
        }
    }

    fn wait_until_it_answers(&mut self, host: &Host, asks: bool) -> Result<(), LabError> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.kind.port()));
        let asks = if asks { answers } else { listens };
        self.wait_for("the first answer", || {
            host.run(move || asks(address).unwrap_or(false))
        })
    }

    fn wait_for(
        &mut self,
        what: &str,
        is_so: impl Fn() -> Result<bool, LabError>,
    ) -> Result<(), LabError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if is_so()? {
                return Ok(());
            }
            self.check_runs()?;
            if Instant::now() >= deadline {
                return Err(LabError::Deadline {
                    what: format!("{what} of {}", self.kind.name()),
                    within: START_TIMEOUT,
                    seen: format!("; its log:\n{}", self.log()),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Asks once; listening alone says nothing, since sockets may be open before those who serve on
/// them.
fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    stream.write_all(Template::new(64, 0, true).with(1))?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(start.ends_with(b" 200"))
}

/// Connects; the first requests of a round ask whether TLS is spoken.
fn listens(address: SocketAddr) -> std::io::Result<bool> {
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(|_| true)
}

/// Returns the binary of before, where one is named.
pub(crate) fn before() -> Option<PathBuf> {
    std::env::var_os("EVENKEEL_BEFORE").map(PathBuf::from)
}

/// Returns the packages that are missing for these.
pub(crate) fn missing_packages(kinds: &[Kind]) -> Vec<&'static str> {
    let programs = kinds.iter().filter_map(|kind| kind.program());
    programs
        .filter(|(path, _)| !Path::new(path).exists())
        .map(|(_, package)| package)
        .collect()
}

fn debian(host: &Host, kind: Kind, config: &str, flags: &[&str]) -> Result<Running, LabError> {
    let scratch = ScratchDir::new()?;
    let directory = scratch.path().display().to_string();
    let path = scratch.path().join("config");
    fs::write(&path, config.replace("@DIR@", &directory))
        .map_err(LabError::system("write a configuration"))?;
    write_certificate(scratch.path())?;
    let Some((program, _)) = kind.program() else {
        return Ok(Running::Nobody);
    };
    let mut command = Command::new(program);
    command.args(flags).arg(path).env("TMPDIR", &directory);
    Ok(Running::Process(host.spawn(command)?, scratch))
}

/// Writes the certificate as every proxy wants it: with its key, and in two files.
fn write_certificate(into: &Path) -> Result<(), LabError> {
    let Certified {
        certificate, key, ..
    } = certified();
    for (name, text) in [
        ("both.pem", format!("{certificate}{key}")),
        ("chain.crt", certificate.clone()),
        ("chain.key", key.clone()),
    ] {
        let written = fs::write(into.join(name), text);
        written.map_err(LabError::system("write a certificate"))?;
    }
    Ok(())
}

/// Starts our own, which has an idle time of its own between requests in later versions.
fn evenkeel(
    host: &Host,
    kind: Kind,
    setting: Setting,
    backends: &[u16],
) -> Result<(Node, ScratchDir, String), LabError> {
    let binary = match (kind, before()) {
        (Kind::Before, Some(binary)) => binary,
        (_, _) => PathBuf::from(env!("CARGO_BIN_EXE_evenkeel")),
    };
    let binary = binary.as_path();
    let scratch = ScratchDir::new()?;
    write_certificate(scratch.path())?;
    let tls = match setting.tls {
        true => {
            let at = scratch.path().display();
            format!(
                ", tls: {{certificates: [{{certificate: {at}/chain.crt, key: {at}/chain.key}}]}}"
            )
        }
        false => String::new(),
    };
    let yaml = |timeouts| evenkeel_yaml(kind, setting, backends, timeouts, &tls);
    let newer = yaml(match setting.carries {
        Carries::Requests | Carries::Streams => "request_head: 10m, keep_alive: 10m",
        Carries::Bytes => "tunnel: 10m",
    });
    let older = yaml("request_head: 10m");
    let path = scratch.path().join("evenkeel.yaml");
    fs::write(&path, &newer).map_err(LabError::system("write a configuration"))?;
    let checked = Command::new(binary)
        .arg("check")
        .arg("--config")
        .arg(&path)
        .args(["--node", "bench"])
        .output();
    let knows = checked
        .map_err(LabError::system("run evenkeel check"))?
        .status
        .success();
    let yaml = if knows { newer } else { older };
    let node = Node::start(host, &yaml, "bench", binary)?;
    Ok((node, scratch, yaml))
}

fn evenkeel_yaml(
    kind: Kind,
    setting: Setting,
    backends: &[u16],
    timeouts: &str,
    tls: &str,
) -> String {
    let Setting {
        threads,
        routes,
        carries,
        behind,
        ..
    } = setting;
    let routes = match kind {
        Kind::Before => String::new(),
        Kind::Direct | Kind::Evenkeel | Kind::Haproxy | Kind::Nginx | Kind::Perlbal => routes
            .lines(
                "{host: h@.example.net, pool: bench}, ",
                "{path: /section@/, pool: bench}, ",
            ),
    };
    let routes = match routes.as_str() {
        "" => routes,
        list => format!(", routes: [{list}]"),
    };
    let mode = match carries {
        Carries::Requests => "",
        Carries::Bytes => ", mode: tcp",
        // By TLS it is agreed upon.
        Carries::Streams if setting.tls => "",
        Carries::Streams => ", http2: {prior_knowledge: true}",
    };
    let protocol = match behind {
        Behind::Http1 => "",
        Behind::Http2 => ", protocol: h2c",
    };
    let named = |port: &u16| format!("b{port}: \"127.0.0.1:{port}\"");
    let list: Vec<String> = backends.iter().map(named).collect();
    format!(
        "listeners:
  bench: {{bind: [\"0.0.0.0:{}\"], pool: bench, timeouts: {{{timeouts}}}{mode}{routes}{tls}}}
pools:
  bench: {{backends: {{{}}}, health_check: none{protocol}}}
proxy: {{threads: {}}}
",
        kind.port(),
        list.join(", "),
        threads.count()
    )
}

/// How many descriptors a process may have here: HAProxy would not start
/// where that is less than it could need, which is twice its clients.
fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(_, hard)| hard)
}

/// The pool ratios keep HAProxy from closing idle server connections when many clients hold
/// descriptors.
fn haproxy(setting: Setting, backends: &[u16]) -> String {
    let Setting {
        threads,
        routes,
        tls,
        carries,
        behind,
    } = setting;
    let tls = match tls {
        true if carries == Carries::Streams => " ssl crt @DIR@/both.pem alpn h2",
        true => " ssl crt @DIR@/both.pem ssl-min-ver TLSv1.2",
        false if carries == Carries::Streams => " proto h2",
        false => "",
    };
    let mode = match carries {
        Carries::Requests | Carries::Streams => {
            "http
  option http-keep-alive
  option forwardfor
  http-reuse always"
        }
        // With `option splice-auto` it takes more.
        Carries::Bytes => "tcp",
    };
    let routes = routes.lines(
        "  use_backend bench if { req.hdr(host) -i h@.example.net }\n",
        "  use_backend bench if { path_beg /section@/ }\n",
    );
    let protocol = match behind {
        Behind::Http1 => "",
        Behind::Http2 => " proto h2",
    };
    let lines: String = backends
        .iter()
        .map(|port| format!("  server b{port} 127.0.0.1:{port}{protocol}\n"))
        .collect();
    format!(
        "global
  nbthread {}
  maxconn 12000
  ulimit-n {}
  no strict-limits
  tune.pool-low-fd-ratio 100
  tune.pool-high-fd-ratio 100
defaults
  mode {mode}
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  timeout http-keep-alive 10m
frontend bench
  bind 0.0.0.0:{}{tls}
{routes}  default_backend bench
backend bench
  default-server pool-max-conn -1 pool-purge-delay 10m
{lines}",
        threads.count(),
        descriptors(),
        Kind::Haproxy.port()
    )
}

/// Returns what nginx has behind `listen`, and the lines beside it, where it speaks TLS or HTTP/2.
const fn nginx_layers(tls: bool, carries: Carries) -> (&'static str, &'static str) {
    match (tls, carries) {
        (true, _) => (
            match carries {
                Carries::Streams => " ssl http2",
                Carries::Requests | Carries::Bytes => " ssl",
            },
            "    ssl_certificate @DIR@/chain.crt;\n    ssl_certificate_key @DIR@/chain.key;\n    \
             ssl_protocols TLSv1.2 TLSv1.3;\n",
        ),
        (false, Carries::Streams) => (" http2", ""),
        (false, Carries::Requests | Carries::Bytes) => ("", ""),
    }
}

/// Bodies stay in memory: its defaults would write a 64 KiB upload, and a 1 MiB response, to a
/// file.
fn nginx(setting: Setting, backends: &[u16]) -> String {
    let Setting {
        threads,
        routes,
        tls,
        carries,
        behind,
    } = setting;
    let (tls, certificate) = nginx_layers(tls, carries);
    let names = match routes {
        Routes::Hosts => routes.lines(" h@.example.net", ""),
        Routes::None | Routes::Paths => String::new(),
    };
    let hosts = match names.as_str() {
        "" => names,
        names => format!(
            "  server {{\n    listen 0.0.0.0:{};\n    server_name{names};\n    return 404;\n  }}\n",
            Kind::Nginx.port()
        ),
    };
    let onward = match behind {
        Behind::Http1 => NGINX_HTTP1,
        Behind::Http2 => NGINX_HTTP2,
    };
    let paths = match routes {
        Routes::Paths => routes.lines("", "    location /section@/ { proxy_pass http://bench; }\n"),
        Routes::None | Routes::Hosts => String::new(),
    };
    let lines: String = backends
        .iter()
        .map(|port| format!("    server 127.0.0.1:{port};\n"))
        .collect();
    format!(
        "daemon off;
worker_processes {};
worker_rlimit_nofile 20000;
pid @DIR@/pid;
error_log stderr crit;
events {{
  worker_connections 15000;
  multi_accept on;
}}
http {{
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 128k;
  proxy_max_temp_file_size 0;
  client_body_temp_path @DIR@/body;
  proxy_temp_path @DIR@/proxy;
  fastcgi_temp_path @DIR@/fastcgi;
  uwsgi_temp_path @DIR@/uwsgi;
  scgi_temp_path @DIR@/scgi;
  upstream bench {{
{lines}    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 0.0.0.0:{} backlog=4096 default_server{tls};
{certificate}{paths}    location / {{
{onward}    }}
  }}
{hosts}}}
",
        threads.count(),
        Kind::Nginx.port()
    )
}

const NGINX_HTTP1: &str = "      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
";
/// Of all that nginx has, this alone speaks HTTP/2 to backends.
const NGINX_HTTP2: &str = "      grpc_pass grpc://bench;
      grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
";

/// One process whatever is asked for. Its default keeps two idle connections to all backends
/// together.
fn perlbal(backends: &[u16]) -> String {
    let lines: String = backends
        .iter()
        .map(|port| format!("POOL farm ADD 127.0.0.1:{port}\n"))
        .collect();
    format!(
        "SERVER aio_mode = none
CREATE POOL farm
{lines}CREATE SERVICE bench
SET listen = 0.0.0.0:{}
SET role = reverse_proxy
SET pool = farm
SET persist_client = on
SET persist_backend = on
SET backend_persist_cache = 64
SET verify_backend = off
ENABLE bench
",
        Kind::Perlbal.port()
    )
}

/// Where the backend listens.
pub(crate) const BACKEND_PORT: u16 = 9000;
const START_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
