//! What is heard and accepted although something is wrong with it: said in the log, each kind once
//! a minute at most.
//!
//! RFC 9568 wants it logged and the packet processed: another interval (§7.1), other addresses
//! (§7.1), an IPv6 list that does not begin with a link-local address (erratum 8300), a second
//! owner (erratum 8298). The counters are the machine's; here they are only compared before and
//! after a packet.

use std::time::{Duration, Instant};

use crate::logic::vrrp::Counters;

/// When each kind was last said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anomalies {
    said_at: [Option<Instant>; KINDS.len()],
}

impl Anomalies {
    /// Returns what is to be said of the packet that moved the counters from `before` to `after`.
    pub fn of(
        &mut self,
        before: &Counters,
        after: &Counters,
        now: Instant,
    ) -> impl Iterator<Item = &'static str> {
        let moved = KINDS.iter().zip(&mut self.said_at);
        moved.filter_map(move |((count, what), said_at)| {
            let said = said_at.is_some_and(|at| now.saturating_duration_since(at) < SAY_INTERVAL);
            if count(before) == count(after) || said {
                return None;
            }
            *said_at = Some(now);
            Some(*what)
        })
    }
}

type Count = fn(&Counters) -> u64;

const KINDS: [(Count, &str); 4] = [
    (
        |counters| counters.owner_conflicts,
        "another router says that it owns the addresses too",
    ),
    (
        |counters| counters.interval_errors,
        "another interval than ours",
    ),
    (
        |counters| counters.address_list_errors,
        "other addresses than ours",
    ),
    (
        |counters| counters.link_local_missing,
        "the first address is not link-local",
    ),
];
const SAY_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_a_minute() {
        let start = Instant::now();
        let mut anomalies = Anomalies::default();
        let mut said = |counters: Counters, now| -> Vec<&str> {
            anomalies.of(&Counters::default(), &counters, now).collect()
        };
        let interval = Counters {
            interval_errors: 1,
            ..Counters::default()
        };
        let both = Counters {
            address_list_errors: 1,
            ..interval
        };
        assert_eq!(said(interval, start), ["another interval than ours"]);
        assert_eq!(
            said(interval, start + SAY_INTERVAL / 2),
            [""; 0],
            "not again"
        );
        assert_eq!(
            said(both, start + SAY_INTERVAL / 2),
            ["other addresses than ours"],
            "only what is new"
        );
        assert_eq!(
            said(both, start + SAY_INTERVAL),
            ["another interval than ours"],
            "after a minute"
        );
        assert_eq!(
            said(Counters::default(), start + SAY_INTERVAL * 9),
            [""; 0],
            "nothing is odd"
        );
    }
}
