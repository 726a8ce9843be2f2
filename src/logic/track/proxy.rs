//! The proxy as it is seen from outside: serving, late, or dying over and over.
//!
//! A restart in time is nothing. A proxy that is late, or dies three times in 10 s, is ill until it
//! has served in calm for a while; the while is doubled with every illness that follows, up to 5
//! minutes, so that a proxy which only dies under load does not move the addresses back and forth.
//! All is forgotten when it has served for 10 minutes.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// What is known of the proxy.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    phase: Phase,
    /// The last deaths, never more than [`DEATHS_MAX`].
    deaths: VecDeque<Instant>,
    illness: Option<Illness>,
    /// Illnesses that are not forgotten, the one it has now included.
    illnesses: u32,
}

/// How far the process of now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It was started and does not serve yet; from `late_at` on it is late.
    Starting { late_at: Instant },
    /// It did not serve in time.
    Late,
    /// All its threads accept.
    Serving { since: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Illness {
    Late,
    Dying,
}

/// Why the proxy is ill, and when it is not any more, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    illness: Illness,
    calm: Duration,
}

impl Proxy {
    /// Begins with a proxy that is being started for the first time.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Starting {
                late_at: now + FIRST_START_TIMEOUT,
            },
            deaths: VecDeque::with_capacity(DEATHS_MAX),
            illness: None,
            illnesses: 0,
        }
    }

    /// Who serves is not late, whatever the clock says: it is the one who listens that was held up.
    pub(super) fn handle_serving(&mut self, now: Instant) {
        self.phase = match self.phase {
            Phase::Starting { .. } | Phase::Late => Phase::Serving { since: now },
            Phase::Serving { since } => Phase::Serving { since },
        };
    }

    pub(super) fn handle_died(&mut self, now: Instant) {
        self.handle_timeout(now);
        if self.deaths.len() == DEATHS_MAX {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        let first = self.deaths.front().copied().unwrap_or(now);
        if self.deaths.len() == DEATHS_MAX && now.duration_since(first) < DEATHS_WINDOW {
            self.fall_ill(Illness::Dying);
        }
        self.phase = match self.phase {
            Phase::Late => Phase::Late,
            // A first start that fails is given no new time: it is the same wait.
            Phase::Starting { late_at } => Phase::Starting { late_at },
            Phase::Serving { .. } => Phase::Starting {
                late_at: now + RESTART_TIMEOUT,
            },
        };
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Starting { late_at } if now >= late_at => {
                self.phase = Phase::Late;
                self.fall_ill(Illness::Late);
            }
            Phase::Serving { since } => {
                let served = now.duration_since(since);
                if served >= self.calm() {
                    self.illness = None;
                }
                if served >= FORGOTTEN_AFTER {
                    self.illnesses = 0;
                }
            }
            Phase::Starting { .. } | Phase::Late => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (self.phase, self.illness) {
            (Phase::Starting { late_at }, _) => Some(late_at),
            (Phase::Late, _) => None,
            (Phase::Serving { since }, Some(_)) => Some(since + self.calm()),
            (Phase::Serving { since }, None) if self.illnesses > 0 => Some(since + FORGOTTEN_AFTER),
            (Phase::Serving { .. }, None) => None,
        }
    }

    /// Returns whether it is being started and not late.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
    }

    /// Returns what it is ill with, if it is.
    pub(super) fn complaint(&self) -> Option<Complaint> {
        let calm = self.calm();
        self.illness.map(|illness| Complaint { illness, calm })
    }

    /// A second illness while it is ill is the same one.
    fn fall_ill(&mut self, illness: Illness) {
        self.illness = Some(match self.illness {
            None => {
                self.illnesses = self.illnesses.saturating_add(1);
                illness
            }
            Some(Illness::Late) => illness,
            Some(Illness::Dying) => Illness::Dying,
        });
    }

    /// How long it must serve without dying to be well again.
    fn calm(&self) -> Duration {
        let doublings = self.illnesses.saturating_sub(1).min(CALM_DOUBLINGS_MAX);
        (CALM_MIN * (1 << doublings)).min(CALM_MAX)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.illness {
            Illness::Late => "the proxy did not serve in time",
            Illness::Dying => "the proxy keeps dying",
        })?;
        write!(f, ": well when it has served for {} s", self.calm.as_secs())
    }
}

/// How long the first start of the proxy may take before it is late.
const FIRST_START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a restarted proxy may not serve before it is late.
const RESTART_TIMEOUT: Duration = Duration::from_millis(200);
/// So many deaths of the proxy within [`DEATHS_WINDOW`] are an illness; also the bound of what is
/// remembered.
const DEATHS_MAX: usize = 3;
/// Within what deaths count together.
const DEATHS_WINDOW: Duration = Duration::from_secs(10);
/// How long a proxy that was ill for the first time must serve to be well; not less than
/// [`DEATHS_WINDOW`].
const CALM_MIN: Duration = Duration::from_secs(10);
/// The longest of these times.
const CALM_MAX: Duration = Duration::from_secs(300);
/// Beyond so many doublings it is the longest.
const CALM_DOUBLINGS_MAX: u32 = 5;
/// A proxy that has served for so long has never been ill; more than [`CALM_MAX`].
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at a millisecond.
    #[derive(Clone, Copy)]
    enum Step {
        Serves(u64),
        Dies(u64),
        Nothing(u64),
    }
    use Step::{Dies, Nothing, Serves};

    /// Returns what is said after each step, and in how many milliseconds something is due then.
    fn live(steps: &[Step]) -> Vec<(&'static str, u64)> {
        let began = Instant::now();
        let mut proxy = Proxy::new(began);
        let mut said = Vec::new();
        for step in steps {
            let ms = match step {
                Serves(ms) | Dies(ms) | Nothing(ms) => *ms,
            };
            let now = began + Duration::from_millis(ms);
            match step {
                Serves(_) => proxy.handle_serving(now),
                Dies(_) => proxy.handle_died(now),
                Nothing(_) => proxy.handle_timeout(now),
            }
            let due = proxy.poll_timeout();
            assert!(due.is_none_or(|due| due > now), "no timer stays due");
            let due_ms = due.map_or(0, |due| (due - now).as_millis().try_into().unwrap_or(0));
            let word = match proxy.complaint().map(|complaint| complaint.illness) {
                None if proxy.is_starting() => "starting",
                None => "well",
                Some(Illness::Late) => "late",
                Some(Illness::Dying) => "dying",
            };
            said.push((word, due_ms));
        }
        said
    }

    #[test]
    fn first_start_may_take_five_seconds_whatever_dies_in_it() {
        assert_eq!(
            live(&[Nothing(0), Dies(1000), Nothing(4999), Nothing(5000)]),
            [
                ("starting", 5000),
                ("starting", 4000),
                ("starting", 1),
                ("late", 0)
            ]
        );
        assert_eq!(live(&[Serves(4999)]), [("well", 0)]);
        assert_eq!(
            live(&[
                Nothing(5000),
                Serves(6000),
                Nothing(15_999),
                Nothing(16_000)
            ]),
            [
                ("late", 0),
                ("late", 10_000),
                ("late", 1),
                ("well", 590_000)
            ]
        );
    }

    #[test]
    fn restart_in_time_is_nothing_and_a_late_one_is_an_illness() {
        assert_eq!(
            live(&[Serves(0), Dies(1000), Nothing(1199), Serves(1199)]),
            [("well", 0), ("starting", 200), ("starting", 1), ("well", 0)]
        );
        assert_eq!(
            live(&[
                Serves(0),
                Dies(1000),
                Nothing(1200),
                Dies(1300),
                Serves(1400)
            ]),
            [
                ("well", 0),
                ("starting", 200),
                ("late", 0),
                ("late", 0),
                ("late", 10_000)
            ]
        );
    }

    #[test]
    fn proxy_that_serves_when_it_is_looked_at_is_not_late() {
        assert_eq!(
            live(&[Serves(0), Dies(1000), Serves(1500), Serves(9000)]),
            [("well", 0), ("starting", 200), ("well", 0), ("well", 0)]
        );
        assert_eq!(
            live(&[Serves(5001)]),
            [("well", 0)],
            "nor at the first start"
        );
    }

    #[test]
    fn third_death_in_ten_seconds_is_an_illness_and_the_third_in_more_is_not() {
        let dies_at = |ms: [u64; 3]| {
            let steps = ms.iter().flat_map(|ms| [Dies(*ms), Serves(ms + 100)]);
            let steps: Vec<Step> = std::iter::once(Serves(0)).chain(steps).collect();
            live(&steps).last().copied()
        };
        assert_eq!(dies_at([1000, 5000, 10_999]), Some(("dying", 10_000)));
        assert_eq!(dies_at([1000, 5000, 11_000]), Some(("well", 0)));
    }

    #[test]
    fn every_death_begins_the_calm_again_and_a_late_proxy_that_dies_is_ill_once() {
        let steps = [
            Serves(0),
            Dies(100),
            Dies(200),
            Nothing(300),
            Dies(350),
            Serves(400),
        ];
        let said = live(&steps);
        assert_eq!(said[3..], [("late", 0), ("dying", 0), ("dying", 10_000)]);
        let dies_again = [
            Dies(10_399),
            Serves(10_500),
            Nothing(20_499),
            Nothing(20_500),
        ];
        let said = live(&[&steps[..], &dies_again[..]].concat());
        assert_eq!(
            said[6..],
            [
                ("dying", 200),
                ("dying", 10_000),
                ("dying", 1),
                ("well", 590_000)
            ]
        );
    }

    #[test]
    fn calm_is_doubled_with_every_illness_up_to_five_minutes_and_forgotten_after_ten() {
        let began = Instant::now();
        let (mut now, mut proxy) = (began, Proxy::new(began));
        proxy.handle_serving(now);
        let fall_ill = |proxy: &mut Proxy, now: &mut Instant| {
            for _ in 0..DEATHS_MAX {
                *now += Duration::from_millis(1000);
                proxy.handle_died(*now);
                proxy.handle_serving(*now);
            }
            let calm = proxy.poll_timeout().map(|at| (at - *now).as_secs());
            *now += proxy.calm() - Duration::from_millis(1);
            proxy.handle_timeout(*now);
            assert!(proxy.complaint().is_some(), "not a moment too early");
            *now += Duration::from_millis(1);
            proxy.handle_timeout(*now);
            assert_eq!(proxy.complaint(), None, "well");
            calm
        };
        for seconds in [10, 20, 40, 80, 160, 300, 300, 300] {
            assert_eq!(fall_ill(&mut proxy, &mut now), Some(seconds));
        }
        let forgotten_at = proxy.poll_timeout().unwrap_or(now);
        assert_eq!(
            (forgotten_at - now).as_secs(),
            300,
            "ten minutes of serving"
        );
        now = forgotten_at;
        proxy.handle_timeout(now);
        assert_eq!(proxy.poll_timeout(), None, "nothing is waited for");
        assert_eq!(fall_ill(&mut proxy, &mut now), Some(10), "all is forgotten");
    }

    #[test]
    fn single_death_while_well_is_not_a_relapse_but_puts_off_the_forgetting() {
        let ill = [
            Serves(0),
            Dies(100),
            Serves(150),
            Dies(200),
            Serves(250),
            Dies(300),
            Serves(400),
        ];
        let after = [
            Nothing(10_400),
            Dies(500_000),
            Serves(500_100),
            Nothing(1_100_099),
        ];
        let said = live(&[&ill[..], &after[..]].concat());
        assert_eq!(
            said[7..],
            [
                ("well", 590_000),
                ("starting", 200),
                ("well", 600_000),
                ("well", 1)
            ]
        );
    }

    #[test]
    fn complaint_says_when_it_is_over() {
        let calm = Duration::from_secs(40);
        let says = |illness| Complaint { illness, calm }.to_string();
        assert_eq!(
            says(Illness::Dying),
            "the proxy keeps dying: well when it has served for 40 s"
        );
        assert_eq!(
            says(Illness::Late),
            "the proxy did not serve in time: well when it has served for 40 s"
        );
    }
}
