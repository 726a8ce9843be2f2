//! Whether the threads of the proxy make progress, and what one does that makes none.
//!
//! A busy thread is not a hung one: what counts is that single steps of its work end, such as one
//! poll of a connection, whatever else waits for its turn. Each thread stamps the end of each step;
//! the main thread looks at the stamps and beats for those that have moved, or have ended in order.
//! It tells of one that stands still, for the log of the supervisor, which kills it. Read `budget`
//! for why steps are short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The stamps of one thread.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    steps: AtomicU64,
    /// The step that goes on now, packed; 0 between two.
    doing: AtomicU64,
    connections: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    /// Returns the stamps of a thread that has done nothing yet.
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            steps: AtomicU64::new(0),
            doing: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    /// Returns the name of its thread.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A step for a connection of a listener begins, in a phase by number.
    pub(super) fn begin(&self, listener: usize, phase: u8) {
        let packed = (listener as u64 + 1) << 8 | u64::from(phase);
        self.doing.store(packed, Relaxed);
    }

    /// A step has ended. Written by its own thread alone.
    pub(super) fn end(&self) {
        self.steps.store(self.steps.load(Relaxed) + 1, Relaxed);
        self.doing.store(0, Relaxed);
    }

    /// Its thread has so many connections.
    pub(super) fn set_connections(&self, count: usize) {
        self.connections.store(count as u64, Relaxed);
    }

    /// Its thread has nothing left to do, and ends in order.
    pub(super) fn finish(&self) {
        self.ended.store(true, Relaxed);
    }
}

/// All threads of a proxy, as its main thread sees them.
#[derive(Debug, Default)]
pub(super) struct Observer {
    threads: Vec<Observed>,
}

#[derive(Debug)]
struct Observed {
    progress: Arc<Progress>,
    steps: u64,
    still_looks: u32,
}

/// What a look has found of one thread, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Steps have ended, or it has ended in order.
    Moving(usize),
    /// None has, in so many looks.
    Still(usize, u32),
}

impl Observer {
    /// Observes the worker of a number, if it is one more; the health checks come before them all.
    pub(super) fn observe(&mut self, worker: usize, progress: Arc<Progress>) {
        if self.threads.len() == worker + 1 {
            self.add(progress);
        }
    }

    /// Observes one more thread, whose number is the next one.
    pub(super) fn add(&mut self, progress: Arc<Progress>) {
        self.threads.push(Observed {
            progress,
            steps: 0,
            still_looks: 0,
        });
    }

    /// Looks at all threads; says of each what it has found.
    pub(super) fn look(&mut self, mut found: impl FnMut(Found)) {
        for (number, observed) in self.threads.iter_mut().enumerate() {
            let steps = observed.progress.steps.load(Relaxed);
            if steps != observed.steps || observed.progress.ended.load(Relaxed) {
                observed.steps = steps;
                observed.still_looks = 0;
                found(Found::Moving(number));
            } else {
                observed.still_looks = observed.still_looks.saturating_add(1);
                found(Found::Still(number, observed.still_looks));
            }
        }
    }

    /// Says for people what a thread is doing; `listener` and `phase` name one by its number.
    pub(super) fn describe(
        &self,
        number: usize,
        listener: impl Fn(usize) -> Option<String>,
        phase: impl Fn(u8) -> &'static str,
    ) -> String {
        let Some(observed) = self.threads.get(number) else {
            return String::new();
        };
        let progress = &observed.progress;
        let packed = progress.doing.load(Relaxed);
        let step = match usize::try_from(packed >> 8).ok().filter(|index| *index > 0) {
            None => "between two steps".to_owned(),
            Some(index) => {
                // The lowest byte is the phase.
                let phase = phase((packed & 0xff) as u8);
                let name = listener(index - 1);
                let name = name.as_deref().unwrap_or("?");
                format!("in a step of listener {name}, {phase}")
            }
        };
        format!(
            "{} with {} connections has ended {} steps and is {step}",
            progress.name,
            progress.connections.load(Relaxed),
            progress.steps.load(Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(observer: &mut Observer) -> Vec<Found> {
        let mut all = Vec::new();
        observer.look(|found| all.push(found));
        all
    }

    #[test]
    fn threads_move_while_their_steps_end_or_when_they_have_ended_in_order() {
        let busy = Progress::new("data-0".to_owned());
        let hung = Progress::new("data-1".to_owned());
        let missing = Progress::new("checks".to_owned());
        let mut observer = Observer::default();
        for thread in [&busy, &hung, &missing] {
            observer.add(Arc::clone(thread));
        }
        busy.end();
        hung.end();
        hung.begin(0, 3);
        let found = look(&mut observer);
        let moving = [Found::Moving(0), Found::Moving(1), Found::Still(2, 1)];
        assert_eq!(found, moving, "who has never begun is not alive");
        busy.begin(0, 1);
        busy.end();
        let found = look(&mut observer);
        assert_eq!(
            found,
            [Found::Moving(0), Found::Still(1, 1), Found::Still(2, 2)]
        );
        busy.finish();
        for looks in 2..9 {
            let found = look(&mut observer);
            assert_eq!(
                found[..2],
                [Found::Moving(0), Found::Still(1, looks)],
                "who is over is not hung"
            );
        }
    }

    #[test]
    fn what_a_thread_does_is_told() {
        let thread = Progress::new("data-0".to_owned());
        let mut observer = Observer::default();
        observer.add(Arc::clone(&thread));
        let describe = || {
            let name = |index| (index == 1).then(|| "http".to_owned());
            observer.describe(0, name, |phase| if phase == 6 { "relaying" } else { "?" })
        };
        thread.set_connections(312);
        thread.end();
        assert_eq!(
            describe(),
            "data-0 with 312 connections has ended 1 steps and is between two steps"
        );
        thread.begin(1, 6);
        assert_eq!(
            describe(),
            "data-0 with 312 connections has ended 1 steps and is in a step of listener http, relaying"
        );
    }
}
