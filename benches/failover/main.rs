//! What a failover costs a client: Evenkeel, and keepalived with HAProxy, in the same lab, one
//! after the other.
//!
//! `cargo bench --bench failover` as root, with Debian's keepalived, haproxy and curl. Flags after
//! `--`: `--rounds N` (5), `--interval 100ms|1s|both` (both), `--visitors N` (1152), `--events N`
//! (all): only the first so many, 1 the reloads alone. A round is one pair of each kind that
//! suffers them; rounds are interleaved, and medians are printed: of the probe's fresh requests,
//! and of the visitors by kind.

mod kept;
mod peers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::events::{Event, Outcome, SCRIPT};
use evenkeel::lab::interrupt::clean_up_on_signals;
use evenkeel::lab::pair::{Pair, Settings};
use evenkeel::lab::visitors::Crowd;

use peers::{Peers, program};

/// Outcomes by kind (0: Evenkeel) and event.
type Outcomes = BTreeMap<(usize, usize), Vec<Outcome>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let Plan {
        rounds,
        intervals,
        crowd,
        script,
    } = read(&arguments)?;
    let room = crowd.with_descriptors()?;
    if room != crowd {
        eprintln!(
            "the hard limit of open files has room for {} visitors",
            room.len()
        );
    }
    for (name, path) in [
        ("keepalived", program("keepalived")),
        ("haproxy", program("haproxy")),
    ] {
        if !path.exists() {
            return Err(format!("{name} is missing: install Debian's package {name}").into());
        }
    }
    clean_up_on_signals()?;
    for interval in intervals {
        let mut outcomes = Outcomes::new();
        for round in 0..rounds {
            eprintln!("interval {interval:?}, round {} of {rounds}", round + 1);
            ours(interval, room, script, &mut outcomes)?;
            theirs(interval, room, script, &mut outcomes)?;
        }
        print(interval, rounds, &outcomes);
        kept::print(&outcomes);
    }
    Ok(())
}

/// What the flags ask for.
struct Plan {
    rounds: usize,
    intervals: Vec<Duration>,
    crowd: Crowd,
    script: &'static [Event],
}

fn read(arguments: &[String]) -> Result<Plan, String> {
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(1));
    let mut plan = Plan {
        rounds: 5,
        intervals: vec![long, short],
        crowd: Crowd::FULL,
        script: &SCRIPT,
    };
    for pair in arguments.chunks(2) {
        let usage = "flags: --rounds N, --interval 100ms|1s|both, --visitors N, --events N";
        let [name, value] = pair else {
            return Err(usage.into());
        };
        match (name.as_str(), value.as_str()) {
            ("--rounds", n) => plan.rounds = n.parse().map_err(|_| usage)?,
            ("--events", n) => {
                let events: usize = n.parse().map_err(|_| usage)?;
                plan.script = SCRIPT.get(..events).ok_or(usage)?;
            }
            ("--visitors", n) => plan.crowd = Crowd::FULL.within(n.parse().map_err(|_| usage)?),
            ("--interval", "100ms") => plan.intervals = vec![short],
            ("--interval", "1s") => plan.intervals = vec![long],
            ("--interval", "both") => plan.intervals = vec![long, short],
            _ => return Err(usage.into()),
        }
    }
    Ok(plan)
}

fn ours(
    interval: Duration,
    crowd: Crowd,
    script: &[Event],
    outcomes: &mut Outcomes,
) -> Result<(), LabError> {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    let mut pair = Pair::start(Settings {
        binary,
        interval,
        crowd,
    })?;
    for (index, &event) in script.iter().enumerate() {
        let outcome = pair.inject(event)?;
        eprintln!(
            "  evenkeel    {event}: {} ms, {} failed; {}",
            outcome.longest_gap_ms,
            outcome.failed,
            outcome.visitors.all()
        );
        outcomes.entry((0, index)).or_default().push(outcome);
    }
    Ok(())
}

fn theirs(
    interval: Duration,
    crowd: Crowd,
    script: &[Event],
    outcomes: &mut Outcomes,
) -> Result<(), LabError> {
    let mut peers = Peers::start(interval, crowd)?;
    for (index, &event) in script.iter().enumerate() {
        let outcome = peers.inject(event)?;
        eprintln!(
            "  keepalived  {event}: {} ms, {} failed; {}",
            outcome.longest_gap_ms,
            outcome.failed,
            outcome.visitors.all()
        );
        outcomes.entry((1, index)).or_default().push(outcome);
    }
    Ok(())
}

fn print(interval: Duration, rounds: usize, outcomes: &Outcomes) {
    println!("\nadvertisement interval {interval:?}, medians of {rounds}");
    println!(
        "{:36} {:>12} {:>8} {:>6}   {:>14} {:>8} {:>6}",
        "event on the active node",
        "evenkeel",
        "failed",
        "moved",
        "keepalived+HAP",
        "failed",
        "moved"
    );
    for (index, event) in suffered(outcomes) {
        let cells: Vec<String> = [0, 1].map(|kind| cell(&outcomes[&(kind, index)])).to_vec();
        println!("{:36} {}   {}", name(index, event), cells[0], cells[1]);
    }
    for (kind, name) in ["evenkeel", "keepalived + HAProxy"].into_iter().enumerate() {
        let gone = outcomes
            .iter()
            .filter(|((k, _), _)| *k == kind)
            .flat_map(|(_, all)| all);
        let killed = gone.filter(|outcome| outcome.event == Event::KillEverything);
        let spans: Vec<Option<u64>> = killed.map(|outcome| outcome.address_gone_ms).collect();
        if spans.is_empty() {
            continue;
        }
        let text = match median(spans.iter().map(|span| span.unwrap_or(u64::MAX))) {
            u64::MAX => "the whole watch of 10 s".to_owned(),
            ms => format!("{ms} ms"),
        };
        println!("a killed node of {name} has the address for {text} (median)");
    }
}

/// Returns the events that there are outcomes of, each with its place.
fn suffered(outcomes: &Outcomes) -> impl Iterator<Item = (usize, Event)> {
    let all = SCRIPT.into_iter().enumerate();
    all.filter(|(index, _)| outcomes.contains_key(&(0, *index)))
}

/// A return is named by what it comes back from.
fn name(index: usize, event: Event) -> String {
    match event {
        Event::Return => format!("  back after {}", SCRIPT[index - 1]),
        Event::Reload
        | Event::KillVrrp
        | Event::FreezeVrrp
        | Event::KillProxy
        | Event::FreezeProxy
        | Event::LoseBackends
        | Event::FailScript
        | Event::StopGracefully
        | Event::CutLink
        | Event::KillEverything => event.to_string(),
    }
}

fn cell(outcomes: &[Outcome]) -> String {
    let gap = median(outcomes.iter().map(|outcome| outcome.longest_gap_ms));
    let failed = median(outcomes.iter().map(|outcome| outcome.failed));
    let moved = outcomes.iter().filter(|outcome| outcome.moved).count();
    format!("{:>9} ms {failed:>8} {moved:>3}/{}", gap, outcomes.len())
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
