//! The faults that are injected into the active node of a pair, and what a client may notice of it.
//!
//! The demo, the netns tests and the benches share these events and bounds; `pair` makes them
//! happen. Bounds are computed from the protocol's own times (RFC 9568 §6.1), plus [`NOISE`] for a
//! machine that has other things to do.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::visitors::Visits;

/// An event on the active node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Its configuration changes ten times while it serves; in the end it is what it was.
    Reload,
    /// SIGKILL to its vrrp process.
    KillVrrp,
    /// SIGSTOP to its vrrp process.
    FreezeVrrp,
    /// SIGKILL to its proxy.
    KillProxy,
    /// SIGSTOP to its proxy.
    FreezeProxy,
    /// It can reach no backend any more.
    LoseBackends,
    /// A track script fails there; it could serve on.
    FailScript,
    /// SIGTERM to the daemon.
    StopGracefully,
    /// Its cable is pulled.
    CutLink,
    /// SIGKILL to all its processes at once.
    KillEverything,
    /// It comes back and preempts the other.
    Return,
}

/// What must be true after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The most requests that may fail.
    pub failed_max: Option<u64>,
    /// The longest time without an answer.
    pub gap_max: Option<Duration>,
    /// Whether the addresses move.
    pub moves: Moves,
    /// What becomes of connections that are kept.
    pub kept: Kept,
}

/// What may become of connections that were open before an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing is cut, no request fails.
    Unharmed,
    /// Each visitor may lose a connection, or a request, so many times.
    Cut {
        /// How often, at most.
        times: u64,
    },
    /// They may be cut, and requests fail until the event is over; then all are served again.
    ServedAgain,
}

/// Whether the addresses go to the other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// They must stay.
    Never,
    /// They must go.
    Always,
    /// Both are right.
    Either,
}

/// What a client saw of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What happened.
    pub event: Event,
    /// Requests that were sent while it was watched.
    pub requests: u64,
    /// Requests without a good answer within their time.
    pub failed: u64,
    /// The most requests that were in flight at once, of those that were answered.
    pub in_flight_max: u64,
    /// The longest time between two good answers, milliseconds.
    pub longest_gap_ms: u64,
    /// The node that answers afterwards.
    pub served_by: String,
    /// Whether that is another one than before.
    pub moved: bool,
    /// What became of the visitors.
    pub visitors: Visits,
    /// How long a dead node still had an address, milliseconds; only after `kill_everything`.
    pub address_gone_ms: Option<u64>,
    /// What a bound says and was not kept; empty when all is well.
    pub broken: Vec<String>,
}

impl Event {
    /// Returns what must be true after this event with this advertisement interval, the other's
    /// priority being 100.
    pub fn bound(self, interval: Duration) -> Bound {
        let takeover = interval * 3 + interval * (256 - 100) / 256;
        let slow = interval >= Duration::from_secs(1);
        let ms = Duration::from_millis;
        let (failed_max, gap_max, moves) = match self {
            Self::Reload | Self::KillVrrp => (Some(0), None, Moves::Never),
            // Three short intervals are over before its silence is noticed.
            Self::FreezeVrrp if slow => (Some(0), None, Moves::Never),
            Self::FreezeVrrp => (Some(1), None, Moves::Either),
            Self::KillProxy => (None, Some(ms(200)), Moves::Never),
            Self::FreezeProxy => (
                None,
                Some(if slow { ms(1_200) } else { ms(700) }),
                Moves::Either,
            ),
            Self::LoseBackends => (
                None,
                Some(if slow { ms(1_500) } else { ms(900) }),
                Moves::Always,
            ),
            Self::StopGracefully | Self::FailScript | Self::Return => {
                (Some(1), None, Moves::Always)
            }
            Self::CutLink | Self::KillEverything => {
                (None, Some(takeover + ms(50) + NOISE), Moves::Always)
            }
        };
        let kept = match self {
            Self::Reload | Self::KillVrrp => Kept::Unharmed,
            Self::FreezeVrrp if slow => Kept::Unharmed,
            // There and back.
            Self::FreezeVrrp => Kept::Cut { times: 2 },
            Self::KillProxy | Self::StopGracefully | Self::FailScript | Self::Return => {
                Kept::Cut { times: 1 }
            }
            Self::FreezeProxy | Self::LoseBackends | Self::CutLink | Self::KillEverything => {
                Kept::ServedAgain
            }
        };
        Bound {
            failed_max,
            gap_max,
            moves,
            kept,
        }
    }

    /// Returns a name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload with changes",
            Self::KillVrrp => "vrrp process killed",
            Self::FreezeVrrp => "vrrp process frozen",
            Self::KillProxy => "proxy killed",
            Self::FreezeProxy => "proxy frozen",
            Self::LoseBackends => "its backends unreachable",
            Self::FailScript => "track script fails",
            Self::StopGracefully => "graceful stop",
            Self::CutLink => "link down",
            Self::KillEverything => "all processes killed",
            Self::Return => "it comes back and preempts",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moves {
            Moves::Never => f.write_str("stays")?,
            Moves::Always => f.write_str("moves")?,
            Moves::Either => f.write_str("may move")?,
        }
        if let Some(failed) = self.failed_max {
            write!(f, ", at most {failed} failed")?;
            if self.moves != Moves::Never {
                f.write_str(" but those in flight")?;
            }
        }
        if let Some(gap) = self.gap_max {
            write!(f, ", gap under {} ms", gap.as_millis())?;
        }
        match self.kept {
            Kept::Unharmed => f.write_str(", kept connections unharmed"),
            Kept::Cut { times: 1 } => f.write_str(", kept connections cut once"),
            Kept::Cut { times } => write!(f, ", kept connections cut {times} times"),
            Kept::ServedAgain => f.write_str(", kept connections cut"),
        }
    }
}

impl Bound {
    /// Returns what of the bound an outcome breaks.
    pub fn broken_by(&self, outcome: &Outcome, lease: Duration) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(failed_max) = self.failed_max {
            // A connection does not survive the move of its address. One is what a quiet machine
            // has open, if any; a busy one has more, and which of them a move hits is chance.
            let moves = match self.moves {
                Moves::Never => 0,
                Moves::Always => 1,
                // There and back.
                Moves::Either => 2,
            };
            let allowed = failed_max + moves * outcome.in_flight_max;
            if outcome.failed > allowed {
                broken.push(format!(
                    "{} requests failed, at most {allowed} may",
                    outcome.failed
                ));
            }
        }
        if let Some(gap_max) = self.gap_max
            && u128::from(outcome.longest_gap_ms) > gap_max.as_millis()
        {
            let gap = outcome.longest_gap_ms;
            broken.push(format!(
                "{gap} ms without an answer, the bound is {} ms",
                gap_max.as_millis()
            ));
        }
        match (self.moves, outcome.moved) {
            (Moves::Never, true) => broken.push("the addresses moved and should not".into()),
            (Moves::Always, false) => broken.push("the addresses did not move".into()),
            (Moves::Never, false) | (Moves::Always, true) | (Moves::Either, _) => {}
        }
        broken.extend(self.kept.broken_by(&outcome.visitors));
        let gone_max = lease + LEASE_SPARE;
        if let Some(gone_ms) = outcome.address_gone_ms
            && u128::from(gone_ms) > gone_max.as_millis()
        {
            broken.push(format!(
                "the dead node had the address for {gone_ms} ms, the bound is {} ms",
                gone_max.as_millis()
            ));
        }
        broken
    }
}

impl Kept {
    /// Returns what the visitors saw and must not see.
    fn broken_by(self, visits: &Visits) -> Vec<String> {
        let mut broken = Vec::new();
        for tally in &visits.kinds {
            let lost = tally.failed + tally.closed_idle;
            let allowed = match self {
                Self::Unharmed => 0,
                Self::Cut { times } => tally.visitors * times,
                Self::ServedAgain => u64::MAX,
            };
            if tally.wrong > 0 || tally.unserved > 0 || lost > allowed {
                broken.push(format!("{}: {tally}", tally.kind));
            }
        }
        broken
    }
}

/// Every event, in an order in which each that takes something from lb1 is followed by its return.
pub const SCRIPT: [Event; 13] = [
    Event::Reload,
    Event::KillVrrp,
    Event::FreezeVrrp,
    Event::KillProxy,
    Event::FreezeProxy,
    Event::LoseBackends,
    Event::Return,
    Event::StopGracefully,
    Event::Return,
    Event::CutLink,
    Event::Return,
    Event::KillEverything,
    Event::Return,
];
/// These too, where track scripts can be trusted ([`super::pair::Pair::runs_scripts`]).
pub const SCRIPT_OF_TRACKING: [Event; 2] = [Event::FailScript, Event::Return];
/// What two shared, busy cores may add to a takeover: a few time slices on both nodes and in the
/// client.
pub const NOISE: Duration = Duration::from_millis(150);
/// The kernel takes an expired address away at its next sweep.
const LEASE_SPARE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::visitors::{Kind, Tally};

    fn outcome(failed: u64, longest_gap_ms: u64, moved: bool) -> Outcome {
        Outcome {
            event: Event::KillProxy,
            requests: 100,
            failed,
            in_flight_max: 1,
            longest_gap_ms,
            served_by: "lb1".into(),
            moved,
            visitors: Visits::default(),
            address_gone_ms: None,
            broken: Vec::new(),
        }
    }

    #[test]
    fn takeover_is_three_intervals_and_the_skew_of_the_other() {
        let bound = Event::CutLink.bound(Duration::from_millis(100));
        let takeover = bound
            .gap_max
            .map(|gap| gap - NOISE - Duration::from_millis(50));
        assert_eq!(takeover.map(|span| span.as_micros()), Some(360_937));
    }

    #[test]
    fn visitors_are_held_to_what_an_event_may_cost() {
        let visits = |failed, closed_idle, wrong, unserved| Visits {
            kinds: vec![Tally {
                failed,
                closed_idle,
                wrong,
                unserved,
                ..Tally::new(Kind::Idle, 4)
            }],
        };
        let whole = visits(0, 0, 0, 0);
        let (once, always) = (Kept::Cut { times: 1 }, Kept::ServedAgain);
        for kept in [Kept::Unharmed, once, always] {
            assert_eq!(kept.broken_by(&whole), [""; 0]);
            assert_eq!(
                kept.broken_by(&visits(0, 0, 1, 0)).len(),
                1,
                "a wrong answer"
            );
            assert_eq!(
                kept.broken_by(&visits(0, 0, 0, 1)).len(),
                1,
                "one is not served"
            );
        }
        assert_eq!(Kept::Unharmed.broken_by(&visits(1, 0, 0, 0)).len(), 1);
        assert_eq!(Kept::Unharmed.broken_by(&visits(0, 1, 0, 0)).len(), 1);
        assert_eq!(once.broken_by(&visits(3, 1, 0, 0)), [""; 0]);
        assert_eq!(once.broken_by(&visits(3, 2, 0, 0)).len(), 1);
        assert_eq!(always.broken_by(&visits(9, 9, 0, 0)), [""; 0]);
    }

    #[test]
    fn broken_bounds_are_said() {
        let lease = Duration::from_secs(2);
        let bound = Event::KillProxy.bound(Duration::from_secs(1));
        assert_eq!(bound.broken_by(&outcome(30, 150, false), lease), [""; 0]);
        assert_eq!(bound.broken_by(&outcome(30, 250, true), lease).len(), 2);
        let bound = Event::StopGracefully.bound(Duration::from_secs(1));
        assert_eq!(bound.broken_by(&outcome(1, 10, true), lease), [""; 0]);
        assert_eq!(bound.broken_by(&outcome(3, 10, false), lease).len(), 2);
        let busy = Outcome {
            in_flight_max: 3,
            ..outcome(4, 10, true)
        };
        assert_eq!(
            bound.broken_by(&busy, lease),
            [""; 0],
            "three were in flight"
        );
        let there_and_back = Event::FreezeVrrp.bound(Duration::from_millis(100));
        assert_eq!(
            there_and_back.broken_by(&outcome(3, 10, true), lease),
            [""; 0]
        );
        assert_eq!(
            there_and_back.broken_by(&outcome(4, 10, true), lease).len(),
            1
        );
        let never = Event::KillVrrp.bound(Duration::from_millis(100));
        assert_eq!(never.broken_by(&outcome(1, 10, false), lease).len(), 1);
        let mut late = outcome(0, 10, true);
        late.address_gone_ms = Some(2_501);
        assert_eq!(bound.broken_by(&late, lease).len(), 1);
    }
}
