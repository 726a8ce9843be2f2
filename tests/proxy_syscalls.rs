//! What a keep-alive request costs in system calls while the proxy is never idle, counted by
//! ptrace.
//!
//! The proxy is a process of its own, this very program once more, so that its worker can be
//! traced without a privilege; backend and clients are threads here, which nobody traces. Two stops
//! a call slow the proxy down until everybody waits for it: that is the saturation that the bounds
//! are about. Tracing also makes the batches of `epoll_wait` larger than they are at full speed,
//! never the other calls fewer: those have a bound of their own.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "common/lone.rs"]
mod lone;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lone::{ANSWER, ANSWER_END, backend, has_read, start};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Two reads, two writes and a share of `epoll_wait`, with 64 connections that always ask.
#[test]
fn a_keep_alive_request_costs_four_system_calls_and_a_share_of_one() {
    let proxy = Traced::start(backend(serve));
    let answered = keep_busy(proxy.address);

    let (calls, requests) = proxy.count(&answered);

    let per_request = |count: u64| count as f64 / requests as f64;
    let all = per_request(calls.values().sum());
    let waits = calls.get(&EPOLL_WAIT).copied().unwrap_or_default();
    let others = all - per_request(waits);
    let mut table = format!("a request, of {requests}:\n");
    for (call, count) in &calls {
        table += &format!("{:8.4} {}\n", per_request(*count), name(*call));
    }
    table += &format!("{others:8.4} all but epoll_wait\n{all:8.4} all");
    println!("{table}");
    assert!(others > 3.9, "every call should be counted\n{table}");
    assert!(
        others <= OTHERS_MAX,
        "at most {OTHERS_MAX} but epoll_wait\n{table}"
    );
    assert!(all <= CALLS_MAX, "at most {CALLS_MAX} in all\n{table}");
}

/// Not a test: the process that is counted, started by the test above.
#[test]
fn the_proxy_that_is_counted_serves_until_it_is_killed() {
    let Ok(backend) = std::env::var(BACKEND) else {
        return;
    };
    let (_proxy, address) = start(backend.parse().unwrap(), "", "random_of_two");
    println!("\n{ADDRESS}{address}");
    // Until the test ends, in whatever way: it holds the other end.
    let _ = std::io::stdin().read(&mut [0]);
}

/// A proxy whose worker is traced; it ends with this.
struct Traced {
    child: Child,
    address: SocketAddr,
}

impl Traced {
    fn start(backend: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_proxy_that_is_counted_serves_until_it_is_killed",
                "--nocapture",
            ])
            .env(BACKEND, backend.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let address = stdout
            .lines()
            .find_map(|line| line.unwrap().strip_prefix(ADDRESS)?.parse().ok())
            .expect("the proxy says where it listens");
        Self { child, address }
    }

    fn data_thread(&self) -> Pid {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let task = tasks
            .map(|task| task.unwrap())
            .find(|task| fs::read_to_string(task.path().join("comm")).unwrap().trim() == "data-0")
            .expect("there is a worker");
        Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap())
    }

    /// Returns how often each system call was made while so many requests were answered.
    fn count(&self, answered: &AtomicU64) -> (BTreeMap<i64, u64>, u64) {
        let thread = self.data_thread();
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::seize(thread, options).expect("one's own child may be traced");
        ptrace::interrupt(thread).unwrap();
        let mut calls = BTreeMap::new();
        let mut from = None;
        let deadline_at = Instant::now() + PATIENCE;
        loop {
            let status = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
            let signal = match status {
                WaitStatus::PtraceSyscall(_) => {
                    let from = *from.get_or_insert_with(|| answered.load(SeqCst));
                    let requests = answered.load(SeqCst) - from;
                    if requests >= REQUESTS {
                        return (calls, requests);
                    }
                    if let Some(call) = entered(thread) {
                        *calls.entry(call).or_default() += 1;
                    }
                    None
                }
                WaitStatus::PtraceEvent(..) => None,
                WaitStatus::Stopped(_, signal) => Some(signal),
                WaitStatus::Exited(..)
                | WaitStatus::Signaled(..)
                | WaitStatus::Continued(_)
                | WaitStatus::StillAlive => panic!("the worker has ended: {status:?}"),
            };
            assert!(Instant::now() < deadline_at, "{REQUESTS} requests in time");
            ptrace::syscall(thread, signal).unwrap();
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let thread = self.data_thread();
        let _ = self.child.kill();
        // The process has ended when its tracer, too, has seen the end of the traced thread.
        while let Ok(WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_)) =
            waitpid(thread, Some(WaitPidFlag::__WALL))
        {}
        let _ = self.child.wait();
    }
}

/// Returns the system call that a stopped thread is about to make; `None` where it comes back.
fn entered(thread: Pid) -> Option<i64> {
    let info = ptrace::syscall_info(thread).unwrap();
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: the kernel has filled in this member, as it says in `op`.
    let number = unsafe { info.u.entry.nr };
    i64::try_from(number).ok()
}

fn name(call: i64) -> String {
    let known = [
        (EPOLL_WAIT, "epoll_wait"),
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_readv, "readv"),
        (libc::SYS_writev, "writev"),
        (libc::SYS_recvfrom, "recvfrom"),
        (libc::SYS_sendto, "sendto"),
        (libc::SYS_recvmsg, "recvmsg"),
        (libc::SYS_sendmsg, "sendmsg"),
        (libc::SYS_epoll_ctl, "epoll_ctl"),
        (libc::SYS_futex, "futex"),
    ];
    let name = known.iter().find(|(number, _)| *number == call);
    name.map_or_else(|| format!("number {call}"), |(_, name)| (*name).to_owned())
}

/// Keeps a request on its way on each of the connections for ever; returns the count of answers,
/// once all connections are warm.
fn keep_busy(proxy: SocketAddr) -> Arc<AtomicU64> {
    let answered = Arc::new(AtomicU64::new(0));
    let (warm, warmed) = sync_channel(CLIENT_THREADS);
    for _ in 0..CLIENT_THREADS {
        let (answered, warm) = (Arc::clone(&answered), warm.clone());
        std::thread::spawn(move || ask(proxy, &answered, &warm));
    }
    for _ in 0..CLIENT_THREADS {
        warmed
            .recv_timeout(PATIENCE)
            .expect("the proxy answers in time");
    }
    answered
}

fn ask(proxy: SocketAddr, answered: &AtomicU64, warm: &SyncSender<()>) {
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS / CLIENT_THREADS)
        .map(|_| TcpStream::connect(proxy).unwrap())
        .collect();
    for client in &mut clients {
        client.set_nodelay(true).unwrap();
        client.write_all(REQUEST).unwrap();
    }
    for round in 0.. {
        if round == WARM_ROUNDS {
            warm.send(()).unwrap();
        }
        for client in &mut clients {
            // When the test is over the proxy ends first.
            if !has_read(client, ANSWER_END) || client.write_all(REQUEST).is_err() {
                return;
            }
            answered.fetch_add(1, SeqCst);
        }
    }
}

/// Answers every request, one after another.
fn serve(mut stream: TcpStream) {
    while has_read(&mut stream, b"\r\n\r\n") && stream.write_all(ANSWER).is_ok() {}
}

const REQUEST: &[u8] =
    b"GET /some/path?with=query HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\
    Cookie: a=b; c=d\r\n\r\n";
const CONNECTIONS: usize = 64;
const CLIENT_THREADS: usize = 4;
const WARM_ROUNDS: u64 = 20;
/// Requests that are counted: those on their way when it begins and ends are few among them.
const REQUESTS: u64 = 10_000;
/// In all, of a request.
const CALLS_MAX: f64 = 4.3;
/// All but `epoll_wait`: what moves bytes, and next to nothing else.
const OTHERS_MAX: f64 = 4.1;
const PATIENCE: Duration = Duration::from_secs(60);

/// The environment of the proxy that is counted: where its backend listens.
const BACKEND: &str = "EVENKEEL_TEST_BACKEND";
/// What it says before the address it listens on.
const ADDRESS: &str = "listening on ";

#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: i64 = libc::SYS_epoll_wait;
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: i64 = libc::SYS_epoll_pwait;
