//! What the runs of a script mean: `rise` successes in a row make it well, `fall` failures in a row
//! make it fail; the first run decides alone.
//!
//! A run that could not be started says nothing of what the script checks. Pure.

use super::Observed;

/// How a run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// With exit status 0.
    Success,
    /// Otherwise, or not in time; says how.
    Failure(String),
}

/// After how many runs in a row the word on a script changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes.
    pub rise: u32,
    /// Failures.
    pub fall: u32,
}

/// What is known of a script.
#[derive(Clone, Debug)]
pub struct ScriptState {
    thresholds: Thresholds,
    /// `None` before the first run.
    well: Option<bool>,
    /// Runs in a row that say otherwise.
    against: u32,
}

impl ScriptState {
    /// Begins with a script that has not run.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            well: None,
            against: 0,
        }
    }

    /// Takes a run in; returns what is observed now where that has changed, or fails otherwise than
    /// before.
    pub fn handle_run(&mut self, run: Run) -> Option<Observed> {
        let success = run == Run::Success;
        let needed = match (self.well, success) {
            (None, _) => 1,
            (Some(well), success) if well == success => {
                self.against = 0;
                return None;
            }
            (Some(_), true) => self.thresholds.rise,
            (Some(_), false) => self.thresholds.fall,
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.well = Some(success);
        Some(match run {
            Run::Success => Observed::Well,
            Run::Failure(why) => Observed::Failed(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_decides_and_then_as_many_in_a_row_as_are_asked_for() {
        let mut script = ScriptState::new(Thresholds { rise: 2, fall: 3 });
        let mut said = String::new();
        for run in "+--+---+-++".chars() {
            let run = match run {
                '+' => Run::Success,
                _ => Run::Failure("exit status 1".into()),
            };
            said.push(match script.handle_run(run) {
                None => '.',
                Some(Observed::Well) => 'W',
                Some(Observed::Failed(why)) => {
                    assert_eq!(why, "exit status 1");
                    'F'
                }
                Some(Observed::Unknown | Observed::Content(_) | Observed::Substituted(_)) => '?',
            });
        }
        assert_eq!(said, "W.....F...W");
        let mut script = ScriptState::new(Thresholds { rise: 2, fall: 3 });
        let failed = script.handle_run(Run::Failure("timed out".into()));
        assert_eq!(failed, Some(Observed::Failed("timed out".into())));
    }
}
