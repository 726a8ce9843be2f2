//! Who visits: the kinds of visitors, how many there are of each, and how many the descriptors
//! allow.

use std::fmt;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::lab::LabError;

/// A kind of visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Keeps a connection and asks every 0.5 to 6 s.
    Idle,
    /// Keeps a connection and asks every 50 to 150 ms.
    Busy,
    /// Keeps a connection and posts 8 kB every 0.3 to 1 s.
    Post,
    /// Keeps a connection; each answer takes 1.5 to 2 s, longer than what watches the processes
    /// waits.
    Slow,
    /// Downloads over several seconds, each time on a connection of its own.
    Download,
    /// Uploads over several seconds, each time on a connection of its own.
    Upload,
    /// Keeps a WebSocket and has a message echoed every 0.2 to 0.8 s.
    WebSocket,
    /// Asks every 20 ms, each time on a connection of its own.
    Fresh,
}

impl Kind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Busy,
        Self::Post,
        Self::Slow,
        Self::Download,
        Self::Upload,
        Self::WebSocket,
        Self::Fresh,
    ];

    /// Returns a name for people, in the plural where there is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Post => "posts",
            Self::Slow => "slow",
            Self::Download => "downloads",
            Self::Upload => "uploads",
            Self::WebSocket => "websockets",
            Self::Fresh => "fresh",
        }
    }

    /// Returns its place in [`Kind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many visitors there are of each kind, in the order of [`Kind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd(pub [u16; 8]);

impl Crowd {
    /// Nobody.
    pub const NONE: Self = Self([0; 8]);
    /// A site's afternoon: what the demo and the bench have.
    pub const FULL: Self = Self([1_000, 50, 20, 20, 20, 20, 20, 2]);
    /// Some of each kind, for tests beside other tests.
    pub const SMALL: Self = Self([60, 6, 4, 4, 4, 4, 4, 1]);

    /// Returns how many there are of a kind.
    pub fn count(self, kind: Kind) -> usize {
        usize::from(self.0[kind.index()])
    }

    /// Returns how many there are in all.
    pub fn len(self) -> usize {
        self.0.iter().copied().map(usize::from).sum()
    }

    /// Returns whether there is nobody.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the kinds with somebody in them.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| self.count(*kind) > 0)
    }

    /// Returns a crowd of about `visitors_max` in the same proportions, with one at least of each
    /// kind that it has; of 0 nobody is left.
    pub fn within(self, visitors_max: usize) -> Self {
        if visitors_max == 0 {
            return Self::NONE;
        }
        let len = self.len();
        if len <= visitors_max {
            return self;
        }
        Self(self.0.map(|count| {
            let share = usize::from(count) * visitors_max / len;
            u16::try_from(share).unwrap_or(count).max(count.min(1))
        }))
    }

    /// Raises the soft limit of descriptors as far as this crowd needs, and returns who of it then
    /// has room.
    ///
    /// The nodes inherit the limit: their proxies need as many as the lab itself.
    ///
    /// # Errors
    /// When the kernel does not let the limit be read or raised.
    pub fn with_descriptors(self) -> Result<Self, LabError> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
            .map_err(LabError::system("read the limit of descriptors"))?;
        let wanted = self.descriptors();
        let granted = soft.max(wanted.min(hard));
        if granted > soft {
            setrlimit(Resource::RLIMIT_NOFILE, granted, hard)
                .map_err(LabError::system("raise the limit of descriptors"))?;
        }
        Ok(self.within_descriptors(granted))
    }

    fn within_descriptors(self, granted: u64) -> Self {
        let room = granted.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_EACH;
        self.within(usize::try_from(room).unwrap_or(usize::MAX))
    }

    fn descriptors(self) -> u64 {
        self.len() as u64 * DESCRIPTORS_EACH + OTHER_DESCRIPTORS
    }
}

/// In the lab the visitor's socket and the backend's; in a proxy both sides, and one whose client
/// was cut off unnoticed.
const DESCRIPTORS_EACH: u64 = 3;
/// Listeners, namespaces, logs, the probe's requests while nobody answers, connections that are not
/// closed yet.
const OTHER_DESCRIPTORS: u64 = 256;

/// How patient visitors are, and how long their transfers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Without a byte for so long, a request has failed.
    pub patience: Duration,
    /// What a download or an upload takes.
    pub transfer: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(2),
            transfer: Duration::from_secs(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_where_their_index_says() {
        assert!(
            Kind::ALL
                .iter()
                .enumerate()
                .all(|(at, kind)| kind.index() == at)
        );
    }

    #[test]
    fn smaller_crowd_has_the_same_kinds() {
        let few = Crowd::FULL.within(100);
        assert_eq!(few, Crowd([86, 4, 1, 1, 1, 1, 1, 1]));
        assert_eq!(Crowd::FULL.within(5_000), Crowd::FULL);
        assert_eq!(Crowd::FULL.within(0), Crowd::NONE);
        assert_eq!(few.kinds().count(), 8);
    }

    #[test]
    fn hard_limit_of_1024_allows_fewer_visitors() {
        let few = Crowd::FULL.within_descriptors(1_024);
        assert!((240..=256).contains(&few.len()), "{few:?}");
        assert!(few.descriptors() <= 1_024);
        assert_eq!(Crowd::FULL.within_descriptors(4_096), Crowd::FULL);
    }
}
