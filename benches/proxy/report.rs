//! The tables: what each proxy needed, what the paired ratios are, and whether that is what the
//! issue wants.

use std::collections::BTreeMap;

use crate::conn::Failure;
use crate::load::Pace;
use crate::peers::Kind;
use crate::round::Sample;
use crate::workload::{Goal, Measure, Workload};

/// Samples of a workload: by round, by proxy.
pub(crate) type Rounds = Vec<BTreeMap<Kind, Sample>>;

/// Prints one measurement as it comes.
pub(crate) fn progress(workload: &Workload, round: usize, kind: Kind, sample: &Sample) {
    let noisy = if sample.foreign > FOREIGN_MAX {
        "  NOISY"
    } else {
        ""
    };
    eprintln!(
        "{:>4} round {:>2} {:9} {:>8} us/req {:>9.0} req/s  proxy {:.2} load {:.2} cores  foreign {:>4.1} %{noisy}{}",
        workload.name,
        round + 1,
        kind.name(),
        sample
            .cpu_us()
            .map_or_else(|| "-".into(), |us| format!("{us:.2}")),
        sample.rate(),
        sample.cores(),
        sample.load_cores(),
        sample.foreign * 100.0,
        failures(&sample.failures, sample.bad_at_backend),
    );
}

/// Prints the tables of a workload; returns whether every goal's must was met and nothing went
/// wrong with ours.
pub(crate) fn print(workload: &Workload, kinds: &[Kind], rounds: &Rounds) -> bool {
    let shape = &workload.shape;
    let quiet = rounds.iter().filter(|round| is_quiet(round)).count();
    println!(
        "\n{}: {}; medians of {} rounds",
        workload.name,
        shape.title,
        rounds.len()
    );
    println!(
        "{:9} {:>9} {:>5} {:>9} {:>8} {:>8} {:>8} {:>6} {:>6} {:>8} {:>8} {:>8} {:>7}",
        "proxy",
        "us/req",
        "user",
        "req/s",
        "p50 us",
        "p99",
        "p99.9",
        "cores",
        "load",
        "RSS MB",
        "PSS MB",
        "foreign",
        "failed"
    );
    for kind in kinds {
        let samples: Vec<&Sample> = rounds.iter().filter_map(|round| round.get(kind)).collect();
        if !samples.is_empty() {
            row(*kind, &samples);
        }
    }
    if shape.idle > 0 {
        println!("memory of an idle connection (PSS), bytes:");
        for kind in kinds {
            if let Some(bytes) = median(over(rounds, *kind, Sample::bytes_per_idle)) {
                println!("  {:9} {bytes:>8.0}", kind.name());
            }
        }
    }
    say_who_was_slower(shape.pace, kinds, rounds);
    let mut all_met = true;
    let before = kinds.contains(&Kind::Before).then_some(Goal {
        measure: Measure::CpuRatio(Kind::Before),
        must: 1.05,
        aim: 1.0,
    });
    for goal in workload.goals.iter().copied().chain(before) {
        all_met &= verdict(goal, rounds);
    }
    if quiet < ROUNDS_WANTED {
        println!(
            "  note: {quiet} of {} rounds were quiet (foreign CPU at most {:.0} %); acceptance wants {ROUNDS_WANTED}",
            rounds.len(),
            FOREIGN_MAX * 100.0
        );
    }
    let ours = rounds.iter().filter_map(|round| round.get(&Kind::Evenkeel));
    let failed: u64 = ours.map(Sample::failed).sum();
    if failed > 0 {
        println!("  FAIL: {failed} requests through evenkeel went wrong");
    }
    all_met && failed == 0
}

/// Says who kept behind the pace.
fn say_who_was_slower(pace: Pace, kinds: &[Kind], rounds: &Rounds) {
    if let Pace::Open { rate } = pace {
        for kind in kinds {
            let reached = median(over(rounds, *kind, |sample| Some(sample.rate()))).unwrap_or(rate);
            if reached < rate * RATE_REACHED {
                println!(
                    "  note: {} answered {reached:.0} of {rate:.0} req/s; --rate sets another",
                    kind.name()
                );
            }
        }
    }
}

fn row(kind: Kind, samples: &[&Sample]) {
    let of = |value: &dyn Fn(&Sample) -> f64| {
        median(samples.iter().map(|sample| value(sample))).unwrap_or(0.0)
    };
    let cpu = median(samples.iter().filter_map(|sample| sample.cpu_us()));
    let mut failed = BTreeMap::new();
    for (failure, count) in samples.iter().flat_map(|sample| &sample.failures) {
        *failed.entry(*failure).or_default() += count;
    }
    let bad = samples.iter().map(|sample| sample.bad_at_backend).sum();
    println!(
        "{:9} {:>9} {:>3.0} % {:>9.0} {:>8.0} {:>8.0} {:>8.0} {:>6.2} {:>6.2} {:>8.1} {:>8.1} {:>6.1} % {:>7}{}",
        kind.name(),
        cpu.map_or_else(|| "-".into(), |us| format!("{us:.2}")),
        of(&|sample| sample.user_share * 100.0),
        of(&Sample::rate),
        of(&|sample| sample.latencies.quantile_us(0.5)),
        of(&|sample| sample.latencies.quantile_us(0.99)),
        of(&|sample| sample.latencies.quantile_us(0.999)),
        of(&Sample::cores),
        of(&Sample::load_cores),
        of(&|sample| sample.memory.rss as f64 / 1e6),
        of(&|sample| sample.memory.pss as f64 / 1e6),
        of(&|sample| sample.foreign * 100.0),
        samples.iter().map(|sample| sample.failed()).sum::<u64>(),
        failures(&failed, bad),
    );
}

/// Prints a goal beside what was measured; returns whether its must was met.
fn verdict(goal: Goal, rounds: &Rounds) -> bool {
    let (name, unit, all, quiet) = match goal.measure {
        Measure::CpuRatio(peer) => (
            format!("CPU per request to {}'s", peer.name()),
            "",
            median(ratios(rounds, peer, &|_| true)),
            median(ratios(rounds, peer, &is_quiet)),
        ),
        Measure::BytesPerIdle => (
            "memory of an idle connection".into(),
            " B",
            median(over(rounds, Kind::Evenkeel, Sample::bytes_per_idle)),
            None,
        ),
        Measure::MegabytesInAll => (
            "memory of the proxy (PSS)".into(),
            " MB",
            median(over(rounds, Kind::Evenkeel, |sample| {
                Some(sample.memory.pss as f64 / 1e6)
            })),
            None,
        ),
    };
    let Some(value) = all else {
        println!("  {name}: not measured");
        return true;
    };
    let word = |limit| if value <= limit { "PASS" } else { "FAIL" };
    let quiet = quiet
        .map(|value| format!("; quiet rounds only: {value:.2}"))
        .unwrap_or_default();
    let spread = match goal.measure {
        Measure::CpuRatio(peer) => spread(ratios(rounds, peer, &|_| true)),
        Measure::BytesPerIdle | Measure::MegabytesInAll => String::new(),
    };
    println!(
        "  {name}: {value:.2}{unit}{spread}   must {}{unit} {}   aim {}{unit} {}{quiet}",
        goal.must,
        word(goal.must),
        goal.aim,
        word(goal.aim),
    );
    value <= goal.must
}

fn spread(values: impl Iterator<Item = f64>) -> String {
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    format!(" ({least:.2} to {most:.2})")
}

/// The ratios of our CPU per request to a peer's, each of one round.
fn ratios<'a>(
    rounds: &'a Rounds,
    peer: Kind,
    wanted: &'a dyn Fn(&BTreeMap<Kind, Sample>) -> bool,
) -> impl Iterator<Item = f64> + 'a {
    rounds
        .iter()
        .filter(move |round| wanted(round))
        .filter_map(move |round| {
            let ours = round.get(&Kind::Evenkeel)?.cpu_us()?;
            let theirs = round.get(&peer)?.cpu_us()?;
            Some(ours / theirs)
        })
}

fn over(
    rounds: &Rounds,
    kind: Kind,
    value: impl Fn(&Sample) -> Option<f64>,
) -> impl Iterator<Item = f64> {
    let values: Vec<f64> = rounds
        .iter()
        .filter_map(|round| round.get(&kind))
        .filter_map(value)
        .collect();
    values.into_iter()
}

/// Whether nobody who counts was disturbed.
fn is_quiet(round: &BTreeMap<Kind, Sample>) -> bool {
    let counts = [Kind::Evenkeel, Kind::Before, Kind::Haproxy, Kind::Nginx];
    counts
        .iter()
        .filter_map(|kind| round.get(kind))
        .all(|sample| sample.foreign <= FOREIGN_MAX)
}

/// Returns the middle one, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], upper)
    } else {
        upper
    })
}

fn failures(seen: &BTreeMap<Failure, u64>, bad_at_backend: u64) -> String {
    let mut parts: Vec<String> = seen
        .iter()
        .map(|(failure, count)| format!("{failure:?}: {count}"))
        .collect();
    if bad_at_backend > 0 {
        parts.push(format!("wrong at the backend: {bad_at_backend}"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("  [{}]", parts.join(", "))
    }
}

/// The noise rule of references/performance.md.
const FOREIGN_MAX: f64 = 0.03;
const ROUNDS_WANTED: usize = 8;
/// Below this share of its rate, an open loop says little about latency.
const RATE_REACHED: f64 = 0.95;
