//! A line over which names are asked for: each on a thread of its own, because the resolver may
//! take its time, which says the answer itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::lookup;
use crate::ipc::channel::{Channel, Received, Sent};
use crate::ipc::resolving::{ASKED_MAX, Half, Halves, NameAnswered, NameAsked};

/// The process's end of it.
#[derive(Debug)]
pub(super) struct Line {
    channel: Arc<Channel>,
    /// Threads that ask now.
    asking: Arc<AtomicUsize>,
}

impl Line {
    pub(super) fn new(line: OwnedFd) -> Self {
        Self {
            channel: Arc::new(Channel::new(line)),
            asking: Arc::default(),
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Begins to look up what is asked for; returns false where nobody asks any more.
    pub(super) fn take_questions(&self) -> bool {
        loop {
            match self.channel.receive::<NameAsked>() {
                Ok(Received::Message(asked, _)) => self.begin(asked),
                Ok(Received::Empty) => return true,
                Err(error) if error.is_shortage() => return true,
                Ok(Received::Closed) | Err(_) => return false,
            }
        }
    }

    fn begin(&self, asked: NameAsked) {
        let NameAsked { id, host } = asked;
        let place = Place::take(&self.asking);
        let failed = |why: &str| {
            let addresses = ["v4", "v6"].map(|_| Half::Failed(why.to_owned()));
            answer(&self.channel, id, host.clone(), addresses);
        };
        if self.asking.load(Ordering::Relaxed) > ASKED_MAX {
            return failed("too many names are asked for at once");
        }
        let (channel, host) = (Arc::clone(&self.channel), host.clone());
        let thread = std::thread::Builder::new().name("resolve".into());
        let started = thread.spawn(move || {
            let addresses = lookup::addresses(&host);
            // Whoever reads the answer has the place for another question.
            drop(place);
            answer(&channel, id, host, addresses);
        });
        if let Err(error) = started {
            failed(&error.to_string());
        }
    }
}

/// Says an answer; who does not read for so long has none.
fn answer(channel: &Channel, id: u64, host: String, addresses: Halves) {
    let answered = NameAnswered {
        id,
        host,
        addresses,
    };
    let until = Instant::now() + ANSWER_TIMEOUT;
    while let Ok(Sent::Full | Sent::Short(_)) = channel.send(&answered, &[]) {
        if Instant::now() >= until {
            return;
        }
        std::thread::park_timeout(ANSWER_PAUSE);
    }
}

/// A place among the threads.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(asking: &Arc<AtomicUsize>) -> Self {
        asking.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(asking))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A line has room for all answers that may be on their way; this is for want of memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::net::Ipv4Addr;

    use super::*;
    use crate::ipc::channel;

    /// Asks for a name, and returns what is answered.
    fn asked(line: &Line, supervisor: &Channel, host: &str) -> NameAnswered {
        let asked = NameAsked {
            id: 7,
            host: host.to_owned(),
        };
        assert_eq!(supervisor.send(&asked, &[]).unwrap(), Sent::Queued);
        assert!(line.take_questions());
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Received::Message(answered, _) = supervisor.receive().unwrap() {
                return answered;
            }
            assert!(Instant::now() < until, "it answers");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    #[test]
    fn each_question_has_one_answer_also_where_there_are_too_many() {
        let (ours, theirs) = channel::pair().unwrap();
        let (line, supervisor) = (Line::new(theirs), Channel::new(ours));
        let answered = asked(&line, &supervisor, "localhost");
        assert_eq!((answered.id, answered.host.as_str()), (7, "localhost"));
        let loopback = Half::Addresses(vec![Ipv4Addr::LOCALHOST.into()]);
        assert_eq!(answered.addresses[0], loopback);
        let places: Vec<Place> = (0..ASKED_MAX).map(|_| Place::take(&line.asking)).collect();
        let [v4, v6] = asked(&line, &supervisor, "localhost").addresses;
        assert_eq!(v4, v6);
        assert!(
            matches!(&v4, Half::Failed(why) if why.contains("too many")),
            "{v4:?}"
        );
        drop(places);
        assert_eq!(
            asked(&line, &supervisor, "localhost").addresses[0],
            loopback
        );
        drop(supervisor);
        // A fork of another test has what this one had, for a moment.
        let until = Instant::now() + Duration::from_secs(10);
        while line.take_questions() {
            assert!(Instant::now() < until, "nobody asks any more");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}
