//! How fast a client must send a body: not byte by byte for hours, on a slot of a backend that
//! others wait for.
//!
//! The timeout between two bytes does not see to that. Here the whole is measured: a body may take
//! as long as that timeout, and longer by what its bytes are worth. Time that the backend takes is
//! not the client's. It knows no clock and no socket.

use std::time::Duration;

/// The least rate of one body, while it comes.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct Pace {
    /// What any body may take.
    within_ms: u64,
    /// Bytes of content a second that it may take longer for; 0: it may take any time.
    rate: u64,
    /// Since when it is waited for, where it is.
    since_ms: Option<u64>,
    /// How long it was waited for before.
    spent_ms: u64,
}

impl Pace {
    pub(in crate::process::proxy) fn new(within: Duration, rate: u32) -> Self {
        Self {
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            rate: u64::from(rate),
            since_ms: None,
            spent_ms: 0,
        }
    }

    /// Returns how long a client that is waited for may take until more has come, where so much of
    /// its content has; `None` where that is not bounded.
    pub(in crate::process::proxy) fn left(&mut self, now_ms: u64, bytes: u64) -> Option<Duration> {
        if self.rate == 0 {
            return None;
        }
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        let spent_ms = self.spent_ms + now_ms.saturating_sub(since_ms);
        let earned_ms = bytes.saturating_mul(1000) / self.rate;
        let may_ms = self.within_ms.saturating_add(earned_ms);
        Some(Duration::from_millis(may_ms.saturating_sub(spent_ms)))
    }

    /// Stops the time: it is the backend that is waited for.
    pub(in crate::process::proxy) fn pause(&mut self, now_ms: u64) {
        if let Some(since_ms) = self.since_ms.take() {
            self.spent_ms += now_ms.saturating_sub(since_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_earn_time_and_the_backends_time_is_not_the_clients() {
        let mut pace = Pace::new(Duration::from_secs(30), 100);
        let left =
            |pace: &mut Pace, now_ms, bytes| pace.left(now_ms, bytes).map(|left| left.as_millis());
        assert_eq!(left(&mut pace, 5000, 0), Some(30_000));
        assert_eq!(left(&mut pace, 25_000, 100), Some(11_000));
        assert_eq!(left(&mut pace, 36_000, 100), Some(0));
        assert_eq!(left(&mut pace, 90_000, 100), Some(0));
        assert_eq!(left(&mut pace, 90_000, 9000), Some(35_000));
        pace.pause(91_000);
        pace.pause(92_000);
        assert_eq!(left(&mut pace, 200_000, 9000), Some(34_000));
        assert_eq!(
            left(&mut pace, 200_000, u64::MAX).map(|ms| ms > 30_000),
            Some(true)
        );
        let mut any = Pace::new(Duration::from_secs(30), 0);
        assert_eq!(left(&mut any, 5000, 0), None);
    }

    /// What has come before the first wait is of the body, too.
    #[test]
    fn bodies_that_begin_fast_may_go_on_slowly() {
        let mut pace = Pace::new(Duration::from_secs(2), 100);
        let left = pace.left(1000, 600).map(|left| left.as_millis());
        assert_eq!(left, Some(8000));
    }
}
