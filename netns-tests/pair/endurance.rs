//! The experiments of `benches/endurance` that are cheap, in short: bounds that a busy machine with
//! two cores keeps.
//!
//! The bench has the bounds that count; here are those that only a fault breaks. Evenkeel alone,
//! keepalived beside it would prove nothing about us.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[expect(dead_code, reason = "the bench uses what a test does not")]
#[path = "../../benches/endurance/experiments/mod.rs"]
mod experiments;
#[path = "../../benches/endurance/rig/mod.rs"]
mod rig;

use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::attacks::Attack;

use experiments::{bogus, churn, frozen, hostile, many, partition, slow};
use rig::daemon::Kind;
use rig::report::{Finding, Kibibytes, Permille};

#[test]
fn bogus_packets_move_nothing_and_are_counted() {
    keep(|| {
        bogus::run(&bogus::Plan {
            kinds: OURS.to_vec(),
            cases: vec![(3, TENTH)],
            span: Duration::from_secs(10),
            slack: BUSY,
        })
    });
}

/// S1, S3 and S6, in short.
#[test]
fn a_busy_proxy_is_not_a_hung_one() {
    keep(|| {
        hostile::run(&hostile::Plan {
            span: Duration::from_secs(2),
            threads: vec![1],
            attacks: vec![
                ("heads due at once", Attack::LateOptions(180)),
                ("pipelining to a dead pool", Attack::Pipelines(4)),
                ("downloads", Attack::Downloads(300)),
                ("uploads", Attack::Uploads(120, 16 * 1024)),
            ],
            proxies: vec![hostile::Proxy::Evenkeel],
            // A build without optimization on a busy machine; the bench has the bound that counts.
            median: Duration::from_secs(1),
        })
    });
}

#[test]
fn a_thawed_node_is_a_backup_before_it_says_anything() {
    keep(|| {
        frozen::run(&frozen::Plan {
            kinds: OURS.to_vec(),
            intervals: vec![TENTH],
            span: Duration::from_secs(3),
        })
    });
}

#[test]
fn a_client_does_not_notice_that_a_partition_heals() {
    keep(|| {
        partition::run(&partition::Plan {
            kinds: OURS.to_vec(),
            intervals: vec![TENTH],
            phases: 4,
            slack: TENTH + BUSY,
        })
    });
}

#[test]
fn nothing_piles_up_while_interfaces_come_and_go() {
    keep(|| {
        churn::run(&churn::Plan {
            events: 20,
            first_look: 6,
            growth_max: Permille(100),
        })
    });
}

#[test]
fn a_log_that_nobody_reads_delays_no_advertisement() {
    keep(|| {
        slow::run(&slow::Plan {
            span: Duration::from_secs(5),
            troubles: vec![slow::Trouble::BlockedLog],
            slack: BUSY,
        })
    });
}

#[test]
fn many_virtual_routers_cost_little_and_survive_a_crash() {
    keep(|| {
        many::run(&many::Plan {
            kinds: OURS.to_vec(),
            routers: 250,
            span: Duration::from_secs(5),
            share_max: Permille(250),
            // Of which 22 MiB are the program itself, without optimization, locked in memory.
            memory_max: Kibibytes(28 << 10),
            crashes: 3,
            rounds: 1,
            announced_max: BUSY,
        })
    });
}

/// Fails with every finding that is not as it should be. What a moment of a busy machine breaks
/// must hold twice in a row then: a fault of ours breaks it every time.
fn keep(live: impl Fn() -> Result<Vec<Finding>, LabError>) {
    let first = broken(&live);
    if first.is_empty() {
        return;
    }
    println!("once more, and twice:\n{}", first.join("\n"));
    for _ in 0..2 {
        let again = broken(&live);
        assert!(
            again.is_empty(),
            "every bound is kept:\n{}\nbefore:\n{}",
            again.join("\n"),
            first.join("\n")
        );
    }
}

fn broken(live: &impl Fn() -> Result<Vec<Finding>, LabError>) -> Vec<String> {
    let findings = live().unwrap();
    let broken = findings.iter().filter(|finding| !finding.kept);
    broken.map(Finding::line).collect()
}

const OURS: [Kind; 1] = [Kind::Evenkeel];
const TENTH: Duration = Duration::from_millis(100);
/// What a kernel without preemption may keep a realtime thread waiting, on a machine that does much
/// else; a Backup would take over only after more than that.
const BUSY: Duration = Duration::from_millis(200);
