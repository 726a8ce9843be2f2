//! Whether the supervisor is alive, as far as its beats say.
//!
//! Silence is counted in ticks of this process, not by the clock: a process that was itself held up
//! has not listened, and must not give its addresses up for its own absence. A supervisor that has
//! never beaten is not watched.

/// Counts the ticks since the supervisor was last heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// `None` until the first beat.
    silent_ticks: Option<u32>,
}

impl Watch {
    /// A beat arrived.
    pub const fn handle_beat(&mut self) {
        self.silent_ticks = Some(0);
    }

    /// A tick of this process passed, in which everything that had arrived was taken in before.
    pub const fn handle_tick(&mut self) {
        if let Some(ticks) = self.silent_ticks {
            self.silent_ticks = Some(ticks.saturating_add(1));
        }
    }

    /// Returns whether the supervisor has been silent for so long that it counts as lost.
    pub fn is_suppressed(&self) -> bool {
        self.silent_ticks
            .is_some_and(|ticks| ticks > SILENT_TICKS_MAX)
    }
}

/// Two seconds of ticks that are 50 ms long.
const SILENT_TICKS_MAX: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supervisor_is_lost_after_two_seconds_of_own_ticks_and_no_sooner() {
        let mut watch = Watch::default();
        for _ in 0..1_000 {
            watch.handle_tick();
        }
        assert!(!watch.is_suppressed(), "it has never beaten");
        for _ in 0..10 {
            watch.handle_beat();
            for _ in 0..SILENT_TICKS_MAX {
                watch.handle_tick();
                assert!(!watch.is_suppressed());
            }
        }
        watch.handle_tick();
        assert!(watch.is_suppressed());
        watch.handle_beat();
        assert!(!watch.is_suppressed());
    }
}
