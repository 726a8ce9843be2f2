//! What happened: the last transitions of all virtual routers, in order, each with an epoch.
//!
//! An epoch only grows, also from one start of the daemon to the next: it begins with the
//! milliseconds of the clock at the start, or where the former daemon may have been, if that is
//! more. Where that is stands in a file, well ahead of the epochs that were given, so that it is
//! written once in a thousand of them.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::ipc::control::Event;
use crate::ipc::control::unix_ms;
use crate::ipc::message::TransitionReport;

/// The last [`EVENTS_MAX`] transitions.
#[derive(Debug)]
pub(crate) struct EventLog {
    events: VecDeque<Event>,
    epoch: u64,
    /// No greater one was given, nor will be before the file says so.
    reserved: u64,
    file: PathBuf,
}

impl EventLog {
    /// Begins at this time of the clock, or beyond all that a daemon with this file has given.
    pub(crate) fn open(now: SystemTime, file: PathBuf) -> Self {
        let before = fs::read_to_string(&file).ok();
        let before = before
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let mut log = Self {
            events: VecDeque::new(),
            epoch: unix_ms(now).max(before),
            reserved: 0,
            file,
        };
        log.reserve();
        log
    }

    /// Whole or not at all: a file that was cut would have the epochs begin anew.
    fn reserve(&mut self) {
        self.reserved = self.epoch.saturating_add(EPOCHS_RESERVED);
        let fresh = self.file.with_extension("new");
        let written = fs::write(&fresh, format!("{}\n", self.reserved))
            .and_then(|()| fs::rename(&fresh, &self.file));
        if let Err(error) = written {
            warn!(path = %self.file.display(), %error, "epochs may not grow over the next start");
        }
    }

    /// Notes a transition that happened `ago`, and returns it as an event.
    pub(crate) fn note(
        &mut self,
        now: SystemTime,
        ago: Duration,
        report: TransitionReport,
    ) -> Event {
        self.epoch = self.epoch.saturating_add(1);
        if self.epoch > self.reserved {
            self.reserve();
        }
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

/// Returns the file with the epoch: in the state directory that a service manager has made, which
/// outlives a boot, or else in the runtime directory.
pub(crate) fn epoch_file(runtime_dir: &Path) -> PathBuf {
    let state = std::env::var_os("STATE_DIRECTORY");
    // Of several it is the first.
    let first = state
        .as_ref()
        .and_then(|state| std::env::split_paths(state).next());
    first
        .filter(|directory| directory.is_absolute())
        .unwrap_or_else(|| runtime_dir.to_owned())
        .join(EPOCH_FILE)
}

const EPOCH_FILE: &str = "epoch";
/// Between two times that the file is written.
const EPOCHS_RESERVED: u64 = 1_000;
/// The bound; the oldest are forgotten.
const EVENTS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

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

    fn open(now: SystemTime, directory: &tempfile::TempDir) -> EventLog {
        EventLog::open(now, directory.path().join("epoch"))
    }

    #[test]
    fn epochs_grow_and_order_is_kept() {
        let scratch = tempfile::tempdir().expect("a directory");
        let start = UNIX_EPOCH + Duration::from_secs(100);
        let mut log = open(start, &scratch);
        let first = log.note(start, Duration::ZERO, report(StateName::Active));
        let second = log.note(start, Duration::from_millis(5), report(StateName::Backup));
        assert_eq!((first.epoch, second.epoch), (100_001, 100_002));
        assert_eq!(second.at_ms, 99_995);
        assert_eq!(log.after(0), [first.clone(), second.clone()]);
        assert_eq!(log.after(first.epoch), [second]);
    }

    /// S20: a boot without a clock, and one whose clock was set back.
    #[test]
    fn epochs_grow_over_starts_whatever_the_clock_says() {
        let scratch = tempfile::tempdir().expect("a directory");
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hour = Duration::from_secs(3600);
        let mut last = 0;
        for clock in [now, now - hour, UNIX_EPOCH, now + hour, now] {
            let mut log = open(clock, &scratch);
            for _ in 0..2 * EPOCHS_RESERVED + 7 {
                let event = log.note(clock, Duration::ZERO, report(StateName::Active));
                assert!(event.epoch > last, "{} is not after {last}", event.epoch);
                last = event.epoch;
            }
        }
    }

    #[test]
    fn file_of_nonsense_or_none_is_no_hindrance() {
        let scratch = tempfile::tempdir().expect("a directory");
        std::fs::write(scratch.path().join("epoch"), "twelve").expect("written");
        let start = UNIX_EPOCH + Duration::from_secs(100);
        let log = open(start, &scratch);
        assert_eq!(log.epoch, 100_000);
        let nowhere = EventLog::open(start, scratch.path().join("none/epoch"));
        assert_eq!(nowhere.epoch, 100_000);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let scratch = tempfile::tempdir().expect("a directory");
        let mut log = open(UNIX_EPOCH, &scratch);
        for _ in 0..=EVENTS_MAX {
            log.note(UNIX_EPOCH, Duration::ZERO, report(StateName::Active));
        }
        let remembered = log.after(0);
        assert_eq!((remembered.len(), remembered[0].epoch), (EVENTS_MAX, 2));
    }
}
