//! What is spoken in front crossed with what is spoken behind, in each of four stories: all goes
//! well; the answer comes before the request is whole; the backend dies in the middle; the client
//! leaves in the middle.
//!
//! Clients are curl, Debian's grpcio, websockets and h2; servers are nginx, Apache, grpcio and
//! websockets. In each cell the client must see what is hoped, the access log must say it, and
//! nothing may be left with a backend.

mod site;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::lab::process::Process;
use site::{Server, Site, Software, door};

use super::https::site::NAME;
use super::program::{self, CURL};
use super::site::wait_until;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Http1,
    Http2,
    Grpc,
    WebSocket1,
    WebSocket2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Success,
    Early,
    Dying,
    Leaving,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    client: Client,
    story: Story,
    /// Behind it; before it there is TLS where there is TLS behind.
    server: Server,
}

/// What became of a cell.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What the client saw.
    seen: String,
    /// How the last line of the access log says that it ended, and by whom.
    logged: String,
}

#[test]
fn every_crossing_ends_as_it_should() {
    let cells = cells();
    let mut servers: Vec<Server> = Vec::new();
    for server in cells.iter().flat_map(|cell| cell.needed()) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    let mut site = Site::build(&servers);
    let mut table = format!(
        "{:<15} {:<12} {:<8} {:<35} {:<30} {:>5}\n",
        "client", "backend", "story", "the client saw", "the access log said", "ms"
    );
    let mut failures = 0;
    for cell in &cells {
        let began = Instant::now();
        let (outcome, hoped) = (cell.live(&mut site), cell.hoped());
        let is_as_hoped = outcome == hoped && cell.is_whole(&site);
        failures += usize::from(!is_as_hoped);
        let _ = writeln!(
            table,
            "{:<15} {:<12} {:<8} {:<35} {:<30} {:>5}{}",
            cell.client.name(cell.server.is_tls),
            cell.server.name(),
            cell.story.name(),
            outcome.seen,
            outcome.logged,
            began.elapsed().as_millis(),
            if is_as_hoped {
                String::new()
            } else {
                format!("   FAILED, hoped for {hoped:?}")
            }
        );
    }
    println!("{table}");
    assert_eq!(failures, 0, "{table}\n{}", site.node_log());
    site.leave();
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for client in CLIENTS {
        for is_tls in [false, true] {
            for is_http2 in [false, true] {
                let software = client.software();
                let server = Server {
                    software,
                    is_http2,
                    is_tls,
                };
                if client.has_servers(is_http2) {
                    let cell = |story| Cell {
                        client,
                        story,
                        server,
                    };
                    cells.extend(STORIES.map(cell));
                }
            }
        }
    }
    cells
}

impl Cell {
    /// Returns the servers that it needs.
    fn needed(self) -> Vec<Server> {
        let mut needed = vec![self.server];
        if self.server.software == Software::Nginx {
            needed.push(self.apache());
        }
        needed
    }

    /// Returns the Apache that speaks the same.
    fn apache(self) -> Server {
        Server {
            software: Software::Apache,
            ..self.server
        }
    }

    fn live(self, site: &mut Site) -> Outcome {
        let (lines, before) = (
            site.lines_of(self.server).len(),
            site.server_log(self.server),
        );
        let mut commands = self.clients(site);
        let last = commands.pop().expect("there is one");
        let before_it = commands
            .into_iter()
            .map(|command| self.seen_by(site.spawn(command)));
        let mut seen: Vec<String> = before_it.collect();
        let mut client = site.spawn(last);
        match self.story {
            Story::Success | Story::Early => {}
            Story::Dying | Story::Leaving => self.wait_until_begun(site, &mut client),
        }
        match self.story {
            Story::Success | Story::Early => {}
            Story::Dying => site.kill(self.server),
            Story::Leaving => drop(client.kill().expect("it runs")),
        }
        seen.push(match self.story {
            Story::Leaving => "-".to_owned(),
            Story::Success | Story::Early | Story::Dying => self.seen_by(client),
        });
        wait_until("nothing is in flight", PATIENCE, || {
            site.in_flight() == Some(0)
        });
        wait_until("it is logged", PATIENCE, || {
            site.lines_of(self.server).len() >= lines + self.requests()
        });
        let log = site.lines_of(self.server);
        let last = log.last().expect("there is one");
        let word = |key: &str| last[key].as_str().unwrap_or("-").to_owned();
        let logged = format!(
            "{} {} {}",
            last["status"],
            word("termination"),
            word("ended_by")
        );
        match self.story {
            Story::Success | Story::Early => {}
            Story::Dying => site.revive(self.server),
            Story::Leaving => self.wait_until_left(site, &before),
        }
        let seen = seen.join(", ");
        Outcome { seen, logged }
    }

    /// Returns its clients, one after the other.
    fn clients(self, site: &Site) -> Vec<Command> {
        let script = |kind: &str| {
            let (door, is_tls) = (door(self.server.is_tls).to_string(), self.server.is_tls);
            let (name, prefix) = (self.story.name(), self.server.name());
            let arguments = [kind, name, &door, &prefix, NAME].map(str::to_owned);
            let mut arguments = arguments.to_vec();
            arguments.extend(is_tls.then(|| site.file("ca.pem").display().to_string()));
            vec![program::python_command("crossing/client.py", &arguments)]
        };
        match (self.client, self.story) {
            // That curl calls an answer that comes early an error, whoever serves.
            (Client::Http2, Story::Early) => script("http-2"),
            (Client::Http1 | Client::Http2, _) => self.curls(site),
            (Client::Grpc, _) => script("grpc"),
            (Client::WebSocket1, _) => script("websocket-1"),
            (Client::WebSocket2, _) => script("websocket-2"),
        }
    }

    /// Returns its transfers, each of its own curl: that of Debian 12 does not go on with a plain
    /// HTTP/2 connection after an upload, whoever serves.
    fn curls(self, site: &Site) -> Vec<Command> {
        let is_tls = self.server.is_tls;
        let scheme = if is_tls { "https" } else { "http" };
        let (door, prefix) = (door(is_tls), self.server.name());
        let base = format!("{scheme}://{NAME}:{}/", door.port());
        let version = match (self.client, is_tls) {
            (Client::Http2, true) => "--http2",
            (Client::Http2, false) => "--http2-prior-knowledge",
            (Client::Http1 | Client::Grpc | Client::WebSocket1 | Client::WebSocket2, _) => {
                "--http1.1"
            }
        };
        let resolved = format!("{NAME}:{}:{}", door.port(), door.ip());
        let path = |name: &str| site.file(name).display().to_string();
        let ca = path("ca.pem");
        let (got, sent, other) = (path("got"), path("www/large.bin"), path("other"));
        let _ = fs::remove_file(&got);
        let one = |more: &[&str], path: &str| {
            let mut command = CURL.command();
            command.args(["-sS", "-N", "--max-time", "20", version]);
            command.args(["-w", "= %{http_code}\n", "--cacert", &ca]);
            command.args(["--resolve", &resolved]);
            command.args(more).arg(format!("{base}{path}"));
            command
        };
        match self.story {
            // An upload, and a download of either server's.
            Story::Success => vec![
                one(&["-T", &sent], &format!("{prefix}/{}", self.put())),
                one(
                    &["-o", &other],
                    &format!("{}/large.bin", self.apache().name()),
                ),
                one(&["-o", &got], &format!("{prefix}/large.bin")),
            ],
            Story::Early => vec![one(
                &["-H", "Expect:", "-T", &sent, "-o", &got],
                &format!("{prefix}/small/file"),
            )],
            Story::Dying | Story::Leaving => {
                vec![one(&["-o", &got], &format!("{prefix}/slow/large.bin"))]
            }
        }
    }

    /// Returns the path of what it uploads.
    fn put(self) -> String {
        let (client, server) = (self.client.name(self.server.is_tls), self.server.name());
        format!("put/{}/{server}", client.replace([' ', '/'], "-"))
    }

    fn wait_until_begun(self, site: &Site, client: &mut Process) {
        let is_curl = matches!(self.client, Client::Http1 | Client::Http2);
        wait_until(&format!("{self:?} begins"), PATIENCE, || match is_curl {
            true => fs::metadata(site.file("got")).is_ok_and(|got| got.len() > 0),
            false => client.log().contains("begun\n"),
        });
    }

    /// A server that says so has seen that its client left.
    fn wait_until_left(self, site: &Site, before: &str) {
        if matches!(self.client, Client::Http1 | Client::Http2) {
            return;
        }
        wait_until(&format!("{self:?} is left"), PATIENCE, || {
            let log = site.server_log(self.server);
            log.matches("left\n").count() > before.matches("left\n").count()
        });
    }

    /// Returns what the client says at its end.
    fn seen_by(self, mut client: Process) -> String {
        let ended = client.wait(PATIENCE);
        let status = ended.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        let log = client.log();
        let said = log.lines().find_map(|line| line.strip_prefix("= "));
        // What is said besides is a complaint.
        let said = said.unwrap_or(&log).trim_end();
        match status.code() {
            Some(0) => said.to_owned(),
            code => format!("{said} exit {}", code.unwrap_or(-1)),
        }
    }

    /// Returns whether what came and what was sent is whole.
    fn is_whole(self, site: &Site) -> bool {
        let is_curl = matches!(self.client, Client::Http1 | Client::Http2);
        if !is_curl || self.story != Story::Success {
            return true;
        }
        let sent = fs::read(site.file("www/large.bin")).expect("it is there");
        let put = format!("www/{}", self.put());
        let names = ["got", "other", &put];
        names
            .iter()
            .all(|name| fs::read(site.file(name)).is_ok_and(|it| it == sent))
    }

    /// Returns of how many requests the access log has lines.
    const fn requests(self) -> usize {
        match (self.client, self.story) {
            (Client::Grpc, Story::Success) => 6,
            // The upload, and the download.
            (Client::Http1 | Client::Http2, Story::Success) => 2,
            (Client::WebSocket1 | Client::WebSocket2, Story::Success)
            | (_, Story::Early | Story::Dying | Story::Leaving) => 1,
        }
    }

    fn hoped(self) -> Outcome {
        use {Client as C, Story as S};
        let (seen, logged) = match (self.client, self.story) {
            (C::Http1 | C::Http2, S::Success) => ("201, 200, 200", "200 complete -"),
            (C::Http1, S::Early) => ("413", "413 complete -"),
            (C::Http2, S::Early) => ("status 413, end of stream, reset 0", "413 complete -"),
            (C::Http1, S::Dying) => ("200 exit 18", "200 response_truncated backend"),
            (C::Http2, S::Dying) => ("200 exit 92", "200 response_truncated backend"),
            // The call that lasted longer than its deadline is the last.
            (C::Grpc, S::Success) => ("OK NOT_FOUND DEADLINE_EXCEEDED", "200 client_gone client"),
            (C::Grpc, S::Early) => ("RESOURCE_EXHAUSTED", "200 complete -"),
            (C::Grpc, S::Dying) => ("INTERNAL", "200 response_truncated backend"),
            (C::Http1 | C::Http2 | C::Grpc, S::Leaving) => ("-", "200 client_gone client"),
            (C::WebSocket1, S::Success) => ("closed 1000", "101 complete backend"),
            (C::WebSocket2, S::Success) => ("closed 1000, end of stream", "101 complete backend"),
            (C::WebSocket1 | C::WebSocket2, S::Early) => ("status 403", "403 complete -"),
            // A tunnel that one side closed has come to its end.
            (C::WebSocket1, S::Dying) => ("closed 1006", "101 complete backend"),
            (C::WebSocket2, S::Dying) => ("end of stream", "101 complete backend"),
            (C::WebSocket1 | C::WebSocket2, S::Leaving) => ("-", "101 complete client"),
        };
        Outcome {
            seen: seen.to_owned(),
            logged: logged.to_owned(),
        }
    }
}

impl Client {
    fn name(self, is_tls: bool) -> String {
        let name = match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
            Self::Grpc => "gRPC",
            Self::WebSocket1 => "WebSocket/1",
            Self::WebSocket2 => "WebSocket/2",
        };
        format!("{name}{}", if is_tls { " TLS" } else { "" })
    }

    const fn software(self) -> Software {
        match self {
            Self::Http1 | Self::Http2 => Software::Nginx,
            Self::Grpc => Software::Grpc,
            Self::WebSocket1 | Self::WebSocket2 => Software::WebSocket,
        }
    }

    /// Returns whether Debian has a server for it.
    const fn has_servers(self, is_http2: bool) -> bool {
        match self {
            Self::Http1 | Self::Http2 => true,
            Self::Grpc => is_http2,
            Self::WebSocket1 | Self::WebSocket2 => !is_http2,
        }
    }
}

impl Story {
    const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Early => "early",
            Self::Dying => "dying",
            Self::Leaving => "leaving",
        }
    }
}

const CLIENTS: [Client; 5] = [
    Client::Http1,
    Client::Http2,
    Client::Grpc,
    Client::WebSocket1,
    Client::WebSocket2,
];
const STORIES: [Story; 4] = [Story::Success, Story::Early, Story::Dying, Story::Leaving];
const PATIENCE: Duration = Duration::from_secs(20);
