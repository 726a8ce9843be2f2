//! `evenkeel demo`: a failover pair in network namespaces, broken in every way, and what clients
//! saw of it.
//!
//! One client asks anew every few milliseconds; visitors keep their connections, most of them idle
//! most of the time. The nodes run this very program. Lines appear as things happen; then a table,
//! or with `--json` one document. The exit code is 1 when a bound that it states is broken. Nothing
//! is left behind: namespaces and processes end with this process, also after Ctrl-C.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::outcome::{EXIT_DONE, EXIT_FAILED, Output, print_error};
use super::status::table;
use crate::lab::LabError;
use crate::lab::events::{Outcome, SCRIPT, SCRIPT_OF_TRACKING};
use crate::lab::interrupt::clean_up_on_signals;
use crate::lab::namespace::user_namespace::enter_user_namespace_if_needed;
use crate::lab::pair::{Pair, Settings, own_binary};
use crate::lab::visitors::Crowd;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    advertisement_interval_ms: u64,
    visitors: usize,
    events: Vec<Row>,
    seconds: f32,
    kept: bool,
}

/// An outcome and the bound it is held to.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    outcome: Outcome,
    bound: String,
}

/// Runs the demo; returns the exit code.
///
/// Of the whole crowd come at most `visitors`.
pub fn run(output: Output, visitors: usize) -> i32 {
    let began = Instant::now();
    let (crowd, rows) = match prepared(visitors).and_then(|crowd| play(output, began, crowd)) {
        Ok(played) => played,
        Err(error) => {
            print_error(&error);
            return EXIT_FAILED;
        }
    };
    let kept = rows.iter().all(|row| row.outcome.broken.is_empty());
    let document = Document {
        advertisement_interval_ms: u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX),
        visitors: crowd.len(),
        events: rows,
        seconds: began.elapsed().as_secs_f32(),
        kept,
    };
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&document).unwrap_or_default() + "\n",
        Output::Text => render(&document),
    };
    // A reader that has gone, as `head` does, wants no more.
    let written = std::io::stdout().write_all(text.as_bytes());
    if kept && written.is_ok() {
        EXIT_DONE
    } else {
        EXIT_FAILED
    }
}

/// Becomes able to make namespaces, and to end without leaving anything; returns who has room to
/// visit.
fn prepared(visitors: usize) -> Result<Crowd, LabError> {
    enter_user_namespace_if_needed()?;
    clean_up_on_signals()?;
    let asked = Crowd::FULL.within(visitors);
    let crowd = asked.with_descriptors()?;
    if crowd != asked {
        eprintln!(
            "note: the hard limit of open files (`ulimit -Hn`) has room for {} visitors, not {}",
            crowd.len(),
            asked.len()
        );
    }
    Ok(crowd)
}

/// Lets everything happen, one event after the other.
fn play(output: Output, began: Instant, crowd: Crowd) -> Result<(Crowd, Vec<Row>), LabError> {
    let say = |line: &str| match output {
        Output::Text => println!("{:5.1} s  {line}", began.elapsed().as_secs_f32()),
        Output::Json => {}
    };
    say("building: lb1 and lb2 (this program), web1 and web2, a client on a switch");
    let settings = Settings {
        binary: own_binary().to_owned(),
        interval: INTERVAL,
        crowd,
    };
    let mut pair = Pair::start(settings)?;
    say("lb1 is Active and serves 10.77.0.100; the client asks every 5 ms, each time anew");
    say(&format!(
        "visitors with connections that they keep: {}",
        who(crowd)
    ));
    let mut rows = Vec::new();
    let mut script = SCRIPT.to_vec();
    if Pair::runs_scripts() {
        script.extend(SCRIPT_OF_TRACKING);
    } else {
        say("not root: the daemon would trust no track script here, none fails");
    }
    for event in script {
        say(&format!("{event} ..."));
        let outcome = pair.inject(event)?;
        say(&format!(
            "    {} of {} requests failed, longest gap {} ms, {} serves",
            outcome.failed, outcome.requests, outcome.longest_gap_ms, outcome.served_by
        ));
        say(&format!("    visitors: {}", outcome.visitors.all()));
        let cut = outcome.visitors.cut_by_kind();
        if !cut.is_empty() {
            say(&format!("    cut: {cut}"));
        }
        let bound = event.bound(INTERVAL).to_string();
        rows.push(Row { outcome, bound });
    }
    Ok((crowd, rows))
}

/// Names the kinds of visitors and how many there are of each.
fn who(crowd: Crowd) -> String {
    crowd
        .kinds()
        .map(|kind| format!("{kind} {}", crowd.count(kind)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn render(document: &Document) -> String {
    let header = [
        "EVENT ON THE ACTIVE NODE",
        "LONGEST GAP",
        "FAILED",
        "KEPT CUT",
        "SERVES",
        "BOUND",
        "",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for Row { outcome, bound } in &document.events {
        let verdict = if outcome.broken.is_empty() {
            "kept"
        } else {
            "BROKEN"
        };
        let kept = outcome.visitors.kept();
        lines.push(vec![
            outcome.event.to_string(),
            format!("{} ms", outcome.longest_gap_ms),
            format!("{} of {}", outcome.failed, outcome.requests),
            format!("{} of {}", kept.cut, kept.open),
            outcome.served_by.clone(),
            bound.clone(),
            verdict.to_owned(),
        ]);
    }
    let mut text = format!("\n{}\n", table(&lines).trim_end());
    for Row { outcome, .. } in &document.events {
        for broken in &outcome.broken {
            text.push_str(&format!("{}: {broken}\n", outcome.event));
        }
        if let Some(gone) = outcome.address_gone_ms {
            text.push_str(&format!(
                "the dead node's kernel let the address go after {gone} ms\n"
            ));
        }
    }
    text.push_str(&format!(
        "advertisement interval {} ms, {:.0} s in all\n",
        document.advertisement_interval_ms, document.seconds
    ));
    text
}

/// Between two advertisements of the demo's nodes.
const INTERVAL: Duration = Duration::from_millis(100);
