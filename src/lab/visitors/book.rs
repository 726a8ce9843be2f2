//! The book of the visitors: who has which connection, what became of each request, who is still to
//! be served.
//!
//! All visitors live in one thread and share it there. At the end of a watch it calls the roll:
//! each visitor whose connection is older than the watch must end one more request on it, or lose
//! it; each other one must be served at all. So a report does not depend on who happened to ask
//! while an event was watched.

use std::time::{Duration, Instant};

use super::ask::Trouble;
use super::crowd::{Crowd, Kind};
use super::visits::{Tally, Visits};

/// Everything that is known of the visitors.
#[derive(Debug)]
pub struct Book {
    seats: Vec<Seat>,
    tallies: Vec<Tally>,
    begun_at: Instant,
    due: usize,
}

/// One visitor.
#[derive(Debug)]
struct Seat {
    kind: Kind,
    line: LineState,
    due: Due,
}

/// What a visitor has of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineState {
    /// None; a request may wait for one.
    None,
    /// One since then, with nothing asked.
    Idle { opened_at: Instant },
    /// One since then, with a request in flight.
    Asking { opened_at: Instant },
}

impl LineState {
    const fn opened_at(self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Idle { opened_at } | Self::Asking { opened_at } => Some(opened_at),
        }
    }
}

/// What the roll call still waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Nothing.
    Nothing,
    /// The end of a request.
    Answer,
    /// Any service: an answer, or a piece of one.
    Service,
}

impl Book {
    /// Begins with a seat for each visitor, kind by kind.
    pub fn new(crowd: Crowd, now: Instant) -> Self {
        let seats: Vec<Seat> = crowd
            .kinds()
            .flat_map(|kind| {
                (0..crowd.count(kind)).map(move |_| Seat {
                    kind,
                    line: LineState::None,
                    due: Due::Nothing,
                })
            })
            .collect();
        let tallies = Kind::ALL.map(|kind| Tally::new(kind, crowd.count(kind) as u64));
        Self {
            seats,
            tallies: tallies.to_vec(),
            begun_at: now,
            due: 0,
        }
    }

    /// Returns the kinds of all seats, in their order.
    pub fn kinds(&self) -> Vec<Kind> {
        self.seats.iter().map(|seat| seat.kind).collect()
    }

    /// A watch begins.
    pub fn begin(&mut self, now: Instant) {
        self.begun_at = now;
        for tally in &mut self.tallies {
            let wrong = tally.wrong;
            *tally = Tally::new(tally.kind, tally.visitors);
            tally.wrong = wrong;
        }
        for seat in &self.seats {
            let tally = &mut self.tallies[seat.kind.index()];
            match seat.line {
                LineState::None => {}
                LineState::Idle { .. } => tally.open += 1,
                LineState::Asking { .. } => {
                    tally.open += 1;
                    tally.asked += 1;
                }
            }
        }
    }

    /// The roll is called: from now on [`Book::due`] says how many have not answered it.
    pub fn call_roll(&mut self) {
        for seat in &mut self.seats {
            let older = seat.line.opened_at().is_some_and(|at| at < self.begun_at);
            seat.due = if older { Due::Answer } else { Due::Service };
        }
        self.due = self.seats.len();
    }

    /// Returns how many the roll call still waits for.
    pub const fn due(&self) -> usize {
        self.due
    }

    /// The watch ends; who is still due counts as unserved.
    pub fn end(&mut self) -> Visits {
        for seat in &mut self.seats {
            if seat.due != Due::Nothing {
                self.tallies[seat.kind.index()].unserved += 1;
                seat.due = Due::Nothing;
            }
        }
        self.due = 0;
        let kinds = self.tallies.iter().filter(|tally| tally.visitors > 0);
        let visits = Visits {
            kinds: kinds.cloned().collect(),
        };
        for tally in &mut self.tallies {
            tally.wrong = 0;
        }
        visits
    }

    /// A visitor has a connection.
    pub fn opened(&mut self, seat: usize, now: Instant) {
        self.seats[seat].line = LineState::Asking { opened_at: now };
    }

    /// A visitor asks, on the connection that it has or on one that it now opens.
    pub fn asked(&mut self, seat: usize) {
        self.tally(seat).asked += 1;
        if let LineState::Idle { opened_at } = self.seats[seat].line {
            self.seats[seat].line = LineState::Asking { opened_at };
        }
    }

    /// Some of an answer has come, or some of a request could go.
    pub fn progressed(&mut self, seat: usize) {
        if self.seats[seat].due == Due::Service {
            self.settle(seat);
        }
    }

    /// A request has its whole answer, which took so long beyond what was asked of it.
    pub fn answered(&mut self, seat: usize, beyond: Duration) {
        let tally = self.tally(seat);
        tally.answered += 1;
        tally.took(beyond);
        self.rest(seat);
        self.settle(seat);
    }

    /// A request has no good answer.
    pub fn troubled(&mut self, seat: usize, trouble: Trouble) {
        let tally = self.tally(seat);
        match trouble {
            Trouble::Failed(failure) | Trouble::Refused(failure) => {
                tally.failed += 1;
                *tally.failures.entry(failure.to_string()).or_default() += 1;
            }
            Trouble::Wrong => tally.wrong += 1,
        }
        match trouble {
            Trouble::Failed(_) | Trouble::Wrong => self.broke(seat),
            Trouble::Refused(_) => self.rest(seat),
        }
    }

    /// A connection ended while nothing was asked.
    pub fn closed_idle(&mut self, seat: usize) {
        self.tally(seat).closed_idle += 1;
        self.broke(seat);
    }

    /// The visitor closes its connection, as was said or as its kind does.
    pub fn left(&mut self, seat: usize) {
        self.seats[seat].line = LineState::None;
    }

    /// A connection breaks off.
    fn broke(&mut self, seat: usize) {
        let opened_at = self.seats[seat].line.opened_at();
        if opened_at.is_some_and(|at| at < self.begun_at) {
            self.tally(seat).cut += 1;
        }
        let seat = &mut self.seats[seat];
        seat.line = LineState::None;
        if seat.due == Due::Answer {
            seat.due = Due::Service;
        }
    }

    fn rest(&mut self, seat: usize) {
        if let Some(opened_at) = self.seats[seat].line.opened_at() {
            self.seats[seat].line = LineState::Idle { opened_at };
        }
    }

    fn settle(&mut self, seat: usize) {
        if self.seats[seat].due != Due::Nothing {
            self.seats[seat].due = Due::Nothing;
            self.due -= 1;
        }
    }

    fn tally(&mut self, seat: usize) -> &mut Tally {
        let kind = self.seats[seat].kind;
        &mut self.tallies[kind.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::probe::Failure;

    const RESET: Trouble = Trouble::Failed(Failure::Reset);

    /// Two idle visitors and an upload, all with a connection, when the watch begins a second
    /// later.
    fn book() -> Book {
        let now = Instant::now();
        let mut book = Book::new(Crowd([2, 0, 0, 0, 0, 1, 0, 0]), now);
        for seat in 0..3 {
            book.asked(seat);
            book.opened(seat, now);
        }
        book.answered(0, Duration::ZERO);
        book.answered(1, Duration::ZERO);
        book.begin(now + Duration::from_secs(1));
        book
    }

    fn tally(book: &mut Book, kind: Kind) -> Tally {
        let visits = book.end();
        visits
            .of(kind)
            .cloned()
            .unwrap_or_else(|| panic!("{visits}"))
    }

    #[test]
    fn begin_counts_what_is_open_and_in_flight() {
        let mut book = book();
        let visits = book.end();
        let seen: Vec<_> = visits
            .kinds
            .iter()
            .map(|t| (t.kind, t.open, t.asked))
            .collect();
        assert_eq!(seen, [(Kind::Idle, 2, 0), (Kind::Upload, 1, 1)]);
    }

    #[test]
    fn connection_is_cut_once_however_often_its_visitor_fails() {
        let mut book = book();
        book.asked(0);
        book.troubled(0, RESET);
        book.asked(0);
        book.troubled(0, RESET);
        book.closed_idle(1);
        let idle = tally(&mut book, Kind::Idle);
        assert_eq!((idle.cut, idle.failed, idle.closed_idle), (2, 2, 1));
        assert_eq!(idle.failures["reset"], 2);
    }

    #[test]
    fn roll_call_waits_for_an_answer_on_an_old_connection() {
        let mut book = book();
        book.call_roll();
        book.progressed(2);
        assert_eq!(book.due(), 3, "an old transfer must come to its end");
        for seat in 0..3 {
            book.asked(seat);
            book.answered(seat, Duration::from_millis(7));
        }
        assert_eq!(book.due(), 0);
        assert_eq!(tally(&mut book, Kind::Idle).slowest_ms, 7);
    }

    #[test]
    fn visitor_without_its_connection_must_be_served_again() {
        let mut book = book();
        book.call_roll();
        book.troubled(2, RESET);
        assert_eq!(book.due(), 3);
        book.asked(2);
        book.opened(2, Instant::now() + Duration::from_secs(2));
        book.progressed(2);
        assert_eq!(book.due(), 2);
        assert_eq!(tally(&mut book, Kind::Idle).unserved, 2);
        assert_eq!(book.due(), 0);
    }

    #[test]
    fn refusal_leaves_the_connection_and_is_no_service() {
        let mut book = book();
        book.call_roll();
        book.asked(0);
        book.troubled(0, Trouble::Refused(Failure::Status(503)));
        assert_eq!(book.due(), 3);
        let idle = tally(&mut book, Kind::Idle);
        assert_eq!((idle.failed, idle.cut), (1, 0));
    }

    #[test]
    fn wrong_answer_between_two_watches_counts_in_the_later_one() {
        let mut book = book();
        book.end();
        book.asked(0);
        book.troubled(0, Trouble::Wrong);
        book.begin(Instant::now() + Duration::from_secs(2));
        assert_eq!(tally(&mut book, Kind::Idle).wrong, 1);
        assert_eq!(tally(&mut book, Kind::Idle).wrong, 0);
    }
}
