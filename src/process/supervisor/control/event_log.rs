//! What happened: the last transitions of all virtual routers, in order, each with an epoch.
//!
//! An epoch only grows, also from one start of the daemon to the next, because it begins with the
//! milliseconds of the clock at the start and a daemon does not change state a thousand times a
//! second for long.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ipc::control::Event;
use crate::ipc::message::TransitionReport;

/// The last [`EVENTS_MAX`] transitions.
#[derive(Debug)]
pub(crate) struct EventLog {
    events: VecDeque<Event>,
    epoch: u64,
}

impl EventLog {
    /// Begins at this time of the clock.
    pub(crate) fn new(now: SystemTime) -> Self {
        Self {
            events: VecDeque::new(),
            epoch: unix_ms(now),
        }
    }

    /// Notes a transition that happened `ago`, and returns it as an event.
    pub(crate) fn note(
        &mut self,
        now: SystemTime,
        ago: Duration,
        report: TransitionReport,
    ) -> Event {
        self.epoch += 1;
        let event = Event {
            epoch: self.epoch,
            at_ms: unix_ms(now.checked_sub(ago).unwrap_or(now)),
            router: report.router,
            from: report.from.as_str().to_owned(),
            to: report.to.as_str().to_owned(),
            cause: report.cause,
        };
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        event
    }

    /// Returns what is remembered of what came after an epoch, in order.
    pub(crate) fn after(&self, epoch: u64) -> Vec<Event> {
        self.events
            .iter()
            .filter(|event| event.epoch > epoch)
            .cloned()
            .collect()
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The bound; the oldest are forgotten.
const EVENTS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::message::StateName;
    use crate::model::{Family, RouterName};

    fn report(to: StateName) -> TransitionReport {
        TransitionReport {
            router: RouterName {
                entry: "web".into(),
                family: Family::Ipv4,
            },
            from: StateName::Backup,
            to,
            cause: "test".into(),
            at_ns: 0,
        }
    }

    #[test]
    fn epochs_grow_and_order_is_kept() {
        let start = UNIX_EPOCH + Duration::from_secs(100);
        let mut log = EventLog::new(start);
        let first = log.note(start, Duration::ZERO, report(StateName::Active));
        let second = log.note(start, Duration::from_millis(5), report(StateName::Backup));
        assert_eq!((first.epoch, second.epoch), (100_001, 100_002));
        assert_eq!(second.at_ms, 99_995);
        assert_eq!(log.after(0), [first.clone(), second.clone()]);
        assert_eq!(log.after(first.epoch), [second]);
        let next = EventLog::new(start + Duration::from_secs(1));
        assert!(next.epoch > log.epoch, "a restart goes on");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut log = EventLog::new(UNIX_EPOCH);
        for _ in 0..=EVENTS_MAX {
            log.note(UNIX_EPOCH, Duration::ZERO, report(StateName::Active));
        }
        let remembered = log.after(0);
        assert_eq!((remembered.len(), remembered[0].epoch), (EVENTS_MAX, 2));
    }
}
