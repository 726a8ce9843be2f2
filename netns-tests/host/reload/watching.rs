//! What looks on while a configuration changes: at an address, and at advertisements.

use super::*;

/// Looks all the time whether an address is on the host: whether a socket can be bound to it.
pub(super) struct Watched {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Watched {
    pub(super) fn new(namespace: &Namespace, address: IpAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = namespace.run(move || {
            std::thread::spawn(move || {
                let (mut absences, mut was_there) = (0, true);
                while !until.load(Ordering::Relaxed) {
                    let is_there = std::net::UdpSocket::bind((address, 0)).is_ok();
                    absences += usize::from(was_there && !is_there);
                    was_there = is_there;
                    std::thread::sleep(Duration::from_micros(200));
                }
                absences
            })
        });
        Self { stop, thread }
    }

    /// Returns how often it went away.
    pub(super) fn absences(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Hears the advertisements of all routers of a link.
pub(super) struct Listener {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Duration, Duration)>,
}

impl Listener {
    /// Those up to this VRID.
    pub(super) fn start(namespace: &Namespace, vrid_max: u8) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = namespace.run(move || {
            let key = SocketKey {
                interface: "eth0".into(),
                ifindex: nix::net::if_::if_nametoindex("eth0").unwrap(),
                family: Family::Ipv4,
            };
            let socket = VrrpSocket::open(key).unwrap();
            std::thread::spawn(move || listen(&socket, vrid_max, &until))
        });
        Self { stop, thread }
    }

    /// Returns the longest and the shortest time between two of one router.
    pub(super) fn end(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn listen(socket: &VrrpSocket, vrid_max: u8, until: &AtomicBool) -> (Duration, Duration) {
    let mut buf = vec![0; RECEIVE_BYTES];
    let mut last: BTreeMap<u8, Instant> = BTreeMap::new();
    let (mut longest, mut shortest) = (Duration::ZERO, Duration::MAX);
    while !until.load(Ordering::Relaxed) {
        match socket.receive(&mut buf).unwrap() {
            Some(Packet::Message { message, .. }) => {
                let now = Instant::now();
                if let Some(before) = last.insert(message[1], now)
                    && message[1] <= vrid_max
                {
                    longest = longest.max(now - before);
                    shortest = shortest.min(now - before);
                }
            }
            Some(Packet::Malformed { .. }) => {}
            None => std::thread::sleep(Duration::from_micros(200)),
        }
    }
    (longest, shortest)
}
