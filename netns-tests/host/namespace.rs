//! Two hosts for the tests of the vrrp process: network namespaces, each on a thread of its own,
//! joined by a veth pair.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command as Program;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::{PATIENCE, wait};

/// Two namespaces, `eth0` of one joined to `eth0` of the other.
pub(super) struct Pair {
    pub one: Namespace,
    pub two: Namespace,
}

impl Pair {
    pub(super) fn new() -> Self {
        let pair = Self {
            one: Namespace::new(),
            two: Namespace::new(),
        };
        pair.join();
        pair
    }

    pub(super) fn join(&self) {
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
pub(super) struct Namespace {
    thread_id: i32,
    jobs: SyncSender<Job>,
}

impl Namespace {
    pub(super) fn new() -> Self {
        let (jobs, todo) = sync_channel::<Job>(1);
        let (report, ready) = sync_channel(1);
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

    pub(super) const fn thread_id(&self) -> i32 {
        self.thread_id
    }

    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (report, done) = sync_channel(1);
        self.jobs
            .send(Box::new(move || report.send(job()).unwrap()))
            .unwrap();
        done.recv_timeout(PATIENCE).expect("the job ends")
    }

    pub(super) fn ip(&self, arguments: &[&str]) -> String {
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

    pub(super) fn has(&self, address: IpAddr) -> bool {
        let shown = self.ip(&["-o", "addr", "show"]);
        shown.contains(&format!(" {address}/32 ")) || shown.contains(&format!(" {address}/128 "))
    }

    pub(super) fn wait_for_address(&self, address: IpAddr, present: bool) {
        wait(&format!("{address}, present: {present}"), || {
            self.has(address) == present
        });
    }

    /// Connects to a port where nobody listens and returns the errno.
    pub(super) fn knock(&self, address: IpAddr) -> Option<i32> {
        self.run(move || {
            let to = SocketAddr::new(address, 9);
            let error = TcpStream::connect_timeout(&to, Duration::from_millis(300)).unwrap_err();
            if error.kind() == io::ErrorKind::ConnectionRefused {
                Some(libc::ECONNREFUSED)
            } else {
                error.raw_os_error()
            }
        })
    }

    /// Waits until the address answers, if only with a refusal.
    pub(super) fn wait_for_refusal(&self, address: IpAddr) {
        wait(&format!("{address} to answer"), || {
            self.knock(address) == Some(libc::ECONNREFUSED)
        });
    }
}
