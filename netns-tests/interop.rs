//! The interoperation matrix: every way in which keepalived and FRR are set up beside us, in both
//! roles.
//!
//! A cell is one such way; it is lived through twice, once with our node as the better one and once
//! with theirs. What counts is who answers a client on the link, not what a daemon says of itself.
//! Prints one table.
//!
//! `EVENKEEL_INTEROP=unicast` picks the cells whose name contains that; `EVENKEEL_INTEROP_REPEAT=5`
//! lives through each five times and prints the medians.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod cell;
mod client;
mod forged;
mod nodes;
mod samples;
mod story;
mod table;

use std::collections::VecDeque;
use std::sync::Mutex;

use cell::{Better, Cell};
pub(crate) use nodes::start_keepalived;
use table::Row;

#[test]
fn interoperation_matrix() {
    let wanted = std::env::var("EVENKEEL_INTEROP").unwrap_or_default();
    let repeat: usize = std::env::var("EVENKEEL_INTEROP_REPEAT").map_or(1, |text| {
        text.parse().expect("EVENKEEL_INTEROP_REPEAT is a number")
    });
    let cells: Vec<Cell> = cell::all()
        .into_iter()
        .filter(|cell| cell.name.contains(&wanted))
        .collect();
    assert!(!cells.is_empty(), "no cell has {wanted:?} in its name");
    let mut rows = Vec::new();
    // Those that need the machine for themselves come last, one after the other.
    for (alone, at_once) in [(false, AT_ONCE), (true, 1)] {
        let mut jobs: Vec<(usize, &Cell, Better)> = Vec::new();
        for _ in 0..repeat {
            for (number, cell) in cells
                .iter()
                .enumerate()
                .filter(|(_, cell)| cell.alone == alone)
            {
                jobs.extend([Better::Ours, Better::Theirs].map(|better| (number, cell, better)));
            }
        }
        // The longest first.
        jobs.sort_by_key(|(_, cell, _)| std::cmp::Reverse(cell.interval()));
        let jobs = Mutex::new(VecDeque::from(jobs));
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    loop {
                        let Some((number, cell, better)) = jobs.lock().unwrap().pop_front() else {
                            return;
                        };
                        let told = story::live(cell, better);
                        let row = Row::new(number, cell, better, told);
                        done.lock().unwrap().push(row);
                    }
                });
            }
        });
        rows.append(&mut done.into_inner().unwrap());
    }
    // What a busy moment broke must hold twice in a row, alone; a fault breaks it every time.
    for row in rows.iter_mut().filter(|row| row.failure().is_some()) {
        println!(
            "once more, and twice: {}",
            row.failure().unwrap_or_default()
        );
        for _ in 0..2 {
            row.live_again(&cells);
            if row.failure().is_some() {
                break;
            }
        }
    }
    let table = table::print(&rows);
    println!("\n{table}");
    let failed: Vec<&str> = rows.iter().filter_map(Row::failure).collect();
    assert!(failed.is_empty(), "{table}\n{}", failed.join("\n\n"));
}

/// So many cells at a time: they mostly wait.
const AT_ONCE: usize = 5;
