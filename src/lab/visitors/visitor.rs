//! The life of one visitor: it asks, waits, asks again, and opens another connection when one is
//! lost.
//!
//! It writes into the book what it meets. Between two requests it watches its connection, as
//! clients do that keep one, so that a close is seen when it happens.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::ask::{self, Then, Trouble};
use super::book::Book;
use super::crowd::{Habits, Kind};
use super::line::{Broken, Line};
use crate::lab::probe::Failure;

/// A visitor's seat in the book, and what all visitors share.
#[derive(Clone, Debug)]
pub struct Desk {
    /// What is known of everybody.
    pub book: Rc<RefCell<Book>>,
    /// Told whenever nobody is due any more.
    pub settled: Rc<Notify>,
    /// Changes when the roll is called.
    pub roll: watch::Receiver<u64>,
    /// Whom they visit.
    pub target: SocketAddr,
    /// How patient they are, and how long transfers take.
    pub habits: Habits,
}

/// One visitor.
pub struct Visitor {
    desk: Desk,
    seat: usize,
    kind: Kind,
    serial: u64,
}

impl Visitor {
    /// Takes a seat of the book.
    pub const fn new(desk: Desk, seat: usize, kind: Kind) -> Self {
        Self {
            desk,
            seat,
            kind,
            serial: 0,
        }
    }

    /// Visits for ever.
    pub async fn visit(mut self) {
        // Not all at once.
        sleep(within(ARRIVALS)).await;
        loop {
            self.note(|book, seat| book.asked(seat));
            match Line::open(self.desk.target, self.desk.habits.patience).await {
                Ok(line) => {
                    self.note(|book, seat| book.opened(seat, now()));
                    self.stay(line).await;
                }
                Err(failure) => {
                    self.note(|book, seat| book.troubled(seat, Trouble::Failed(failure)));
                    sleep(within(RETURN_PAUSE)).await;
                }
            }
        }
    }

    /// Asks on one connection until it is lost or done with; its first request counts as asked
    /// already.
    async fn stay(&mut self, mut line: Line) {
        if self.kind == Kind::WebSocket
            && let Err(trouble) = ask::upgrade(&mut line, &self.token()).await
        {
            self.note(|book, seat| book.troubled(seat, trouble));
            return sleep(within(RETURN_PAUSE)).await;
        }
        loop {
            let (asked_at, planned, outcome) = self.ask(&mut line).await;
            let pause = match outcome {
                Ok(then) => {
                    let beyond = asked_at.elapsed().saturating_sub(planned);
                    self.note(|book, seat| book.answered(seat, beyond));
                    if then == Then::Close || !self.keeps() {
                        self.note(|book, seat| book.left(seat));
                        drop(line);
                        return sleep(within(self.pause())).await;
                    }
                    within(self.pause())
                }
                Err(trouble) => {
                    self.note(|book, seat| book.troubled(seat, trouble));
                    if !matches!(trouble, Trouble::Refused(_)) {
                        return sleep(within(RETURN_PAUSE)).await;
                    }
                    within(RETURN_PAUSE)
                }
            };
            if let Err(broken) = self.idle(&mut line, pause).await {
                let unsolicited = Trouble::Failed(Failure::Malformed);
                self.note(|book, seat| match broken {
                    Broken::Closed => book.closed_idle(seat),
                    Broken::Unsolicited => book.troubled(seat, unsolicited),
                });
                return sleep(within(RETURN_PAUSE)).await;
            }
            self.note(|book, seat| book.asked(seat));
        }
    }

    /// Asks once; also returns when, and how long the answer is meant to take.
    async fn ask(&mut self, line: &mut Line) -> (Instant, Duration, Result<Then, Trouble>) {
        let token = self.token();
        let asked_at = Instant::now();
        let transfer = self.desk.habits.transfer;
        let progress = || self.note(|book, seat| book.progressed(seat));
        let (planned, outcome) = match self.kind {
            Kind::Idle | Kind::Busy | Kind::Fresh => (
                Duration::ZERO,
                ask::request(line, &token, Duration::ZERO).await,
            ),
            Kind::Post => (Duration::ZERO, ask::post(line, &token, POST_BYTES).await),
            Kind::Slow => {
                let delay = within(SLOW_DELAY);
                (delay, ask::request(line, &token, delay).await)
            }
            Kind::Download => (
                transfer,
                ask::download(line, &token, TRANSFER_BYTES, transfer, &progress).await,
            ),
            Kind::Upload => (
                transfer,
                ask::upload(line, &token, TRANSFER_BYTES, transfer, &progress).await,
            ),
            Kind::WebSocket => (Duration::ZERO, ask::message(line, &token).await),
        };
        (asked_at, planned, outcome)
    }

    /// Waits for the next moment to ask, sooner when the roll is called; errs when the connection
    /// breaks meanwhile.
    async fn idle(&mut self, line: &mut Line, pause: Duration) -> Result<(), Broken> {
        let mut next_at = Instant::now() + pause;
        let mut roll = self.desk.roll.clone();
        // A roll called before was answered by the request that has just ended.
        roll.mark_unchanged();
        loop {
            tokio::select! {
                biased;
                broken = line.broken() => return Err(broken),
                Ok(()) = roll.changed() => {
                    next_at = next_at.min(Instant::now() + within(ROLL_SPREAD));
                }
                () = sleep_until(next_at) => return Ok(()),
            }
        }
    }

    /// Writes into the book, and tells who waits for the roll's end.
    fn note(&self, entry: impl FnOnce(&mut Book, usize)) {
        let mut book = self.desk.book.borrow_mut();
        entry(&mut book, self.seat);
        if book.due() == 0 {
            self.desk.settled.notify_waiters();
        }
    }

    fn token(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}-{}", self.kind, self.seat, self.serial)
    }

    const fn keeps(&self) -> bool {
        match self.kind {
            Kind::Idle | Kind::Busy | Kind::Post | Kind::Slow | Kind::WebSocket => true,
            Kind::Download | Kind::Upload | Kind::Fresh => false,
        }
    }

    /// Returns how long it pauses between two requests, milliseconds.
    const fn pause(&self) -> Range<u64> {
        match self.kind {
            Kind::Idle => 500..6_000,
            Kind::Busy => 50..150,
            Kind::Post => 300..1_000,
            Kind::Slow => 0..10,
            Kind::Download | Kind::Upload => 100..300,
            Kind::WebSocket => 200..800,
            Kind::Fresh => 15..25,
        }
    }
}

fn within(ms: Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(ms))
}

fn now() -> std::time::Instant {
    std::time::Instant::now()
}

const POST_BYTES: u64 = 8 << 10;
/// 100 kB/s at 3 s.
const TRANSFER_BYTES: u64 = 300_000;
/// Milliseconds; longer than what watches the processes waits.
const SLOW_DELAY: Range<u64> = 1_500..2_000;
/// Milliseconds over which the visitors arrive.
const ARRIVALS: Range<u64> = 0..500;
/// Milliseconds until one who lost a connection opens another.
const RETURN_PAUSE: Range<u64> = 200..600;
/// Milliseconds over which those who are idle answer a roll call.
const ROLL_SPREAD: Range<u64> = 0..300;
