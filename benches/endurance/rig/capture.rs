//! What passes on the link, with the kernel's time stamps: the witness of every experiment.
//!
//! A packet socket on a host that takes no part. The time is that at which the frame reached the
//! host's interface, in the context of whoever sent it, so it does not matter how late the capture
//! itself gets to run. Only IPv4 advertisements and ARP are kept.

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Socket, Type};

/// One frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Since the epoch, by the kernel.
    pub at: Duration,
    /// What it was.
    pub what: What,
}

/// What a frame was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An advertisement.
    Advertisement {
        source: Ipv4Addr,
        vrid: u8,
        priority: u8,
    },
    /// ARP that says who has an address.
    Claim(Ipv4Addr),
}

/// Everything that arrives at a host's eth0, until it is dropped.
pub(crate) struct Capture {
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Begins to listen on a host.
    pub(crate) fn start(host: &Host) -> Result<Self, LabError> {
        let socket = host.try_run("open a capture", open)?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (into, until) = (Arc::clone(&seen), Arc::clone(&over));
        let (ready, started) = sync_channel(1);
        let thread = host.thread("capture", move || {
            let _ = ready.send(());
            while !until.load(Ordering::Relaxed) {
                if let Some(frame) = receive(&socket) {
                    let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
                    if seen.len() < FRAMES_MAX {
                        seen.push(frame);
                    }
                }
            }
        })?;
        let _ = started.recv_timeout(PATIENCE);
        Ok(Self {
            seen,
            over,
            thread: Some(thread),
        })
    }

    /// Returns what was seen in a span of time; it waits until all of that has surely been read.
    pub(crate) fn trace(&self, from: Duration, to: Duration) -> Trace {
        std::thread::sleep((to + SETTLE).saturating_sub(now()));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let span = |frame: &&Seen| frame.at >= from && frame.at <= to;
        Trace(seen.iter().filter(span).copied().collect())
    }

    /// Waits for the first frame after `from` that is as hoped.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        from: Duration,
        within: Duration,
        hoped: impl Fn(&Seen) -> bool,
    ) -> Result<Seen, LabError> {
        let deadline = Instant::now() + within;
        let mut looked = 0;
        loop {
            {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let mut fresh = seen[looked..].iter();
                if let Some(found) = fresh.find(|frame| frame.at >= from && hoped(frame)) {
                    return Ok(*found);
                }
                looked = seen.len();
            }
            if Instant::now() >= deadline {
                return Err(LabError::Deadline {
                    what: what.to_owned(),
                    within,
                    seen: String::new(),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What was seen in some span, in order.
pub(crate) struct Trace(pub Vec<Seen>);

impl Trace {
    /// Returns when one router advertised for one virtual router, leaving out that it leaves.
    pub(crate) fn advertisements(&self, source: Ipv4Addr, vrid: u8) -> Vec<Duration> {
        let of = |seen: &&Seen| seen.what.is_active(source, vrid);
        self.0.iter().filter(of).map(|seen| seen.at).collect()
    }

    /// Returns who advertised, that it is Active, for a virtual router.
    pub(crate) fn advertisers(&self, vrid: u8) -> BTreeSet<Ipv4Addr> {
        let source = |seen: &Seen| match seen.what {
            What::Advertisement {
                source,
                vrid: of,
                priority,
            } if of == vrid && priority > 0 => Some(source),
            What::Advertisement { .. } | What::Claim(_) => None,
        };
        self.0.iter().filter_map(source).collect()
    }

    /// Returns how often the advertisements of a virtual router changed to this source from
    /// another, or began with it.
    pub(crate) fn turns(&self, source: Ipv4Addr, vrid: u8) -> u64 {
        let mut last = None;
        let mut turns = 0;
        for seen in &self.0 {
            let What::Advertisement {
                source: from,
                vrid: of,
                priority,
            } = seen.what
            else {
                continue;
            };
            if of == vrid && priority > 0 {
                turns += u64::from(from == source && last != Some(source));
                last = Some(from);
            }
        }
        turns
    }

    /// Returns when each address was first claimed.
    pub(crate) fn first_claims(&self) -> std::collections::BTreeMap<Ipv4Addr, Duration> {
        let mut first = std::collections::BTreeMap::new();
        for seen in &self.0 {
            if let What::Claim(address) = seen.what {
                first.entry(address).or_insert(seen.at);
            }
        }
        first
    }
}

impl What {
    /// Returns whether this router says that it is Active.
    pub(crate) fn is_active(&self, router: Ipv4Addr, id: u8) -> bool {
        match *self {
            Self::Advertisement {
                source,
                vrid,
                priority,
            } => source == router && vrid == id && priority > 0,
            Self::Claim(_) => false,
        }
    }

    /// Returns whether this router says that it leaves.
    pub(crate) fn is_leaving(&self, router: Ipv4Addr, id: u8) -> bool {
        let leaving = Self::Advertisement {
            source: router,
            vrid: id,
            priority: 0,
        };
        *self == leaving
    }
}

/// Returns the spans between instants, the shortest first.
pub(crate) fn gaps(instants: &[Duration]) -> Vec<Duration> {
    let span = |two: &[Duration]| two[1].saturating_sub(two[0]);
    let mut gaps: Vec<Duration> = instants.windows(2).map(span).collect();
    gaps.sort_unstable();
    gaps
}

/// Returns the longest span between instants; the ends of the watch count as instants, so that a
/// silence at its end, or the whole time long, is seen.
pub(crate) fn longest_gap(instants: &[Duration], from: Duration, to: Duration) -> Duration {
    let mut all = vec![from];
    all.extend(instants.iter().filter(|at| **at > from && **at < to));
    all.push(to);
    gaps(&all).last().copied().unwrap_or_default()
}

/// Returns the time of the clock that stamps frames.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from)
}

fn open() -> std::io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ALL_PROTOCOLS.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    socket.set_read_timeout(Some(TURN))?;
    Ok(socket)
}

fn receive(socket: &Socket) -> Option<Seen> {
    let mut buf = [0; FRAME_BYTES];
    let mut control = nix::cmsg_space!(TimeSpec);
    let (at, len) = {
        let mut parts = [IoSliceMut::new(&mut buf)];
        let flags = MsgFlags::empty();
        let received =
            recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        let mut stamp = None;
        for message in received.cmsgs().ok()? {
            if let ControlMessageOwned::ScmTimestampns(at) = message {
                stamp = Some(Duration::from(at));
            }
        }
        (stamp?, received.bytes)
    };
    Some(Seen {
        at,
        what: read(buf.get(..len)?)?,
    })
}

/// Reads what an Ethernet frame is.
fn read(frame: &[u8]) -> Option<What> {
    let address = |at: usize| {
        let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    match frame.get(12..14)? {
        [0x08, 0x06] => {
            let (sender, target) = (address(28)?, address(38)?);
            (sender == target).then_some(What::Claim(sender))
        }
        [0x08, 0x00] if *frame.get(23)? == VRRP => {
            let message = frame.get(14 + usize::from(frame.get(14)? & 0xf) * 4..)?;
            Some(What::Advertisement {
                source: address(26)?,
                vrid: *message.get(1)?,
                priority: *message.get(2)?,
            })
        }
        _ => None,
    }
}

const ALL_PROTOCOLS: u16 = 3;
const VRRP: u8 = 112;
/// The beginning of a frame is enough.
const FRAME_BYTES: usize = 128;
/// Some 50 s of the most that an experiment makes; what comes later is not seen.
const FRAMES_MAX: usize = 4_000_000;
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;
const TURN: Duration = Duration::from_millis(20);
/// For the capture to have read what the kernel has stamped, on a machine with 32 busy loops.
const SETTLE: Duration = Duration::from_millis(300);
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(5);
