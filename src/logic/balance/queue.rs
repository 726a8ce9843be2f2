//! The order in which requests wait for a slot on a backend, and which one is called.
//!
//! Lanes of tickets, each a FIFO: a request that has been tried already stands before all that are
//! new, and of those the urgent before the others. After [`OVERTAKINGS_MAX`] in a row that have
//! overtaken who has waited longer, the one that has waited longest is asked first: so each waits
//! for a bounded number of others, however many urgent ones come. Whoever is called is given what
//! it waits for in the same step, so that a call is never in vain; a called one that has left hands
//! it back, and the caller offers it to the next. Pure: it has no lock, clock or waker, and does
//! not know what room is: the offer decides. Read `process::proxy::upstream::queue` next, which has
//! the lock.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Those who wait, each with what is kept for it, and those who have been called and have not
/// answered yet.
///
/// ```
/// use evenkeel::logic::balance::queue::{Lane, Offer, Queue, Urgency};
///
/// let mut queue: Queue<&str, usize> = Queue::default();
/// let first = queue.enter(Lane::New(Urgency::Normal), "first");
/// queue.enter(Lane::New(Urgency::Normal), "second");
/// // Backend 7 has a slot again: the first in line gets it.
/// assert_eq!(queue.call_next(|_| Offer::Call(7)), Some("first"));
/// assert_eq!(queue.answer(first), Some(7));
/// assert_eq!(queue.waiting(), 1);
/// ```
///
/// Entering, calling the first and leaving cost the logarithm of how many wait, and calling besides
/// as much as there are lines. It has no bound of
/// its own: each waiter belongs to a client connection, and those are bounded.
#[derive(Debug)]
pub struct Queue<W, C> {
    waiting: BTreeMap<Ticket, W>,
    called: BTreeMap<Ticket, C>,
    entered: u64,
    /// In a row, by those that have been called.
    overtakings: u32,
}

/// A place in the queue; the order of tickets is that of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    lane: Lane,
    line: Line,
    number: u64,
}

/// What one waits for: any backend, or one of them by its index.
pub type Line = Option<usize>;

/// Where one enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Before all that are new: it has waited its turn once.
    Again,
    /// Behind all that are as urgent.
    New(Urgency),
}

/// How urgent a request is; the more urgent comes first in the order of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Before all others.
    High,
    /// Unless another is said.
    #[default]
    Normal,
    /// Behind all others.
    Low,
}

/// What is offered to a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer<C> {
    /// Wake the waiter with this value.
    Call(C),
    /// There is nothing for it; the waiters behind it are asked.
    Pass,
    /// There is nothing for it nor for the waiters behind it in its line of its lane.
    Stop,
}

impl<W, C> Default for Queue<W, C> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            called: BTreeMap::new(),
            entered: 0,
            overtakings: 0,
        }
    }
}

impl<W, C> Queue<W, C> {
    /// Takes a place behind everybody in the lane; it waits for any backend.
    pub fn enter(&mut self, lane: Lane, waiter: W) -> Ticket {
        self.enter_line(lane, None, waiter)
    }

    /// Takes a place behind everybody in the lane, in a line of it.
    pub fn enter_line(&mut self, lane: Lane, line: Line, waiter: W) -> Ticket {
        let number = self.entered;
        self.entered += 1;
        let ticket = Ticket { lane, line, number };
        self.waiting.insert(ticket, waiter);
        ticket
    }

    /// Asks those who wait, in order, until one is called; returns what was kept for that one.
    pub fn call_next(&mut self, mut offer: impl FnMut(&W) -> Offer<C>) -> Option<W> {
        let lanes = self.lanes();
        let (ticket, call) = lanes
            .into_iter()
            .find_map(|lane| self.ask(lane, &mut offer))?;
        self.count_overtaking(ticket);
        self.called.insert(ticket, call);
        self.waiting.remove(&ticket)
    }

    /// Returns the lanes in the order in which they are asked.
    fn lanes(&self) -> [Lane; 4] {
        let mut lanes = LANES;
        if self.overtakings >= OVERTAKINGS_MAX {
            let news = &mut lanes[1..];
            // Of lanes without a waiter the last.
            news.sort_by_key(|lane| self.oldest(*lane).unwrap_or(u64::MAX));
        }
        lanes
    }

    /// Returns the number of who has waited longest in a lane.
    fn oldest(&self, lane: Lane) -> Option<u64> {
        let firsts = self.lines(lane).map(|first| first.number);
        firsts.min()
    }

    /// Returns the first ticket of each line of a lane.
    fn lines(&self, lane: Lane) -> impl Iterator<Item = Ticket> {
        let last = Ticket {
            lane,
            line: Some(usize::MAX),
            number: u64::MAX,
        };
        let first = Ticket {
            line: None,
            number: 0,
            ..last
        };
        let mut from = Bound::Included(first);
        std::iter::from_fn(move || {
            let mut rest = self.waiting.range((from, Bound::Included(last)));
            let (ticket, _) = rest.next()?;
            from = Bound::Excluded(Ticket {
                number: u64::MAX,
                ..*ticket
            });
            Some(*ticket)
        })
    }

    /// Returns those of a line, from its first ticket on.
    fn in_line(&self, first: Ticket) -> impl Iterator<Item = (&Ticket, &W)> {
        let last = Ticket {
            number: u64::MAX,
            ..first
        };
        self.waiting.range(first..=last)
    }

    /// Asks those of one lane, in order, until one takes the offer.
    fn ask(&self, lane: Lane, offer: &mut impl FnMut(&W) -> Offer<C>) -> Option<(Ticket, C)> {
        let lines = self.lines(lane);
        let mut lines: Vec<_> = lines.map(|first| self.in_line(first).peekable()).collect();
        loop {
            let firsts = lines.iter_mut().enumerate();
            let numbers = firsts.filter_map(|(at, line)| Some((line.peek()?.0.number, at)));
            let (_, at) = numbers.min()?;
            let (ticket, waiter) = lines[at].next()?;
            match offer(waiter) {
                Offer::Call(call) => return Some((*ticket, call)),
                Offer::Pass => {}
                Offer::Stop => drop(lines.swap_remove(at)),
            }
        }
    }

    /// Notes whether the one that is called has overtaken another by being more urgent.
    fn count_overtaking(&mut self, called: Ticket) {
        let Lane::New(_) = called.lane else {
            return;
        };
        let behind = LANES.into_iter().filter(|lane| *lane > called.lane);
        let mut overtaken = behind.filter_map(|lane| self.oldest(lane));
        self.overtakings = if overtaken.any(|number| number < called.number) {
            self.overtakings.saturating_add(1)
        } else {
            0
        };
    }

    /// Returns what a ticket was called with, and ends it; `None` while it waits, or where it has
    /// ended.
    pub fn answer(&mut self, ticket: Ticket) -> Option<C> {
        self.called.remove(&ticket)
    }

    /// Returns what is kept for one who waits.
    pub fn waiter_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.waiting.get_mut(&ticket)
    }

    /// Ends a ticket, whether it waits, was called or has ended; returns what it was called with
    /// and did not take: the next one's.
    pub fn leave(&mut self, ticket: Ticket) -> Option<C> {
        self.waiting.remove(&ticket);
        self.answer(ticket)
    }

    /// Returns how many wait; those who have been called are not among them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// In the order in which they are asked.
const LANES: [Lane; 4] = [
    Lane::Again,
    Lane::New(Urgency::High),
    Lane::New(Urgency::Normal),
    Lane::New(Urgency::Low),
];
/// So many in a row may be called before one that has waited longer than they.
pub const OVERTAKINGS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const NEW: Lane = Lane::New(Urgency::Normal);
    const ALL: [Urgency; 3] = [Urgency::High, Urgency::Normal, Urgency::Low];

    /// Calls everybody who waits, in order.
    fn order(queue: &mut Queue<&'static str, ()>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.call_next(|_| Offer::Call(()))).collect()
    }

    #[test]
    fn calls_come_in_the_order_of_entering_and_the_tried_come_first() {
        let mut queue = Queue::default();
        for (lane, name) in [
            (NEW, "first"),
            (NEW, "second"),
            (Lane::Again, "tried"),
            (NEW, "third"),
            (Lane::Again, "tried later"),
        ] {
            queue.enter(lane, name);
        }
        let hoped = ["tried", "tried later", "first", "second", "third"];
        assert_eq!(order(&mut queue), hoped);
    }

    #[test]
    fn the_urgent_come_first_and_who_came_first_among_the_equally_urgent() {
        let [high, normal, low] = ALL.map(Lane::New);
        let mut queue = Queue::default();
        for (lane, name) in [
            (low, "low"),
            (normal, "normal"),
            (high, "high"),
            (Lane::Again, "tried"),
            (low, "low later"),
            (high, "high later"),
            (normal, "normal later"),
        ] {
            queue.enter(lane, name);
        }
        let hoped = [
            "tried",
            "high",
            "high later",
            "normal",
            "normal later",
            "low",
            "low later",
        ];
        assert_eq!(order(&mut queue), hoped);
    }

    /// Of one that waits from the beginning, and many that come behind it.
    #[test]
    fn so_many_overtake_and_then_the_one_that_has_waited_longest_is_called() {
        let [high, normal, low] = ALL.map(Lane::New);
        for (first, behind, place) in [
            (low, high, 8),
            (low, normal, 8),
            (normal, high, 8),
            (high, low, 0),
            (normal, normal, 0),
            // Those that were tried overtake all, and are few.
            (high, Lane::Again, 20),
        ] {
            let mut queue = Queue::default();
            queue.enter(first, "first");
            for _ in 0..20 {
                queue.enter(behind, "behind");
            }
            let called = order(&mut queue);
            let at = called.iter().position(|name| *name == "first");
            assert_eq!(at, Some(place), "{first:?} before {behind:?}");
        }
    }

    #[test]
    fn overtakings_are_counted_in_a_row() {
        let [high, _, low] = ALL.map(Lane::New);
        let mut queue = Queue::default();
        let call = |queue: &mut Queue<_, ()>| queue.call_next(|_| Offer::Call(()));
        for round in 0..3 {
            queue.enter(low, "low");
            for _ in 0..OVERTAKINGS_MAX {
                queue.enter(high, "high");
                assert_eq!(call(&mut queue), Some("high"), "{round}");
            }
            queue.enter(high, "high");
            assert_eq!(call(&mut queue), Some("low"), "{round}");
            assert_eq!(
                call(&mut queue),
                Some("high"),
                "{round}: it overtakes nobody"
            );
        }
    }

    #[test]
    fn the_gone_are_not_called() {
        let mut queue = Queue::default();
        let tickets = ["a", "b", "c"].map(|name| queue.enter(NEW, name));
        assert_eq!(queue.leave(tickets[1]), None);
        assert_eq!(queue.leave(tickets[1]), None, "nothing happens twice");
        assert_eq!(queue.waiting(), 2);
        assert_eq!(order(&mut queue), ["a", "c"]);
    }

    #[test]
    fn the_called_take_what_was_offered_once() {
        let mut queue = Queue::default();
        let ticket = queue.enter(NEW, "a");
        assert_eq!(queue.answer(ticket), None, "it waits");
        assert_eq!(queue.waiter_mut(ticket), Some(&mut "a"));
        assert_eq!(queue.call_next(|_| Offer::Call(7)), Some("a"));
        assert_eq!((queue.waiting(), queue.waiter_mut(ticket)), (0, None));
        assert_eq!(queue.answer(ticket), Some(7));
        assert_eq!((queue.answer(ticket), queue.leave(ticket)), (None, None));
    }

    #[test]
    fn the_called_who_leave_hand_back_what_they_were_given() {
        let mut queue = Queue::default();
        let ticket = queue.enter(NEW, "a");
        queue.enter(NEW, "b");
        queue.call_next(|_| Offer::Call(7));
        assert_eq!(queue.leave(ticket), Some(7));
        assert_eq!(queue.call_next(|_| Offer::Call(7)), Some("b"));
    }

    #[test]
    fn who_finds_nothing_keeps_its_place_and_lets_others_have_it() {
        let mut queue = Queue::default();
        queue.enter(Lane::Again, "picky");
        queue.enter(NEW, "b");
        let not_picky = |name: &&str| match *name {
            "picky" => Offer::Pass,
            _ => Offer::Call(()),
        };
        assert_eq!(queue.call_next(not_picky), Some("b"));
        assert_eq!(queue.call_next(not_picky), None);
        assert_eq!(queue.call_next(|_| Offer::Call(())), Some("picky"));
    }

    #[test]
    fn an_offer_that_stops_is_asked_no_further_in_its_lane() {
        let mut queue: Queue<u32, ()> = Queue::default();
        for number in 0..3 {
            queue.enter(NEW, number);
        }
        queue.enter(Lane::New(Urgency::Low), 3);
        queue.enter(Lane::New(Urgency::High), 4);
        let mut asked = Vec::new();
        let called = queue.call_next(|number| {
            asked.push(*number);
            Offer::Stop
        });
        assert_eq!((called, asked, queue.waiting()), (None, vec![4, 0, 3], 5));
    }

    #[test]
    fn a_line_that_finds_nothing_stops_alone_and_the_order_is_that_of_all_lines() {
        let mut queue: Queue<(u32, Line), ()> = Queue::default();
        for (number, line) in (0..).zip([Some(1), None, Some(0), Some(1), None, Some(0)]) {
            queue.enter_line(NEW, line, (number, line));
        }
        let mut asked = Vec::new();
        let called = queue.call_next(|(number, line)| {
            asked.push(*number);
            match (line, number) {
                (None, _) | (Some(0), 2) => Offer::Pass,
                (Some(1), _) => Offer::Stop,
                (Some(_), _) => Offer::Call(()),
            }
        });
        assert_eq!(called, Some((5, Some(0))));
        assert_eq!(asked, [0, 1, 2, 4, 5], "3 stands behind 0");
        let mut left = std::iter::from_fn(|| queue.call_next(|_| Offer::Call(())));
        assert!(left.by_ref().map(|(number, _)| number).eq([0, 1, 2, 3, 4]));
    }

    #[test]
    fn lines_are_overtaken_no_more_than_lanes() {
        let [high, _, low] = ALL.map(Lane::New);
        let mut queue: Queue<&str, ()> = Queue::default();
        queue.enter_line(low, Some(7), "oldest");
        queue.enter(low, "younger");
        for _ in 0..20 {
            queue.enter_line(high, Some(3), "behind");
        }
        let called = order(&mut queue);
        let at = |name| called.iter().position(|it| *it == name);
        assert_eq!((at("oldest"), at("younger")), (Some(8), Some(17)));
    }

    /// What happens to the queue of a pool with two backends.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A request comes; who was tried before must not have the given backend.
        Enter(Option<usize>, Urgency),
        /// One who was called takes its room.
        Answer(usize),
        /// One who waits, or was called, leaves.
        Leave(usize),
        /// One who has room ends.
        End(usize),
    }

    fn urgency() -> impl Strategy<Value = Urgency> {
        prop_oneof![
            3 => Just(Urgency::High),
            2 => Just(Urgency::Normal),
            1 => Just(Urgency::Low),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (proptest::option::weighted(0.3, 0..2usize), urgency())
                .prop_map(|(except, urgency)| Step::Enter(except, urgency)),
            4 => any::<usize>().prop_map(Step::Answer),
            2 => any::<usize>().prop_map(Step::Leave),
            3 => any::<usize>().prop_map(Step::End),
        ]
    }

    /// The rooms of two backends, and everybody who is about them.
    struct World {
        queue: Queue<Option<usize>, usize>,
        free: [usize; 2],
        /// Everybody who has entered and neither answered nor left, in the order of entering.
        inside: VecDeque<(Ticket, Option<usize>)>,
        holders: Vec<usize>,
        overtakings: u32,
    }

    impl World {
        /// Calls every waiter that can be, and fails unless each was the first that could.
        fn call(&mut self) -> Result<(), TestCaseError> {
            loop {
                let free = self.free;
                let usable = |except: Option<usize>| {
                    (0..2).find(|room| free[*room] > 0 && Some(*room) != except)
                };
                let waiting = self.waiting();
                let can = |waiter: &&(Ticket, Option<usize>)| usable(waiter.1).is_some();
                let first = waiting.iter().find(can).copied();
                let called = self
                    .queue
                    .call_next(|except| usable(*except).map_or(Offer::Pass, Offer::Call));
                prop_assert_eq!(called.is_some(), first.is_some(), "no room beside a waiter");
                let Some((ticket, except)) = first else {
                    return Ok(());
                };
                let waits = self.queue.waiter_mut(ticket).is_some();
                prop_assert!(!waits, "the first is called first");
                self.free[usable(except).expect("it was found above")] -= 1;
                let overtakes = |other: &(Ticket, Option<usize>)| {
                    other.0.lane > ticket.lane && other.0.number < ticket.number
                };
                if ticket.lane != Lane::Again {
                    let overtook = waiting.iter().any(overtakes);
                    self.overtakings = if overtook { self.overtakings + 1 } else { 0 };
                }
            }
        }

        /// Returns everybody who waits, in the order hoped for.
        fn waiting(&mut self) -> Vec<(Ticket, Option<usize>)> {
            let queue = &mut self.queue;
            let inside = self.inside.iter().copied();
            let waits = |it: &(Ticket, _)| queue.waiter_mut(it.0).is_some();
            let mut waiting: Vec<_> = inside.filter(waits).collect();
            waiting.sort_by_key(|it| it.0);
            if self.overtakings >= OVERTAKINGS_MAX {
                let oldest = waiting
                    .iter()
                    .map(|it| it.0)
                    .filter(|it| it.lane != Lane::Again);
                let oldest = oldest.min_by_key(|it| it.number);
                let lane = oldest.map(|it| it.lane);
                // The others of its lane come with it; where it cannot be called, few come before
                // those of the second oldest.
                let firsts = waiting.clone();
                let of_lane = |lane| {
                    let mut all = firsts.iter().filter(|it| it.0.lane == lane);
                    all.next().map_or(0, |it| it.0.number)
                };
                waiting.sort_by_key(|it| {
                    let is_new = it.0.lane != Lane::Again;
                    (
                        is_new,
                        Some(it.0.lane) != lane,
                        of_lane(it.0.lane),
                        it.0.number,
                    )
                });
            }
            waiting
        }

        fn enter(&mut self, except: Option<usize>, urgency: Urgency) {
            let lane = except.map_or(Lane::New(urgency), |_| Lane::Again);
            let ticket = self.queue.enter(lane, except);
            self.inside.push_back((ticket, except));
        }

        fn take(&mut self, step: Step) {
            match step {
                Step::Enter(except, urgency) => self.enter(except, urgency),
                Step::Answer(nth) if !self.inside.is_empty() => {
                    let nth = nth % self.inside.len();
                    if let Some(room) = self.queue.answer(self.inside[nth].0) {
                        self.holders.push(room);
                        self.inside.remove(nth);
                    }
                }
                Step::Leave(nth) if !self.inside.is_empty() => {
                    let ticket = self.inside.remove(nth % self.inside.len());
                    let left = ticket.and_then(|(ticket, _)| self.queue.leave(ticket));
                    left.into_iter().for_each(|room| self.free[room] += 1);
                }
                Step::End(nth) if !self.holders.is_empty() => {
                    let room = self.holders.swap_remove(nth % self.holders.len());
                    self.free[room] += 1;
                }
                Step::Answer(_) | Step::Leave(_) | Step::End(_) => {}
            }
        }
    }

    proptest! {
        #[test]
        fn room_goes_to_the_first_who_can_use_it_and_none_is_lost(
            steps in proptest::collection::vec(step(), 0..200), rooms in [0..4usize, 0..4]
        ) {
            let mut world = World {
                queue: Queue::default(),
                free: rooms,
                inside: VecDeque::new(),
                holders: Vec::new(),
                overtakings: 0,
            };
            for step in steps {
                world.take(step);
                world.call()?;
                let waiting = world.queue.waiting();
                let called = world.inside.len() - waiting;
                let free: usize = world.free.iter().sum();
                prop_assert_eq!(free + called + world.holders.len(), rooms.iter().sum::<usize>());
            }
        }

        /// However many urgent ones come, and as long as somebody waits.
        #[test]
        fn each_waits_for_a_bounded_number_of_others(
            steps in proptest::collection::vec((urgency(), 0..3u32), 1..300)
        ) {
            let mut queue: Queue<u32, ()> = Queue::default();
            let mut calls = 0;
            // Until which call each must have been called.
            let mut due: Vec<Option<u32>> = Vec::new();
            for (urgency, called) in steps {
                let number = u32::try_from(due.len()).unwrap_or(u32::MAX);
                queue.enter(Lane::New(urgency), number);
                let waiting = u32::try_from(queue.waiting()).unwrap_or(u32::MAX);
                due.push(Some(calls + waiting * (OVERTAKINGS_MAX + 1)));
                for _ in 0..called {
                    if let Some(number) = queue.call_next(|_| Offer::Call(())) {
                        due[usize::try_from(number).unwrap_or(0)] = None;
                        calls += 1;
                    }
                }
                prop_assert!(due.iter().flatten().all(|due| calls < *due), "{due:?} at {calls}");
            }
        }
    }
}
