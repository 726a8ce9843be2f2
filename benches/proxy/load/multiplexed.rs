//! The load of HTTP/2: Debian's h2load, which counts what was answered.
//!
//! It looks at no body; that is what the tests are for.

use std::fs;
use std::process::Command;
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::scratch::ScratchDir;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Plan;
use crate::measure::pin;

/// What is asked on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    /// So many times at once.
    pub each: usize,
    /// This.
    pub asks: Asks,
}

/// What a stream asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// A GET.
    Get,
    /// A unary call of gRPC.
    Call,
}

/// What it has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub answered: u64,
    pub failed: u64,
    /// Its CPU.
    pub load_ns: u64,
}

/// Has it ask on so many streams of each connection, for so long.
pub(crate) fn run(
    host: &Host,
    plan: &Plan,
    streams: Streams,
    span: Duration,
) -> Result<Done, LabError> {
    let place = plan.place;
    host.run(move || pin(place))?;
    let mut command = Command::new(PROGRAM);
    let bytes = plan.template.response_bytes();
    let url = format!("http://127.0.0.1:{}{}", plan.port, plan.template.path());
    command
        .args(["-t", "1", "-c", &plan.busy.to_string()])
        .args(["-m", &streams.each.to_string()])
        .args(["-D", &span.as_secs().max(1).to_string()])
        .arg(url);
    let message = ScratchDir::new()?;
    if streams.asks == Asks::Call {
        let path = message.path().join("message");
        fs::write(&path, call(bytes)).map_err(LabError::system("write a message"))?;
        command
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
            .arg("-d")
            .arg(path);
    }
    let before_ns = children_ns();
    let mut process = host.spawn(command)?;
    process.wait(span + PATIENCE)?;
    let log = process.log();
    let number = |word: &str| number_before(&log, word);
    let failed = [" failed", " errored", " timeout"].map(number);
    Ok(Done {
        answered: number(" succeeded").ok_or_else(|| LabError::Deadline {
            what: "a summary of h2load".to_owned(),
            within: span,
            seen: format!("; it said:\n{log}"),
        })?,
        failed: failed.into_iter().flatten().sum(),
        load_ns: children_ns() - before_ns,
    })
}

/// Returns a message of gRPC that takes so many bytes with what stands before it.
pub(crate) fn call(bytes: usize) -> Vec<u8> {
    let len = u32::try_from(bytes.saturating_sub(5)).unwrap_or(0);
    let mut message = vec![0];
    message.extend_from_slice(&len.to_be_bytes());
    message.resize(bytes.max(5), b'm');
    message
}

/// Returns the number that stands before a word in the line of requests.
fn number_before(log: &str, word: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.starts_with("requests:"))?;
    let (before, _) = line.split_once(word)?;
    before.rsplit([' ', ',']).next()?.parse().ok()
}

/// Returns the CPU of all children that have ended.
fn children_ns() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    let ns = usage
        .map(|usage| usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds());
    ns.map_or(0, |ns| u64::try_from(ns).unwrap_or(0))
}

/// From Debian's nghttp2-client.
pub(crate) const PROGRAM: &str = "/usr/bin/h2load";
const PATIENCE: Duration = Duration::from_secs(20);
