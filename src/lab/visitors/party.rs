//! All visitors, in one thread on a host: their begin, their watches and their end.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::LocalSet;

use super::book::Book;
use super::crowd::{Crowd, Habits};
use super::visitor::{Desk, Visitor};
use super::visits::Visits;
use crate::lab::LabError;
use crate::lab::namespace::host::Host;

/// Visitors who come until they are dropped, at most for [`STAY_MAX`].
#[derive(Debug)]
pub struct Visitors {
    crowd: Crowd,
    habits: Habits,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Visitors {
    /// Sends a crowd from a host to a target, and waits until each of them is served; with nobody
    /// in it does nothing.
    ///
    /// # Errors
    /// When the host does not start the thread, or one of them is not served in time.
    pub fn start(
        host: &Host,
        target: SocketAddr,
        crowd: Crowd,
        habits: Habits,
    ) -> Result<Self, LabError> {
        let mut visitors = Self {
            crowd,
            habits,
            commands: None,
            thread: None,
        };
        if crowd.is_empty() {
            return Ok(visitors);
        }
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        visitors.commands = Some(commands);
        visitors.thread = Some(host.thread("visitors", move || {
            run(crowd, target, habits, queue);
        })?);
        let unserved = visitors.end()?.all();
        if unserved.unserved > 0 {
            return Err(LabError::Deadline {
                what: "the first answer of every visitor".into(),
                within: roll_max(habits),
                seen: format!("; seen: {unserved}"),
            });
        }
        Ok(visitors)
    }

    /// Returns who they are.
    pub const fn crowd(&self) -> Crowd {
        self.crowd
    }

    /// Begins a watch: counts anew.
    ///
    /// # Errors
    /// When the visitors do not answer.
    pub fn begin(&self) -> Result<(), LabError> {
        self.tell(Command::Begin)?;
        Ok(())
    }

    /// Ends a watch: calls the roll, waits until each has answered it or the time for it is over,
    /// and reports.
    ///
    /// What began with the watch must be over: who has lost a connection by it has another when
    /// this returns.
    ///
    /// # Errors
    /// When the visitors do not answer.
    pub fn end(&self) -> Result<Visits, LabError> {
        Ok(self.tell(Command::End)?.unwrap_or_default())
    }

    fn tell(&self, command: fn(SyncSender<Visits>) -> Command) -> Result<Option<Visits>, LabError> {
        let Some(commands) = &self.commands else {
            return Ok(None);
        };
        let silent = || LabError::HostSilent("of the visitors".into());
        let (answer, answers) = sync_channel(1);
        commands.try_send(command(answer)).map_err(|_| silent())?;
        let within = roll_max(self.habits) + ANSWER_TIMEOUT;
        answers.recv_timeout(within).map(Some).map_err(|_| silent())
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// What the thread is asked to do, and where its answer goes.
#[derive(Debug)]
enum Command {
    Begin(SyncSender<Visits>),
    End(SyncSender<Visits>),
}

fn run(crowd: Crowd, target: SocketAddr, habits: Habits, queue: mpsc::Receiver<Command>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Without one the queue is dropped, and whoever waits for an answer is told.
    let Ok(runtime) = runtime else { return };
    let local = LocalSet::new();
    let book = Book::new(crowd, Instant::now());
    let kinds = book.kinds();
    let (roll, called) = watch::channel(0);
    let desk = Desk {
        book: Rc::new(RefCell::new(book)),
        settled: Rc::new(Notify::new()),
        roll: called,
        target,
        habits,
    };
    for (seat, kind) in kinds.into_iter().enumerate() {
        local.spawn_local(Visitor::new(desk.clone(), seat, kind).visit());
    }
    local.block_on(&runtime, async {
        // Whoever waits for them beyond it is told that they are silent.
        let _ = tokio::time::timeout(STAY_MAX, obey(&desk, &roll, queue)).await;
    });
}

/// Does what is asked until nobody asks any more.
async fn obey(desk: &Desk, roll: &watch::Sender<u64>, mut queue: mpsc::Receiver<Command>) {
    while let Some(command) = queue.recv().await {
        match command {
            Command::Begin(answer) => {
                desk.book.borrow_mut().begin(Instant::now());
                let _ = answer.send(Visits::default());
            }
            Command::End(answer) => {
                desk.book.borrow_mut().call_roll();
                roll.send_modify(|round| *round += 1);
                let settled = async {
                    while desk.book.borrow().due() > 0 {
                        desk.settled.notified().await;
                    }
                };
                // Who is not served in time is in the report.
                let _ = tokio::time::timeout(roll_max(desk.habits), settled).await;
                let _ = answer.send(desk.book.borrow_mut().end());
            }
        }
    }
}

/// How long a roll call may take: a transfer that fails at its end, and the way back in.
fn roll_max(habits: Habits) -> Duration {
    habits.transfer + habits.patience * 2 + ROLL_SPARE
}

/// A lab that lives longer is forgotten rather than in use.
pub const STAY_MAX: Duration = Duration::from_secs(1_800);
/// The slowest answer, all pauses on the way, and a busy machine.
const ROLL_SPARE: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Callers wait for each command, so the queue is never full but by many threads; then a caller
/// gets an error.
const COMMANDS_MAX: usize = 4;
