//! The protocol loop in a namespace, with a supervisor that is only two queues.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use evenkeel::ipc::control::RouterStatus;
use evenkeel::ipc::message::{ActiveRole, FromVrrp, Overrides, SocketKey, ToVrrp};
use evenkeel::model::{Family, Fitness, Priority};
use evenkeel::process::vrrp::run::{Error, ReadConfig, serve};
use evenkeel::process::vrrp::{Received, Sent, Supervisor};

use super::namespace::Namespace;
use super::{read_config, wait};

/// The protocol loop in a namespace.
pub(super) struct Daemon {
    to: SyncSender<(ToVrrp, Vec<OwnedFd>)>,
    wake: UnixStream,
    said: Receiver<(FromVrrp, Vec<OwnedFd>)>,
    heard: std::cell::RefCell<Vec<(FromVrrp, Vec<OwnedFd>)>>,
    jobs: SyncSender<Job>,
    thaw: Option<SyncSender<()>>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Daemon {
    pub(super) fn start(namespace: &Namespace, priority: u8) -> Self {
        Self::start_after(namespace, priority, None, Vec::new())
    }

    pub(super) fn start_after(
        namespace: &Namespace,
        priority: u8,
        kept: Option<(Vec<SocketKey>, Vec<OwnedFd>)>,
        adopt: Vec<ActiveRole>,
    ) -> Self {
        let daemon = Self::idle(namespace, read_config);
        if let Some((keys, descriptors)) = kept {
            daemon.send(ToVrrp::KeptSockets(keys), descriptors);
        }
        daemon.configure(priority, adopt);
        daemon
    }

    pub(super) fn configure(&self, priority: u8, adopt: Vec<ActiveRole>) {
        let (yaml, node) = (priority.to_string(), String::new());
        let overrides = Overrides::default();
        self.say(ToVrrp::Configure {
            yaml,
            node,
            adopt,
            overrides,
        });
        let fitness = Fitness::Ready(Priority::new(priority).unwrap());
        self.say(ToVrrp::Fitness {
            entry: "web".into(),
            fitness,
        });
    }

    /// Starts the loop, without a configuration.
    pub(super) fn idle(namespace: &Namespace, read_config: ReadConfig) -> Self {
        let (to, inbox) = sync_channel(MESSAGES_MAX);
        let (outbox, said) = sync_channel(MESSAGES_MAX);
        let (wake, woken) = UnixStream::pair().unwrap();
        woken.set_nonblocking(true).unwrap();
        let (jobs, to_do) = sync_channel(1);
        let supervisor = Queue {
            inbox,
            outbox,
            woken,
            to_do,
        };
        let thread =
            namespace.run(move || std::thread::spawn(move || serve(supervisor, read_config)));
        let heard = std::cell::RefCell::default();
        Self {
            to,
            wake,
            said,
            heard,
            jobs,
            thaw: None,
            thread,
        }
    }

    pub(super) fn say(&self, message: ToVrrp) {
        self.send(message, Vec::new());
    }

    pub(super) fn send(&self, message: ToVrrp, descriptors: Vec<OwnedFd>) {
        self.to.send((message, descriptors)).unwrap();
        (&self.wake).write_all(&[1]).unwrap();
    }

    pub(super) fn status(&self) -> Vec<RouterStatus> {
        let id = self.heard.borrow().len() as u64;
        self.say(ToVrrp::ReportStatus { id });
        let mut found = None;
        wait("the status", || {
            self.listen();
            found = self.heard.borrow().iter().find_map(|(message, _)| {
                let FromVrrp::Status {
                    id: answered,
                    routers,
                    ..
                } = message
                else {
                    return None;
                };
                (*answered == id).then(|| routers.clone())
            });
            found.is_some()
        });
        found.unwrap()
    }

    pub(super) fn wait_for(&self, family: Family, state: &str) {
        wait(&format!("{family} to be {state}"), || {
            self.status()
                .iter()
                .any(|router| router.name.family == family && router.state == state)
        });
    }

    pub(super) fn wait_for_beat(&self, roles: usize) {
        wait("a beat", || self.roles().len() == roles);
    }

    /// Every message of a kind, so far.
    pub(super) fn heard<T>(&self, of_kind: impl Fn(&FromVrrp) -> Option<T>) -> Vec<T> {
        self.listen();
        let heard = self.heard.borrow();
        heard
            .iter()
            .filter_map(|(message, _)| of_kind(message))
            .collect()
    }

    /// The roles of the last beat.
    pub(super) fn roles(&self) -> Vec<ActiveRole> {
        self.listen();
        let heard = self.heard.borrow();
        let beats = heard.iter().rev();
        let mut roles = beats.filter_map(|(message, _)| {
            let FromVrrp::Beat { active } = message else {
                return None;
            };
            Some(active.clone())
        });
        roles.next().unwrap_or_default()
    }

    /// The sockets that the supervisor keeps.
    pub(super) fn kept(&self) -> (Vec<SocketKey>, Vec<OwnedFd>) {
        self.listen();
        let mut heard = self.heard.borrow_mut();
        let mut kept = heard.iter_mut().rev().filter_map(|(message, descriptors)| {
            let FromVrrp::KeepSockets { sockets: keys, .. } = message else {
                return None;
            };
            Some((keys.clone(), std::mem::take(descriptors)))
        });
        kept.next().expect("sockets were sent")
    }

    /// Closes all descriptors that were given to the supervisor.
    pub(super) fn let_go(&self) {
        self.listen();
        for (_, descriptors) in self.heard.borrow_mut().iter_mut() {
            descriptors.clear();
        }
    }

    pub(super) fn listen(&self) {
        self.heard.borrow_mut().extend(self.said.try_iter());
    }

    /// Stops the loop in the middle of a turn, until `thaw`.
    pub(super) fn freeze(&mut self) {
        let (thaw, until) = sync_channel(1);
        self.thaw = Some(thaw);
        // It ends when the other end is dropped.
        self.interrupt(move || until.recv().unwrap_or_default());
    }

    /// Has the thread of the loop do something, before it takes the next message.
    pub(super) fn interrupt(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
        (&self.wake).write_all(&[1]).unwrap();
    }

    pub(super) fn thaw(&mut self) {
        self.thaw = None;
    }

    /// Takes its supervisor away and waits for its end.
    pub(super) fn abandon(self) {
        drop((self.to, self.wake));
        self.thread.join().unwrap().unwrap();
    }

    pub(super) fn wait_until_stopped(self) {
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

type Job = Box<dyn FnOnce() + Send>;

/// A supervisor that is two queues.
struct Queue {
    inbox: Receiver<(ToVrrp, Vec<OwnedFd>)>,
    outbox: SyncSender<(FromVrrp, Vec<OwnedFd>)>,
    woken: UnixStream,
    to_do: Receiver<Job>,
}

impl Supervisor for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    fn receive(&mut self) -> io::Result<Received> {
        if let Ok(job) = self.to_do.try_recv() {
            job();
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
        match self.outbox.try_send((message.clone(), duplicates)) {
            Ok(()) => Sent::Done,
            Err(TrySendError::Full(_)) => Sent::Full,
            Err(TrySendError::Disconnected(_)) => Sent::Closed,
        }
    }
}

/// More than a loop says in a minute, at 20 beats a second; what finds it full is lost, and the
/// loop is told.
const MESSAGES_MAX: usize = 2_000;
