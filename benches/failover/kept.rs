//! What each event cost the visitors, by kind, of both systems: connections cut of those that were
//! open, and the rest.

use evenkeel::lab::events::Outcome;
use evenkeel::lab::visitors::{Kind, Tally};

use super::{Outcomes, median, name, suffered};

/// Prints a line for each event and system.
pub(crate) fn print(outcomes: &Outcomes) {
    println!(
        "\nconnections cut of those open when it happened, by kind (medians); wrong is the sum of all rounds"
    );
    let kinds: String = Kind::ALL
        .map(|kind| format!(" {:>12}", kind.name()))
        .concat();
    println!(
        "{:34} {:10}{kinds} {:>8} {:>8} {:>6} {:>9} {:>10}",
        "event on the active node", "", "failed", "closed", "wrong", "unserved", "slowest"
    );
    for (index, event) in suffered(outcomes) {
        for (system, label) in ["evenkeel", "keepalived"].into_iter().enumerate() {
            let title = if system == 0 {
                name(index, event)
            } else {
                String::new()
            };
            println!("{title:34} {label:10}{}", line(&outcomes[&(system, index)]));
        }
    }
}

fn line(outcomes: &[Outcome]) -> String {
    let of = |kind: Kind, value: fn(&Tally) -> u64| {
        let tallies = outcomes
            .iter()
            .filter_map(|outcome| outcome.visitors.of(kind));
        median(tallies.map(value))
    };
    let cuts = Kind::ALL.map(|kind| {
        let cut = format!("{} of {}", of(kind, |t| t.cut), of(kind, |t| t.open));
        format!(" {cut:>12}")
    });
    let all = |value: fn(&Tally) -> u64| median(outcomes.iter().map(|o| value(&o.visitors.all())));
    let wrong: u64 = outcomes.iter().map(|o| o.visitors.all().wrong).sum();
    format!(
        "{} {:>8} {:>8} {wrong:>6} {:>9} {:>7} ms",
        cuts.concat(),
        all(|t| t.failed),
        all(|t| t.closed_idle),
        all(|t| t.unserved),
        all(|t| t.slowest_ms)
    )
}
