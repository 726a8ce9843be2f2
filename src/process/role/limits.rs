//! Limits of a process: what the kernel may take first for want of memory, and the most it may have
//! of a resource.
//!
//! The unit's settings (`OOMScoreAdjust`, `LimitRTPRIO`, `LimitMEMLOCK`) are meant for the vrrp
//! process; whoever else inherits them gives them back here. Every change asks for less than
//! before, which needs no right. Nothing here allocates, so that it may also run between fork and
//! exec.

use std::io::{self, Write};

use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::{read, write};

/// What a process has of its own, whatever it inherited.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `oom_score_adj` is raised to this where it is lower; `None`: as it was started.
    pub oom_score_adj_min: Option<i32>,
    /// The most of each resource; who has less keeps less.
    pub at_most: &'static [AtMost],
}

/// The most of a resource.
#[derive(Clone, Copy, Debug)]
pub struct AtMost {
    /// Which resource.
    pub resource: Resource,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit, which a process without a right cannot raise again.
    pub hard: u64,
}

impl AtMost {
    /// Returns a row in which both limits are the same.
    pub const fn both(resource: Resource, most: u64) -> Self {
        Self {
            resource,
            soft: most,
            hard: most,
        }
    }

    /// Lowers the limits of this process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn apply(self) -> io::Result<()> {
        let (soft, hard) = getrlimit(self.resource)?;
        let hard = hard.min(self.hard);
        setrlimit(self.resource, soft.min(self.soft).min(hard), hard)?;
        Ok(())
    }
}

impl Limits {
    /// Applies all of them; returns what failed, as lines for the log.
    pub fn apply(&self) -> Vec<String> {
        let mut shortcomings = Vec::new();
        if let Some(least) = self.oom_score_adj_min
            && let Err(error) = raise_oom_score_adj(least)
        {
            shortcomings.push(format!("oom_score_adj stays as it was: {error}"));
        }
        for limit in self.at_most {
            if let Err(error) = limit.apply() {
                let resource = limit.resource;
                shortcomings.push(format!("{resource:?} stays as it was: {error}"));
            }
        }
        shortcomings
    }
}

/// Raises the `oom_score_adj` of this process to at least this.
///
/// Must come before a change of user, which gives the file to root.
pub(super) fn raise_oom_score_adj(least: i32) -> io::Result<()> {
    let file = open(
        OOM_SCORE_ADJ,
        OFlag::O_RDWR | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut text = [0; 16];
    let len = read(&file, &mut text)?;
    let now = std::str::from_utf8(&text[..len]).map(str::trim).ok();
    let now = now.and_then(|text| text.parse::<i32>().ok());
    if now.is_some_and(|now| now >= least) {
        return Ok(());
    }
    let mut text = [0; 16];
    let mut rest = &mut text[..];
    write!(rest, "{least}")?;
    let len = 16 - rest.len();
    write(&file, &text[..len])?;
    Ok(())
}

const OOM_SCORE_ADJ: &std::ffi::CStr = c"/proc/self/oom_score_adj";
