//! The site of the soak: what our own has beside its first listener, one door for each way to come,
//! and the pools behind them; and how a client comes in.
//!
//! Others than our own have their first listener alone.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use super::Notes;
use super::backends::{ECHO_PORTS, PORTS, STREAM_PORTS};
use super::message::PATIENCE;
use super::wire::{Wire, secure};

/// A listener.
pub(super) struct Door {
    name: &'static str,
    port: u16,
    layer: Layer,
    before: Before,
    pub(super) pool: Pool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// Whoever wants to speak HTTP/2 begins with it.
    Plain,
    Tls,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A header of the PROXY protocol, of either version.
    ProxyHeader,
}

/// Who is behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Backends of HTTP/1.1.
    Bench,
    /// Backends of HTTP/2.
    Streams,
    /// Those of HTTP/1.1, who are asked when a body is there to its end.
    Kept,
    /// Those of HTTP/2, likewise.
    KeptStreams,
    /// Those that say what they hear.
    Echo,
}

impl Pool {
    const fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Streams => "streams",
            Self::Kept => "kept",
            Self::KeptStreams => "kept_streams",
            Self::Echo => "echo",
        }
    }

    /// Returns whether its backends are those of HTTP/1.1.
    pub(super) fn is_http1(self) -> bool {
        matches!(self, Self::Bench | Self::Kept)
    }

    /// Returns whether its backends are those of HTTP/2, who know gRPC.
    pub(super) fn is_http2(self) -> bool {
        matches!(self, Self::Streams | Self::KeptStreams)
    }

    /// Returns its line; the first one of our own is there without it.
    fn line(self) -> String {
        let list = |ports: &[u16]| {
            let backend = |port: &u16| format!("b{port}: \"127.0.0.1:{port}\"");
            ports.iter().map(backend).collect::<Vec<_>>().join(", ")
        };
        let (backends, more) = match self {
            Self::Bench => return String::new(),
            Self::Streams => (list(&STREAM_PORTS), ", protocol: h2c"),
            Self::Kept => (list(&PORTS), KEPT),
            Self::KeptStreams => (list(&STREAM_PORTS), KEPT_STREAMS),
            Self::Echo => (list(&ECHO_PORTS), ""),
        };
        format!(
            "  {}: {{backends: {{{backends}}}, health_check: none{more}}}\n",
            self.name()
        )
    }
}

impl Door {
    const fn new(name: &'static str, port: u16, layer: Layer, before: Before, pool: Pool) -> Self {
        Self {
            name,
            port,
            layer,
            before,
            pool,
        }
    }

    fn line(&self, certificates: &Path, idle_s: u32) -> String {
        let at = certificates.display();
        let (timeout, mode) = match self.pool {
            Pool::Echo => ("tunnel", ", mode: tcp"),
            Pool::Bench | Pool::Streams | Pool::Kept | Pool::KeptStreams => ("idle", ""),
        };
        let layer = match self.layer {
            Layer::Plain if self.pool == Pool::Echo => String::new(),
            Layer::Plain => ", http2: {prior_knowledge: true}".to_owned(),
            Layer::Tls => format!(
                ", tls: {{certificates: [{{certificate: {at}/chain.crt, key: {at}/chain.key}}]}}"
            ),
        };
        let before = match self.before {
            Before::Nothing => "",
            Before::ProxyHeader => ", proxy_protocol: {from: [127.0.0.0/8]}",
        };
        format!(
            "  {}: {{bind: [\"0.0.0.0:{}\"], pool: {}, timeouts: {{{timeout}: {idle_s}s}}\
             {mode}{layer}{before}}}\n",
            self.name,
            self.port,
            self.pool.name()
        )
    }
}

/// Returns a configuration with all doors, another one each time.
pub(super) fn configuration(first: &str, certificates: &Path, number: u32) -> String {
    let doors = DOORS
        .iter()
        .map(|door| door.line(certificates, 60 + number % 2));
    let pools = [Pool::Streams, Pool::Kept, Pool::KeptStreams, Pool::Echo];
    let pools: String = pools.into_iter().map(Pool::line).collect();
    let more = format!("{}pools:\n{pools}", doors.collect::<String>());
    first.replace("pools:\n", &more)
}

/// Returns where our own listens beside its first port.
pub(super) fn ports() -> impl Iterator<Item = u16> {
    DOORS.iter().map(|door| door.port)
}

/// The ways in that a client knows.
#[derive(Clone)]
pub(super) struct Ways {
    /// The first listener of any proxy.
    pub(super) port: u16,
    /// How it shakes hands, where there are doors: each client has tickets of its own.
    pub(super) config: Option<Arc<ClientConfig>>,
}

/// A connection that was let in.
pub(super) struct Entry {
    pub(super) wire: Wire,
    /// Who a header of the PROXY protocol said that it is.
    pub(super) told: Option<IpAddr>,
}

impl Ways {
    /// Returns the same ways for one who speaks HTTP/2, and says so where TLS is spoken.
    pub(super) fn by_http2(self) -> Self {
        let speak = |config: Arc<ClientConfig>| {
            let mut config = ClientConfig::clone(&config);
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        };
        Self {
            port: self.port,
            config: self.config.map(speak),
        }
    }

    /// Returns a door that fits, by TLS half of the time; `None` is the first listener.
    pub(super) fn pick(
        &self,
        chance: &mut fastrand::Rng,
        fits: impl Fn(&Door) -> bool,
    ) -> Option<&'static Door> {
        self.config.as_ref()?;
        let layer = if chance.bool() {
            Layer::Tls
        } else {
            Layer::Plain
        };
        let fit = |door: &&Door| door.layer == layer && fits(door);
        chance.choice(DOORS.iter().filter(fit).collect::<Vec<_>>())
    }

    /// Comes in by a door.
    pub(super) fn open(
        &self,
        door: Option<&Door>,
        chance: &mut fastrand::Rng,
        notes: &mut Notes,
    ) -> io::Result<Entry> {
        notes.at = door.map_or("bench", |door| door.name);
        let host = Ipv4Addr::new(127, 0, 0, chance.u8(1..100));
        let port = door.map_or(self.port, |door| door.port);
        let mut socket = TcpStream::connect_timeout(&(host, port).into(), PATIENCE)?;
        let told = match door.map(|door| door.before) {
            Some(Before::ProxyHeader) => Some(tell(&mut socket, chance)?),
            Some(Before::Nothing) | None => None,
        };
        let is_secure = door.is_some_and(|door| door.layer == Layer::Tls);
        let wire = match self.config.as_ref().filter(|_| is_secure) {
            None => Wire::Plain(socket),
            Some(config) => secured(config, socket, notes)?,
        };
        Ok(Entry { wire, told })
    }
}

/// Shakes hands; nothing that goes on excuses one that fails.
fn secured(config: &Arc<ClientConfig>, socket: TcpStream, notes: &Notes) -> io::Result<Wire> {
    match secure(config, socket, PATIENCE) {
        Ok((wire, is_resumed)) => {
            notes.note(if is_resumed { "resumed" } else { "shook hands" });
            Ok(wire)
        }
        Err(error) => {
            notes.wrong("handshake", error.to_string().as_bytes());
            Err(error)
        }
    }
}

/// Says whose the connection is, and returns it.
fn tell(socket: &mut TcpStream, chance: &mut fastrand::Rng) -> io::Result<IpAddr> {
    let client = Ipv4Addr::new(198, 51, 100, chance.u8(..));
    let mut second = VERSION_2.to_vec();
    let header = match chance.u8(..4) {
        // LOCAL: it is the sender's own.
        0 => {
            second.extend([0x20, 0, 0, 0]);
            socket.write_all(&second)?;
            return Ok(socket.local_addr()?.ip());
        }
        1 => {
            second.extend([0x21, 0x11, 0, 12]);
            second.extend(client.octets());
            second.extend([192, 0, 2, 1, 0x13, 0x88, 0, 80]);
            second
        }
        _ => format!("PROXY TCP4 {client} 192.0.2.1 5000 80\r\n").into_bytes(),
    };
    // Somewhere it may be torn.
    let (start, rest) = header.split_at(chance.usize(..header.len()));
    socket.write_all(start)?;
    socket.write_all(rest)?;
    Ok(client.into())
}

/// All but the first.
const DOORS: [Door; 10] = [
    Door::new("secure", 8101, Layer::Tls, Before::Nothing, Pool::Bench),
    Door::new("known", 8102, Layer::Plain, Before::Nothing, Pool::Bench),
    Door::new("onward", 8103, Layer::Plain, Before::Nothing, Pool::Streams),
    Door::new("private", 8104, Layer::Tls, Before::Nothing, Pool::Streams),
    Door::new("told", 8105, Layer::Plain, Before::ProxyHeader, Pool::Bench),
    Door::new("both", 8106, Layer::Tls, Before::ProxyHeader, Pool::Bench),
    Door::new("kept", 8107, Layer::Plain, Before::Nothing, Pool::Kept),
    Door::new(
        "keeps",
        8108,
        Layer::Tls,
        Before::Nothing,
        Pool::KeptStreams,
    ),
    Door::new("bytes", 8109, Layer::Plain, Before::Nothing, Pool::Echo),
    Door::new("cipher", 8110, Layer::Tls, Before::Nothing, Pool::Echo),
];
const KEPT: &str = ", buffer_requests: {memory: 64KiB, disk: 100MiB}";
const KEPT_STREAMS: &str = ", protocol: h2c, buffer_requests: {memory: 64KiB, disk: 100MiB}";
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
