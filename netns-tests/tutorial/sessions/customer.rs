//! A customer: a thread with one session, who asks, waits, and keeps a journal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;

use super::super::site::PATIENCE;
use super::browser::Browser;
use super::journal::{Lost, Page, Visit};
use super::program::Curl;

/// Leaves on drop.
pub(super) struct Customer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a customer comes with.
pub(super) enum Means {
    Browser(Box<Browser>),
    Curl(Curl),
}

#[derive(Default)]
struct Shared {
    leaves: AtomicBool,
    journal: Mutex<Vec<Visit>>,
}

impl Customer {
    /// Lets a customer in, the how manieth says `number`: not all do the same at the same time.
    pub(super) fn enter(host: &Host, number: usize, mut means: Means) -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = host
            .thread("customer", move || own.stay(number, &mut means))
            .expect("a thread");
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Returns how many requests are answered.
    pub(super) fn served(&self) -> usize {
        self.shared.journal().len()
    }

    /// Returns the last answer.
    pub(super) fn last(&self) -> Option<Page> {
        self.shared.journal().last()?.page.clone()
    }

    /// Asks nothing more, and returns the journal.
    pub(super) fn leave(mut self) -> Vec<Visit> {
        self.end();
        std::mem::take(&mut *self.shared.journal())
    }

    fn end(&mut self) {
        self.shared.leaves.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended too, and its journal stands still.
            let _ = thread.join();
        }
    }
}

impl Drop for Customer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn journal(&self) -> std::sync::MutexGuard<'_, Vec<Visit>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stay(&self, number: usize, means: &mut Means) {
        for turn in number.. {
            if self.leaves.load(Ordering::Relaxed) {
                return;
            }
            let visit = self.visit(means, turn.is_multiple_of(POST_EVERY));
            self.journal().push(visit);
            std::thread::sleep(BETWEEN);
        }
    }

    /// Asks until there is an answer.
    fn visit(&self, means: &mut Means, posts: bool) -> Visit {
        let mut visit = match means {
            Means::Browser(_) => Visit::begin(posts),
            Means::Curl(_) => Visit::begin(false),
        };
        loop {
            let answer = match means {
                Means::Browser(browser) => browser.ask(&mut visit),
                Means::Curl(curl) => curl.ask(),
            };
            match answer {
                Ok(page) => {
                    visit.page = Some(page);
                    break;
                }
                Err(lost @ Lost::Wrong(_)) => {
                    visit.lost.push(lost);
                    break;
                }
                Err(lost @ Lost::Quietly) => visit.lost.push(lost),
                Err(lost @ (Lost::NotConnected(_) | Lost::Failed(_))) => {
                    visit.lost.push(lost);
                    std::thread::sleep(AGAIN);
                }
            }
            if visit.asked_at.elapsed() > PATIENCE || self.leaves.load(Ordering::Relaxed) {
                break;
            }
        }
        visit.ended_at = Instant::now();
        visit
    }
}

/// Every so many requests of a browser one is a POST, which Evenkeel does not repeat.
const POST_EVERY: usize = 3;
/// Between an answer and the next request.
const BETWEEN: Duration = Duration::from_millis(80);
/// Until what failed is asked again.
const AGAIN: Duration = Duration::from_millis(100);
