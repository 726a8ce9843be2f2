//! A host: a network namespace, and the thread that lives in it.
//!
//! A namespace belongs to threads, so each host has one that made it and never leaves it. What has
//! to happen on the host is handed to that thread; children and further threads begin from it and
//! inherit the namespace. The namespace vanishes with its last thread, process and descriptor:
//! nothing has to be deleted.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use crate::lab::LabError;
use crate::lab::namespace::netlink;
use crate::lab::process::Process;

/// A network namespace with its loopback interface up.
#[derive(Debug)]
pub struct Host {
    name: String,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    namespace: OwnedFd,
    namespace_id: u64,
}

impl Host {
    /// Makes the namespace.
    ///
    /// Needs CAP_SYS_ADMIN in the user namespace of the process.
    ///
    /// # Errors
    /// When the kernel refuses the thread or the namespace.
    pub fn new(name: &str) -> Result<Self, LabError> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let (opened, opening) = sync_channel(1);
        let thread = Builder::new()
            .name(format!("host-{name}"))
            .spawn(move || {
                let namespace = open_namespace();
                let serves = namespace.is_ok();
                let _ = opened.send(namespace);
                if serves {
                    serve(&queue);
                }
            })
            .map_err(LabError::system(format!("start the thread of host {name}")))?;
        let namespace = opening
            .recv_timeout(JOB_TIMEOUT)
            .map_err(|_| LabError::HostSilent(name.to_owned()))??;
        let namespace_id = namespace
            .metadata()
            .map_err(LabError::system("read the namespace's number"))?
            .ino();
        Ok(Self {
            name: name.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
            namespace: namespace.into(),
            namespace_id,
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the namespace, as `/proc/PID/ns/net` shows it.
    pub const fn namespace_id(&self) -> u64 {
        self.namespace_id
    }

    /// Returns the namespace, to put links into it.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Runs a closure on the thread in the namespace and returns what it returns.
    ///
    /// The host does one thing at a time; a closure that waits for long belongs in
    /// [`Host::thread`].
    ///
    /// # Errors
    /// When the closure panics, or the thread does not come to an end of it within 30 s.
    pub fn run<T, F>(&self, job: F) -> Result<T, LabError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let silent = || LabError::HostSilent(self.name.clone());
        let (answer, answers) = sync_channel(1);
        self.jobs
            .as_ref()
            .ok_or_else(silent)?
            .send(Box::new(move || {
                let _ = answer.send(job());
            }))
            .map_err(|_| silent())?;
        answers.recv_timeout(JOB_TIMEOUT).map_err(|_| silent())
    }

    /// Runs a closure that can fail at the system's hands; `action` says in the error what it was
    /// for.
    ///
    /// # Errors
    /// When the closure fails, or as [`Host::run`].
    pub fn try_run<T, F>(&self, action: impl Into<String>, job: F) -> Result<T, LabError>
    where
        T: Send + 'static,
        F: FnOnce() -> std::io::Result<T> + Send + 'static,
    {
        let action = format!("{} on host {}", action.into(), self.name);
        self.run(job)?.map_err(LabError::system(action))
    }

    /// Starts a program on the host.
    ///
    /// It has no input, and what it prints goes to [`Process::log`]. It is killed at the latest
    /// when the host ends.
    ///
    /// # Errors
    /// As [`Process::spawn`] and [`Host::run`].
    pub fn spawn(&self, command: Command) -> Result<Process, LabError> {
        self.run(move || Process::spawn(command))?
    }

    /// Starts a thread in the namespace; the namespace lives as long as it.
    ///
    /// # Errors
    /// When the kernel gives no thread, or as [`Host::run`].
    pub fn thread<F>(&self, name: &str, body: F) -> Result<JoinHandle<()>, LabError>
    where
        F: FnOnce() + Send + 'static,
    {
        let thread_name = name.to_owned();
        self.try_run(format!("start the thread {name}"), move || {
            Builder::new().name(thread_name).spawn(body)
        })
    }

    /// Writes a setting below /proc/sys, as in `("net/ipv4/ip_forward", "1")`.
    ///
    /// # Errors
    /// When the kernel has no such setting or refuses the value, or as [`Host::run`].
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let (path, value) = (format!("/proc/sys/{key}"), value.to_owned());
        self.try_run(format!("set {key}"), move || fs::write(path, value))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Makes the namespace of the calling thread and returns its descriptor.
fn open_namespace() -> Result<File, LabError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(LabError::system("make a network namespace"))?;
    netlink::set_up("lo").map_err(LabError::system("set lo up"))?;
    for (key, value) in SYSCTLS {
        match fs::write(format!("/proc/sys/{key}"), value) {
            // A kernel without IPv6 has labs without IPv6.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LabError::system(format!("set {key}"))(error));
            }
            _ => {}
        }
    }
    File::open("/proc/thread-self/ns/net").map_err(LabError::system("open the namespace"))
}

/// Does the jobs until the host is dropped; one that panics ends alone.
fn serve(queue: &Receiver<Job>) {
    for job in queue {
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

/// Callers beyond it wait for their turn: each waits for its answer anyway.
const JOBS_MAX: usize = 16;
/// Far more than any job takes; a host that needs it is broken.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);
/// IPv6 on, serving at once, and nobody's router advertisements; for `eth0`, which is made later,
/// by the default.
const SYSCTLS: [(&str, &str); 6] = [
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
];
