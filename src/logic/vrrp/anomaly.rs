//! What is heard and accepted although something is wrong with it: a warning, of each kind one a
//! minute at most.
//!
//! RFC 9568 wants it logged and the packet processed: another interval (§7.1), other addresses
//! (§7.1), an IPv6 list that does not begin with a link-local address (erratum 8300), a second
//! owner (erratum 8298). The counters count each.

use std::time::{Duration, Instant};

/// What is wrong with an advertisement that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Erratum 8298.
    OwnerConflict,
    /// RFC 9568 §7.1.
    OtherInterval,
    /// RFC 9568 §7.1.
    OtherAddresses,
    /// Erratum 8300.
    LinkLocalMissing,
}

impl Anomaly {
    /// Returns what it is, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnerConflict => "another router says that it owns the addresses too",
            Self::OtherInterval => "another interval than ours",
            Self::OtherAddresses => "other addresses than ours",
            Self::LinkLocalMissing => "the first address is not link-local",
        }
    }
}

/// When each kind was last said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Warnings {
    said_at: [Option<Instant>; 4],
}

impl Warnings {
    /// Returns whether it is to be said, and takes it for said.
    pub(super) fn is_due(&mut self, anomaly: Anomaly, now: Instant) -> bool {
        let said_at = &mut self.said_at[anomaly as usize];
        let due = said_at.is_none_or(|at| now.saturating_duration_since(at) >= SAY_INTERVAL);
        if due {
            *said_at = Some(now);
        }
        due
    }
}

const SAY_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_a_minute() {
        let start = Instant::now();
        let mut warnings = Warnings::default();
        let mut due = |anomaly, now| warnings.is_due(anomaly, now);
        let (interval, addresses) = (Anomaly::OtherInterval, Anomaly::OtherAddresses);
        assert!(due(interval, start));
        assert!(!due(interval, start + SAY_INTERVAL / 2), "not again");
        assert!(due(addresses, start + SAY_INTERVAL / 2), "only what is new");
        assert!(due(interval, start + SAY_INTERVAL), "after a minute");
        assert!(!due(addresses, start + SAY_INTERVAL));
    }
}
