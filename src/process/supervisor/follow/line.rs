//! A line to the process `names`: what was asked over it, and how far the answers are believed.
//!
//! That process reads what name servers say, and may be in the hands of one. An answer has to be of
//! a question that has none yet, of the name that was asked for, and of bounded length; which of
//! its addresses a backend can have is said elsewhere (`hosts`, `config::check`). When the process
//! dies or says anything else, its questions are lost, and the line waits for the next process.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::ipc::channel::{Bounds, Channel, Received, Sent};
use crate::ipc::log_line::printable;
use crate::ipc::resolving::{ADDRESSES_MAX, ASKED_MAX, Half, Halves, NameAnswered, NameAsked};
use crate::model::Chain;

/// Where the end of a line is left for whoever asks over it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    left: Mutex<Left>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Left {
    fresh: Option<OwnedFd>,
    wrong: Option<Wrong>,
}

/// What is wrong with a process that does not say so itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It says what it may not, and what.
    Unfit(String),
    /// It answers nothing of all that it is asked.
    Stuck,
}

impl Slot {
    fn left(&self) -> MutexGuard<'_, Left> {
        // A thread that panicked here left it whole.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a line to another process.
    pub(super) fn leave(&self, line: OwnedFd) {
        let mut left = self.left();
        left.fresh = Some(line);
        // It was of the process before.
        left.wrong = None;
        self.changed.notify_all();
    }

    /// Returns what is wrong with the process, once.
    pub(super) fn take_wrong(&self) -> Option<Wrong> {
        self.left().wrong.take()
    }

    /// Waits for a line.
    fn wait(&self, within: Duration) {
        let is_waiting = |left: &mut Left| left.fresh.is_none();
        // The lock is let go at once.
        drop(
            self.changed
                .wait_timeout_while(self.left(), within, is_waiting),
        );
    }
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) host: String,
    /// As asked.
    pub(super) ticket: u64,
    /// What the resolver says; `None` where the process is gone that was asked.
    pub(super) addresses: Option<Halves>,
}

/// One who asks.
#[derive(Debug, Default)]
pub(super) struct Line {
    channel: Option<Channel>,
    /// The process reads no more; what it has said before is still there.
    has_ended: bool,
    asked: BTreeMap<u64, Asked>,
    ids: u64,
    /// Of processes that are gone, until they are told.
    lost: Vec<Answer>,
}

/// A question without an answer.
#[derive(Debug)]
struct Asked {
    host: String,
    /// `None` where nobody waits any more; it keeps its place.
    ticket: Option<u64>,
    since: Instant,
}

impl Line {
    /// Returns how many more may be asked for at once; none while no process runs.
    pub(super) fn room(&mut self, slot: &Slot, now: Instant) -> usize {
        self.take_fresh(slot);
        if self.channel.is_none() || self.has_ended {
            return 0;
        }
        let is_old = |asked: &Asked| now.saturating_duration_since(asked.since) >= STUCK;
        let room = ASKED_MAX.saturating_sub(self.asked.len());
        if room == 0 && self.asked.values().all(is_old) {
            self.give_up(slot, Wrong::Stuck);
            return 0;
        }
        room
    }

    /// Asks for a name, where there is room.
    pub(super) fn ask(&mut self, host: String, ticket: u64, now: Instant) {
        self.ids += 1;
        let asked = NameAsked {
            id: self.ids,
            host: host.clone(),
        };
        let sent = self
            .channel
            .as_ref()
            .map(|channel| channel.send(&asked, &[]));
        let question = Asked {
            host,
            ticket: Some(ticket),
            since: now,
        };
        match sent {
            Some(Ok(Sent::Queued)) => drop(self.asked.insert(asked.id, question)),
            Some(Ok(Sent::Full | Sent::Short(_))) | None => self.lost.extend(question.lost()),
            Some(Ok(Sent::Closed) | Err(_)) => {
                self.has_ended = true;
                self.lost.extend(question.lost());
            }
        }
    }

    /// Lets nobody wait for what was asked until now.
    pub(super) fn abandon(&mut self) {
        self.asked
            .values_mut()
            .for_each(|asked| asked.ticket = None);
        self.lost.clear();
    }

    /// Waits until there are answers, but not for longer than this.
    pub(super) fn hear(&mut self, slot: &Slot, within: Duration) -> Vec<Answer> {
        self.take_fresh(slot);
        let mut answers = std::mem::take(&mut self.lost);
        if !answers.is_empty() {
            return answers;
        }
        let Some(channel) = &self.channel else {
            slot.wait(within);
            return answers;
        };
        let within = PollTimeout::try_from(within.as_millis() + 1).unwrap_or(PollTimeout::ZERO);
        // What it says is seen below.
        let _ = poll(
            &mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)],
            within,
        );
        while let Some(channel) = &self.channel {
            match channel.receive::<NameAnswered>() {
                Ok(Received::Message(answered, _)) => match self.take(answered) {
                    Ok(answer) => answers.extend(answer),
                    Err(unfit) => self.give_up(slot, Wrong::Unfit(unfit)),
                },
                Ok(Received::Empty) => break,
                Ok(Received::Closed) => self.lose(),
                // The question is asked again when it is given up.
                Err(error) if error.is_shortage() => break,
                Err(error) => self.give_up(slot, Wrong::Unfit(Chain(&error).to_string())),
            }
        }
        answers.append(&mut self.lost);
        answers
    }

    /// Takes an answer that can be believed to be one; `None` where nobody waits for it.
    fn take(&mut self, answered: NameAnswered) -> Result<Option<Answer>, String> {
        let NameAnswered {
            id,
            host,
            addresses,
        } = answered;
        let asked = self.asked.remove(&id);
        let asked = asked.ok_or("an answer to what was not asked")?;
        if asked.host != host {
            let text = format!("an answer of another name than {}", asked.host);
            self.lost.extend(asked.lost());
            return Err(text);
        }
        let addresses = addresses.map(|half| match half {
            Half::Addresses(all) if all.len() > ADDRESSES_MAX => Err("too many addresses"),
            half @ Half::Addresses(_) => Ok(half),
            Half::Empty(why) => Ok(Half::Empty(printable(&why))),
            Half::Failed(why) => Ok(Half::Failed(printable(&why))),
        });
        let [v4, v6] = addresses;
        let addresses = match (v4, v6) {
            (Ok(v4), Ok(v6)) => [v4, v6],
            (Err(unfit), _) | (_, Err(unfit)) => {
                self.lost.extend(asked.lost());
                return Err(unfit.to_owned());
            }
        };
        let answer = asked.ticket.map(|ticket| Answer {
            host,
            ticket,
            addresses: Some(addresses),
        });
        Ok(answer)
    }

    fn take_fresh(&mut self, slot: &Slot) {
        if let Some(fresh) = slot.left().fresh.take() {
            self.lose();
            self.channel = Some(Channel::bounded(fresh, BOUNDS));
        }
    }

    fn give_up(&mut self, slot: &Slot, wrong: Wrong) {
        let mut left = slot.left();
        // Another process may have taken its place.
        if left.fresh.is_none() {
            left.wrong = Some(wrong);
        }
        drop(left);
        self.lose();
    }

    /// The process is gone, or as good as that.
    fn lose(&mut self) {
        self.channel = None;
        self.has_ended = false;
        let asked = std::mem::take(&mut self.asked);
        self.lost
            .extend(asked.into_values().filter_map(Asked::lost));
    }
}

impl Asked {
    /// Returns what is said to who waits for it, if anybody does.
    fn lost(self) -> Option<Answer> {
        Some(Answer {
            ticket: self.ticket?,
            host: self.host,
            addresses: None,
        })
    }
}

/// A process is of no use any more that has as many questions as it may have, each for so long.
const STUCK: Duration = Duration::from_secs(60);
/// All addresses of an answer, and no descriptors.
const BOUNDS: Bounds = Bounds {
    file_bytes: 256 * 1024,
    descriptors: 0,
};

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::ipc::channel;

    const NONE: [Half; 2] = [Half::Addresses(Vec::new()), Half::Addresses(Vec::new())];

    /// A line, and the end of a process.
    struct Case {
        slot: Slot,
        line: Line,
        process: Channel,
        now: Instant,
    }

    impl Case {
        fn new() -> Self {
            let slot = Slot::default();
            let process = process_of(&slot);
            Self {
                slot,
                line: Line::default(),
                process,
                now: Instant::now(),
            }
        }

        fn ask(&mut self, host: &str, ticket: u64) -> u64 {
            assert!(self.line.room(&self.slot, self.now) > 0);
            self.line.ask(host.to_owned(), ticket, self.now);
            match self.process.receive::<NameAsked>().unwrap() {
                Received::Message(asked, _) if asked.host == host => asked.id,
                Received::Message(..) | Received::Empty | Received::Closed => {
                    panic!("{host} is not asked for")
                }
            }
        }

        /// Has the process say this, and returns what comes of it.
        fn heard(&mut self, id: u64, host: &str, addresses: Halves) -> Vec<Answer> {
            let host = host.to_owned();
            let answered = NameAnswered {
                id,
                host,
                addresses,
            };
            assert_eq!(self.process.send(&answered, &[]).unwrap(), Sent::Queued);
            self.line.hear(&self.slot, Duration::from_secs(5))
        }
    }

    fn process_of(slot: &Slot) -> Channel {
        let (ours, theirs) = channel::pair().unwrap();
        slot.leave(ours);
        Channel::new(theirs)
    }

    fn lost(host: &str, ticket: u64) -> Answer {
        Answer {
            host: host.to_owned(),
            ticket,
            addresses: None,
        }
    }

    #[test]
    fn answers_find_their_questions_in_any_order() {
        let mut case = Case::new();
        let (first, second) = (case.ask("a.example", 7), case.ask("b.example", 8));
        assert_eq!(case.line.room(&case.slot, case.now), ASKED_MAX - 2);
        for (id, host, ticket) in [(second, "b.example", 8), (first, "a.example", 7)] {
            let why = Half::Failed("a\u{1b}[31m".to_owned());
            let answers = case.heard(id, host, [NONE[0].clone(), why]);
            let [answer] = &answers[..] else {
                panic!("one answer: {answers:?}")
            };
            assert_eq!((answer.host.as_str(), answer.ticket), (host, ticket));
            let Some([_, Half::Failed(why)]) = &answer.addresses else {
                panic!("as said: {answer:?}")
            };
            assert!(!why.contains('\u{1b}'), "{why:?}");
        }
        assert_eq!(case.slot.take_wrong(), None);
    }

    #[test]
    fn what_cannot_be_an_answer_ends_the_process_and_loses_what_it_was_asked() {
        let many = vec![IpAddr::from(Ipv4Addr::LOCALHOST); ADDRESSES_MAX + 1];
        let many = [NONE[0].clone(), Half::Addresses(many)];
        for (id, host, addresses, hoped) in [
            (99, "a.example", NONE, "not asked"),
            (1, "b.example", NONE, "another name than a.example"),
            (1, "a.example", many, "too many"),
        ] {
            let mut case = Case::new();
            assert_eq!(case.ask("a.example", 7), 1);
            let answers = case.heard(id, host, addresses);
            assert_eq!(answers, [lost("a.example", 7)], "{hoped}");
            let wrong = case.slot.take_wrong();
            assert!(
                matches!(&wrong, Some(Wrong::Unfit(what)) if what.contains(hoped)),
                "{wrong:?}"
            );
            assert_eq!(case.line.room(&case.slot, case.now), 0, "it is not asked");
            case.process = process_of(&case.slot);
            case.ask("a.example", 8);
        }
    }

    #[test]
    fn what_is_no_message_or_longer_than_any_answer_ends_the_process() {
        let long = "x".repeat(BOUNDS.file_bytes);
        for text in ["x", &long] {
            let mut case = Case::new();
            case.process.send(&text, &[]).unwrap();
            case.line.room(&case.slot, case.now);
            assert_eq!(case.line.hear(&case.slot, Duration::from_secs(5)), []);
            let wrong = case.slot.take_wrong();
            assert!(matches!(wrong, Some(Wrong::Unfit(_))), "{wrong:?}");
        }
    }

    #[test]
    fn questions_of_a_process_that_dies_are_lost_and_the_next_one_is_asked() {
        let mut case = Case::new();
        let old = case.ask("a.example", 7);
        case.line.abandon();
        case.ask("b.example", 8);
        case.process = process_of(&case.slot);
        let within = Duration::from_secs(5);
        let answers = case.line.hear(&case.slot, within);
        assert_eq!(
            answers,
            [lost("b.example", 8)],
            "nobody waits for the other"
        );
        let new = case.ask("a.example", 9);
        assert_ne!(old, new);
        assert_eq!(case.heard(new, "a.example", NONE).len(), 1);
    }

    /// It is not asked again before the next one is there.
    #[test]
    fn what_a_process_has_said_before_it_died_is_heard_and_the_rest_is_lost_once() {
        let mut case = Case::new();
        let first = case.ask("a.example", 7);
        let answered = NameAnswered {
            id: first,
            host: "a.example".to_owned(),
            addresses: NONE,
        };
        case.process.send(&answered, &[]).unwrap();
        let (unused, _) = channel::pair().unwrap();
        drop(std::mem::replace(&mut case.process, Channel::new(unused)));
        case.line.ask("b.example".to_owned(), 8, case.now);
        let mut answers = Vec::new();
        let until = Instant::now() + Duration::from_secs(5);
        // A fork of another test has what this one had, for a moment.
        while answers.len() < 2 && Instant::now() < until {
            answers.extend(case.line.hear(&case.slot, Duration::from_millis(10)));
        }
        answers.sort_by_key(|answer| answer.ticket);
        let [heard, unheard] = &answers[..] else {
            panic!("both, and each once: {answers:?}")
        };
        assert!(heard.ticket == 7 && heard.addresses.is_some(), "{heard:?}");
        assert_eq!(*unheard, lost("b.example", 8));
        assert_eq!(case.line.room(&case.slot, case.now), 0);
        case.process = process_of(&case.slot);
        case.ask("b.example", 9);
    }

    /// A resolver that hangs in all threads at once, for good.
    #[test]
    fn a_process_that_answers_nothing_for_a_minute_is_given_up() {
        let mut case = Case::new();
        for ticket in 0..ASKED_MAX {
            case.ask("a.example", ticket as u64);
        }
        assert_eq!(case.line.room(&case.slot, case.now + STUCK / 2), 0);
        assert_eq!(case.slot.take_wrong(), None, "it may be slow");
        assert_eq!(case.line.room(&case.slot, case.now + STUCK), 0);
        assert_eq!(case.slot.take_wrong(), Some(Wrong::Stuck));
        let answers = case.line.hear(&case.slot, Duration::ZERO);
        assert_eq!(answers.len(), ASKED_MAX, "all of it is lost");
    }
}
