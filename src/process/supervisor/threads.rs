//! The threads of a process as proc(5) shows them: what they do, and what processor time they had.
//!
//! A process that is silent because a busy machine gives it no processor is not a hung one. The
//! difference is here: who hangs sleeps, or has had its time and nothing came of it; who is starved
//! could run and has had nothing.

use std::fmt;
use std::fs;

/// All threads of a process, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Threads(Vec<Thread>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Thread {
    name: String,
    /// R runs or could, S waits, D waits for a device, T is stopped.
    state: char,
    used_ms: u64,
}

impl Threads {
    /// Looks at a process; there are none where it has gone.
    pub(super) fn of(pid: u32) -> Self {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return Self::default();
        };
        let stats = tasks
            .flatten()
            .take(THREADS_MAX)
            .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        Self(stats.filter_map(|stat| Thread::read(&stat)).collect())
    }

    /// Returns whether it waits for the processor: a thread could run, and all together had less
    /// time since `before` than a single one would need to be called hung.
    pub(super) fn are_starved_since(&self, before: &Self) -> bool {
        let could_run = self.0.iter().any(|thread| thread.state == 'R');
        let used_ms = self.used_ms().saturating_sub(before.used_ms());
        could_run && used_ms < ENOUGH_MS
    }

    fn used_ms(&self) -> u64 {
        self.0.iter().map(|thread| thread.used_ms).sum()
    }
}

impl Thread {
    /// Reads a line of `/proc/PID/task/TID/stat`.
    fn read(stat: &str) -> Option<Self> {
        // A name may have any byte in it.
        let (begin, rest) = stat.rsplit_once(')')?;
        let (_, name) = begin.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The state is the third of all fields, the ticks of user and system time the 14th and
        // 15th.
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self {
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            used_ms: ticks * TICK_MS,
        })
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, thread) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let Thread {
                name,
                state,
                used_ms,
            } = thread;
            write!(f, "{comma}{name} {state} {used_ms}ms")?;
        }
        Ok(())
    }
}

/// More than there are on most machines.
const THREADS_MAX: usize = 300;
/// What /proc counts processor time in (USER_HZ).
const TICK_MS: u64 = 10;
/// Who has had so much in the last 200 ms of its silence was not starved.
const ENOUGH_MS: u64 = 150;

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(list: &[(char, u64)]) -> Threads {
        let thread = |&(state, used_ms): &(char, u64)| Thread {
            name: "data-0".to_owned(),
            state,
            used_ms,
        };
        Threads(list.iter().map(thread).collect())
    }

    #[test]
    fn who_could_run_and_had_nothing_is_starved() {
        let before = threads(&[('S', 1000), ('R', 500)]);
        for (now, starved) in [
            (threads(&[('S', 1000), ('R', 510)]), true),
            (threads(&[('R', 1060), ('R', 540)]), true),
            (threads(&[('S', 1000), ('R', 700)]), false),
            (threads(&[('S', 1000), ('S', 500)]), false),
            (threads(&[('T', 1000), ('T', 500)]), false),
            (threads(&[('D', 1000), ('S', 500)]), false),
            (threads(&[]), false),
        ] {
            assert_eq!(now.are_starved_since(&before), starved, "{now}");
        }
    }

    #[test]
    fn lines_of_proc_are_read_whatever_the_name() {
        let rest = "R 1 1 1 0 -1 4194304 1 0 0 0 7 5 0 0 20 0 3 0 1";
        let thread = Thread::read(&format!("12 (a) b ( c) {rest}"));
        let hoped = Thread {
            name: "a) b ( c".to_owned(),
            state: 'R',
            used_ms: 120,
        };
        assert_eq!(thread, Some(hoped));
        assert_eq!(Thread::read("12 (a"), None);
        let own = Threads::of(std::process::id());
        assert!(own.to_string().contains('R'), "this thread runs: {own}");
    }
}
