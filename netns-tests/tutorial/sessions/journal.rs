//! What a customer has seen, request by request, and whether it is what was promised.

use std::fmt;
use std::time::{Duration, Instant};

/// A request, asked again until there is an answer.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub posts: bool,
    pub asked_at: Instant,
    pub ended_at: Instant,
    /// What became of it before it was answered.
    pub lost: Vec<Lost>,
    /// Whether a session of TLS was resumed, of each connection that was made for it.
    pub resumed: Vec<bool>,
    /// The answer; none where the customer has given up.
    pub page: Option<Page>,
}

/// What the application says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub count: u64,
    pub server: String,
    pub session: String,
}

/// An attempt without an answer.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    /// There is no connection, so nothing was asked.
    NotConnected(String),
    /// A kept connection ended without an answer, and a browser says nothing of it: it asks at once
    /// on another, whatever the method, as Firefox and Chromium do.
    Quietly,
    /// Asked, and not answered, or with an error's answer.
    Failed(String),
    /// An answer that fits no question.
    Wrong(String),
}

/// Something that happens to the site, from its beginning until all have come to terms with it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub event: Event,
    pub from: Instant,
    pub to: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The Apache of this name dies.
    ApacheGone(String),
    /// It serves again.
    ApacheBack,
    /// lb1 dies, and lb2 takes over.
    NodeGone,
    /// lb1 takes over.
    NodeBack,
}

/// What customers notice of an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Noticed {
    /// Requests that were on their way when it began, at the Apache that dies where one does.
    pub in_flight: usize,
    /// Requests that failed and were asked again, at most one of each session.
    pub interrupted: usize,
    /// Requests that a browser repeats without a word.
    pub repeated: usize,
    /// Sessions that go on at the other Apache.
    pub moved: usize,
    /// Of both, those that an Apache had counted although no answer arrived.
    pub counted_twice: usize,
    /// From asking to the answer.
    pub longest: Duration,
}

/// What comes of all journals, an entry for each window.
#[derive(Debug)]
pub(super) struct Audit<'a> {
    windows: &'a [Window],
    pub noticed: Vec<Noticed>,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Visit {
    pub(super) fn begin(posts: bool) -> Self {
        let now = Instant::now();
        Self {
            posts,
            asked_at: now,
            ended_at: now,
            lost: Vec::new(),
            resumed: Vec::new(),
            page: None,
        }
    }

    fn has_failed(&self) -> bool {
        self.lost.iter().any(|lost| match lost {
            Lost::NotConnected(_) | Lost::Failed(_) | Lost::Wrong(_) => true,
            Lost::Quietly => false,
        })
    }

    /// Returns how often an Apache may have counted it without an answer that arrived.
    fn maybe_counted(&self) -> u64 {
        let counted = self.lost.iter().filter(|lost| match lost {
            Lost::Quietly | Lost::Failed(_) => true,
            Lost::NotConnected(_) | Lost::Wrong(_) => false,
        });
        counted.count() as u64
    }
}

impl Page {
    /// Reads `7 http1 6f0c...`.
    pub(super) fn parse(body: &str) -> Option<Self> {
        let mut words = body.split(' ');
        let page = Self {
            count: words.next()?.parse().ok()?,
            server: words.next()?.to_owned(),
            session: words.next()?.to_owned(),
        };
        words.next().is_none().then_some(page)
    }
}

impl Window {
    fn concerns(&self, server: Option<&str>) -> bool {
        match &self.event {
            Event::ApacheGone(name) => server == Some(name),
            Event::ApacheBack | Event::NodeGone | Event::NodeBack => true,
        }
    }

    /// Whether a request may fail for it; `server` is the Apache of its session.
    fn excuses(&self, visit: &Visit, server: Option<&str>) -> bool {
        if visit.asked_at > self.to || visit.ended_at < self.from {
            return false;
        }
        match &self.event {
            // Evenkeel repeats a GET itself, and the other Apache answers it.
            Event::ApacheGone(_) => self.concerns(server) && visit.posts,
            Event::ApacheBack => false,
            Event::NodeGone | Event::NodeBack => true,
        }
    }

    /// Whether a session whose last answer was `before` goes to the other Apache with this one.
    fn moves(&self, before: &Visit, page: &Page, visit: &Visit) -> bool {
        match &self.event {
            Event::ApacheGone(name) => {
                *name == page.server && before.asked_at <= self.to && visit.ended_at >= self.from
            }
            Event::ApacheBack | Event::NodeGone | Event::NodeBack => false,
        }
    }
}

impl<'a> Audit<'a> {
    /// Looks at the journals of all customers.
    pub(super) fn of(windows: &'a [Window], journals: &[Vec<Visit>]) -> Self {
        let mut audit = Self {
            windows,
            noticed: vec![Noticed::default(); windows.len()],
            wrong: Vec::new(),
        };
        for (customer, journal) in journals.iter().enumerate() {
            audit.read(customer, journal);
        }
        audit
    }

    fn read(&mut self, customer: usize, journal: &[Visit]) {
        let mut before: Option<(&Visit, &Page)> = None;
        let mut interrupted = vec![0; self.windows.len()];
        for visit in journal {
            let reason = self.read_losses(customer, before, visit);
            if let Some(index) = reason.filter(|_| visit.has_failed()) {
                interrupted[index] += 1;
            }
            let Some(page) = &visit.page else {
                self.note(customer, "no answer at all", visit);
                continue;
            };
            let most = visit.maybe_counted() + 1;
            let (had_to, counted) = match before {
                None => (true, 0),
                Some((last, old)) if old.server != page.server => {
                    (self.read_move(last, old, visit), 0)
                }
                Some((_, old)) => (true, old.count),
            };
            let fits = had_to && page.count > counted && page.count <= counted + most;
            if let Some(index) = reason.filter(|_| page.count > counted + 1) {
                self.noticed[index].counted_twice += 1;
            }
            if !fits || before.is_some_and(|(_, old)| old.session != page.session) {
                self.note(customer, &format!("after {before:?}"), visit);
            }
            before = Some((visit, page));
        }
        if interrupted.iter().any(|times| *times > 1) {
            let what = format!("customer {customer}: interrupted {interrupted:?} times");
            self.wrong.push(what);
        }
    }

    /// Returns the window that is the reason for what was lost.
    fn read_losses(
        &mut self,
        customer: usize,
        before: Option<(&Visit, &Page)>,
        visit: &Visit,
    ) -> Option<usize> {
        let server = before.map(|(_, page)| &*page.server);
        let took = visit.ended_at.duration_since(visit.asked_at);
        for (window, noticed) in self.windows.iter().zip(&mut self.noticed) {
            if visit.asked_at <= window.to && visit.ended_at >= window.from {
                noticed.longest = noticed.longest.max(took);
            }
            let is_on_its_way = visit.asked_at <= window.from && visit.ended_at >= window.from;
            noticed.in_flight += usize::from(is_on_its_way && window.concerns(server));
        }
        if visit.lost.is_empty() {
            return None;
        }
        let is_excuse = |window: &Window| window.excuses(visit, server);
        let reason = self.windows.iter().position(is_excuse);
        match reason {
            None => self.note(customer, "lost without a reason", visit),
            Some(index) if visit.has_failed() => self.noticed[index].interrupted += 1,
            Some(index) => self.noticed[index].repeated += 1,
        }
        reason
    }

    /// Returns whether the session had to move.
    fn read_move(&mut self, last: &Visit, old: &Page, visit: &Visit) -> bool {
        let had_to = |window: &Window| window.moves(last, old, visit);
        let index = self.windows.iter().position(had_to);
        if let Some(index) = index {
            self.noticed[index].moved += 1;
        }
        index.is_some()
    }

    fn note(&mut self, customer: usize, what: &str, visit: &Visit) {
        // The first say it all.
        if self.wrong.len() < WRONG_MAX {
            let since: Vec<String> = self
                .windows
                .iter()
                .map(|window| {
                    let began = visit.asked_at.saturating_duration_since(window.from);
                    let ended = visit.asked_at.saturating_duration_since(window.to);
                    format!("{:?} {began:?} {ended:?}", window.event)
                })
                .collect();
            let lost: Vec<String> = visit.lost.iter().map(ToString::to_string).collect();
            let text =
                format!("customer {customer}: {what}: {visit:?}, {lost:?}; asked after {since:?}");
            self.wrong.push(text);
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(what) => write!(f, "not connected: {what}"),
            Self::Quietly => write!(f, "a kept connection had ended"),
            Self::Failed(what) => write!(f, "failed: {what}"),
            Self::Wrong(what) => write!(f, "wrong: {what}"),
        }
    }
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in flight, {} interrupted, {} repeated, {} counted twice, {} moved, longest {} ms",
            self.in_flight,
            self.interrupted,
            self.repeated,
            self.counted_twice,
            self.moved,
            self.longest.as_millis()
        )
    }
}

const WRONG_MAX: usize = 10;
