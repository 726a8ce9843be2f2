//! When an Active says again that the addresses are at its link-layer address.
//!
//! A gratuitous ARP or an unsolicited neighbor advertisement is lost as easily as any packet, and a
//! peer which still holds the addresses may have answered in between. So: a burst at once, then
//! quickly until every lease of an earlier owner is over, once more after 5 s, then slowly for
//! ever. Pure; the router owns the schedule as a part of its Active state and emits the actions.

use std::time::{Duration, Instant};

/// How much an administrator wants to have announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncementPlan {
    /// Rounds at once when the addresses are installed; at least 1.
    pub repeat: u8,
    /// One more round so long after them, when everything has settled.
    pub delay: Duration,
    /// Between rounds for ever after that, for switches that forget; `None`: no more.
    pub refresh: Option<Duration>,
}

impl Default for AnnouncementPlan {
    fn default() -> Self {
        Self {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Some(Duration::from_secs(60)),
        }
    }
}

/// The schedule of the announcements of one Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcements {
    /// The host has not yet installed the addresses; it has until this moment to say that it has.
    AwaitApplied {
        /// When we stop believing that it will.
        deadline_at: Instant,
    },
    /// The addresses are installed.
    Running {
        /// When the burst was.
        started_at: Instant,
        /// When the next one is due; `None`: never again.
        next_at: Option<Instant>,
    },
}

impl Announcements {
    /// Returns the schedule of a router that has just asked for its addresses.
    pub fn awaiting(now: Instant) -> Self {
        Self::AwaitApplied {
            deadline_at: now + APPLY_TIMEOUT,
        }
    }

    /// Returns the schedule after the burst, which the caller emits now.
    pub fn begun(now: Instant) -> Self {
        Self::Running {
            started_at: now,
            next_at: Some(now + QUICK_INTERVAL),
        }
    }

    /// Returns the schedule after an announcement at `now`; `lease` is how long another owner's may
    /// live.
    #[must_use]
    pub fn advanced(self, now: Instant, lease: Duration, plan: AnnouncementPlan) -> Self {
        match self {
            Self::AwaitApplied { .. } => self,
            Self::Running { started_at, .. } => {
                let quick_at = now + QUICK_INTERVAL;
                let later_at = started_at + plan.delay;
                let next_at = if quick_at <= started_at + lease + QUICK_MARGIN {
                    Some(quick_at)
                } else if now < later_at {
                    Some(later_at)
                } else {
                    plan.refresh.map(|refresh| now + refresh)
                };
                Self::Running {
                    started_at,
                    next_at,
                }
            }
        }
    }

    /// Returns the schedule begun again without a burst, first due at `next_at`.
    #[must_use]
    pub fn restarted(self, now: Instant, next_at: Instant) -> Self {
        match self {
            Self::AwaitApplied { .. } => self,
            Self::Running {
                next_at: due_at, ..
            } => Self::Running {
                started_at: now,
                next_at: Some(due_at.map_or(next_at, |due_at| due_at.min(next_at))),
            },
        }
    }

    /// Returns the schedule when another plan holds: what is due later than it would have it comes
    /// sooner, and what has ended goes on.
    #[must_use]
    pub fn replanned(self, now: Instant, lease: Duration, plan: AnnouncementPlan) -> Self {
        let Self::Running {
            started_at,
            next_at,
        } = self
        else {
            return self;
        };
        let planned = match self.advanced(now, lease, plan) {
            Self::AwaitApplied { .. } => None,
            Self::Running { next_at, .. } => next_at,
        };
        let next_at = match (next_at, planned) {
            (Some(due_at), Some(planned)) => Some(due_at.min(planned)),
            (due_at, planned) => planned.and(due_at).or(planned),
        };
        Self::Running {
            started_at,
            next_at,
        }
    }

    /// Returns the schedule of a router that is Active again without having let go: the old one
    /// goes on, but what fell due in between is not caught up at once.
    #[must_use]
    pub fn resumed(self, now: Instant) -> Self {
        match self {
            Self::AwaitApplied { .. } => Self::awaiting(now),
            Self::Running {
                started_at,
                next_at,
            } => Self::Running {
                started_at,
                next_at: next_at.map(|at| at.max(now + QUICK_INTERVAL)),
            },
        }
    }

    /// Returns when `handle_timeout` is wanted, if ever.
    pub const fn due_at(self) -> Option<Instant> {
        match self {
            Self::AwaitApplied { deadline_at } => Some(deadline_at),
            Self::Running { next_at, .. } => next_at,
        }
    }
}

/// The host's deadline for installing the addresses; beyond it the router gives up.
pub const APPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between announcements while an earlier owner may still answer.
const QUICK_INTERVAL: Duration = Duration::from_millis(250);
/// How far beyond the lease the quick announcements go: what a kernel needs to notice the end of
/// one.
const QUICK_MARGIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_is_quick_until_any_lease_is_over_then_slow() {
        let start = Instant::now();
        let lease = Duration::from_secs(2);
        let mut schedule = Announcements::begun(start);
        let mut offsets = Vec::new();
        for _ in 0..13 {
            let due_at = schedule.due_at().expect("there is always another");
            offsets.push((due_at - start).as_millis());
            schedule = schedule.advanced(due_at, lease, AnnouncementPlan::default());
        }
        let hoped = [
            250, 500, 750, 1000, 1250, 1500, 1750, 2000, 2250, 2500, 5000, 65_000, 125_000,
        ];
        assert_eq!(
            offsets, hoped,
            "quick through lease + 500 ms, 5 s, then every 60 s"
        );
    }

    #[test]
    fn schedule_with_a_long_lease_has_no_extra_at_five_seconds() {
        let start = Instant::now();
        let schedule = Announcements::Running {
            started_at: start,
            next_at: Some(start),
        };
        let at = start + Duration::from_secs(11);
        let next = schedule.advanced(at, Duration::from_secs(10), AnnouncementPlan::default());
        assert_eq!(
            next.due_at(),
            Some(start + Duration::from_secs(71)),
            "the slow phase comes at once"
        );
    }

    #[test]
    fn schedule_that_ran_late_does_not_catch_up() {
        let start = Instant::now();
        let late = start + Duration::from_millis(1300);
        let plan = AnnouncementPlan::default();
        let next = Announcements::begun(start).advanced(late, Duration::from_secs(2), plan);
        assert_eq!(
            next.due_at(),
            Some(late + Duration::from_millis(250)),
            "one announcement, not four"
        );
    }

    #[test]
    fn schedule_without_a_refresh_ends_after_the_delayed_round() {
        let start = Instant::now();
        let plan = AnnouncementPlan {
            delay: Duration::from_secs(7),
            refresh: None,
            ..AnnouncementPlan::default()
        };
        let lease = Duration::from_secs(1);
        let mut schedule = Announcements::begun(start);
        let mut last = start;
        while let Some(due_at) = schedule.due_at() {
            last = due_at;
            schedule = schedule.advanced(due_at, lease, plan);
        }
        assert_eq!(last, start + plan.delay, "the delayed round is the last");
    }
}
