//! The system side of the vrrp process against the real kernel: sockets, addresses as leases, silence, adoption.
//!
//! Each test makes its own network namespaces on threads of its own, joined by a veth pair, and runs the protocol
//! loop in them with a supervisor that is only a queue. Needs root, or a user namespace's.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command as Program;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::config::{ConfigErrors, VirtualRouterConfig};
use evenkeel::ipc::control::RouterStatus;
use evenkeel::ipc::message::{ActiveRole, FromVrrp, SocketKey, ToVrrp};
use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::{AdverInterval, Family, Fitness, Priority, RouterName, VirtualAddress, Vrid};
use evenkeel::process::vrrp::host::{Answer, Command, Event, Host, Leftovers, RouterSpec, What};
use evenkeel::process::vrrp::run::{Error, serve};
use evenkeel::process::vrrp::socket::VrrpSocket;
use evenkeel::process::vrrp::{Received, Sent, Supervisor};

mod cases;

const VIRTUAL_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));
const VIRTUAL_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100));
const VIRTUAL_LINK_LOCAL: IpAddr =
    IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x112, 0x33));
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];
const LEASE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// The virtual routers `web/ipv4` and `web/ipv6` with an interval of 100 ms.
fn routers(priority: u8) -> Vec<VirtualRouterConfig> {
    FAMILIES
        .map(|family| VirtualRouterConfig {
            name: RouterName {
                entry: "web".into(),
                family,
            },
            interface: "eth0".into(),
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority).unwrap(),
            addresses: addresses(family),
            advertisement_interval: AdverInterval::from_centiseconds(10).unwrap(),
            preempt: Preempt::Always,
            lease: LEASE,
        })
        .into()
}

fn addresses(family: Family) -> Vec<VirtualAddress> {
    match family {
        Family::Ipv4 => vec![VirtualAddress {
            address: VIRTUAL_V4,
            prefix_len: 24,
        }],
        Family::Ipv6 => vec![
            VirtualAddress {
                address: VIRTUAL_LINK_LOCAL,
                prefix_len: 64,
            },
            VirtualAddress {
                address: VIRTUAL_V6,
                prefix_len: 64,
            },
        ],
    }
}

/// The text of the "configuration" of these tests is the priority.
fn read_config(text: &str, _node: &str) -> Result<Vec<VirtualRouterConfig>, ConfigErrors> {
    Ok(routers(text.parse().unwrap()))
}

fn specs(leftovers: Leftovers) -> Vec<RouterSpec> {
    FAMILIES
        .map(|family| RouterSpec {
            interface: "eth0".into(),
            addresses: addresses(family).into(),
            leftovers,
        })
        .into()
}

fn command(router: usize, generation: u64, what: What) -> Command {
    Command {
        router,
        generation,
        not_after: Instant::now() + PATIENCE,
        what,
    }
}

fn wait_for_event(host: &Host, wanted: impl Fn(&Event) -> bool) {
    wait("an event of the host thread", || {
        std::iter::from_fn(|| host.event()).any(|event| {
            assert!(
                !matches!(event, Event::ApplyFailed(..) | Event::Ended(_)),
                "{event:?}"
            );
            wanted(&event)
        })
    });
}

fn wait(what: &str, mut arrived: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !arrived() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Two namespaces, `eth0` of one joined to `eth0` of the other.
struct Pair {
    one: Namespace,
    two: Namespace,
}

impl Pair {
    fn new() -> Self {
        let pair = Self {
            one: Namespace::new(),
            two: Namespace::new(),
        };
        pair.join();
        pair
    }

    fn join(&self) {
        let other = self.two.thread_id.to_string();
        self.one.ip(&[
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &other,
        ]);
        for (namespace, number) in [(&self.one, 1), (&self.two, 2)] {
            namespace.ip(&[
                "addr",
                "add",
                &format!("192.0.2.{number}/24"),
                "dev",
                "eth0",
            ]);
            let global = format!("2001:db8::{number}/64");
            namespace.ip(&["addr", "add", &global, "dev", "eth0", "nodad"]);
            namespace.ip(&[
                "addr",
                "add",
                &format!("fe80::{number}/64"),
                "dev",
                "eth0",
                "nodad",
            ]);
            namespace.ip(&["link", "set", "eth0", "up"]);
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own, which does jobs.
struct Namespace {
    thread_id: i32,
    jobs: Sender<Job>,
}

impl Namespace {
    fn new() -> Self {
        let (jobs, todo) = channel::<Job>();
        let (report, ready) = channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            report.send(nix::unistd::gettid().as_raw()).unwrap();
            while let Ok(job) = todo.recv() {
                job();
            }
        });
        let namespace = Self {
            thread_id: ready.recv().unwrap(),
            jobs,
        };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (report, done) = channel();
        self.jobs
            .send(Box::new(move || report.send(job()).unwrap()))
            .unwrap();
        done.recv_timeout(PATIENCE).expect("the job ends")
    }

    fn ip(&self, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        self.run(move || {
            let output = Program::new("ip").args(&arguments).output().unwrap();
            let complaint = String::from_utf8_lossy(&output.stderr);
            let tolerated = arguments[0] == "neigh";
            assert!(
                output.status.success() || tolerated,
                "ip {arguments:?}: {complaint}"
            );
            String::from_utf8(output.stdout).unwrap()
        })
    }

    fn has(&self, address: IpAddr) -> bool {
        let shown = self.ip(&["-o", "addr", "show"]);
        shown.contains(&format!(" {address}/32 ")) || shown.contains(&format!(" {address}/128 "))
    }

    fn wait_for_address(&self, address: IpAddr, present: bool) {
        wait(&format!("{address}, present: {present}"), || {
            self.has(address) == present
        });
    }

    /// Connects to a port where nobody listens and returns the errno.
    fn knock(&self, address: IpAddr) -> Option<i32> {
        self.run(move || {
            let to = SocketAddr::new(address, 9);
            let error = TcpStream::connect_timeout(&to, Duration::from_millis(300)).unwrap_err();
            match error.kind() {
                io::ErrorKind::ConnectionRefused => Some(libc::ECONNREFUSED),
                _ => error.raw_os_error(),
            }
        })
    }

    /// Waits until the address answers, if only with a refusal.
    fn wait_for_refusal(&self, address: IpAddr) {
        wait(&format!("{address} to answer"), || {
            self.knock(address) == Some(libc::ECONNREFUSED)
        });
    }
}

/// The protocol loop in a namespace.
struct Daemon {
    to: Sender<(ToVrrp, Vec<OwnedFd>)>,
    wake: UnixStream,
    said: Receiver<(FromVrrp, Vec<OwnedFd>)>,
    heard: std::cell::RefCell<Vec<(FromVrrp, Vec<OwnedFd>)>>,
    freeze: Sender<Receiver<()>>,
    thaw: Option<Sender<()>>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Daemon {
    fn start(namespace: &Namespace, priority: u8) -> Self {
        Self::start_after(namespace, priority, None, Vec::new())
    }

    fn start_after(
        namespace: &Namespace,
        priority: u8,
        kept: Option<(Vec<SocketKey>, Vec<OwnedFd>)>,
        adopt: Vec<ActiveRole>,
    ) -> Self {
        let (to, inbox) = channel();
        let (outbox, said) = channel();
        let (wake, woken) = UnixStream::pair().unwrap();
        woken.set_nonblocking(true).unwrap();
        let (freeze, freezing) = channel();
        let supervisor = Queue {
            inbox,
            outbox,
            woken,
            freezing,
        };
        let thread =
            namespace.run(move || std::thread::spawn(move || serve(supervisor, read_config)));
        let heard = std::cell::RefCell::default();
        let daemon = Self {
            to,
            wake,
            said,
            heard,
            freeze,
            thaw: None,
            thread,
        };
        if let Some((keys, descriptors)) = kept {
            daemon.send(ToVrrp::KeptSockets(keys), descriptors);
        }
        let (yaml, node) = (priority.to_string(), String::new());
        daemon.say(ToVrrp::Configure { yaml, node, adopt });
        let fitness = Fitness::Ready(Priority::new(priority).unwrap());
        daemon.say(ToVrrp::Fitness {
            entry: "web".into(),
            fitness,
        });
        daemon
    }

    fn say(&self, message: ToVrrp) {
        self.send(message, Vec::new());
    }

    fn send(&self, message: ToVrrp, descriptors: Vec<OwnedFd>) {
        self.to.send((message, descriptors)).unwrap();
        (&self.wake).write_all(&[1]).unwrap();
    }

    fn status(&self) -> Vec<RouterStatus> {
        let id = self.heard.borrow().len() as u64;
        self.say(ToVrrp::ReportStatus { id });
        let mut found = None;
        wait("the status", || {
            self.listen();
            found = self
                .heard
                .borrow()
                .iter()
                .find_map(|(message, _)| match message {
                    FromVrrp::Status {
                        id: answered,
                        routers,
                    } if *answered == id => Some(routers.clone()),
                    _ => None,
                });
            found.is_some()
        });
        found.unwrap()
    }

    fn wait_for(&self, family: Family, state: &str) {
        wait(&format!("{family} to be {state}"), || {
            self.status()
                .iter()
                .any(|router| router.name.family == family && router.state == state)
        });
    }

    fn wait_for_beat(&self, roles: usize) {
        wait("a beat", || self.roles().len() == roles);
    }

    /// The roles of the last beat.
    fn roles(&self) -> Vec<ActiveRole> {
        self.listen();
        let heard = self.heard.borrow();
        let beats = heard.iter().rev();
        let mut roles = beats.filter_map(|(message, _)| match message {
            FromVrrp::Beat { active } => Some(active.clone()),
            _ => None,
        });
        roles.next().unwrap_or_default()
    }

    /// The sockets that the supervisor keeps.
    fn kept(&self) -> (Vec<SocketKey>, Vec<OwnedFd>) {
        self.listen();
        let mut heard = self.heard.borrow_mut();
        let mut kept = heard
            .iter_mut()
            .rev()
            .filter_map(|(message, descriptors)| match message {
                FromVrrp::KeepSockets(keys) => Some((keys.clone(), std::mem::take(descriptors))),
                _ => None,
            });
        kept.next().expect("sockets were sent")
    }

    fn listen(&self) {
        self.heard.borrow_mut().extend(self.said.try_iter());
    }

    /// Stops the loop in the middle of a turn, until `thaw`.
    fn freeze(&mut self) {
        let (thaw, until) = channel();
        self.thaw = Some(thaw);
        self.freeze.send(until).unwrap();
        (&self.wake).write_all(&[1]).unwrap();
    }

    fn thaw(&mut self) {
        self.thaw = None;
    }

    fn wait_until_stopped(self) {
        wait("the process to stop", || {
            self.listen();
            self.heard
                .borrow()
                .iter()
                .any(|(message, _)| *message == FromVrrp::Stopped)
        });
        self.thread.join().unwrap().unwrap();
    }
}

/// A supervisor that is two queues.
struct Queue {
    inbox: Receiver<(ToVrrp, Vec<OwnedFd>)>,
    outbox: Sender<(FromVrrp, Vec<OwnedFd>)>,
    woken: UnixStream,
    freezing: Receiver<Receiver<()>>,
}

impl Supervisor for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    fn receive(&mut self) -> io::Result<Received> {
        if let Ok(until) = self.freezing.try_recv() {
            // It ends when the other end is dropped.
            let _ = until.recv();
        }
        let _ = self.woken.read(&mut [0; 64]);
        match self.inbox.try_recv() {
            Ok((message, descriptors)) => Ok(Received::Message(message, descriptors)),
            Err(TryRecvError::Empty) => Ok(Received::Nothing),
            Err(TryRecvError::Disconnected) => Ok(Received::Closed),
        }
    }

    fn send(&mut self, message: &FromVrrp, descriptors: &[BorrowedFd<'_>]) -> Sent {
        let duplicates = descriptors
            .iter()
            .map(|fd| fd.try_clone_to_owned().unwrap())
            .collect();
        match self.outbox.send((message.clone(), duplicates)) {
            Ok(()) => Sent::Done,
            Err(_) => Sent::Closed,
        }
    }
}
