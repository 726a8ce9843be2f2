//! When a backend is up: rise, fall, and the first verdict.
//!
//! Pure: it is told how each probe ended and knows no clock. A backend that was never probed takes
//! the first verdict at once, so that a starting proxy is ready after one round of probes; from
//! then on `rise` successes in a row bring it up and `fall` failures in a row take it down. Read
//! `pick` next for who may be given a request.

/// Whether a backend may be given requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not yet known; used only where no backend of the pool is up.
    Unprobed,
    /// It answers its probes.
    Up,
    /// It does not.
    Down,
}

impl Availability {
    /// Returns the word for operators: `unprobed`, `up` or `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unprobed => "unprobed",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As hoped, in time.
    Success,
    /// In any other way.
    Failure,
}

/// How many outcomes in a row change the verdict; both at least 1, and 0 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes that bring a backend up.
    pub rise: u32,
    /// Failures that take a backend down.
    pub fall: u32,
}

/// The health of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHealth {
    thresholds: Thresholds,
    state: State,
}

impl BackendHealth {
    /// Returns a backend in the given state: `Unprobed`, or what a predecessor last said of it.
    pub fn new(thresholds: Thresholds, availability: Availability) -> Self {
        let state = match availability {
            Availability::Unprobed => State::Unprobed,
            Availability::Up => State::Up { failures: 0 },
            Availability::Down => State::Down { successes: 0 },
        };
        Self { thresholds, state }
    }

    /// Returns the present verdict.
    pub fn availability(&self) -> Availability {
        match self.state {
            State::Unprobed => Availability::Unprobed,
            State::Up { .. } => Availability::Up,
            State::Down { .. } => Availability::Down,
        }
    }

    /// Returns whether the verdict may soon be another one: there is none, or the last outcome was
    /// not what it says.
    pub fn is_changing(&self) -> bool {
        match self.state {
            State::Unprobed => true,
            State::Up { failures: count } | State::Down { successes: count } => count > 0,
        }
    }

    /// Takes the outcome of a probe; returns the new verdict when it is another one.
    pub fn handle_probe(&mut self, outcome: Outcome) -> Option<Availability> {
        let before = self.availability();
        let to = match (self.state, outcome) {
            (State::Unprobed, Outcome::Success) => State::Up { failures: 0 },
            (State::Unprobed, Outcome::Failure) => State::Down { successes: 0 },
            (State::Up { .. }, Outcome::Success) => State::Up { failures: 0 },
            (State::Up { failures }, Outcome::Failure) => {
                let failures = failures.saturating_add(1);
                if failures >= self.thresholds.fall {
                    State::Down { successes: 0 }
                } else {
                    State::Up { failures }
                }
            }
            (State::Down { .. }, Outcome::Failure) => State::Down { successes: 0 },
            (State::Down { successes }, Outcome::Success) => {
                let successes = successes.saturating_add(1);
                if successes >= self.thresholds.rise {
                    State::Up { failures: 0 }
                } else {
                    State::Down { successes }
                }
            }
        };
        self.transition(to);
        (self.availability() != before).then(|| self.availability())
    }

    fn transition(&mut self, to: State) {
        self.state = to;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unprobed,
    Up { failures: u32 },
    Down { successes: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rise: u32, fall: u32, start: Availability, outcomes: &str) -> String {
        let mut health = BackendHealth::new(Thresholds { rise, fall }, start);
        outcomes
            .chars()
            .map(|c| {
                let outcome = if c == '+' {
                    Outcome::Success
                } else {
                    Outcome::Failure
                };
                health.handle_probe(outcome);
                match health.availability() {
                    Availability::Unprobed => '?',
                    Availability::Up => 'U',
                    Availability::Down => 'D',
                }
            })
            .collect()
    }

    #[test]
    fn health_follows_the_table() {
        use Availability::{Down, Unprobed, Up};
        for (rise, fall, start, outcomes, hoped) in [
            (2, 3, Unprobed, "+", "U"),
            (2, 3, Unprobed, "-", "D"),
            (2, 3, Unprobed, "-+-++", "DDDDU"),
            (2, 3, Unprobed, "+--+---", "UUUUUUD"),
            (1, 1, Up, "-+-", "DUD"),
            (3, 2, Down, "++-+++", "DDDDDU"),
            (0, 0, Up, "-+", "DU"),
        ] {
            assert_eq!(
                run(rise, fall, start, outcomes),
                hoped,
                "{rise} {fall} {outcomes}"
            );
        }
    }

    #[test]
    fn a_verdict_is_changing_until_enough_outcomes_agree() {
        let thresholds = Thresholds { rise: 2, fall: 3 };
        let mut health = BackendHealth::new(thresholds, Availability::Unprobed);
        assert!(health.is_changing());
        for (outcomes, hoped) in [("+", "."), ("--", "**"), ("+", "."), ("---+-++", "**.*.*.")] {
            let changing = outcomes.chars().map(|outcome| {
                let outcome = match outcome {
                    '+' => Outcome::Success,
                    _ => Outcome::Failure,
                };
                health.handle_probe(outcome);
                if health.is_changing() { '*' } else { '.' }
            });
            assert_eq!(changing.collect::<String>(), hoped, "{outcomes}");
        }
    }

    #[test]
    fn change_is_reported_once() {
        let thresholds = Thresholds { rise: 1, fall: 2 };
        let mut health = BackendHealth::new(thresholds, Availability::Unprobed);
        assert_eq!(
            health.handle_probe(Outcome::Success),
            Some(Availability::Up)
        );
        assert_eq!(health.handle_probe(Outcome::Success), None);
        assert_eq!(health.handle_probe(Outcome::Failure), None);
        assert_eq!(
            health.handle_probe(Outcome::Failure),
            Some(Availability::Down)
        );
    }
}
