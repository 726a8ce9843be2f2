//! Slow surroundings: a log that nobody reads, a full disk, a notify script that hangs. None may
//! hold up the Active.
//!
//! 500 addresses in two virtual routers, because keepalived with 501 and a blocking log is silent
//! for 4 s.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::scratch::ScratchDir;
use nix::sys::stat::Mode;

use super::super::rig::capture::{longest_gap, now};
use super::super::rig::daemon::{Kind, Settings, evenkeel, node_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding};

/// What is done.
pub(crate) struct Plan {
    /// How long an Active is watched, from its first advertisement on.
    pub span: Duration,
    /// Which troubles.
    pub troubles: Vec<Trouble>,
    /// What a gap may have beyond the interval.
    pub slack: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            span: Duration::from_secs(20),
            troubles: vec![
                Trouble::BlockedLog,
                Trouble::FullDisk,
                Trouble::HangingScript,
                Trouble::All,
            ],
            slack: Duration::from_millis(20),
        }
    }
}

/// What is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Standard error is a full pipe that nobody reads.
    BlockedLog,
    /// Standard error is a file on a full disk.
    FullDisk,
    /// A notify script does not end.
    HangingScript,
    /// The log is blocked, and the script hangs on a full disk.
    All,
}

impl Trouble {
    const fn name(self) -> &'static str {
        match self {
            Self::BlockedLog => "blocked log",
            Self::FullDisk => "full disk",
            Self::HangingScript => "hanging script",
            Self::All => "all three",
        }
    }

    /// Returns where standard error goes, if it is somewhere else.
    fn errors(self, pipe: &Path) -> Option<PathBuf> {
        match self {
            Self::BlockedLog | Self::All => Some(pipe.to_owned()),
            Self::FullDisk => Some(PathBuf::from(FULL)),
            Self::HangingScript => None,
        }
    }

    /// Returns what the notify script does, if there is one.
    const fn script(self) -> Option<&'static str> {
        match self {
            Self::BlockedLog | Self::FullDisk => None,
            Self::HangingScript => Some("exec sleep 1000"),
            Self::All => Some("echo state >/dev/full; exec sleep 1000"),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for trouble in &plan.troubles {
        findings.extend(with(plan, *trouble)?);
    }
    Ok(findings)
}

fn with(plan: &Plan, trouble: Trouble) -> Result<Vec<Finding>, LabError> {
    let scratch = ScratchDir::new()?;
    let (pipe, _reader) = full_pipe(&scratch)?;
    let mut settings = Settings::new(Kind::Evenkeel, Duration::from_millis(100));
    (settings.routers, settings.addresses) = (2, 250);
    let mut link = Link::new(settings)?;
    let errors = trouble.errors(&pipe);
    let redirected = errors.map_or(String::new(), |path| format!("2>{}", path.display()));
    // Every packet is logged, so that the log is in trouble for the whole time.
    link.binary = script(
        &scratch,
        "evenkeel",
        &format!(
            "EVENKEEL_LOG=trace exec {} \"$@\" {redirected}",
            evenkeel().display()
        ),
    )?;
    if let Some(text) = trouble.script() {
        let path = script(&scratch, "notify", text)?;
        link.more = format!("    notify: [{}]\n", path.display());
    }
    let from = now();
    link.start_node(0)?;
    let first = link.first_of(0, from)?;
    let to = first.at + plan.span;
    std::thread::sleep(to.saturating_sub(now()));
    let trace = link.capture.trace(from, to);
    let most = settings.interval + plan.slack;
    let subject = format!("evenkeel, 500 addresses, {}", trouble.name());
    let mut longest = Duration::ZERO;
    let mut longest_of_start = Duration::ZERO;
    for vrid in [1, 2] {
        let instants = trace.advertisements(node_address(0), vrid);
        let gap = |until| longest_gap(&instants, first.at, until);
        longest = longest.max(gap(to));
        longest_of_start = longest_of_start.max(gap(first.at + START));
    }
    let announced = trace.first_claims().len() as u64;
    Ok(vec![
        Finding::new(&subject, "longest gap", longest, Bound::AtMost(most)),
        Finding::new(
            &subject,
            "longest gap of the first second",
            longest_of_start,
            Bound::AtMost(most),
        ),
        Finding::new(
            &subject,
            "addresses announced",
            announced,
            Bound::Exactly(500),
        ),
    ])
}

/// Makes a pipe that is full, and returns it with the end that keeps it open.
fn full_pipe(scratch: &ScratchDir) -> Result<(PathBuf, File), LabError> {
    let path = scratch.path().join("pipe");
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666))
        .map_err(LabError::system("make a pipe"))?;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK);
    let mut file = options
        .open(&path)
        .map_err(LabError::system("open a pipe"))?;
    while file.write(&[b'.'; 4096]).is_ok() {}
    while file.write(b".").is_ok() {}
    Ok((path, file))
}

fn script(scratch: &ScratchDir, name: &str, text: &str) -> Result<PathBuf, LabError> {
    let path = scratch.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n"))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(LabError::system(format!("write the script {name}")))?;
    Ok(path)
}

const FULL: &str = "/dev/full";
/// While addresses are installed and announced.
const START: Duration = Duration::from_secs(1);
