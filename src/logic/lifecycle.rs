//! How the daemon stops: hand the addresses over, drain the proxy, release what is still held.
//!
//! ```text
//!            signal                handed over            drained               released
//!  Running ─────────▶ HandingOver ─────────────▶ Draining ─────────▶ Releasing ──────────▶ Over
//!                          └──────── second signal: kill the proxy ───▶ ┘  third signal ──▶ ┘
//! ```
//!
//! A peer gets the addresses while the proxy serves on; then the proxy finishes what is in flight,
//! on addresses that no peer has taken too; then the vrrp process lets go of those. A phase whose
//! process does not run is skipped, and a process that is late is killed. The events are
//! `handle_*`; after each of them take `poll_action` until `None`, and wait until `poll_timeout`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The durations that bound a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The longest interval between two advertisements of a virtual router.
    pub advertisement_interval: Duration,
    /// How long the vrrp process may take to give addresses to a peer, or to let go of them.
    pub release: Duration,
    /// How long requests may take that are in flight.
    pub drain: Duration,
    /// Whether there is a proxy to drain.
    pub serves: bool,
}

/// Which processes run at the moment of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The vrrp process.
    pub vrrp: bool,
    /// The proxy.
    pub proxy: bool,
}

/// How far the daemon is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does not stop.
    Running,
    /// The vrrp process gives the addresses to a peer, while the proxy serves on.
    HandingOver {
        /// When the vrrp process is late.
        until: Instant,
    },
    /// The proxy finishes what is in flight, on the addresses that no peer has taken.
    Draining {
        /// When the proxy is late.
        until: Instant,
    },
    /// The vrrp process lets go of the addresses that no peer has taken.
    Releasing {
        /// When the vrrp process is late.
        until: Instant,
    },
    /// Everything is done: the daemon ends.
    Over,
}

/// What the shell must do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the vrrp process to stop, holding for so long the addresses that no peer takes.
    HandOver {
        /// As long as anything may be in flight.
        hold: Duration,
    },
    /// Close the listening sockets: the kernel would go on greeting clients that nothing will
    /// serve.
    CloseListeners,
    /// Tell the proxy to finish within this time.
    Drain {
        /// After it, what is still in flight is cut.
        within: Duration,
    },
    /// Tell the vrrp process to let go of all addresses.
    Release,
    /// Kill the vrrp process, which is late.
    KillLateVrrp,
    /// Kill the proxy, which is late.
    KillLateProxy,
    /// Kill the proxy, whatever it does.
    KillProxy,
}

/// The life of the daemon as far as stopping goes.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    plan: Plan,
    phase: Phase,
    actions: VecDeque<Action>,
}

impl Lifecycle {
    /// Returns the life of a daemon that runs.
    pub const fn new(plan: Plan) -> Self {
        Self {
            plan,
            phase: Phase::Running,
            actions: VecDeque::new(),
        }
    }

    /// Follows another plan; a stop that has begun goes on by its own.
    pub fn set_plan(&mut self, plan: Plan) {
        if self.phase == Phase::Running {
            self.plan = plan;
        }
    }

    /// Begins to stop. A second signal cuts what is in flight, a third one ends the daemon at once.
    pub fn handle_signal(&mut self, now: Instant, running: Running) {
        match self.phase {
            Phase::Running => {
                let spare = self.plan.release + SPARE;
                let interval = self.plan.advertisement_interval;
                if !running.vrrp {
                    return self.drain(now, running);
                }
                let until = now + interval * 2 + spare;
                let hold = if self.plan.serves {
                    interval + self.plan.drain + spare
                } else {
                    Duration::ZERO
                };
                self.enter(Phase::HandingOver { until }, Action::HandOver { hold });
            }
            Phase::HandingOver { .. } | Phase::Draining { .. } => {
                self.actions.push_back(Action::KillProxy);
                // Whatever the proxy still does: another node may have the addresses by now.
                self.release(now, running);
            }
            Phase::Releasing { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// The vrrp process says that a peer has the addresses, or that none takes them.
    pub fn handle_handed_over(&mut self, now: Instant, running: Running) {
        match self.phase {
            Phase::HandingOver { .. } => self.drain(now, running),
            // Unasked, or late: its end is waited for as that of any process.
            Phase::Running | Phase::Draining { .. } | Phase::Releasing { .. } | Phase::Over => {}
        }
    }

    /// The vrrp process has ended.
    pub fn handle_vrrp_end(&mut self, now: Instant, running: Running) {
        match self.phase {
            Phase::HandingOver { .. } => self.drain(now, running),
            Phase::Running | Phase::Draining { .. } => {}
            Phase::Releasing { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// The proxy has ended.
    pub fn handle_proxy_end(&mut self, now: Instant, running: Running) {
        match self.phase {
            Phase::Draining { .. } => self.release(now, running),
            Phase::Running | Phase::HandingOver { .. } | Phase::Releasing { .. } | Phase::Over => {}
        }
    }

    /// Kills a process that is late.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (late, until) = match &mut self.phase {
            Phase::HandingOver { until } | Phase::Releasing { until } => {
                (Action::KillLateVrrp, until)
            }
            Phase::Draining { until } => (Action::KillLateProxy, until),
            Phase::Running | Phase::Over => return,
        };
        if now >= *until {
            *until = now + SPARE;
            self.actions.push_back(late);
        }
    }

    /// Returns what is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when `handle_timeout` is due.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::HandingOver { until }
            | Phase::Draining { until }
            | Phase::Releasing { until } => Some(until),
            Phase::Running | Phase::Over => None,
        }
    }

    /// Returns how far the daemon is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns whether the daemon is on its way down, so that a service manager has to wait for it.
    pub const fn is_stopping(&self) -> bool {
        match self.phase {
            Phase::HandingOver { .. } | Phase::Draining { .. } | Phase::Releasing { .. } => true,
            Phase::Running | Phase::Over => false,
        }
    }

    fn enter(&mut self, phase: Phase, action: Action) {
        self.phase = phase;
        self.actions.push_back(action);
    }

    fn drain(&mut self, now: Instant, running: Running) {
        self.actions.push_back(Action::CloseListeners);
        if !running.proxy {
            return self.release(now, running);
        }
        let within = self.plan.drain;
        let until = now + within + SPARE;
        self.enter(Phase::Draining { until }, Action::Drain { within });
    }

    fn release(&mut self, now: Instant, running: Running) {
        if !running.vrrp {
            self.phase = Phase::Over;
            return;
        }
        let until = now + self.plan.release + SPARE;
        self.enter(Phase::Releasing { until }, Action::Release);
    }
}

/// How much longer than planned a process may take before it is killed, and than that before it is
/// killed again.
pub const SPARE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const PLAN: Plan = Plan {
        advertisement_interval: Duration::from_secs(1),
        release: Duration::from_millis(500),
        drain: Duration::from_secs(10),
        serves: true,
    };
    const BOTH: Running = Running {
        vrrp: true,
        proxy: true,
    };

    type Input = fn(&mut Lifecycle, Instant, Running);

    const INPUTS: [(&str, Input); 6] = [
        ("signal", Lifecycle::handle_signal),
        ("handed over", Lifecycle::handle_handed_over),
        ("vrrp ended", |life, now, running| {
            let vrrp = false;
            life.handle_vrrp_end(now, Running { vrrp, ..running });
        }),
        ("proxy ended", |life, now, running| {
            let proxy = false;
            life.handle_proxy_end(now, Running { proxy, ..running });
        }),
        ("timeout, early", |life, now, _| life.handle_timeout(now)),
        ("timeout, due", |life, _, _| {
            if let Some(at) = life.poll_timeout() {
                life.handle_timeout(at);
            }
        }),
    ];

    /// Every phase, reached as it is in life.
    fn phases(now: Instant) -> [(&'static str, Lifecycle); 5] {
        let mut lives = vec![Lifecycle::new(PLAN)];
        let steps: [Input; 4] = [INPUTS[0].1, INPUTS[1].1, INPUTS[3].1, INPUTS[2].1];
        for step in steps {
            let mut next = lives[lives.len() - 1].clone();
            step(&mut next, now, BOTH);
            next.actions.clear();
            lives.push(next);
        }
        let names = ["Running", "HandingOver", "Draining", "Releasing", "Over"];
        std::array::from_fn(|at| (names[at], lives[at].clone()))
    }

    fn describe(life: &mut Lifecycle, now: Instant) -> String {
        let phase = match life.phase() {
            Phase::Running => "Running".to_owned(),
            Phase::HandingOver { until } => format!("HandingOver {:?}", until - now),
            Phase::Draining { until } => format!("Draining {:?}", until - now),
            Phase::Releasing { until } => format!("Releasing {:?}", until - now),
            Phase::Over => "Over".to_owned(),
        };
        let actions: Vec<Action> = std::iter::from_fn(|| life.poll_action()).collect();
        format!("{phase} {actions:?}")
    }

    #[test]
    fn every_phase_meets_every_event() {
        let now = Instant::now();
        let mut table = String::new();
        for (name, life) in phases(now) {
            writeln!(table, "{name}").expect("a string takes everything");
            for (input_name, input) in INPUTS {
                for (who, running) in [
                    ("", BOTH),
                    (
                        ", no vrrp process",
                        Running {
                            vrrp: false,
                            ..BOTH
                        },
                    ),
                    (
                        ", no proxy",
                        Running {
                            proxy: false,
                            ..BOTH
                        },
                    ),
                ] {
                    let mut life = life.clone();
                    input(&mut life, now, running);
                    let row = describe(&mut life, now);
                    writeln!(table, "  {input_name}{who}: {row}")
                        .expect("a string takes everything");
                }
            }
        }
        insta::assert_snapshot!("every_phase_meets_every_event", table);
    }

    #[test]
    fn without_a_proxy_nothing_is_held_and_without_a_child_all_is_over_at_once() {
        let now = Instant::now();
        let mut life = Lifecycle::new(Plan {
            serves: false,
            ..PLAN
        });
        life.handle_signal(now, BOTH);
        let hold = Duration::ZERO;
        assert_eq!(life.poll_action(), Some(Action::HandOver { hold }));
        let mut life = Lifecycle::new(PLAN);
        let none = Running {
            vrrp: false,
            proxy: false,
        };
        life.handle_signal(now, none);
        assert_eq!(life.phase(), Phase::Over);
        assert_eq!(life.poll_action(), Some(Action::CloseListeners));
        assert_eq!(life.poll_action(), None);
    }
}
