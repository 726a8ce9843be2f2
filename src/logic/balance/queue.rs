//! The order in which requests wait for a slot on a backend, and which one is called.
//!
//! A FIFO of tickets in two lanes: a request that has been tried already stands before all that are
//! new. Whoever is called is given what it waits for in the same step, so that a call is never in
//! vain; a called one that has left hands it back, and the caller offers it to the next. Pure: it
//! has no lock, clock or waker, and does not know what room is: the offer decides. Read
//! `process::proxy::queue` next, which has the lock.

use std::collections::BTreeMap;

/// Those who wait, each with what is kept for it, and those who have been called and have not
/// answered yet.
///
/// ```
/// use evenkeel::logic::balance::queue::{Lane, Offer, Queue};
///
/// let mut queue: Queue<&str, usize> = Queue::default();
/// let first = queue.enter(Lane::New, "first");
/// queue.enter(Lane::New, "second");
/// // Backend 7 has a slot again: the first in line gets it.
/// assert_eq!(queue.call_next(|_| Offer::Call(7)), Some("first"));
/// assert_eq!(queue.answer(first), Some(7));
/// assert_eq!(queue.waiting(), 1);
/// ```
///
/// Entering, calling the first and leaving cost the logarithm of how many wait. It has no bound of
/// its own: each waiter belongs to a client connection, and those are bounded.
#[derive(Debug)]
pub struct Queue<W, C> {
    waiting: BTreeMap<Ticket, W>,
    called: BTreeMap<Ticket, C>,
    entered: u64,
}

/// A place in the queue; the order of tickets is that of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    lane: Lane,
    number: u64,
}

/// Where one enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Before all that are new: it has waited its turn once.
    Again,
    /// Behind everybody.
    New,
}

/// What is offered to a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer<C> {
    /// Wake the waiter with this value.
    Call(C),
    /// There is nothing for it; the waiters behind it are asked.
    Pass,
    /// There is nothing for it nor for the waiters behind it.
    Stop,
}

impl<W, C> Default for Queue<W, C> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            called: BTreeMap::new(),
            entered: 0,
        }
    }
}

impl<W, C> Queue<W, C> {
    /// Takes a place behind everybody in the lane.
    pub fn enter(&mut self, lane: Lane, waiter: W) -> Ticket {
        let number = self.entered;
        self.entered += 1;
        let ticket = Ticket { lane, number };
        self.waiting.insert(ticket, waiter);
        ticket
    }

    /// Asks those who wait, in order, until one is called; returns what was kept for that one.
    pub fn call_next(&mut self, mut offer: impl FnMut(&W) -> Offer<C>) -> Option<W> {
        let mut called = None;
        for (ticket, waiter) in &self.waiting {
            match offer(waiter) {
                Offer::Call(call) => {
                    called = Some((*ticket, call));
                    break;
                }
                Offer::Pass => {}
                Offer::Stop => break,
            }
        }
        let (ticket, call) = called?;
        self.called.insert(ticket, call);
        self.waiting.remove(&ticket)
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Calls everybody who waits, in order.
    fn order(queue: &mut Queue<&'static str, ()>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.call_next(|_| Offer::Call(()))).collect()
    }

    #[test]
    fn calls_come_in_the_order_of_entering_and_the_tried_come_first() {
        let mut queue = Queue::default();
        for (lane, name) in [
            (Lane::New, "first"),
            (Lane::New, "second"),
            (Lane::Again, "tried"),
            (Lane::New, "third"),
            (Lane::Again, "tried later"),
        ] {
            queue.enter(lane, name);
        }
        let hoped = ["tried", "tried later", "first", "second", "third"];
        assert_eq!(order(&mut queue), hoped);
    }

    #[test]
    fn the_gone_are_not_called() {
        let mut queue = Queue::default();
        let tickets = ["a", "b", "c"].map(|name| queue.enter(Lane::New, name));
        assert_eq!(queue.leave(tickets[1]), None);
        assert_eq!(queue.leave(tickets[1]), None, "nothing happens twice");
        assert_eq!(queue.waiting(), 2);
        assert_eq!(order(&mut queue), ["a", "c"]);
    }

    #[test]
    fn the_called_take_what_was_offered_once() {
        let mut queue = Queue::default();
        let ticket = queue.enter(Lane::New, "a");
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
        let ticket = queue.enter(Lane::New, "a");
        queue.enter(Lane::New, "b");
        queue.call_next(|_| Offer::Call(7));
        assert_eq!(queue.leave(ticket), Some(7));
        assert_eq!(queue.call_next(|_| Offer::Call(7)), Some("b"));
    }

    #[test]
    fn who_finds_nothing_keeps_its_place_and_lets_others_have_it() {
        let mut queue = Queue::default();
        queue.enter(Lane::Again, "picky");
        queue.enter(Lane::New, "b");
        let not_picky = |name: &&str| match *name {
            "picky" => Offer::Pass,
            _ => Offer::Call(()),
        };
        assert_eq!(queue.call_next(not_picky), Some("b"));
        assert_eq!(queue.call_next(not_picky), None);
        assert_eq!(queue.call_next(|_| Offer::Call(())), Some("picky"));
    }

    #[test]
    fn an_offer_that_stops_is_asked_no_further() {
        let mut queue: Queue<u32, ()> = Queue::default();
        for number in 0..3 {
            queue.enter(Lane::New, number);
        }
        let mut asked = Vec::new();
        let called = queue.call_next(|number| {
            asked.push(*number);
            Offer::Stop
        });
        assert_eq!((called, asked, queue.waiting()), (None, vec![0], 3));
    }

    /// What happens to the queue of a pool with two backends.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A request comes; who was tried before must not have the given backend.
        Enter(Option<usize>),
        /// One who was called takes its room.
        Answer(usize),
        /// One who waits, or was called, leaves.
        Leave(usize),
        /// One who has room ends.
        End(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => proptest::option::weighted(0.3, 0..2usize).prop_map(Step::Enter),
            4 => any::<usize>().prop_map(Step::Answer),
            2 => any::<usize>().prop_map(Step::Leave),
            3 => any::<usize>().prop_map(Step::End),
        ]
    }

    /// The rooms of two backends, and everybody who is about them.
    struct World {
        queue: Queue<Option<usize>, usize>,
        free: [usize; 2],
        /// Everybody who has entered and neither answered nor left, in the order hoped for.
        inside: VecDeque<(Ticket, Option<usize>)>,
        holders: Vec<usize>,
    }

    impl World {
        /// Calls every waiter that can be, and returns whether all of them were the first that
        /// could.
        fn call(&mut self) -> Result<(), TestCaseError> {
            loop {
                let waits = |queue: &mut Queue<_, _>, ticket| queue.waiter_mut(ticket).is_some();
                let free = self.free;
                let usable = |except: Option<usize>| {
                    (0..2).find(|room| free[*room] > 0 && Some(*room) != except)
                };
                let first = self.inside.iter().copied();
                let first = first
                    .filter(|(ticket, _)| waits(&mut self.queue, *ticket))
                    .find(|(_, except)| usable(*except).is_some());
                let called = self
                    .queue
                    .call_next(|except| usable(*except).map_or(Offer::Pass, Offer::Call));
                prop_assert_eq!(called.is_some(), first.is_some(), "no room beside a waiter");
                let Some((ticket, except)) = first else {
                    return Ok(());
                };
                prop_assert!(!waits(&mut self.queue, ticket), "the first is called first");
                self.free[usable(except).expect("it was found above")] -= 1;
            }
        }

        fn enter(&mut self, except: Option<usize>) {
            let lane = except.map_or(Lane::New, |_| Lane::Again);
            let ticket = self.queue.enter(lane, except);
            let tried = self.inside.iter().filter(|(_, except)| except.is_some());
            let at = match lane {
                Lane::Again => tried.count(),
                Lane::New => self.inside.len(),
            };
            self.inside.insert(at, (ticket, except));
        }

        fn take(&mut self, step: Step) {
            match step {
                Step::Enter(except) => self.enter(except),
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
    }
}
