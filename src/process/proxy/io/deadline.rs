//! Who is waited for, and until when: one record for a client connection, swept by its worker.
//!
//! No timer is armed per read. What a connection does next stores a deadline by the thread's coarse
//! clock; four times a second the thread looks through all records and wakes the connections whose
//! deadline has passed. The connection itself decides what that means. The clock lags behind, so
//! every deadline is given what it may lag: none passes before its time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Milliseconds since its thread began, but for those in which it was held up; renewed every
/// `BEAT_MS`, and whenever a connection has used up its budget.
pub(in crate::process::proxy) type CoarseClock = Rc<Cell<u64>>;

/// Renews the clock after so much time. Of a longer pause, in which the thread was held up, only as
/// much counts as a deadline is given for it.
pub(in crate::process::proxy) fn renew(clock: &CoarseClock, pause_ms: u64) {
    clock.set(clock.get().saturating_add(pause_ms.min(LAG_MS)));
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Phase {
    /// Between two requests.
    Idle,
    /// A handshake has begun.
    Handshake,
    /// A head has begun.
    Head,
    /// The body of a request is being read and nothing is answered yet.
    Uploading,
    /// Every backend is full.
    Queued,
    /// A connection to a backend is being opened.
    Connecting,
    /// The backend has the request.
    Waiting,
    /// A response is being relayed.
    Relaying,
    /// It has stopped being HTTP.
    Tunnel,
    /// What the client still sends is read, so that it gets its answer.
    Lingering,
}

/// Whether a phase ends sooner for being hurried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Hurried {
    Sooner,
    AsBefore,
}

impl Phase {
    /// Returns whether its time is that between two bytes, not that of the whole.
    fn lasts_while_bytes_move(self) -> bool {
        match self {
            Self::Uploading | Self::Relaying | Self::Tunnel | Self::Lingering => true,
            // An interim answer may move while a response is waited for.
            Self::Idle
            | Self::Handshake
            | Self::Head
            | Self::Queued
            | Self::Connecting
            | Self::Waiting => false,
        }
    }

    /// Returns what it is, as `evenkeel connections` has it.
    pub(in crate::process::proxy) const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Handshake => "handshake",
            Self::Head => "request_head",
            Self::Uploading => "request_body",
            Self::Queued => "queued",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
            Self::Relaying => "relaying",
            Self::Tunnel => "tunnel",
            Self::Lingering => "lingering",
        }
    }

    /// Returns what it is for people, by its number.
    pub(in crate::process::proxy) fn name_of(number: u8) -> &'static str {
        let named = |phase: &&(Self, &str)| phase.0 as u8 == number;
        PHASES.iter().find(named).map_or("?", |(_, name)| name)
    }
}

const PHASES: [(Phase, &str); 10] = [
    (Phase::Idle, "idle"),
    (Phase::Handshake, "in a handshake"),
    (Phase::Head, "reading a head"),
    (Phase::Uploading, "sending a request"),
    (Phase::Queued, "in the queue"),
    (Phase::Connecting, "connecting"),
    (Phase::Waiting, "waiting for a response"),
    (Phase::Relaying, "relaying a response"),
    (Phase::Tunnel, "in a tunnel"),
    (Phase::Lingering, "lingering"),
];

/// Why a connection is woken besides its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Interrupt {
    /// Its phase has lasted too long.
    Overdue,
    /// The drain of the proxy or of its listener has begun, and it is idle.
    Drain,
    /// The drain's deadline has passed.
    Cut,
}

/// A word to a connection that it wants to be woken once, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Reminder {
    Unset,
    Set,
    /// A sweep has come.
    Due,
}

/// Whether half of a time that bytes lengthen has passed without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glance {
    NotYet,
    Due,
    Taken,
}

/// Whether this connection is to be evicted for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eviction {
    None,
    Requested,
}

/// Whether requests may follow on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    More,
    /// The proxy stops, or its listener was removed.
    NoMore,
}

/// The record of one client connection.
pub(in crate::process::proxy) struct Deadline {
    clock: CoarseClock,
    phase: Cell<Phase>,
    span_ms: Cell<u64>,
    /// The same, unless it was hurried.
    lasts_ms: Cell<u64>,
    due_ms: Cell<u64>,
    glance: Cell<Glance>,
    interrupt: Cell<Option<Interrupt>>,
    reminder: Cell<Reminder>,
    eviction: Cell<Eviction>,
    /// Whether it has ever been more than idle.
    has_asked: Cell<bool>,
    outlook: Cell<Outlook>,
    /// Which backend was last picked for the request, as a number that means something to whoever
    /// set it; 0: none.
    backend: Cell<usize>,
    /// Whether it is woken when no more requests are expected.
    listens: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Deadline {
    pub(in crate::process::proxy) fn new(clock: CoarseClock) -> Self {
        Self {
            clock,
            phase: Cell::new(Phase::Idle),
            span_ms: Cell::new(u64::MAX),
            lasts_ms: Cell::new(u64::MAX),
            due_ms: Cell::new(u64::MAX),
            glance: Cell::new(Glance::NotYet),
            interrupt: Cell::new(None),
            reminder: Cell::new(Reminder::Unset),
            eviction: Cell::new(Eviction::None),
            has_asked: Cell::new(false),
            outlook: Cell::new(Outlook::More),
            backend: Cell::new(0),
            listens: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    pub(in crate::process::proxy) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Notes that no more requests are expected on the connection: its next answer says so.
    pub(in crate::process::proxy) fn expect_no_more(&self) {
        self.outlook.set(Outlook::NoMore);
        if self.listens.get() {
            self.wake();
        }
    }

    /// Has the connection woken when no more requests are expected: it says so without an answer.
    pub(in crate::process::proxy) fn listen(&self) {
        self.listens.set(true);
    }

    /// Returns whether no more requests are expected.
    pub(in crate::process::proxy) fn expects_no_more(&self) -> bool {
        self.outlook.get() == Outlook::NoMore
    }

    /// Begins a phase that may last `within`, or so long without a `touch`.
    pub(in crate::process::proxy) fn enter(&self, phase: Phase, within: Duration) {
        self.phase.set(phase);
        self.eviction.set(Eviction::None);
        match phase {
            Phase::Idle => self.backend.set(0),
            Phase::Handshake
            | Phase::Head
            | Phase::Uploading
            | Phase::Queued
            | Phase::Connecting
            | Phase::Waiting
            | Phase::Relaying
            | Phase::Tunnel
            | Phase::Lingering => self.has_asked.set(true),
        }
        self.span_ms.set(millis(within));
        if self.interrupt.get() != Some(Interrupt::Cut) {
            self.interrupt.set(None);
        }
        self.begin(self.span_ms.get());
    }

    /// Notes which backend was picked for the request.
    pub(in crate::process::proxy) fn note_backend(&self, backend: usize) {
        self.backend.set(backend);
    }

    /// Returns the backend that a request is about which is under way.
    pub(in crate::process::proxy) fn backend(&self) -> Option<usize> {
        Some(self.backend.get()).filter(|backend| *backend > 0)
    }

    /// Returns for how long the phase has gone on, or no bytes have moved in it; `None` where it
    /// may last for ever.
    pub(in crate::process::proxy) fn lasted_ms(&self) -> Option<u64> {
        let (due_ms, lasts_ms) = (self.due_ms.get(), self.lasts_ms.get());
        let began_ms = due_ms.checked_sub(lasts_ms.saturating_add(LAG_MS))?;
        (due_ms < u64::MAX).then(|| self.clock.get().saturating_sub(began_ms))
    }

    fn begin(&self, lasts_ms: u64) {
        self.lasts_ms.set(lasts_ms);
        self.due_ms.set(self.due_in(lasts_ms));
        self.glance.set(Glance::NotYet);
    }

    /// Gives a phase that lasts for as long as bytes move its whole time again; every other one
    /// ends when it would.
    pub(in crate::process::proxy) fn touch(&self) {
        if self.phase.get().lasts_while_bytes_move() {
            self.begin(self.span_ms.get());
        }
    }

    /// Lets the phase end in `within` at the latest; tells whether that is sooner than it would.
    pub(in crate::process::proxy) fn hurry(&self, within: Duration) -> Hurried {
        let within_ms = millis(within);
        if self.due_in(within_ms) < self.due_ms.get() {
            self.begin(within_ms);
            return Hurried::Sooner;
        }
        Hurried::AsBefore
    }

    /// Gives a phase whose time is over that time again.
    pub(in crate::process::proxy) fn go_on(&self) {
        if self.interrupt.get() == Some(Interrupt::Overdue) {
            self.interrupt.set(None);
            self.begin(self.lasts_ms.get());
        }
    }

    /// Returns, once, that half of a time has passed in which no bytes moved.
    pub(in crate::process::proxy) fn take_glance(&self) -> bool {
        let is_due = self.glance.get() == Glance::Due;
        if is_due {
            self.glance.set(Glance::Taken);
        }
        is_due
    }

    /// Returns whether that was taken, and none have moved since.
    pub(in crate::process::proxy) fn has_glanced(&self) -> bool {
        self.glance.get() == Glance::Taken
    }

    /// Returns when so much time has passed for certain, by the coarse clock.
    fn due_in(&self, span_ms: u64) -> u64 {
        let now_ms_max = self.clock.get().saturating_add(LAG_MS);
        now_ms_max.saturating_add(span_ms)
    }

    /// Ready with why the connection is to stop what it does; otherwise its task is woken then.
    pub(in crate::process::proxy) fn poll_interrupt(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Interrupt> {
        if let Some(interrupt) = self.interrupt.get() {
            return Poll::Ready(interrupt);
        }
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            Some(_) | None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Returns since when the connection is idle by the coarse clock; `None` where it is not, or is
    /// asked to leave already.
    pub(in crate::process::proxy) fn idle_since_ms(&self) -> Option<u64> {
        let is_idle = self.phase.get() == Phase::Idle
            && self.eviction.get() == Eviction::None
            && self.interrupt.get().is_none()
            && self.due_ms.get() < u64::MAX;
        let since_ms = self.due_ms.get().saturating_sub(self.span_ms.get());
        // The first request of a new one may be on its way.
        let may_leave = self.has_asked.get() || self.clock.get() >= since_ms + NEW_MS;
        (is_idle && may_leave).then_some(since_ms)
    }

    /// Asks an idle connection for its place, and wakes it.
    pub(in crate::process::proxy) fn request_eviction(&self) {
        self.eviction.set(Eviction::Requested);
        self.wake();
    }

    /// Returns whether it was asked, once.
    pub(in crate::process::proxy) fn take_wanted(&self) -> bool {
        self.eviction.replace(Eviction::None) == Eviction::Requested
    }

    /// Has the connection woken at the next sweep, for it to see [`Reminder::Due`].
    pub(in crate::process::proxy) fn remind(&self) {
        if self.reminder.get() == Reminder::Unset {
            self.reminder.set(Reminder::Set);
        }
    }

    /// Returns how far a reminder has come; one that is due is over with it.
    pub(in crate::process::proxy) fn reminder(&self) -> Reminder {
        let reminder = self.reminder.get();
        if reminder == Reminder::Due {
            self.reminder.set(Reminder::Unset);
        }
        reminder
    }

    /// Interrupts the connection if its time is over.
    pub(in crate::process::proxy) fn sweep(&self) {
        if self.reminder.get() == Reminder::Set {
            self.reminder.set(Reminder::Due);
            self.wake();
        }
        let half_ms = self.due_ms.get().saturating_sub(self.lasts_ms.get() / 2);
        if self.glance.get() == Glance::NotYet
            && self.phase.get().lasts_while_bytes_move()
            && self.clock.get() >= half_ms
        {
            self.glance.set(Glance::Due);
            self.wake();
        }
        if self.clock.get() >= self.due_ms.get() {
            self.due_ms.set(u64::MAX);
            self.interrupt(Interrupt::Overdue);
        }
    }

    /// Interrupts the connection; a cut outlasts whatever it does then.
    pub(in crate::process::proxy) fn interrupt(&self, why: Interrupt) {
        if self.interrupt.get() != Some(Interrupt::Cut) {
            self.interrupt.set(Some(why));
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Returns whole milliseconds, at least 1.
pub(in crate::process::proxy) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// A connection that has carried nothing yet keeps its place for so long.
const NEW_MS: u64 = 1000;
/// How often the coarse clock is renewed.
pub(in crate::process::proxy) const BEAT_MS: u64 = 50;
/// How far the coarse clock may be behind: a beat, and what a beat may be late on a thread that
/// keeps up.
const LAG_MS: u64 = BEAT_MS + 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(100);
    /// What a span lasts by the clock.
    const LASTS_MS: u64 = 100 + LAG_MS;

    fn interrupted_at(deadline: &Deadline, now_ms: u64) -> Option<Interrupt> {
        deadline.clock.set(now_ms);
        deadline.sweep();
        deadline.interrupt.get()
    }

    #[test]
    fn phases_end_when_their_time_is_over() {
        let deadline = Deadline::new(CoarseClock::default());
        deadline.enter(Phase::Head, SPAN);
        assert_eq!(interrupted_at(&deadline, LASTS_MS - 1), None);
        assert_eq!(
            interrupted_at(&deadline, LASTS_MS),
            Some(Interrupt::Overdue)
        );
        deadline.enter(Phase::Relaying, SPAN);
        assert_eq!(
            interrupted_at(&deadline, 2 * LASTS_MS - 1),
            None,
            "another phase, another time"
        );
    }

    #[test]
    fn touched_phases_last_longer_and_hurried_ones_shorter() {
        let deadline = Deadline::new(CoarseClock::default());
        deadline.enter(Phase::Relaying, SPAN);
        deadline.clock.set(90);
        deadline.touch();
        assert_eq!(interrupted_at(&deadline, 90 + LASTS_MS - 1), None);
        assert_eq!(deadline.hurry(2 * SPAN), Hurried::AsBefore);
        deadline.clock.set(80);
        assert_eq!(deadline.hurry(SPAN), Hurried::Sooner);
        assert_eq!(
            interrupted_at(&deadline, 80 + LASTS_MS),
            Some(Interrupt::Overdue)
        );
    }

    #[test]
    fn half_of_a_silence_is_told_once_and_what_is_none_begins_again() {
        let deadline = Deadline::new(CoarseClock::default());
        deadline.enter(Phase::Relaying, SPAN);
        assert_eq!(interrupted_at(&deadline, LASTS_MS / 2 - 10), None);
        assert!(!deadline.take_glance());
        assert_eq!(interrupted_at(&deadline, LASTS_MS - 50), None);
        assert!(deadline.take_glance() && !deadline.take_glance());
        assert!(deadline.has_glanced());
        let overdue = Some(Interrupt::Overdue);
        assert_eq!(interrupted_at(&deadline, LASTS_MS), overdue);
        deadline.go_on();
        assert!(!deadline.has_glanced());
        assert_eq!(interrupted_at(&deadline, 2 * LASTS_MS - 1), None);
        assert_eq!(interrupted_at(&deadline, 2 * LASTS_MS), overdue);
        deadline.enter(Phase::Waiting, SPAN);
        assert_eq!(interrupted_at(&deadline, 3 * LASTS_MS - 1), None);
        assert!(!deadline.take_glance(), "it is timed as a whole");
    }

    #[test]
    fn bytes_lengthen_no_phase_that_is_timed_as_a_whole() {
        let deadline = Deadline::new(CoarseClock::default());
        deadline.enter(Phase::Waiting, SPAN);
        deadline.clock.set(90);
        deadline.touch();
        assert_eq!(
            interrupted_at(&deadline, LASTS_MS),
            Some(Interrupt::Overdue)
        );
    }

    #[test]
    fn clocks_that_lag_end_no_phase_before_its_time() {
        // What is stored at any moment between two beats is stored by the earlier one.
        for since_beat_ms in 0..BEAT_MS {
            for begin in [
                (|deadline: &Deadline| deadline.enter(Phase::Head, SPAN)) as fn(&Deadline),
                |deadline| assert_eq!(deadline.hurry(SPAN), Hurried::Sooner),
            ] {
                let deadline = Deadline::new(CoarseClock::default());
                deadline.clock.set(1000);
                begin(&deadline);
                let due_ms = 1000 + since_beat_ms + 100;
                assert_eq!(
                    interrupted_at(&deadline, due_ms - 1),
                    None,
                    "{since_beat_ms}"
                );
            }
        }
    }

    #[test]
    fn threads_that_were_held_up_end_no_phase_before_its_time() {
        let deadline = Deadline::new(CoarseClock::default());
        // At the end of a pause of which the clock was not told yet.
        deadline.enter(Phase::Head, SPAN);
        renew(&deadline.clock, 10_000);
        deadline.sweep();
        assert_eq!(deadline.interrupt.get(), None);
        renew(&deadline.clock, 50);
        renew(&deadline.clock, 50);
        deadline.sweep();
        assert_eq!(deadline.interrupt.get(), Some(Interrupt::Overdue));
    }

    #[test]
    fn reminders_are_due_once_at_the_next_sweep() {
        let deadline = Deadline::new(CoarseClock::default());
        deadline.sweep();
        assert_eq!(deadline.reminder(), Reminder::Unset);
        deadline.remind();
        assert_eq!(deadline.reminder(), Reminder::Set);
        deadline.sweep();
        deadline.remind();
        assert_eq!(deadline.reminder(), Reminder::Due);
        assert_eq!(deadline.reminder(), Reminder::Unset);
        assert_eq!(deadline.interrupt.get(), None);
    }

    #[test]
    fn cuts_outlast_everything() {
        let deadline = Deadline::new(CoarseClock::default());
        deadline.interrupt(Interrupt::Cut);
        deadline.enter(Phase::Lingering, SPAN);
        deadline.interrupt(Interrupt::Drain);
        assert_eq!(deadline.interrupt.get(), Some(Interrupt::Cut));
    }
}
