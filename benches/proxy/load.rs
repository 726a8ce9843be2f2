//! The load generator: one thread on epoll, closed loop or open loop, that believes no answer
//! before it has looked.
//!
//! In the open loop requests are due by the clock whatever the proxy does, and latency counts from
//! the moment a request was due, also where no connection was free to send it: nothing is omitted
//! because the proxy was slow.

mod frames;
pub(crate) mod multiplexed;
pub(crate) mod secure;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use self::secure::Secure;
use crate::conn::{Conn, Failure, Turn};
use crate::histogram::Histogram;
use crate::measure::{Place, pin};
use crate::wire::Template;

/// What the generator is to do.
#[derive(Clone)]
pub(crate) struct Plan {
    /// Where the proxy listens.
    pub port: u16,
    /// Connections that are busy.
    pub busy: usize,
    /// Connections that make one request and are idle from then on.
    pub idle: usize,
    /// When the busy ones send.
    pub pace: Pace,
    /// What they send.
    pub template: Template,
    /// Whether a connection serves one request only.
    pub reuse: Reuse,
    /// Where the generator runs.
    pub place: Place,
    /// How TLS is spoken, where it is.
    pub secure: Option<Secure>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Each connection sends as soon as it has its answer.
    Closed,
    /// So many a second, by the clock.
    Open {
        /// Requests a second.
        rate: f64,
    },
}

/// What becomes of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It is used again.
    KeepAlive,
    /// The proxy closes it, and a new one is opened.
    Close,
}

/// What a generator has seen while it measured.
pub(crate) struct Seen {
    /// The latencies of what was answered.
    pub latencies: Histogram,
    /// What went wrong, from the first connection to the last, and how often.
    pub failures: BTreeMap<Failure, u64>,
}

/// A running generator; it stops on drop.
pub(crate) struct Generator {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Option<Seen>>>,
}

/// What the generator and who measures tell each other.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) measuring: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) answered: AtomicU64,
    pub(crate) idle: AtomicU64,
}

impl Generator {
    /// Starts it on a host.
    pub(crate) fn start(host: &Host, plan: Plan) -> Result<Self, LabError> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        // Host::thread gives no value back, so the thread in the namespace starts this one.
        let thread = host.try_run("start the generator", move || {
            std::thread::Builder::new()
                .name(THREAD.into())
                .spawn(move || {
                    pin(plan.place);
                    let run = match plan.secure {
                        Some(secure) => secure::run(&plan, secure, &told),
                        None => Driver::new(plan, told).and_then(Driver::run),
                    };
                    match run {
                        Ok(seen) => Some(seen),
                        Err(error) => {
                            eprintln!("the load generator ended: {error}");
                            None
                        }
                    }
                })
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Begins to take latencies.
    pub(crate) fn measure(&self) {
        self.shared.measuring.store(true, Relaxed);
    }

    /// Returns the number of requests answered rightly so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Relaxed)
    }

    /// Returns the number of connections that are idle as planned.
    pub(crate) fn idle(&self) -> usize {
        self.shared.idle.load(Relaxed) as usize
    }

    /// Stops it; `None` where it had died.
    pub(crate) fn stop(mut self) -> Option<Seen> {
        self.shared.stop.store(true, Relaxed);
        self.thread
            .take()
            .and_then(|thread| thread.join().ok().flatten())
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Driver {
    plan: Plan,
    shared: Arc<Shared>,
    epoll: Epoll,
    _timer: Option<TimerFd>,
    conns: Vec<Conn>,
    /// Busy connections without a request, in the open loop.
    free: Vec<usize>,
    /// The next idle connection to be opened.
    next_idle: usize,
    token: u64,
    /// How many requests the clock has asked for so far.
    due: u64,
    began: Instant,
    seen: Seen,
    scratch: Vec<u8>,
}

impl Driver {
    fn new(plan: Plan, shared: Arc<Shared>) -> std::io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = match plan.pace {
            Pace::Closed => None,
            Pace::Open { rate } => Some(ticking(&epoll, rate)?),
        };
        let count = plan.busy + plan.idle;
        Ok(Self {
            shared,
            epoll,
            _timer: timer,
            conns: (0..count).map(|_| Conn::closed()).collect(),
            free: Vec::new(),
            next_idle: plan.busy,
            token: fastrand::u64(..) << 32,
            due: 0,
            began: Instant::now(),
            seen: Seen {
                latencies: Histogram::new(),
                failures: BTreeMap::new(),
            },
            scratch: vec![0; SCRATCH_BYTES],
            plan,
        })
    }

    fn run(mut self) -> std::io::Result<Seen> {
        for _ in 0..OPENING_AT_ONCE.min(self.plan.idle) {
            self.open_next_idle();
        }
        let mut started = false;
        let mut events = vec![EpollEvent::empty(); EVENTS];
        while !self.shared.stop.load(Relaxed) {
            if !started && self.shared.idle.load(Relaxed) as usize == self.plan.idle {
                started = true;
                self.began = Instant::now();
                self.start_busy();
            }
            let count = match self.epoll.wait(&mut events, STOP_POLL_MS) {
                Ok(count) => count,
                Err(nix::Error::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                if event.data() != TIMER {
                    self.handle(event.data());
                }
            }
            if started {
                self.send_what_is_due();
            }
            if self.seen.failures.values().sum::<u64>() > FAILURES_MAX {
                break;
            }
        }
        let now = Instant::now();
        let stalled = |conn: &&Conn| conn.waits_since().is_some_and(|since| now - since > STALL);
        let stalled = self.conns.iter().filter(stalled).count() as u64;
        if stalled > 0 {
            self.seen.failures.insert(Failure::Stalled, stalled);
        }
        Ok(self.seen)
    }

    fn start_busy(&mut self) {
        for index in 0..self.plan.busy {
            match self.plan.pace {
                Pace::Closed => self.send(index, Instant::now()),
                Pace::Open { .. } => self.free.push(index),
            }
        }
    }

    fn open_next_idle(&mut self) {
        if self.next_idle < self.conns.len() {
            let index = self.next_idle;
            self.next_idle += 1;
            self.send(index, Instant::now());
        }
    }

    /// In the open loop, sends every request whose time has come while a connection is free.
    fn send_what_is_due(&mut self) {
        let Pace::Open { rate } = self.plan.pace else {
            return;
        };
        loop {
            let at = self.began + Duration::from_secs_f64(self.due as f64 / rate);
            if at > Instant::now() {
                return;
            }
            let Some(index) = self.free.pop() else {
                return;
            };
            self.due += 1;
            self.send(index, at);
        }
    }

    /// Sends the next request on a connection, which is opened where it is not; it was due at
    /// `due_at`.
    fn send(&mut self, index: usize, due_at: Instant) {
        self.token += 1;
        let token = self.token;
        let conn = &mut self.conns[index];
        let result = conn.send(
            &self.epoll,
            index,
            self.plan.port,
            (&mut self.plan.template, token),
            due_at,
        );
        if let Err(failure) = result {
            self.fail(index, failure);
        }
    }

    fn handle(&mut self, data: u64) {
        let index = (data & 0xffff_ffff) as usize;
        if self.conns[index].generation() != (data >> 32) as u32 {
            return;
        }
        match self.conns[index].turn(&self.epoll, data, &mut self.scratch, self.plan.reuse) {
            Ok(Turn::Waits) => {}
            Ok(Turn::Answered { due_at }) => {
                self.count(due_at);
                self.go_on(index);
            }
            Ok(Turn::AnsweredThenOpen { due_at }) => self.count(due_at),
            Ok(Turn::Closed) => self.go_on(index),
            Err(failure) => self.fail(index, failure),
        }
    }

    fn count(&mut self, due_at: Instant) {
        let answered = self.shared.answered.load(Relaxed) + 1;
        self.shared.answered.store(answered, Relaxed);
        if self.shared.measuring.load(Relaxed) {
            self.seen.latencies.add(due_at.elapsed().as_nanos() as u64);
        }
    }

    /// What a connection does when its request is over.
    fn go_on(&mut self, index: usize) {
        if index >= self.plan.busy {
            self.shared.idle.fetch_add(1, Relaxed);
            return self.open_next_idle();
        }
        match self.plan.pace {
            Pace::Closed => self.send(index, Instant::now()),
            Pace::Open { .. } => self.free.push(index),
        }
    }

    fn fail(&mut self, index: usize, failure: Failure) {
        *self.seen.failures.entry(failure).or_default() += 1;
        let was_idle = failure == Failure::IdleClosed;
        self.conns[index].close();
        if index >= self.plan.busy {
            // Tried once: an idle connection that cannot be had is missing in the count, and seen
            // there.
            if was_idle {
                self.shared.idle.fetch_sub(1, Relaxed);
            } else {
                self.open_next_idle();
            }
        } else if self.seen.failures.values().sum::<u64>() <= FAILURES_MAX {
            // By way of the clock, never at once: a proxy that refuses would be asked in an endless
            // recursion.
            match self.plan.pace {
                Pace::Closed => self.retry_later(index),
                // One that was free is in the list already.
                Pace::Open { .. } if was_idle => {}
                Pace::Open { .. } => self.free.push(index),
            }
        }
    }

    /// Opens the connection without a request; when it is there the request follows.
    fn retry_later(&mut self, index: usize) {
        if let Err(failure) = self.conns[index].open(&self.epoll, index, self.plan.port) {
            *self.seen.failures.entry(failure).or_default() += 1;
        }
    }
}

/// A timer that wakes the loop at every beat; edge-triggered, so that nobody has to read it.
fn ticking(epoll: &Epoll, rate: f64) -> std::io::Result<TimerFd> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
    let every = TimeSpec::nanoseconds((1e9 / rate) as i64);
    timer.set(Expiration::Interval(every), TimerSetTimeFlags::empty())?;
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(&timer, EpollEvent::new(flags, TIMER))?;
    Ok(timer)
}

/// The name of the generator's thread.
pub(crate) const THREAD: &str = "bench-load";
const TIMER: u64 = u64::MAX;
const EVENTS: usize = 256;
const SCRATCH_BYTES: usize = 256 << 10;
const STOP_POLL_MS: u16 = 50;
/// So many idle connections are being opened at a time.
const OPENING_AT_ONCE: usize = 64;
/// After so many the round is over: something is broken, and more of it says nothing more.
const FAILURES_MAX: u64 = 10_000;
/// A request without its answer for so long, at the end of a round, has failed.
const STALL: Duration = Duration::from_secs(2);
