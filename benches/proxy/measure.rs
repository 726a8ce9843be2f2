//! Reads from /proc what processes and the machine have used: CPU, memory, descriptors.

use std::fs;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Where a thread or process may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the core that generator and backend share.
    LoadCore,
    /// On the core that the proxy has for itself.
    ProxyCore,
    /// On the first two cores.
    Anywhere,
}

/// Puts the calling thread there, and all it starts from then on.
///
/// Where the machine has one core only, everything stays as it is.
pub(crate) fn pin(place: Place) {
    let mut cores = CpuSet::new();
    let wanted: &[usize] = match place {
        Place::LoadCore => &[0],
        Place::ProxyCore => &[1],
        Place::Anywhere => &[0, 1],
    };
    for core in wanted {
        let _ = cores.set(*core);
    }
    let _ = sched_setaffinity(Pid::from_raw(0), &cores);
}

/// Returns the nanoseconds of CPU that all living threads of these processes have used.
///
/// From the scheduler's own clock (`schedstat`), which counts nanoseconds; `stat` counts ticks of
/// 10 ms.
pub(crate) fn cpu_ns(pids: &[u32]) -> u64 {
    pids.iter()
        .flat_map(|pid| tasks(*pid))
        .map(|task| task_ns(&task))
        .sum()
}

/// Returns the nanoseconds of CPU of one thread of this process, by its name.
pub(crate) fn own_thread_ns(name: &str) -> u64 {
    let named = |task: &String| {
        fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    tasks(std::process::id())
        .iter()
        .filter(|task| named(task))
        .map(|task| task_ns(task))
        .sum()
}

/// Returns the user's share of all the CPU time that these processes have used, in ticks: user,
/// system.
pub(crate) fn ticks(pids: &[u32]) -> (u64, u64) {
    pids.iter().fold((0, 0), |sum, pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut numbers = fields
            .split(' ')
            .skip(11)
            .map(|field| field.parse().unwrap_or(0));
        let (user, system) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (sum.0 + user, sum.1 + system)
    })
}

fn tasks(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|task| task.path().to_string_lossy().into_owned())
        .collect()
}

fn task_ns(task: &str) -> u64 {
    let text = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}

/// Memory of processes together, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The sum of their resident sets, where shared pages count once for each.
    pub rss: u64,
    /// The sum of their proportional sets, where shared pages count once.
    pub pss: u64,
}

impl Memory {
    /// Reads it.
    pub(crate) fn of(pids: &[u32]) -> Self {
        let sum = |file: &str, field: &str| {
            pids.iter()
                .map(|pid| kilobytes(*pid, file, field))
                .sum::<u64>()
                * 1024
        };
        Self {
            rss: sum("status", "VmRSS:"),
            pss: sum("smaps_rollup", "Pss:"),
        }
    }
}

fn kilobytes(pid: u32, file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Returns the number of open descriptors of these processes.
pub(crate) fn descriptors(pids: &[u32]) -> usize {
    let count = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    pids.iter().map(count).sum()
}

/// What the whole machine has done so far, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    busy: u64,
    total: u64,
}

impl Machine {
    /// Reads it.
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let numbers: Vec<u64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let total = numbers.iter().sum();
        let idle: u64 = numbers.iter().skip(3).take(2).sum();
        Self {
            busy: total - idle,
            total,
        }
    }

    /// Returns the share (0 to 1) of all CPU since then that was neither idle nor these
    /// nanoseconds.
    pub(crate) fn foreign_since(self, before: Self, own_ns: u64) -> f64 {
        let (busy, total) = (self.busy - before.busy, self.total - before.total);
        let own_ticks = own_ns as f64 / TICK_NS;
        ((busy as f64 - own_ticks) / (total.max(1) as f64)).max(0.0)
    }
}

/// USER_HZ is 100 on every architecture that Debian has.
const TICK_NS: f64 = 1e7;
