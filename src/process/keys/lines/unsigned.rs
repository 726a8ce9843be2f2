//! Questions that were not signed: counted, and said once a minute, because whoever asks decides
//! how many there are.

use std::time::{Duration, Instant};

/// Those that have not been said yet.
#[derive(Debug, Default)]
pub(in crate::process::keys) struct Unsigned {
    count: u64,
    said_at: Option<Instant>,
}

impl Unsigned {
    pub(super) fn note(&mut self) {
        self.count += 1;
    }

    /// Returns how many there were, where it is time to say it.
    pub(in crate::process::keys) fn take(&mut self, now: Instant) -> Option<u64> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < SAY_INTERVAL;
        if self.count == 0 || self.said_at.is_some_and(is_recent) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

const SAY_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_said_once_a_minute() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut unsigned = Unsigned::default();
        assert_eq!(unsigned.take(at(0)), None);
        unsigned.note();
        assert_eq!(unsigned.take(at(0)), Some(1), "the first at once");
        unsigned.note();
        unsigned.note();
        assert_eq!(unsigned.take(at(59)), None);
        assert_eq!(unsigned.take(at(60)), Some(2));
        assert_eq!(unsigned.take(at(600)), None);
    }
}
