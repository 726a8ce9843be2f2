//! The ways in which a case is played: whole, byte by byte, and cut in two at every place.
//!
//! What is longer than [`EVERY_BYTES_MAX`] is cut at both ends everywhere and in its middle at
//! places spread evenly; what is longer than [`BYTE_BY_BYTE_MAX`] is not sent byte by byte. So the
//! target stays quick.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::case::{Case, Step, Subject};
use super::drive::Bench;
use super::parties::Out;

/// How the subject of a case is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Whole,
    ByteByByte,
    SplitAt(usize),
}

impl Way {
    /// Cuts one send of a subject; it begins `from` bytes behind the subject's beginning.
    pub(crate) fn pieces(self, bytes: &[u8], from: usize) -> Vec<Out> {
        match self {
            Self::Whole => vec![Out::Send(bytes.to_vec())],
            Self::ByteByByte => bytes
                .iter()
                .map(|&byte| Out::SendApart(vec![byte]))
                .collect(),
            Self::SplitAt(at) if at > from && at < from + bytes.len() => {
                let (first, second) = bytes.split_at(at - from);
                vec![Out::Send(first.to_vec()), Out::SendApart(second.to_vec())]
            }
            Self::SplitAt(_) => vec![Out::Send(bytes.to_vec())],
        }
    }

    /// Returns all ways of a case.
    fn all(case: &Case) -> Vec<Self> {
        let len: usize = match case.subject {
            Subject::Client => case.client.iter().map(sent_len).sum(),
            Subject::Backend => case.answers.iter().map(|answer| answer.bytes.len()).sum(),
        };
        let splits = (1..len).filter(|&at| {
            let middle = at > EDGE_BYTES && at < len - EDGE_BYTES;
            len <= EVERY_BYTES_MAX || !middle || at % (len / MIDDLE_SPLITS) == 0
        });
        let mut ways = vec![Self::Whole];
        if len <= BYTE_BY_BYTE_MAX {
            ways.push(Self::ByteByByte);
        }
        ways.extend(splits.map(Way::SplitAt));
        ways
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => write!(f, "whole"),
            Self::ByteByByte => write!(f, "byte by byte"),
            Self::SplitAt(at) => write!(f, "split at {at}"),
        }
    }
}

fn sent_len(step: &Step) -> usize {
    match step {
        Step::Send(bytes) => bytes.len(),
        Step::Await(_) | Step::AwaitBackend(_) | Step::Shut | Step::Leave => 0,
    }
}

/// Plays all cases all ways, and fails with all that was not as hoped.
pub(crate) fn play(cases: &[Case]) {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..BENCHES {
            scope.spawn(|| {
                let mut bench = Bench::new();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(failure) = play_one(&bench, case) {
                        failures.lock().expect("no panic").push(failure);
                        // What went wrong may have left something behind.
                        bench = Bench::new();
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(
        failures.is_empty(),
        "{} of {} cases are not as hoped\n\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n\n")
    );
}

/// Plays one case all ways; an error tells of the first that failed and names the others.
fn play_one(bench: &Bench, case: &Case) -> Result<(), String> {
    let mut first = None;
    let mut failed = Vec::new();
    for way in Way::all(case) {
        if failed.len() >= FAILURES_MAX {
            break;
        }
        if let Err(why) = bench.play(case, way) {
            failed.push(way.to_string());
            first.get_or_insert(why);
        }
    }
    first.map_or(Ok(()), |why| {
        Err(format!(
            "{} ({}), {}: {why}",
            case.name,
            case.section,
            failed.join(", ")
        ))
    })
}

/// Subjects up to this length are sent byte by byte.
const BYTE_BY_BYTE_MAX: usize = 100_000;
/// Subjects up to this length are cut everywhere.
const EVERY_BYTES_MAX: usize = 1024;
/// Of longer ones, both ends of this length are.
const EDGE_BYTES: usize = 48;
/// And about so many places between.
const MIDDLE_SPLITS: usize = 24;
/// Proxies that play the cases of one table at the same time.
const BENCHES: usize = 2;
/// Ways of one case that may fail before the others are left out.
const FAILURES_MAX: usize = 3;
