//! Where the cases are played: a proxy with one worker, and for each case a listener, a pool and a
//! backend of its own.
//!
//! The same cases are played in three situations: nothing else goes on, the worker is busy with
//! downloads at full speed, and the proxy drains. A case sends the beginning of its request, and
//! goes on once the drain has begun where there is one. What the client sees, what the log says and
//! what the counters count is required of each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::config::{AccessLogConfig, AccessLogTarget, Format, ListenerConfig, PoolConfig};
use evenkeel::process::proxy::Drained;
use serde_json::Value;

use super::full::Full;
use crate::common::{Backend, Message, PATIENCE, Visit, Wire, poll, wait_until};
use crate::rig::{GET, OK, Rig, setup};

/// The timeout that a case is about; all others are far away.
pub(super) const T: Duration = Duration::from_millis(400);
/// What the manual says that a timeout may be late.
pub(super) const LATE: Duration = Duration::from_millis(350);
/// What a machine may add to it that has more to do than this, where it is not measured.
pub(super) const SLACK: Duration = Duration::from_millis(1500);

/// Returns so many tenths of a time.
pub(super) fn tenths(of: Duration, count: u32) -> Duration {
    of * count / 10
}

/// On which side of its bound the traffic of a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Outside,
}

/// What goes on besides the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    Calm,
    Busy,
    Stopping,
}

/// Who answers, or does not.
#[derive(Clone)]
pub(super) enum Behind {
    Script(Arc<dyn Fn(Visit) + Send + Sync>),
    /// Accepts nothing for so long.
    Full(Duration),
}

/// One kind of traffic on one side of one bound.
#[derive(Clone)]
pub(super) struct Case {
    /// As the manual's tables name it.
    pub bound: &'static str,
    pub side: Side,
    pub name: String,
    /// Whether it can be in flight while the proxy drains.
    pub at_a_stop: bool,
    pub tune: fn(&mut ListenerConfig, &mut PoolConfig),
    pub behind: Behind,
    pub run: Arc<dyn Fn(&Stage) + Send + Sync>,
}

impl Case {
    pub(super) fn new(
        (bound, side): (&'static str, Side),
        name: impl Into<String>,
        tune: fn(&mut ListenerConfig, &mut PoolConfig),
        script: impl Fn(Visit) + Send + Sync + 'static,
        run: impl Fn(&Stage) + Send + Sync + 'static,
    ) -> Self {
        Self {
            bound,
            side,
            name: format!("{bound}, {side:?}: {}", name.into()),
            at_a_stop: true,
            tune,
            behind: Behind::Script(Arc::new(script)),
            run: Arc::new(run),
        }
    }

    /// Says that its connection is idle for a while, and would be closed in the drain.
    pub(super) fn never_at_a_stop(mut self) -> Self {
        self.at_a_stop = false;
        self
    }

    pub(super) fn behind(mut self, behind: Behind) -> Self {
        self.behind = behind;
        self
    }
}

/// The proxy of some cases.
struct World {
    rig: Rig,
    lines: Arc<Mutex<Vec<Value>>>,
    drain: Mutex<Option<JoinHandle<Drained>>>,
    late: Mutex<Vec<Duration>>,
    metronome: Metronome,
    situation: Situation,
}

/// What a case sees of its world.
pub(super) struct Stage {
    world: Arc<World>,
    index: usize,
    pub address: SocketAddr,
}

/// Plays all cases at once, in one situation after the other; returns how late their timeouts were.
pub(super) fn play(cases: &[Case], situation: Situation) -> Vec<Duration> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    match situation {
        Situation::Calm | Situation::Busy => play_in_one(cases, situation),
        // A drain belongs to one case: it begins when the request is in flight.
        Situation::Stopping => {
            let cases = cases.iter().filter(|case| case.at_a_stop);
            let next = Mutex::new(cases);
            let play_some = || {
                let mut late = Vec::new();
                // The lock is let go before the case is played.
                while let Some(case) = { next.lock().unwrap().next() } {
                    late.extend(play_in_one(std::slice::from_ref(case), situation));
                }
                late
            };
            std::thread::scope(|scope| {
                let some: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(play_some)).collect();
                let late: Vec<_> = some.into_iter().map(|one| one.join()).collect();
                late.into_iter().flat_map(|late| late.unwrap()).collect()
            })
        }
    }
}

fn play_in_one(cases: &[Case], situation: Situation) -> Vec<Duration> {
    let all: Vec<Played> = cases.iter().map(Played::new).collect();
    let load = Backend::scripted(endless);
    let world = Arc::new(start(cases, &all, &load, situation));
    let lines = Arc::clone(&world.lines);
    let (reader, writer) = std::io::pipe().unwrap();
    world.rig.proxy.set_access_log(writer.into());
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap();
            lines.lock().unwrap().push(line);
        }
    });
    let binds = world.rig.proxy.status().0;
    let address = |index: usize| binds[index].binds[0];
    let busy = (situation == Situation::Busy).then(|| Load::start(address(cases.len())));
    for full in all.iter().filter_map(|played| played.full.as_ref()) {
        full.begin();
    }
    let failed = std::thread::scope(|scope| {
        let each = cases.iter().enumerate().map(|(index, case)| {
            let stage = Stage {
                world: Arc::clone(&world),
                index,
                address: address(index),
            };
            (
                case,
                scope.spawn(move || {
                    (case.run)(&stage);
                    stage.require_all_given_back();
                }),
            )
        });
        let each: Vec<_> = each.collect();
        let failed = each
            .into_iter()
            .filter_map(|(case, one)| one.join().is_err().then_some(case.name.as_str()));
        failed.collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "{situation:?}: {failed:#?}");
    drop(busy);
    if let Some(drain) = world.drain.lock().unwrap().take() {
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    }
    let late = world.late.lock().unwrap();
    late.clone()
}

/// What answers a case, for as long as it is played.
struct Played {
    backend: Option<Backend>,
    full: Option<Full>,
}

impl Played {
    fn new(case: &Case) -> Self {
        match &case.behind {
            Behind::Script(script) => {
                let script = Arc::clone(script);
                Self {
                    backend: Some(Backend::scripted(move |visit| script(visit))),
                    full: None,
                }
            }
            Behind::Full(within) => Self {
                backend: None,
                full: Some(Full::new(*within)),
            },
        }
    }

    fn address(&self) -> SocketAddr {
        let backend = self.backend.as_ref().map(|backend| backend.address);
        backend.unwrap_or_else(|| self.full.as_ref().unwrap().address)
    }
}

fn start(cases: &[Case], all: &[Played], load: &Backend, situation: Situation) -> World {
    let mut whole = setup(&[load.address]);
    let (mut listeners, mut pools) = (Vec::new(), Vec::new());
    for (index, (case, played)) in cases.iter().zip(all).enumerate() {
        let config = setup(&[played.address()]).config;
        let [mut listener] = <[_; 1]>::try_from(config.listeners).unwrap();
        let [mut pool] = <[_; 1]>::try_from(config.pools).unwrap();
        (case.tune)(&mut listener, &mut pool);
        listener.name = index.to_string();
        pool.name = index.to_string();
        listener.pool = Some(index.to_string());
        listeners.push(listener);
        pools.push(pool);
    }
    listeners.append(&mut whole.config.listeners);
    pools.append(&mut whole.config.pools);
    whole.config.listeners = listeners;
    whole.config.pools = pools;
    whole.config.access_log = Some(AccessLogConfig {
        to: AccessLogTarget::StandardOutput,
        format: Format::parse("json").unwrap(),
    });
    World {
        rig: whole.start(),
        lines: Arc::default(),
        drain: Mutex::default(),
        late: Mutex::default(),
        metronome: Metronome::start(),
        situation,
    }
}

impl Stage {
    pub(super) fn client(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// Returns a connection that has carried a request.
    pub(super) fn kept(&self) -> Wire {
        let mut client = self.client();
        assert_eq!(client.ask(&GET.replacen('/', FIRST, 1)).status(), 200);
        client
    }

    /// Sends the same beginning on a fresh and on a kept connection, goes on with both at once, and
    /// requires that nothing is left of them; `then` is also told when the beginning was sent, at
    /// the latest.
    pub(super) fn each(&self, begin: impl AsRef<[u8]>, then: impl Fn(&mut Wire, Instant) + Sync) {
        let mut clients = [self.kept(), self.client()];
        let since = Instant::now();
        for client in &mut clients {
            client.send(begin.as_ref());
        }
        self.is_in_flight();
        std::thread::scope(|scope| {
            for mut client in clients {
                let then = &then;
                scope.spawn(move || then(&mut client, since));
            }
        });
    }

    /// Begins the drain where this is about one.
    pub(super) fn is_in_flight(&self) {
        if self.world.situation != Situation::Stopping {
            return;
        }
        let mut drain = self.world.drain.lock().unwrap();
        let world = Arc::clone(&self.world);
        drain.get_or_insert_with(|| std::thread::spawn(move || world.rig.drain(PATIENCE)));
        wait_until("the socket is closed", || {
            TcpStream::connect(self.address).is_err()
        });
    }

    /// Requires that a timeout that began after `since` has just passed.
    pub(super) fn require_timeout(&self, since: Instant, within: Duration) {
        let lasted = since.elapsed();
        assert!(
            lasted >= within,
            "it ended after {lasted:?}, before its time"
        );
        let late = lasted - within;
        let held_up = self.world.metronome.held_up();
        assert!(
            late <= LATE + Duration::from_millis(500) + held_up,
            "it is {late:?} late, on a machine that was held up for {held_up:?}"
        );
        self.world.late.lock().unwrap().push(late);
    }

    /// Requires what the log says of the last request of a connection.
    pub(super) fn require_logged(&self, client: &Wire, hoped: &Value) {
        let port = client.stream.local_addr().unwrap().port();
        // Others have the same port towards another listener.
        let name = self.index.to_string();
        let of_it = |line: &&Value| {
            line["listener"] == name && line["client_port"] == port && line["path"] != FIRST
        };
        let line = poll("the request is logged", || {
            let lines = self.world.lines.lock().unwrap();
            lines.iter().find(of_it).cloned()
        });
        for (field, value) in hoped.as_object().unwrap() {
            assert_eq!(&line[field], value, "{field} of {line}");
        }
    }

    /// Requires that nothing is logged but requests for the first path.
    pub(super) fn require_nothing_logged(&self) {
        let lines = self.world.lines.lock().unwrap();
        let name = self.index.to_string();
        let line = lines
            .iter()
            .find(|line| line["listener"] == name && line["path"] != FIRST);
        assert!(line.is_none(), "{line:?}");
    }

    /// Returns the open client connections.
    pub(super) fn connections(&self) -> u64 {
        self.world.rig.proxy.status().0[self.index].connections
    }

    /// Returns the requests that backends have now, and those that wait for one.
    pub(super) fn requests(&self) -> (u64, u64) {
        let pool = self.world.rig.proxy.status().1.remove(self.index);
        let active = pool.backends.iter().map(|backend| backend.active_requests);
        (active.sum(), pool.queued_requests)
    }

    fn require_all_given_back(&self) {
        wait_until("connections, room and places are given back", || {
            self.connections() == 0 && self.requests() == (0, 0)
        });
    }
}

/// Sends pieces, one at the end of each span from `since`.
pub(super) fn drip<P: AsRef<[u8]>>(
    to: &mut TcpStream,
    since: Instant,
    every: Duration,
    pieces: impl IntoIterator<Item = P>,
) {
    let mut next_at = since;
    for piece in pieces {
        next_at += every;
        std::thread::sleep(next_at.saturating_duration_since(Instant::now()));
        to.write_all(piece.as_ref())
            .expect("the peer still takes bytes");
    }
}

/// Answers the first requests of connections, and hands over all others.
pub(super) fn serve(mut visit: Visit, act: impl Fn(&mut Visit, Message)) {
    while let Some(request) = visit.request() {
        if request.line().contains(FIRST) {
            visit.wire.send(OK);
        } else {
            act(&mut visit, request);
        }
    }
}

/// Answers everything with the body that came, or with `ok`.
pub(super) fn echo(visit: Visit) {
    serve(visit, |visit, request| {
        let body = match request.text() {
            text if text.is_empty() => "ok".to_owned(),
            text => text,
        };
        let length = body.len();
        visit.wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    });
}

/// Measures what the machine does not give to a thread that hardly wants anything.
struct Metronome {
    held_up_us: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Metronome {
    fn start() -> Self {
        let (held_up_us, stop): (Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let (sum, end) = (Arc::clone(&held_up_us), Arc::clone(&stop));
        std::thread::spawn(move || {
            const TICK: Duration = Duration::from_millis(10);
            while !end.load(SeqCst) {
                let began_at = Instant::now();
                std::thread::sleep(TICK);
                // What a sleep takes longer anyway is less than half of it.
                let over = began_at.elapsed().saturating_sub(TICK + TICK / 2);
                sum.fetch_add(u64::try_from(over.as_micros()).unwrap(), SeqCst);
            }
        });
        Self { held_up_us, stop }
    }

    fn held_up(&self) -> Duration {
        Duration::from_micros(self.held_up_us.load(SeqCst))
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

/// Downloads at full speed, by clients that do nothing else.
struct Load {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<u64>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let read = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Wire::connect(address);
                client.send(GET);
                let (mut buffer, mut bytes) = (vec![0; 256 * 1024], 0);
                while !stop.load(SeqCst) {
                    match client.stream.read(&mut buffer) {
                        Ok(count @ 1..) => bytes += count as u64,
                        end => panic!("a download has ended: {end:?}"),
                    }
                }
                bytes
            })
        };
        let readers = (0..DOWNLOADS).map(read).collect();
        Self { stop, readers }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for reader in self.readers.drain(..) {
            let bytes = reader.join().expect("no download is cut");
            assert!(bytes > 1_000_000, "only {bytes} bytes of a download came");
        }
    }
}

fn endless(mut visit: Visit) {
    visit.request();
    visit
        .wire
        .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
    let piece = vec![b'x'; 256 * 1024];
    while visit.wire.stream.write_all(&piece).is_ok() {}
}

/// What is asked before the request that a case is about.
const FIRST: &str = "/first";
const DOWNLOADS: usize = 20;
/// Proxies that drain at once.
const AT_ONCE: usize = 24;
