//! What a process uses: CPU time, memory, descriptors, as /proc shows them.

use std::fs;
use std::time::{Duration, Instant};

use super::report::{Kibibytes, Permille};
use evenkeel::lab::LabError;

/// Returns the share of one core that a process used, user and system together, since `before`.
pub(crate) fn share(before: Usage, after: Usage) -> Permille {
    let span_us = (after.at - before.at).as_micros().max(1);
    // Another process, begun meanwhile, has used less; that it is another one shows elsewhere.
    let spent_us = after.cpu.saturating_sub(before.cpu).as_micros();
    Permille(u64::try_from(spent_us * 1000 / span_us).unwrap_or(u64::MAX))
}

/// What a process had used at some instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// When.
    pub at: Instant,
    /// User and system time.
    pub cpu: Duration,
    /// What is resident.
    pub memory: Kibibytes,
    /// How many descriptors are open.
    pub descriptors: u64,
}

impl Usage {
    /// Reads it.
    pub(crate) fn of(pid: u32) -> Result<Self, LabError> {
        let fail = LabError::system(format!("read the usage of process {pid}"));
        match read(pid) {
            Ok(Some(usage)) => Ok(usage),
            Ok(None) => Err(fail(std::io::Error::from(std::io::ErrorKind::InvalidData))),
            Err(error) => Err(fail(error)),
        }
    }
}

fn read(pid: u32) -> std::io::Result<Option<Usage>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let at = Instant::now();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return Ok(None);
    };
    // From the third field on: utime is the 14th, stime the 15th.
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let resident = status.lines().find_map(|line| {
        let figure = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        figure.trim().parse().ok()
    });
    Ok(resident.map(|memory| Usage {
        at,
        cpu: Duration::from_millis(ticks * TICK_MS),
        memory: Kibibytes(memory),
        descriptors,
    }))
}

/// USER_HZ is 100 on every architecture of Linux that matters.
const TICK_MS: u64 = 10;
